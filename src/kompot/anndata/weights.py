"""Weights of cells from an earlier run of `kompot.da`: where abundance changed, expression counts more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from pandas.api.types import is_numeric_dtype

from kompot._typing import Bools, Float64
from kompot.anndata.all_records import Owner, Records
from kompot.anndata.lazy import column_of
from kompot.anndata.possible_names import PossibleNames
from kompot.anndata.record_values import as_mapping


@dataclass(frozen=True)
class AbundanceWeights:
    """Weights of cells, and where they come from."""

    values: Float64
    """n_cells, summing to 1."""
    source: dict[str, Any]
    """`run_id` and `timestamp` of the run of `kompot.da`, for the record."""


def abundance_weights(
    adata: AnnData, groupby: str, conditions: tuple[Any, Any], obsm_key: str, evaluated: Bools
) -> AbundanceWeights | None:
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
    AbundanceWeights or None
        None without such a run, or where its column is gone, was replaced, or holds no finite numbers.
    """
    records = Records.of(adata)
    for run_id, run in reversed(list(enumerate(records.histories["da"]))):
        if not _compares(run, groupby, conditions, obsm_key):
            continue
        name, owner = run.get("lfc_key"), Owner("da", run_id)
        if PossibleNames.of(run, "da").field("obs", name, "lfc_key") is None or name not in adata.obs:
            continue
        if records.owners.get(("obs", str(name)), owner) != owner:
            continue
        column = column_of(adata.obs, str(name))
        if not is_numeric_dtype(column):
            continue
        lfc = np.abs(np.asarray(column, dtype=np.float64))
        if np.isfinite(lfc[evaluated]).all():
            # The largest weight is 1 before they are scaled: no overflow.
            weights = np.where(evaluated, np.exp(np.where(evaluated, lfc, 0.0) - lfc[evaluated].max()), 0.0)
            return AbundanceWeights(weights / weights.sum(), {"run_id": run_id, "timestamp": run.get("timestamp")})
    return None


def _compares(run: Mapping[str, Any], groupby: str, conditions: tuple[Any, Any], obsm_key: str) -> bool:
    """Whether a run compared these conditions, in either direction."""
    params = as_mapping(run.get("params"))
    same = params.get("groupby") == groupby and params.get("obsm_key") == obsm_key
    compared = {str(params.get("condition1")), str(params.get("condition2"))}
    return same and compared == {str(condition) for condition in conditions}
