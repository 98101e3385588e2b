"""What a biologist wants to know about a run, as pairs of label and text; the text and HTML views show these."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kompot import _checks as check
from kompot.anndata.cell_filter import REPORT_KEY
from kompot.anndata.history import UNREADABLE
from kompot.anndata.record_values import as_list, as_mapping, is_count, is_placeholder
from kompot.anndata.run_record import RecordedField

if TYPE_CHECKING:
    from kompot.anndata.run_info import RunInfo

_TITLES = {"de": "Differential expression", "da": "Differential abundance", "smooth": "Smoothed expression"}
_LONGEST_LIST = 10
_LONGEST_FILTER = 100
_LONGEST_LABEL = 60
_MOST_VALUES = 5


def run_title(run: RunInfo) -> str:
    """One line that names a run."""
    return f"Run {run.adjusted_run_id} ({run.analysis_type.upper()}): {_TITLES[run.analysis_type]}, {_conditions(run)}"


def run_facts(run: RunInfo) -> list[tuple[str, str]]:
    """Labels and values of what there is to know about a run; what was not recorded is left out."""
    return [(label, text) for label, text in _all_facts(run).items() if text]


def compared_facts(first: RunInfo, second: RunInfo) -> list[tuple[str, str, str]]:
    """The same of two runs side by side; "-" where one of them has nothing."""
    facts1, facts2 = _all_facts(first), _all_facts(second)
    rows = [(label, facts1[label] or "-", facts2[label] or "-") for label in facts1]
    return [row for row in rows if row[1:] != ("-", "-")]


def _all_facts(run: RunInfo) -> dict[str, str]:
    params, unreadable = run.params, _unreadable(run)
    facts = {
        "Record": _known("cannot be read: {}", unreadable),
        "Conditions": _conditions(run) + _known(" (obs[{!r}])", params.get("groupby")),
        "Result key": run.result_key,
        "Time": _time(run.timestamp),
        "Updated": updates_text(run),
        "Cell states": _known("obsm[{!r}]", params.get("obsm_key")),
        "Expression": "" if run.analysis_type == "da" else _known("layers[{!r}]", params.get("layer")) or "X",
        "Replicates": _known("obs[{!r}]", params.get("sample_col")) or "none",
        "Skipped samples": _listed(_noted(run, "skipped_samples")),
        "Cell filter": shortened(filter_text(as_mapping(params.get("filter")).get("cell_filter")), _LONGEST_FILTER),
        "Left out": left_out_text(run),
        "Cells": _cells(run),
        "Genes": _genes(run),
        "Groups": str(run.get_summary().get("groups", "")),
        "Features": features_text(run.approximation),
        "Length scale": _known("{:.4g}", run.length_scale),
        "Seed": _known("{}", _seed(run)),
        "Hits": hits_text(run),
        "Fields": fields_text(run),
    }
    return facts if unreadable is None else {name: text if name == "Record" else "" for name, text in facts.items()}


def _conditions(run: RunInfo) -> str:
    """`run.conditions` with long labels shortened."""
    labels = [str(run.params.get(name, "")) for name in ("condition", "condition1", "condition2")]
    text = run.conditions
    for label in labels:
        text = text.replace(label, shortened(label, _LONGEST_LABEL)) if len(label) > _LONGEST_LABEL else text
    return text


def _unreadable(run: RunInfo) -> str | None:
    text = run.run_info.get(UNREADABLE)
    return None if text is None else shortened(str(text), _LONGEST_FILTER)


def _known(form: str, value: Any) -> str:
    """A value in words; numbers of other versions may be text."""
    if value is None:
        return ""
    try:
        return form.format(value)
    except (TypeError, ValueError, OverflowError):
        return value_text(value)


def _listed(values: Any) -> str:
    return check.listed(as_list(values)) if values else ""


def _time(stamp: Any) -> str:
    return str(stamp).split(".")[0].replace("T", " ")


def _noted(run: RunInfo, name: str) -> Any:
    """What was noted while computing: in the entry itself, or with the approximation or the densities."""
    places = (run.run_info, run.approximation, as_mapping(run.run_info.get("density")))
    return next((place[name] for place in places if place.get(name) is not None), None)


def _seed(run: RunInfo) -> Any:
    """Seed of the choice of features: the one used, or else the one asked for."""
    used = _noted(run, "seed")
    return as_mapping(run.params.get("gp")).get("random_state") if used is None else used


def filter_text(chosen: Any) -> str:
    """`FilterSettings.cell_filter` in words, as a record holds it.

    Examples
    --------
    >>> filter_text({"cell_type": ["T", "B"], "batch": 1})
    'cell_type: T, B; batch: 1'
    >>> filter_text("passed"), filter_text("<array shape=(900,)>"), filter_text([3, 5, 8])
    ("obs['passed']", 'array shape=(900,)', '3 cells')
    """
    if chosen is None:
        return ""
    if isinstance(chosen, str):
        return chosen.strip("<>") if is_placeholder(chosen) else f"obs[{chosen!r}]"
    if isinstance(chosen, Mapping):
        if REPORT_KEY in chosen:
            return f"all but {_values_text(chosen[REPORT_KEY])}"
        return "; ".join(f"{column}: {_values_text(values)}" for column, values in chosen.items())
    if not isinstance(chosen, list):
        return str(chosen)
    if any(isinstance(part, str | Mapping) for part in chosen):
        return " or ".join(map(filter_text, chosen))
    is_mask = all(isinstance(part, bool) for part in chosen)
    return f"{sum(chosen) if is_mask else len(chosen)} cells"


def _values_text(values: Any) -> str:
    if isinstance(values, list | Mapping):
        return check.listed(values, _MOST_VALUES)
    return values.strip("<>") if isinstance(values, str) and is_placeholder(values) else str(values)


def left_out_text(run: RunInfo) -> str:
    """Groups that were left out, with the conditions that have too few cells in them."""
    if not run.run_info.get("auto_filtered"):
        return ""
    found = as_mapping(run.run_info.get("underrepresentation"))
    return check.listed(f"{group} (too few {', '.join(map(str, as_list(names)))})" for group, names in found.items())


def updates_text(run: RunInfo) -> str:
    """What was computed again after the run, and when."""
    updates = [as_mapping(update) for update in as_list(run.run_info.get("updates"))]
    if not updates:
        return ""
    function = updates[-1].get("function")
    text = f"{function}, {_time(updates[-1].get('timestamp', ''))}"
    text += f", and {len(updates) - 1} earlier" if len(updates) > 1 else ""
    if function != "recompute_fdr":
        return text
    has_group_rates = any(item.place == "varm" and item.kind == "local_fdr" for item in run.fields)
    return f"{text}; FDR{_given_null_text(run)}" + (", rates per group as before" if has_group_rates else "")


def null_counts(run: RunInfo) -> tuple[int, int]:
    """Null genes and null distances given by the user that the false discovery rates rest on."""
    fdr = as_mapping(run.params.get("fdr"))
    size = re.search(r"\((\d{1,15}),", str(fdr.get("null_mahalanobis")))
    n_given = int(size[1]) if size else 0
    if n_given and not fdr.get("combine_with_internal"):
        return 0, n_given
    n_null = run.approximation.get("n_null")
    return max((n_null if is_count(n_null) else 0) - n_given, 0), n_given


def _given_null_text(run: RunInfo) -> str:
    n_given = null_counts(run)[1]
    return f" against {n_given:,} null distances given" if n_given else ""


def _cells(run: RunInfo) -> str:
    counts = run.cell_counts
    if isinstance(counts, list):
        names = [shortened(str(run.params.get(key)), _LONGEST_LABEL) for key in ("condition1", "condition2")]
        return ", ".join(_known("{:,}", count) + f" {name}" for count, name in zip(counts, names, strict=False))
    return _known("{:,}", counts)


def _genes(run: RunInfo) -> str:
    genes, n_null = run.get_summary()["n_genes"], null_counts(run)[0]
    return _known("{:,}", genes) + (f", {n_null:,} null genes" if n_null else "")


def features_text(approximation: Mapping[str, Any]) -> str:
    """Rank and residuals of the approximation."""
    if "rank" not in approximation:
        return ""
    mean, largest = (_known("{:.1e}", approximation.get(name, 0.0)) for name in ("residual_mean", "residual_max"))
    text = f"{approximation['rank']} (prior variance missed: mean {mean}, largest {largest})"
    missed = approximation.get("lost_degrees", 1.0) > approximation.get("allowed_degrees", 0.0)
    return text + (
        ", stopped at n_landmarks before the tolerance was met" if approximation.get("capped") and missed else ""
    )


def hits_text(run: RunInfo) -> str:
    """What was found: genes, or cells in each direction."""
    found = as_mapping(run.run_info.get("fdr_results"))
    if found:
        # Older records hold numbers as text.
        rule = f"local FDR < {found.get('fdr_threshold')}{_given_null_text(run)}"
        return f"{found.get('n_significant')} of {found.get('n_total')} genes ({rule})"
    counts = as_mapping(run.run_info.get("direction_counts"))
    if counts:
        threshold = as_mapping(run.params.get("threshold"))
        up, down, neutral = (_known("{:,}", counts.get(name, 0)) for name in ("up", "down", "neutral"))
        return (
            f"{up} cells up, {down} down, {neutral} neutral "
            f"(|LFC| > {threshold.get('lfc_threshold')}, PTP < {threshold.get('ptp_threshold')})"
        )
    return "no false discovery rate computed" if run.analysis_type == "de" else ""


def field_state(item: RecordedField) -> str:
    """What became of one field, in one word: a field that is gone is missing, whoever wrote it last."""
    if not item.is_present:
        return "missing"
    return "overwritten" if item.is_replaced else "present"


def status_of(item: RecordedField) -> str:
    """What became of one field, with the run that wrote it last if that is another one."""
    state = field_state(item)
    return f"{state} by {item.owner}" if state == "overwritten" else state


def state_counts(run: RunInfo) -> Counter[str]:
    """How many fields of a run are present, overwritten and missing; each is counted once."""
    return Counter(map(field_state, run.fields))


def fields_text(run: RunInfo) -> str:
    """How many fields there are and what became of them."""
    counts, n_fields = state_counts(run), len(run.fields)
    if counts["present"] == n_fields:
        return f"{n_fields} written, all present" if n_fields else "none written"
    parts = [f"{counts['present']} present"]
    parts += [f"{counts['overwritten']} overwritten by later runs"] if counts["overwritten"] else []
    parts += [f"{counts['missing']} missing"] if counts["missing"] else []
    return f"{n_fields} written: {', '.join(parts)}"


def shortened(text: str, width: int) -> str:
    """Text cut to a width, with an ellipsis for what is left out before its end, where names often differ.

    Examples
    --------
    >>> shortened("progenitors, treated", 14), shortened("stem", 8)
    ('progenito…ated', 'stem')
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 3
    return f"{text[: width - 1 - tail].rstrip()}…{text[len(text) - tail :].strip()}"


def value_text(value: Any) -> str:
    """A parameter as short text."""
    if isinstance(value, list) and len(value) > _LONGEST_LIST:
        return f"{check.listed(value)}"
    return value if isinstance(value, str) else str(value)


def nested_params(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Parameters that were set, by group; those at top level under an empty name."""
    groups: dict[str, dict[str, Any]] = {"": {}}
    for name, value in params.items():
        if isinstance(value, Mapping):
            groups[name] = {key: item for key, item in value.items() if item is not None}
        elif value is not None:
            groups[""][name] = value
    return {name: values for name, values in groups.items() if values}
