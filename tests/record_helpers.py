"""Runs on small objects, and records as kompot 0.8.0 wrote them."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd

import kompot
from adata_helpers import QUIET, small_adata
from kompot.errors import OffsetWarning, OverwriteWarning

OUTPUT = kompot.OutputSettings(**QUIET)
FDR = kompot.FDRSettings(null_genes=10)


def run_de(adata, first="A", second="B", **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverwriteWarning)
        return kompot.de(adata, "condition", first, second, **{"fdr": FDR, "output": OUTPUT, **kwargs})


def run_da(adata, first="A", second="B", **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverwriteWarning)
        warnings.simplefilter("ignore", OffsetWarning)
        return kompot.da(adata, "condition", first, second, **{"output": OUTPUT, **kwargs})


def run_smooth(adata, condition="A", **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverwriteWarning)
        return kompot.smooth_expression(adata, "condition", condition, **{"output": OUTPUT, **kwargs})


def analysed(**kwargs):
    """A small object with one run of each type."""
    adata = small_adata(**kwargs)
    run_de(adata)
    run_da(adata)
    run_smooth(adata)
    return adata


def with_donors(adata, n_donors=3):
    """The object with donors in each condition and with cell types."""
    rng = np.random.default_rng(3)
    donors = adata.obs["condition"].astype(str) + rng.integers(0, n_donors, adata.n_obs).astype(str)
    adata.obs["donor"] = pd.Categorical(donors)
    adata.obs["cell_type"] = pd.Categorical(np.where(adata.obsm["DM_EigenVectors"][:, 0] > 0, "T", "B"))
    return adata


def assert_same_results(first, second, rtol=1e-6, atol=1e-9):
    """Every field that a run wrote is the same in both objects."""
    for place in ("obs", "var", "layers", "varm"):
        one, two = getattr(first, place), getattr(second, place)
        names = [name for name in one if str(name).startswith("kompot")]
        assert names == [name for name in two if str(name).startswith("kompot")]
        for name in names:
            values = [np.asarray(part[name]) for part in (one, two)]
            if values[0].dtype.kind in "fiu":
                np.testing.assert_allclose(*values, rtol=rtol, atol=atol, err_msg=name)
            else:
                assert (values[0] == values[1]).all(), name


def published_entry(**changes):
    """One DE run as kompot 0.8.0 records it, with nested parameters."""
    field = "kompot_de_A_to_B_mahalanobis"
    return {
        "timestamp": "2025-05-01T10:00:00.123456",
        "function": "compute_differential_expression",
        "result_key": "kompot_de",
        "analysis_type": "de",
        "mahalanobis_key": field,
        "fdr_results": {
            "n_significant": 2,
            "n_total": 25,
            "fraction_significant": 0.08,
            "fdr_threshold": 0.05,
            "min_significant_mahalanobis": "20.54",
        },
        "field_names": {"mahalanobis_key": field, "has_groups": False},
        "field_mapping": {field: {"location": "var", "type": "mahalanobis", "description": "Mahalanobis distance"}},
        "uses_sample_variance": False,
        "memory_analysis": None,
        "has_groups": False,
        "params": {
            "groupby": "condition",
            "condition1": "A",
            "condition2": "B",
            "obsm_key": "DM_EigenVectors",
            "layer": None,
            "genes": None,
            "sample_col": None,
            "gp": {"sigma": 0.5, "ls": None, "ls_factor": 10.0, "n_landmarks": 500, "landmarks": None, "eps": 1e-8},
            "fdr": {"null_genes": 10, "null_seed": 42, "threshold": 0.05, "null_mahalanobis": None},
            "filter": {"cell_filter": None, "groups": None, "min_cells": 2},
            "storage": {"result_key": "kompot_de", "overwrite": None},
            "output": {"copy": False, "inplace": True, "progress": False},
        },
        "environment": {"hostname": "<b>host</b>", "username": "someone", "package_versions": {"kompot": "0.8.0"}},
        **changes,
    }


def with_published_record(entry, form="text"):
    """An object whose record was written by kompot 0.8.0."""
    adata = small_adata()
    for name in entry["field_mapping"]:
        adata.var[name] = np.linspace(0, 30, adata.n_vars)
    history = {
        "text": json.dumps([entry]),
        "native": [entry],
        "list of texts": [json.dumps({**entry, "field_mapping": json.dumps(entry["field_mapping"])})],
    }[form]
    adata.uns["kompot_de"] = {"run_history": history, "last_run_info": json.dumps(entry)}
    return adata
