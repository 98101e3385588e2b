"""What a biologist wants to know about a run, as pairs of label and text; the text and HTML views show these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kompot import _checks as check
from kompot.anndata.run_record import RecordedField, as_mapping, owned_by_another

if TYPE_CHECKING:
    from kompot.anndata.run_info import RunInfo

_TITLES = {"de": "Differential expression", "da": "Differential abundance", "smooth": "Smoothed expression"}
_LONGEST_LIST = 10


def run_title(run: RunInfo) -> str:
    """One line that names a run."""
    return f"Run {run.adjusted_run_id} ({run.analysis_type.upper()}): {_TITLES[run.analysis_type]}, {run.conditions}"


def run_facts(run: RunInfo) -> list[tuple[str, str]]:
    """Labels and values of what there is to know about a run; what was not recorded is left out."""
    params = run.params
    column = params.get("groupby")
    facts = {
        "Conditions": run.conditions + (f" (obs[{column!r}])" if column is not None else ""),
        "Result key": run.result_key,
        "Time": run.timestamp.split(".")[0].replace("T", " "),
        "Cell states": _known("obsm[{!r}]", params.get("obsm_key")),
        "Expression": "" if run.analysis_type == "da" else _known("layers[{!r}]", params.get("layer")) or "X",
        "Replicates": _known("obs[{!r}]", params.get("sample_col")) or "none",
        "Cells": _cells(run),
        "Genes": _genes(run),
        "Groups": str(run.get_summary().get("groups", "")),
        "Features": features_text(run.approximation),
        "Length scale": _known("{:.4g}", run.length_scale),
        "Hits": hits_text(run),
        "Fields": fields_text(run),
    }
    return [(label, text) for label, text in facts.items() if text]


def _known(form: str, value: Any) -> str:
    return "" if value is None else form.format(value)


def _cells(run: RunInfo) -> str:
    counts = run.cell_counts
    if isinstance(counts, list):
        names = (run.params.get("condition1"), run.params.get("condition2"))
        return ", ".join(f"{count:,} {name}" for count, name in zip(counts, names, strict=False))
    return _known("{:,}", counts)


def _genes(run: RunInfo) -> str:
    genes, null = run.get_summary()["n_genes"], run.approximation.get("n_null")
    return _known("{:,}", genes) + (f", {null:,} null genes" if null else "")


def features_text(approximation: Mapping[str, Any]) -> str:
    """Rank and residuals of the approximation."""
    if "rank" not in approximation:
        return ""
    text = f"{approximation['rank']} (prior variance missed: mean {approximation.get('residual_mean', 0.0):.1e}"
    text += f", largest {approximation.get('residual_max', 0.0):.1e})"
    return text + (", stopped at n_landmarks before the tolerance was met" if approximation.get("capped") else "")


def hits_text(run: RunInfo) -> str:
    """What was found: genes, or cells in each direction."""
    found = as_mapping(run.run_info.get("fdr_results"))
    if found:
        # Older records hold numbers as text.
        return (
            f"{found.get('n_significant')} of {found.get('n_total')} genes (local FDR < {found.get('fdr_threshold')})"
        )
    counts = as_mapping(run.run_info.get("direction_counts"))
    if counts:
        threshold = as_mapping(run.params.get("threshold"))
        return (
            f"{counts.get('up', 0):,} cells up, {counts.get('down', 0):,} down, {counts.get('neutral', 0):,} neutral "
            f"(|LFC| > {threshold.get('lfc_threshold')}, PTP < {threshold.get('ptp_threshold')})"
        )
    return "no false discovery rate computed" if run.analysis_type == "de" else ""


def fields_text(run: RunInfo) -> str:
    """How many fields there are and what became of them."""
    n_missing, n_overwritten = len(run.missing_fields), len(run.overwritten_fields)
    text = f"{len(run.fields)} written, {sum(item.is_present for item in run.fields)} present"
    text += f", {n_missing} missing" if n_missing else ""
    return text + (f", {n_overwritten} overwritten by later runs" if n_overwritten else "")


def status_of(item: RecordedField, run_id: int) -> str:
    """What became of one field."""
    if not item.is_present:
        return "missing"
    return f"overwritten by run {item.owner}" if owned_by_another(item, run_id) else "present"


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
