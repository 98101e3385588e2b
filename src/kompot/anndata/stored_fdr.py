"""False discovery rates of stored distances, without fitting: against other null distances, with another threshold.

The record of the run is brought up to date with its columns, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot._typing import Bools, Float64
from kompot.anndata.all_records import field_mapping_of
from kompot.anndata.arguments import require_anndata
from kompot.anndata.fields import DE_FIELDS, FDR_KEYS
from kompot.anndata.history import timestamp
from kompot.anndata.lazy import require_tables_in_memory
from kompot.anndata.locks import object_locked
from kompot.anndata.record import hits_record
from kompot.anndata.record_values import as_list, as_mapping
from kompot.anndata.results import hits
from kompot.anndata.run_update import chosen_run, own_name, stored_column, with_entry
from kompot.anndata.store import Change, commit
from kompot.stats.fdr import FDRResult, false_discovery_rates
from kompot.stats.null_check import check_null_distances

_COLUMNS = dict(zip(FDR_KEYS, ("pvalue", "local_fdr", "tail_fdr", "is_de"), strict=True))
_ALWAYS = ("mahalanobis_local_fdr_key", "is_de_key")


def compute_fdr(real: Any, null: Any, threshold: float = 0.05, gene_names: Sequence[str] | None = None) -> pd.DataFrame:
    """False discovery rates of distances against null distances (Efron 2004, *JASA* 99, 96, equation 2.7).

    Parameters
    ----------
    real
        Mahalanobis distances of genes, n_genes; NaN is carried through.
    null
        Distances of null genes, n_null; not NaN.
    threshold
        On the local rate, in (0, 1].
    gene_names
        Index of the table; None for 0, 1, ...

    Returns
    -------
    pd.DataFrame
        n_genes rows: `mahalanobis`, `pvalue`, `local_fdr`, `tail_fdr`, `is_de`.

    Raises
    ------
    ValueError, TypeError
        For distances that are negative, infinite or no vector, and null distances that are NaN, none or all 0.

    Examples
    --------
    >>> import numpy as np
    >>> null = np.random.default_rng(0).chisquare(5, size=500)
    >>> compute_fdr([1.0, 60.0], null, gene_names=["a", "b"])["is_de"].to_dict()
    {'a': False, 'b': True}
    """
    distances, null = check.distances("real", real, missing=True), check.distances("null", null)
    threshold = check.fraction("threshold", threshold)
    names = None if gene_names is None else check.items("gene_names", gene_names, "names")
    if names is not None and len(names) != len(distances):
        raise ValueError(f"gene_names must name every distance: needed {len(distances)} names, came {len(names)}.")
    check_null_distances(null, distances)
    result = false_discovery_rates(distances, null, threshold)
    return _table(distances, result, pd.RangeIndex(len(distances)) if names is None else pd.Index(names))


def _table(distances: Float64, result: FDRResult, index: pd.Index[Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "mahalanobis": distances,
            "pvalue": result.pvalue,
            "local_fdr": result.local_fdr,
            "tail_fdr": result.tail_fdr,
            "is_de": result.is_de,
        },
        index=index,
    )


def extract_null_distribution(adata: AnnData, run_id: int = -1, result_key: str | None = None) -> Float64:
    """Distances of all genes of a run, to serve as the null distribution of another.

    Run `kompot.de` on a comparison in which nothing differs (for example two halves of the same condition), and give
    its distances to `recompute_fdr` or `FDRSettings(null_mahalanobis=...)`.

    Parameters
    ----------
    adata
        Object with the run.
    run_id
        Which run of `kompot.de`; counted among those of `result_key`, if one is given.
    result_key
        Only runs with this key.

    Returns
    -------
    Float64
        Distances, without the genes that were not analysed.

    Raises
    ------
    ValueError
        If there is no such run, its distances are gone, belong to a later run, or are NaN for genes it analysed.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=200, n_genes=20, seed=1)
    >>> kompot.de(adata, "condition", "Young", "Old", fdr=kompot.FDRSettings(null_genes=0))
    >>> extract_null_distribution(adata).shape
    (20,)
    """
    require_anndata(adata)
    with object_locked(adata):
        position, run = chosen_run(adata, run_id, result_key, "de")
        distances = _stored_distances(adata, position, run)
    missing = np.isnan(distances) & _analysed(adata, run)
    if missing.any():
        raise ValueError(
            f"Run {position} has no distance (NaN) for {missing.sum()} of the genes it analysed: "
            f"{check.listed(adata.var_names[missing])}. Run kompot.de again, or take adata.var and leave them out."
        )
    return check.distances("The distances of the run", distances[~np.isnan(distances)])


def _stored_distances(adata: AnnData, position: int, run: dict[str, Any]) -> Float64:
    """Distances in the object as a run left them, NaN for genes that it did not analyse; others are an error."""
    column = stored_column(adata, position, run, "mahalanobis_key", "var", "de")
    return check.distances(f"adata.var[{run['mahalanobis_key']!r}]", column, missing=True)


def _analysed(adata: AnnData, run: Mapping[str, Any]) -> Bools:
    """Genes that a run analysed, as far as its record tells: all, those named, or unknown (none)."""
    params = as_mapping(run.get("params"))
    genes, null = params.get("genes"), as_mapping(params.get("fdr")).get("null_genes")
    if isinstance(null, list) or not isinstance(genes, list | None):
        return np.zeros(adata.n_vars, dtype=np.bool_)
    if genes is None:
        return np.ones(adata.n_vars, dtype=np.bool_)
    return np.asarray(adata.var_names.isin([gene for gene in genes if isinstance(gene, str)]), dtype=np.bool_)


def recompute_fdr(
    adata: AnnData,
    null_mahalanobis: Any,
    threshold: float = 0.05,
    run_id: int = -1,
    result_key: str | None = None,
    inplace: bool = True,
) -> pd.DataFrame:
    """False discovery rates of a stored run against other null distances or with another threshold, without fitting.

    Parameters
    ----------
    adata
        Object with the run.
    null_mahalanobis
        Null distances, n_null, for example from `extract_null_distribution`.
    threshold
        On the local rate, in (0, 1].
    run_id
        Which run of `kompot.de`; counted among those of `result_key`, if one is given.
    result_key
        Only runs with this key.
    inplace
        Write into `adata`: local rate and `is_de`, p-value and tail rate where the run stored them, and the record of
        the run. Rates per group stay as they are, because their null distances differ.

    Returns
    -------
    pd.DataFrame
        All genes of the object: `mahalanobis`, `pvalue`, `local_fdr`, `tail_fdr`, `is_de`; NaN for genes that the run
        did not analyse.

    Raises
    ------
    ValueError, TypeError
        If there is no such run, its distances are gone or belong to a later run, or the null distances are no vector,
        NaN, infinite, negative or all 0.

    Examples
    --------
    >>> import kompot, numpy as np
    >>> adata = kompot.datasets.simulate(n_cells=200, n_genes=20, seed=1)
    >>> kompot.de(adata, "condition", "Young", "Old", fdr=kompot.FDRSettings(null_genes=20))
    >>> table = recompute_fdr(adata, np.linspace(0, 3, 100), threshold=0.1)
    >>> bool((adata.var["kompot_de_Young_to_Old_is_de"] == table["is_de"]).all())
    True
    """
    require_anndata(adata)
    if check.boolean("inplace", inplace):
        require_tables_in_memory(adata, "Set inplace=False to get the table only")
    null, threshold = check.distances("null_mahalanobis", null_mahalanobis), check.fraction("threshold", threshold)
    with object_locked(adata):
        position, run = chosen_run(adata, run_id, result_key, "de")
        distances = _stored_distances(adata, position, run)
        check_null_distances(null, distances)
        result = false_discovery_rates(distances, null, threshold)
        table = _table(distances, result, adata.var_names)
        if inplace:
            names, mapping = as_mapping(run.get("field_names")), field_mapping_of(run)
            written = {
                key: own_name(run, position, key, names.get(key), "var", "de")
                for key in FDR_KEYS
                if key in _ALWAYS or names.get(key) in list(mapping)
            }
            columns = [Change("var", name, table[_COLUMNS[key]].to_numpy()) for key, name in written.items()]
            commit(adata, [*columns, with_entry(adata, position, _with_fdr(run, written, result, len(null)), "de")])
    return table


def _with_fdr(run: dict[str, Any], written: Mapping[str, str], result: FDRResult, n_null: int) -> dict[str, Any]:
    """The entry of a run after its rates were computed again."""
    declared = {item.key: item for item in DE_FIELDS}
    new = {
        name: {"location": "var", "type": declared[key].kind, "description": declared[key].meaning}
        for key, name in written.items()
    }
    params = as_mapping(run.get("params"))
    params["fdr"] = as_mapping(params.get("fdr")) | {
        "threshold": result.threshold,
        "null_mahalanobis": f"<array shape=({n_null},)>",
        "combine_with_internal": False,
    }
    return run | {
        "field_mapping": field_mapping_of(run) | new,
        "fdr_keys": {key.removeprefix("mahalanobis_"): as_mapping(run.get("field_names")).get(key) for key in FDR_KEYS},
        "fdr_results": hits_record(hits(result)),
        "params": params,
        "updates": [
            *as_list(run.get("updates")),
            {"function": "recompute_fdr", "timestamp": timestamp(), "n_null": n_null},
        ],
    }
