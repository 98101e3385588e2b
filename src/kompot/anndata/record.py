"""The record of a `kompot.de` run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kompot._version import __version__
from kompot.anndata.compute import DEOutcome
from kompot.anndata.fields import FDR_KEYS, field_mapping
from kompot.anndata.history import environment, label_record, settings_record, timestamp
from kompot.anndata.record_values import encodable
from kompot.anndata.reported_names import de_names
from kompot.anndata.representation_report import RepresentationReport
from kompot.anndata.request import DERequest
from kompot.anndata.results import hits
from kompot.anndata.selectors import is_text
from kompot.anndata.uns import landmark_record, names_digest
from kompot.settings import FilterSettings, ModelSettings

_LONGEST_LIST, _MOST_LABELS = 100, 2000


def de_record(request: DERequest, outcome: DEOutcome) -> dict[str, Any]:
    """The entry of a run in the history.

    Parameters
    ----------
    request, outcome
        Of the run.

    Returns
    -------
    dict[str, Any]
        With the keys that readers of these records know, and `approximation` beside them.
    """
    names, fdr = request.field_names, outcome.fdr is not None
    with_distances = outcome.distances is not None
    return {
        "timestamp": timestamp(),
        "function": "compute_differential_expression",
        "result_key": request.result_key,
        "analysis_type": "de",
        "lfc_key": names["mean_lfc_key"],
        "mahalanobis_key": names["mahalanobis_key"] if with_distances else None,
        "ptp_key": names["ptp_key"],
        "fdr_keys": {key.removeprefix("mahalanobis_"): names[key] for key in FDR_KEYS} if fdr else None,
        "fdr_results": None if outcome.fdr is None else hits_record(hits(outcome.fdr)),
        "smoothed_layer_keys": {
            "condition1": names["smoothed_key_1"],
            "condition2": names["smoothed_key_2"],
            "fold_change": names["fold_change_key"],
        },
        "field_names": de_names(request),
        "field_mapping": mapping_with_groups(request),
        "uses_sample_variance": request.with_samples,
        "underrepresentation": {
            group: list(map(label_record, conditions)) for group, conditions in request.cells.underrepresented.items()
        },
        "auto_filtered": request.cells.auto_filtered,
        "has_groups": bool(request.cells.groups),
        **groups_record(request),
        **{key: request.fields[key].name for key in ("posterior_covariance_key",) if key in request.fields},
        **record_before(request),
        "kept_values": outcome.kept.record(),
        "positions": position_record(request),
        "approximation": approximation_record(request, outcome),
        "landmarks": landmark_record(outcome.analysis.landmarks, request.parameters),
        "skipped_samples": [str(label) for label in outcome.analysis.skipped_samples],
        "environment": environment(),
        "kompot_version": __version__,
    }


def record_before(request: DERequest) -> dict[str, Any]:
    """What the record of a run will say of the values' dependencies, known before it."""
    return {
        "params": de_params(request),
        "inputs": request.inputs,
        "abundance_weights": None if request.abundance is None else request.abundance.source,
    }


def hits_record(summary: dict[str, Any]) -> dict[str, Any]:
    """What was found, with null instead of infinity as the smallest significant distance where nothing was."""
    smallest = summary["min_significant_mahalanobis"]
    return {**summary, "min_significant_mahalanobis": smallest if np.isfinite(smallest) else None}


def de_params(request: DERequest) -> dict[str, Any]:
    """The parameters of a run, nested by settings object, with what was resolved from defaults."""
    settings = request.settings
    fdr = settings_record(settings.fdr)
    if settings.fdr.null_genes == "auto":
        fdr["null_genes"] = request.n_null
    if settings.fdr.null_expression is not None:
        fdr["null_expression"] = "<tuple of 2 arrays>"
    params = {
        "groupby": request.groupby,
        "condition1": label_record(request.conditions[0]),
        "condition2": label_record(request.conditions[1]),
        "obsm_key": request.obsm_key,
        "layer": request.layer,
        "genes": request.genes,
        "sample_col": request.sample_col,
        "gp": settings_record(settings.gp),
        "fdr": fdr,
        "filter": filter_record(settings.filter),
        "storage": {**settings_record(settings.storage), "result_key": request.result_key},
        "output": settings_record(settings.output),
    }
    injected = [name for name in ModelSettings.__dataclass_fields__ if getattr(settings.model, name) is not None]
    return (
        params
        | ({"extra_kwargs": dict(request.extra)} if request.extra else {})
        | ({"model": injected} if injected else {})
    )


def filter_record(settings: FilterSettings) -> dict[str, Any]:
    """The filter; masks and reports that only their object can apply as a note."""
    plain = {name: labels_as_lists(getattr(settings, name)) for name in ("cell_filter", "groups")}
    record = _short(settings_record(settings) | {name: encodable(value) for name, value in plain.items()})
    report = settings.cell_filter
    if isinstance(report, RepresentationReport) and report.column is None:
        record["cell_filter"] = "<report of check_underrepresentation>"
    return record


def labels_as_lists(value: Any) -> Any:
    """Arrays of labels in dictionaries, which are values of a column, as lists; other arrays as they are."""
    if isinstance(value, dict):
        return {key: list(item) if _are_labels(item) else labels_as_lists(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [labels_as_lists(item) for item in value]
    return value


def _are_labels(value: Any) -> bool:
    return isinstance(value, np.ndarray | pd.Index | pd.Categorical) and value.ndim == 1 and is_text(value)


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """Masks and indices written out cell by cell are replaced by a note of their length."""

    def shortened(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shortened(item) for key, item in value.items()}
        if isinstance(value, list):
            if len(value) > (_MOST_LABELS if all(isinstance(item, str) for item in value) else _LONGEST_LIST):
                return f"<list of {len(value)}>"
            return [shortened(item) for item in value]
        return value

    return {key: shortened(value) for key, value in record.items()}


def position_record(request: DERequest) -> dict[str, str]:
    """Digests of the names of cells and genes where the record holds numbers of them, which mean nothing elsewhere."""
    settings, digests = request.settings, {}
    groups = settings.filter.groups
    parts = list(groups.values()) if isinstance(groups, dict) else groups if isinstance(groups, list | tuple) else []
    if any(are_positions(part, len(request.X)) for part in [settings.filter.cell_filter, groups, *parts]):
        digests["cells"] = names_digest(request.all_cells)
    if isinstance(settings.fdr.null_genes, list):
        digests["genes"] = names_digest(request.all_genes)
    return digests


def are_positions(value: Any, n_cells: int) -> bool:
    """Whether a filter or a group goes by the order of the cells: by indices, or by a flag or label for each cell.

    Examples
    --------
    >>> are_positions([0, 5], 120), are_positions({0, 5}, 120), are_positions([True, False, True], 3)
    (True, True, True)
    >>> are_positions({"batch": [0, 5]}, 120), are_positions(["good", "high"], 120), are_positions([True, False], 120)
    (False, False, False)
    """
    if not isinstance(value, list | tuple | set | frozenset | np.ndarray) or not len(value):
        return False
    numbers = all(isinstance(item, int | np.integer) and not isinstance(item, bool) for item in value)
    return numbers or len(value) == n_cells


def mapping_with_groups(request: DERequest) -> dict[str, Any]:
    """Place, type and meaning of each field; for those of groups also which groups."""
    mapping: dict[str, Any] = dict(field_mapping(request.fields.values()))
    for entry in mapping.values():
        if entry["location"] == "varm":
            entry["contains_subsets"] = list(request.cells.groups)
    return mapping


def groups_record(request: DERequest) -> dict[str, Any]:
    """Names and sizes of the groups, and their columns in varm; empty without groups."""
    cells = request.cells
    if not cells.groups:
        return {}
    names = request.field_names
    sizes = {name: int(mask.sum()) for name, mask in cells.groups.items()}
    return {
        "subset_names": list(sizes),
        "varm_keys": {"mean_lfc": names["mean_lfc_varm_key"], "mahalanobis": names["mahalanobis_varm_key"]},
        "groups_summary": {
            "count": len(sizes),
            "names": list(sizes),
            "columns": request.group_columns,
            "description": type(request.settings.filter.groups).__name__,
            "cells_per_group": {
                name: {
                    "count": size,
                    "percentage": 100.0 * size / len(request.X),
                    "conditions": {
                        str(condition): {"count": count, "percentage": 100.0 * count / max(size, 1)}
                        for condition, count in cells.counts[name].items()
                    },
                }
                for name, size in sizes.items()
            },
        },
    }


def approximation_record(request: DERequest, outcome: DEOutcome) -> dict[str, Any]:
    """What was estimated: length scale, rank and residuals of the features, cells and genes."""
    features = outcome.analysis.features
    kernel = None if features is None else features.kernel
    return {
        **outcome.approximation,
        "kernel": None if kernel is None else type(kernel).__name__,
        "ls": getattr(kernel, "length_scale", None),
        "seed": request.parameters.seed,
        "n_cells": list(outcome.analysis.n_cells),
        "n_genes": len(request.columns),
        "n_null": sum(map(len, outcome.null_distances)),
    }
