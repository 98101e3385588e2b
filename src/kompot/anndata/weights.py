"""Weights of cells from an earlier run of `kompot.da`: where abundance changed, expression counts more."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData

from kompot._typing import Bools, Float64
from kompot.anndata.history import get_field_owners, get_run_history


def abundance_weights(
    adata: AnnData, groupby: str, conditions: tuple[Any, Any], obsm_key: str, evaluated: Bools
) -> Float64 | None:
    """Weight `exp(|log fold change of the density|)` of each cell, from the latest run that compared the same.

    Parameters
    ----------
    adata
        With the records of earlier runs.
    groupby, conditions, obsm_key
        Of this run; a run of `kompot.da` counts if it has the same, in either direction.
    evaluated
        Cells evaluated, n_cells; the others weigh nothing.

    Returns
    -------
    Float64 or None
        n_cells, summing to 1; None without such a run, or where its column is gone or was replaced.
    """
    history, owners = get_run_history(adata, "da"), get_field_owners(adata, "da").get("obs", {})
    wanted = {str(condition) for condition in conditions}
    for run_id, run in reversed(list(enumerate(history))):
        params, name = run.get("params", {}), run.get("lfc_key")
        same = params.get("groupby") == groupby and params.get("obsm_key") == obsm_key
        compared = {str(params.get("condition1")), str(params.get("condition2"))}
        if not same or compared != wanted or name not in adata.obs or owners.get(name, run_id) != run_id:
            continue
        lfc = np.asarray(adata.obs[name], dtype=np.float64)
        if np.isfinite(lfc[evaluated]).all():
            weights = np.where(evaluated, np.exp(np.abs(np.where(evaluated, lfc, 0.0))), 0.0)
            total: Float64 = weights / weights.sum()
            return total
    return None
