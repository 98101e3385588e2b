"""Runs and comparisons of runs as HTML for notebooks: self-contained, and with everything escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kompot.anndata.run_facts import nested_params, run_facts, run_title, status_of, value_text

if TYPE_CHECKING:
    from kompot.anndata.run_comparison import RunComparison
    from kompot.anndata.run_info import RunInfo

_STYLE = """<style>
.kompot-view{--line:#d9dde3;--dim:#5c6670;--good:#1a7f4b;--warn:#9a6200;--bad:#b3261e;
font:13px/1.45 system-ui,sans-serif;max-width:72em;border:1px solid var(--line);border-radius:6px;padding:.6em 1em}
@media (prefers-color-scheme:dark){.kompot-view{--line:#444b54;--dim:#a4adb7;--good:#5fd39a;
--warn:#e6b450;--bad:#ff8a80}}
.kompot-view h3{margin:.1em 0 .5em;font-size:1.1em}
.kompot-view summary{cursor:pointer;font-weight:600;padding:.25em 0}
.kompot-view table{border-collapse:collapse;margin:.3em 0 .7em}
.kompot-view th,.kompot-view td{text-align:left;vertical-align:top;padding:.15em 1.2em .15em 0;border:0;
background:none;color:inherit;border-bottom:1px solid var(--line);overflow-wrap:break-word}
.kompot-view th{font-weight:600;color:var(--dim);max-width:32em}
.kompot-badge{border:1px solid;border-radius:9px;padding:0 .6em;margin-right:.4em;font-size:.92em}
.kompot-good{color:var(--good)}.kompot-warn{color:var(--warn)}.kompot-bad{color:var(--bad)}
</style>"""
_IMPORTANT = ("condition1", "condition2", "condition", "groupby", "obsm_key", "layer", "sample_col")


def run_html(run: RunInfo) -> str:
    """What a notebook shows of a run."""
    return _view(
        "kompot-runinfo",
        run_title(run),
        [
            _details("Run summary", _badges(run) + _table(run_facts(run)), is_open=True),
            _details("All parameters", _parameters(run)),
            _details("Environment", _table(_environment(run))) if run.environment else "",
            _details(f"Fields written by this run ({len(run.fields)})", _fields(run)),
        ],
    )


def comparison_html(comparison: RunComparison) -> str:
    """What a notebook shows of a comparison."""
    first, second = comparison.run1, comparison.run2
    facts1, facts2 = dict(run_facts(first)), dict(run_facts(second))
    rows = [(label, facts1.get(label, "-"), facts2.get(label, "-")) for label in dict.fromkeys([*facts1, *facts2])]
    names = (f"Run {first.adjusted_run_id}", f"Run {second.adjusted_run_id}")
    kind = comparison.analysis_type.upper()
    n_different, n_same = len(comparison.differences), len(comparison.param_comparison["same"])
    return _view(
        "kompot-comparison",
        f"{names[0]} and {names[1].lower()} ({kind})",
        [
            _details("Summary", _table(rows, ("", *names)), is_open=True),
            _details(
                f"Parameters: {n_different} differ, {n_same} are the same",
                _important_badges(comparison) + _differences(comparison, names),
                is_open=True,
            ),
            _details(_field_heading(comparison), _field_differences(comparison, names)),
        ],
    )


def _view(kind: str, title: str, parts: Sequence[str]) -> str:
    return f'<div class="kompot-view {kind}">{_STYLE}<h3>{html.escape(title)}</h3>{"".join(parts)}</div>'


def _details(title: str, content: str, *, is_open: bool = False) -> str:
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{html.escape(title)}</summary>{content}</details>"


def _table(rows: Iterable[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """A table with the first column as headings."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(
        f"<tr><th>{_breakable(str(row[0]))}</th>"
        + "".join(f"<td>{html.escape(value_text(cell))}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"


def _breakable(name: str) -> str:
    """A long name that may break after underscores."""
    return html.escape(name).replace("_", "_<wbr>")


def _badge(text: str, kind: str) -> str:
    return f'<span class="kompot-badge kompot-{kind}">{html.escape(text)}</span>'


def _badges(run: RunInfo) -> str:
    badges = []
    if run.missing_fields:
        badges.append(_badge(f"fields missing: {len(run.missing_fields)}", "bad"))
    if run.overwritten_fields:
        badges.append(_badge(f"fields overwritten: {len(run.overwritten_fields)}", "warn"))
    return "".join(badges) or _badge("all fields present", "good")


def _parameters(run: RunInfo) -> str:
    rows = [
        (f"{group}.{name}" if group else name, value)
        for group, values in nested_params(run.params).items()
        for name, value in values.items()
    ]
    return _table(rows)


def _environment(run: RunInfo) -> list[tuple[str, str]]:
    packages = run.environment.get("package_versions")
    versions = packages if isinstance(packages, dict) else {}
    others = {name: value for name, value in run.environment.items() if name != "package_versions"}
    return [(name, str(value)) for name, value in sorted(others.items())] + sorted(
        (name, str(value)) for name, value in versions.items()
    )


def _fields(run: RunInfo) -> str:
    rows = [
        (item.name, item.place, item.kind, item.description, status_of(item, run.adjusted_run_id))
        for item in sorted(run.fields, key=lambda item: item.place)
    ]
    return _table(rows, ("name", "place", "type", "meaning", "status"))


def _important_badges(comparison: RunComparison) -> str:
    names = [name for name, _, _ in comparison.differences if name in _IMPORTANT]
    return "".join(_badge(f"different {name}", "bad") for name in names)


def _differences(comparison: RunComparison, names: Sequence[str]) -> str:
    if not comparison.differences:
        return "<p>No parameter differs.</p>"
    return _table(comparison.differences, ("parameter", *names))


def _field_heading(comparison: RunComparison) -> str:
    totals = comparison.field_comparison["totals"]
    return (
        f"Fields: {totals['same']} of the same name, {totals['only_in_run1'] + totals['only_in_run2']} in one run only"
    )


def _field_differences(comparison: RunComparison, names: Sequence[str]) -> str:
    owners = {item.name: item.owner for item in comparison.run1.fields}
    rows = []
    for place, kinds in comparison.field_comparison["by_location"].items():
        rows += [(name, place, f"both; last written by run {owners.get(name)}") for name in kinds["same"]]
        rows += [(name, place, f"{names[0]} only") for name in kinds["only_in_run1"]]
        rows += [(name, place, f"{names[1]} only") for name in kinds["only_in_run2"]]
    return _table(rows, ("name", "place", "written by"))
