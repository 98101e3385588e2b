"""Runs and comparisons of runs as HTML for notebooks: self-contained, and with everything escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kompot.anndata.record_values import as_mapping
from kompot.anndata.run_facts import (
    compared_facts,
    field_state,
    nested_params,
    run_facts,
    run_title,
    state_counts,
    status_of,
    value_text,
)

if TYPE_CHECKING:
    from kompot.anndata.run_comparison import RunComparison
    from kompot.anndata.run_info import RunInfo
    from kompot.anndata.run_record import RecordedField

# Colours come from the page: a notebook can be light while the system is dark, so `prefers-color-scheme` tells nothing.
# The three that mean something have a contrast of 4.5 with white (as a page and as text on them) and of 3.5 with the
# dark pages of JupyterLab and VS Code. Selectors name two classes to outdo what JupyterLab says of tables.
_STYLE = """<style>
.kompot-view{--line:rgba(128,128,128,.4);--good:#1a8450;--warn:#a36600;--bad:#d63b33;
font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:72em;box-sizing:border-box;overflow-x:auto;
overflow-wrap:anywhere;border:1px solid var(--line);border-radius:6px;padding:.6em 1em}
.kompot-view h3{margin:.1em 0 .5em;font-size:1.1em;color:inherit}
.kompot-view summary{cursor:pointer;font-weight:600;padding:.25em 0}
.kompot-view p{margin:.3em 0 .7em}
.kompot-view table.kompot-table{border-collapse:collapse;table-layout:auto;margin:.3em 0 .7em;color:inherit;
font-size:inherit}
.kompot-view .kompot-table tr:nth-child(n){background:none;border-bottom:1px solid var(--line)}
.kompot-view table.kompot-table th,.kompot-view table.kompot-table td{text-align:left;vertical-align:top;
line-height:inherit;white-space:normal;padding:.2em 1.1em .2em 0;border:0;background:none;color:inherit;min-width:4em}
.kompot-view table.kompot-table th{font-weight:600}
.kompot-view table.kompot-table th:first-child{min-width:9em;max-width:32em}
.kompot-view table.kompot-table th[scope=row]{font-weight:400;opacity:.75}
.kompot-view table.kompot-fields th[scope=row]{opacity:1}
.kompot-view table.kompot-fields td{overflow-wrap:break-word}
.kompot-badge{display:inline-block;border-radius:9px;padding:0 .7em;margin:.1em .4em .1em 0;font-size:.92em;
font-weight:600;color:#fff}
.kompot-badge.kompot-good{background:var(--good)}.kompot-badge.kompot-warn{background:var(--warn)}
.kompot-badge.kompot-bad{background:var(--bad)}
.kompot-status::before{content:"\\25cf\\a0"}
.kompot-status.kompot-good::before{color:var(--good)}.kompot-status.kompot-warn::before{color:var(--warn)}
.kompot-status.kompot-bad::before{color:var(--bad)}
</style>"""
_KINDS = {"present": "good", "overwritten": "warn", "missing": "bad"}
_PRIVATE = ("hostname", "username", "pid")
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
    names = (f"Run {first.adjusted_run_id}", f"Run {second.adjusted_run_id}")
    kind = comparison.analysis_type.upper()
    n_different, n_same = len(comparison.differences), len(comparison.param_comparison["same"])
    return _view(
        "kompot-comparison",
        f"{names[0]} and {names[1].lower()} ({kind})",
        [
            _details("Summary", _table(compared_facts(first, second), ("", *names)), is_open=True),
            _details(
                f"Parameters: {n_different} differ, {n_same} are the same",
                _important_badges(comparison) + _differences(comparison, names),
                is_open=True,
            ),
            _details(_field_heading(comparison), _field_differences(comparison, names)),
        ],
    )


class _Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def _escaped(value: Any) -> str:
    """A cell, which breaks after underscores rather than anywhere."""
    return value if isinstance(value, _Markup) else html.escape(value_text(value)).replace("_", "_<wbr>")


def _view(kind: str, title: str, parts: Sequence[str]) -> str:
    return f'<div class="kompot-view {kind}">{_STYLE}<h3>{html.escape(title)}</h3>{"".join(parts)}</div>'


def _details(title: str, content: str, *, is_open: bool = False) -> str:
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{html.escape(title)}</summary>{content}</details>"


def _table(rows: Iterable[Sequence[Any]], header: Sequence[str] = (), kind: str = "kompot-values") -> str:
    """A table with the first column as headings; one of fields breaks the words of its first column only."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{_escaped(row[0])}</th>'
        + "".join(f"<td>{_escaped(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f'<table class="kompot-table {kind}">{f"<tr>{head}</tr>" if head else ""}{body}</table>'


def _badge(text: str, kind: str) -> str:
    return f'<span class="kompot-badge kompot-{kind}">{html.escape(text)}</span>'


def _badges(run: RunInfo) -> str:
    counts = state_counts(run)
    found = [(state, counts[state]) for state in ("missing", "overwritten") if counts[state]]
    return "".join(_badge(f"fields {state}: {count}", _KINDS[state]) for state, count in found) or _badge(
        "all fields present", "good"
    )


def _parameters(run: RunInfo) -> str:
    rows = [
        (f"{group}.{name}" if group else name, value)
        for group, values in nested_params(run.params).items()
        for name, value in values.items()
    ]
    return _table(rows)


def _environment(run: RunInfo) -> list[tuple[str, str]]:
    """Versions and platform; kompot 0.8.0 also recorded who ran it and where, which is left out."""
    versions = as_mapping(run.environment.get("package_versions"))
    left_out = ("package_versions", *_PRIVATE)
    others = {name: value for name, value in run.environment.items() if name not in left_out}
    return [(name, str(value)) for part in (others, versions) for name, value in sorted(part.items())]


def _fields(run: RunInfo) -> str:
    rows = [
        (item.name, item.place, item.kind, item.description, _status(item))
        for item in sorted(run.fields, key=lambda item: item.place)
    ]
    return _table(rows, ("name", "place", "type", "meaning", "status"), "kompot-fields")


def _status(item: RecordedField) -> _Markup:
    return _Markup(
        f'<span class="kompot-status kompot-{_KINDS[field_state(item)]}">{html.escape(status_of(item))}</span>'
    )


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
    owners = {(item.place, item.name): item.owner for item in comparison.run1.fields}
    rows = []
    for place, kinds in comparison.field_comparison["by_location"].items():
        rows += [(name, place, f"both; last written by {owners[place, name]}") for name in kinds["same"]]
        rows += [(name, place, f"{names[0]} only") for name in kinds["only_in_run1"]]
        rows += [(name, place, f"{names[1]} only") for name in kinds["only_in_run2"]]
    return _table(rows, ("name", "place", "written by"), "kompot-fields")
