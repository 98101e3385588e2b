"""The record of a `kompot.de` run, and the check for fields of earlier runs that it would replace."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from anndata import AnnData

from kompot._version import __version__
from kompot.anndata.compute import DEOutcome
from kompot.anndata.fields import FDR_KEYS, by_place
from kompot.anndata.history import environment, get_field_owners, get_run_history, settings_record, timestamp
from kompot.anndata.request import DERequest
from kompot.anndata.results import fdr_summary
from kompot.errors import OverwriteWarning, warn

_SHOWN = 5


def check_overwrite(adata: AnnData, request: DERequest) -> None:
    """Warn of or refuse to replace existing fields, as `StorageSettings.overwrite` says.

    Parameters
    ----------
    adata
        Looked at, not changed.
    request
        Names of the fields to be written.

    Raises
    ------
    ValueError
        With `overwrite=False`, if any field exists.
    """
    overwrite = request.settings.storage.overwrite
    existing = [
        f"{item.field.place}[{item.name!r}]"
        for item in request.fields.values()
        if item.name in getattr(adata, item.field.place)
    ]
    if not existing or overwrite:
        return
    shown = ", ".join(existing[:_SHOWN]) + (f" and {len(existing) - _SHOWN} more" if len(existing) > _SHOWN else "")
    message = f"Results exist already{_previous_run(adata, request)}: {shown}."
    if overwrite is False:
        raise ValueError(
            f"{message} Nothing was computed. Set StorageSettings(overwrite=True) to replace them, or another "
            f"result_key."
        )
    warn(
        f"{message} They will be replaced; StorageSettings(overwrite=True) silences this, another result_key keeps "
        f"both.",
        OverwriteWarning,
    )


def _previous_run(adata: AnnData, request: DERequest) -> str:
    owners = get_field_owners(adata, "de")
    owned = [
        owners[place][name]
        for place, names in by_place(request.fields.values()).items()
        for name in names
        if name in owners.get(place, {})
    ]
    history = get_run_history(adata, "de")
    if not owned or max(owned) >= len(history):
        return ""
    run = history[max(owned)]
    params = run.get("params", {})
    conditions = f"{params.get('condition1', 'unknown')} to {params.get('condition2', 'unknown')}"
    return f" (run {max(owned)} of {run.get('timestamp', 'unknown time')}, {conditions})"


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
        "fdr_results": fdr_summary(outcome),
        "smoothed_layer_keys": {
            "condition1": names["smoothed_key_1"],
            "condition2": names["smoothed_key_2"],
            "fold_change": names["fold_change_key"],
        },
        "field_names": {
            **names,
            "has_groups": False,
            "sample_variance_impacted_fields": [],
            "all_patterns": by_place(request.fields.values()),
        },
        "field_mapping": {
            item.name: {
                "location": item.field.place,
                "type": item.field.kind,
                "description": item.field.meaning,
            }
            for item in request.fields.values()
        },
        "uses_sample_variance": False,
        "underrepresentation": {},
        "auto_filtered": False,
        "has_groups": False,
        "params": de_params(request),
        "approximation": approximation_record(request, outcome),
        "environment": environment(),
        "kompot_version": __version__,
    }


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
        "condition1": request.conditions[0],
        "condition2": request.conditions[1],
        "obsm_key": request.obsm_key,
        "layer": request.layer,
        "genes": request.genes,
        "sample_col": None,
        "gp": settings_record(settings.gp),
        "fdr": fdr,
        "filter": settings_record(settings.filter),
        "storage": {**settings_record(settings.storage), "result_key": request.result_key},
        "output": settings_record(settings.output),
    }
    return params | ({"extra_kwargs": dict(request.extra)} if request.extra else {})


def approximation_record(request: DERequest, outcome: DEOutcome) -> dict[str, Any]:
    """What was estimated: length scale, rank and residuals of the features, cells and genes."""
    kernel = outcome.model.result.features.kernel
    return {
        **asdict(outcome.model.approximation),
        "kernel": type(kernel).__name__,
        "ls": getattr(kernel, "length_scale", None),
        "seed": request.parameters.seed,
        "n_cells": [moment.count for moment in outcome.model.result.moments],
        "n_genes": len(request.columns),
        "n_null": sum(len(part.distances) for part in outcome.null),
    }
