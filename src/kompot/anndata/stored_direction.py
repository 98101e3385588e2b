"""Directions of stored changes in abundance with other thresholds, without fitting."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.arguments import require_anndata
from kompot.anndata.da_record import direction_counts
from kompot.anndata.fields import COLORS, DIRECTION_COLORS
from kompot.anndata.history import settings_record, timestamp
from kompot.anndata.lazy import require_tables_in_memory
from kompot.anndata.locks import object_locked
from kompot.anndata.record_values import as_list, as_mapping
from kompot.anndata.run_arguments import recorded_settings
from kompot.anndata.run_update import chosen_run, own_name, stored_column, with_entry
from kompot.anndata.store import Change, commit, independent_copy
from kompot.settings import DAThresholdSettings
from kompot.stats.abundance import DIRECTIONS, direction_codes


def update_direction(
    adata: AnnData,
    lfc_threshold: float | None = None,
    ptp_threshold: float | None = None,
    run_id: int = -1,
    result_key: str | None = None,
    inplace: bool = True,
) -> AnnData | None:
    """Directions of a stored `kompot.da` run with other thresholds, without fitting.

    Parameters
    ----------
    adata
        Object with the run.
    lfc_threshold, ptp_threshold
        As in `DAThresholdSettings`; None for what the run had.
    run_id
        Which run of `kompot.da`; counted among those of `result_key`, if one is given.
    result_key
        Only runs with this key.
    inplace
        Change `adata` (the column, its colours and the record of the run); otherwise return a changed copy.

    Returns
    -------
    AnnData or None
        The copy if `inplace` is False.

    Raises
    ------
    ValueError, TypeError
        If there is no such run, its columns are gone or belong to a later run, or a threshold is out of range.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=1000, n_genes=200, seed=1)
    >>> kompot.da(adata, "condition", "Young", "Old")
    >>> update_direction(adata, lfc_threshold=0.5, ptp_threshold=0.2)
    >>> kompot.RunInfo(adata, analysis_type="da").to_settings()["threshold"]
    DAThresholdSettings(lfc_threshold=0.5, ptp_threshold=0.2)
    """
    require_anndata(adata)
    if check.boolean("inplace", inplace):
        require_tables_in_memory(adata, "Set inplace=False to get a changed copy in memory")
    with object_locked(adata):
        position, run = chosen_run(adata, run_id, result_key, "da")
        params = as_mapping(run.get("params"))
        threshold = recorded_settings(params, "da")[0].get("threshold", DAThresholdSettings())
        for name, given in (("lfc_threshold", lfc_threshold), ("ptp_threshold", ptp_threshold)):
            if given is not None:
                setattr(threshold, name, given)
        lfc, ptp = (stored_column(adata, position, run, key, "obs", "da") for key in ("lfc_key", "ptp_key"))
        name = own_name(run, position, "direction_key", run.get("direction_key"), "obs", "da")
        codes = direction_codes(lfc, ptp, threshold.lfc_threshold, threshold.ptp_threshold)
        direction = pd.Categorical.from_codes(codes.tolist(), categories=pd.Index(DIRECTIONS))
        entry = run | {
            "params": params | {"threshold": settings_record(threshold)},
            "direction_counts": direction_counts(pd.Series(direction)),
            "updates": [*as_list(run.get("updates")), {"function": "update_direction", "timestamp": timestamp()}],
        }
        target = adata if inplace else independent_copy(adata)
        commit(
            target,
            [
                Change("obs", name, direction),
                Change("uns", name + COLORS, list(DIRECTION_COLORS)),
                with_entry(target, position, entry, "da"),
            ],
        )
        return None if inplace else target
