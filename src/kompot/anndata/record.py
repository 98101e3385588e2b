"""The record of a `kompot.de` run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kompot._version import __version__
from kompot.anndata.compute import DEOutcome
from kompot.anndata.fields import FDR_KEYS, by_place, field_mapping
from kompot.anndata.history import environment, settings_record, timestamp
from kompot.anndata.request import DERequest
from kompot.anndata.results import fdr_summary


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
        "field_mapping": field_mapping(request.fields.values()),
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
