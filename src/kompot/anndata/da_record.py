"""The record of a `kompot.da` run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from kompot._version import __version__
from kompot.anndata.da_request import DARequest
from kompot.anndata.fields import field_mapping
from kompot.anndata.history import environment, label_record, settings_record, timestamp
from kompot.anndata.reported_names import da_names
from kompot.anndata.uns import landmark_record
from kompot.differential.abundance import DifferentialAbundance


def da_record(request: DARequest, analysis: DifferentialAbundance, table: pd.DataFrame) -> dict[str, Any]:
    """The entry of a run in the history.

    Parameters
    ----------
    request, analysis
        Of the run.
    table
        Results per cell.

    Returns
    -------
    dict[str, Any]
        With the keys that readers of these records know, and `density` beside them.
    """
    names = {key: item.name for key, item in request.fields.items()}
    return {
        "timestamp": timestamp(),
        "function": "compute_differential_abundance",
        "result_key": request.result_key,
        "analysis_type": "da",
        "lfc_key": names["lfc_key"],
        "zscore_key": names["zscore_key"],
        "ptp_key": names["ptp_key"],
        "direction_key": names["direction_key"],
        "density_keys": {"condition1": names["density_key_1"], "condition2": names["density_key_2"]},
        "field_names": da_names(request),
        "field_mapping": field_mapping(request.fields.values()),
        "uses_sample_variance": request.sample_col is not None,
        "has_groups": False,
        "params": da_params(request),
        "direction_counts": direction_counts(table["direction"]),
        "density": density_record(request, analysis),
        "landmarks": landmark_record(analysis.landmarks, request.parameters),
        "environment": environment(),
        "kompot_version": __version__,
    }


def direction_counts(direction: pd.Series[str]) -> dict[str, int]:
    """Number of cells up, down and neutral."""
    return {str(name): int(count) for name, count in direction.value_counts().items()}


def da_params(request: DARequest) -> dict[str, Any]:
    """The parameters of a run, nested by settings object."""
    settings = request.settings
    params = {
        "groupby": request.groupby,
        "condition1": label_record(request.conditions[0]),
        "condition2": label_record(request.conditions[1]),
        "obsm_key": request.obsm_key,
        "sample_col": request.sample_col,
        "gp": settings_record(settings.gp),
        "threshold": settings_record(settings.threshold),
        "storage": {**settings_record(settings.storage), "result_key": request.result_key},
        "output": settings_record(settings.output),
        "model": {
            name: "<predictor>"
            for name in ("density_predictor1", "density_predictor2", "variance_predictor1", "variance_predictor2")
            if getattr(settings.model, name) is not None
        },
    }
    return params | ({"extra_kwargs": dict(request.extra)} if request.extra else {})


def density_record(request: DARequest, analysis: DifferentialAbundance) -> dict[str, Any]:
    """What was estimated: the offset, the parameters of the densities, rank and residuals of the features."""
    return {
        "offset": analysis.offset,
        **request.switches,
        "fits": [
            {
                "conditions": [label_record(request.conditions[code]) for code in fit.densities],
                **asdict(fit.numbers),
                **asdict(fit.approximation),
            }
            for fit in analysis.fits
        ],
        "n_cells": [int((request.condition == code).sum()) for code in (0, 1)],
        "n_samples": [len(density.samples) for fit in analysis.fits for density in fit.densities.values()],
        "skipped_samples": [str(label) for label in analysis.skipped_samples],
        "seed": request.parameters.seed,
    }
