"""The list of all recorded runs."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData

from kompot.anndata.all_records import Records
from kompot.anndata.arguments import require_anndata
from kompot.anndata.record_values import is_count
from kompot.anndata.run_info import RunInfo


def runs(adata: AnnData) -> pd.DataFrame:
    """All recorded runs of an object.

    Parameters
    ----------
    adata
        The object.

    Returns
    -------
    pd.DataFrame
        One row per run, oldest first: `analysis_type`, `run_id`, `timestamp`, `conditions`, `result_key`, `obsm_key`,
        `sample_col`, `n_genes`, `n_features`, `n_significant`, `fields`, `missing`, `overwritten`. Empty without runs.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=200, n_genes=20, seed=1)
    >>> kompot.de(adata, "condition", "Young", "Old", fdr=kompot.FDRSettings(null_genes=0))
    >>> runs(adata)[["analysis_type", "run_id", "conditions"]].to_dict("records")
    [{'analysis_type': 'de', 'run_id': 0, 'conditions': 'Young to Old'}]
    """
    require_anndata(adata)
    rows, records = [], Records.of(adata)
    for kind, history in records.histories.items():
        for run_id in range(len(history)):
            run = RunInfo.of_records(adata, records, run_id, kind)
            summary = run.get_summary()
            rows.append(
                {
                    "analysis_type": kind,
                    "run_id": run_id,
                    "timestamp": run.timestamp,
                    "conditions": run.conditions,
                    "result_key": run.result_key,
                    "obsm_key": summary["obsm_key"],
                    "sample_col": run.params.get("sample_col"),
                    "n_genes": summary["n_genes"],
                    "n_features": summary["n_features"],
                    "n_significant": summary["n_significant"],
                    "fields": summary["field_count"],
                    "missing": summary["missing_field_count"],
                    "overwritten": summary["overwritten_field_count"],
                }
            )
    columns = ["analysis_type", "run_id", "timestamp", "conditions", "result_key", "obsm_key", "sample_col"]
    columns += ["n_genes", "n_features", "n_significant", "fields", "missing", "overwritten"]
    for row in rows:
        row |= {name: row[name] if is_count(row[name]) else pd.NA for name in columns[-6:]}
    table = pd.DataFrame(rows, columns=pd.Index(columns)).astype(dict.fromkeys(columns[-6:], "Int64"))
    return table.sort_values("timestamp", kind="stable", ignore_index=True)
