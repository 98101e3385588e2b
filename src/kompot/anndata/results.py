"""From the outcome of a run to what the user sees: columns, layers, table, dictionary and record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kompot._typing import Float64, Floats
from kompot.anndata.compute import DEOutcome
from kompot.anndata.request import DERequest
from kompot.anndata.store import Change
from kompot.differential.evaluate import empty_layers, fill_layers
from kompot.differential.fit import TwoConditionFit
from kompot.stats.tail import neg_log10_tail_probability


def gene_table(request: DERequest, outcome: DEOutcome) -> pd.DataFrame:
    """Results per gene.

    Parameters
    ----------
    request, outcome
        Of the run.

    Returns
    -------
    pd.DataFrame
        Indexed by gene: `mean_lfc`; `pvalue`, `local_fdr`, `tail_fdr`, `is_de` where there is a null distribution;
        `mahalanobis`, `neg_log10_ptp` where distances were computed.
    """
    columns: dict[str, Any] = {"mean_lfc": outcome.mean_lfc}
    if outcome.fdr is not None:
        fdr = outcome.fdr
        columns |= {
            "pvalue": fdr.pvalue,
            "local_fdr": fdr.local_fdr,
            "tail_fdr": fdr.tail_fdr,
            "is_de": fdr.is_de,
        }
    if outcome.distances is not None:
        columns["mahalanobis"] = outcome.distances
        columns["neg_log10_ptp"] = neg_log10_tail_probability(outcome.distances, request.X.shape[1])
    return pd.DataFrame(columns, index=request.gene_names)


_TABLE_COLUMN = {
    "mahalanobis_key": "mahalanobis",
    "ptp_key": "neg_log10_ptp",
    "mean_lfc_key": "mean_lfc",
    "mahalanobis_pvalue_key": "pvalue",
    "mahalanobis_local_fdr_key": "local_fdr",
    "mahalanobis_tail_fdr_key": "tail_fdr",
    "is_de_key": "is_de",
}
_LAYER = {
    "smoothed_key_1": "smoothed_1",
    "smoothed_key_2": "smoothed_2",
    "fold_change_key": "fold_change",
    "fold_change_zscores_key": "zscore",
}


def field_changes(request: DERequest, outcome: DEOutcome, table: pd.DataFrame) -> list[Change]:
    """What to write into obs, var and layers."""
    stds = dict(zip(("std_key_1", "std_key_2"), outcome.summary.stds(request.settings.gp.eps), strict=True))
    changes = []
    for key, item in request.fields.items():
        value: Any
        if key in _TABLE_COLUMN:
            value = for_all_genes(request, table[_TABLE_COLUMN[key]].to_numpy())
        elif key in _LAYER:
            value = outcome.layers[_LAYER[key]]
        else:
            value = stds[key]
        changes.append(Change(item.field.place, item.name, value))
    return changes


def for_all_genes(request: DERequest, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Values of the genes reported, in the length of the object: NaN (or False) for the others."""
    everyone = np.full(len(request.all_genes), False if values.dtype == np.bool_ else np.nan)
    everyone[request.columns] = values
    return everyone


def fdr_summary(outcome: DEOutcome) -> dict[str, Any] | None:
    """Counts of significant genes."""
    fdr = outcome.fdr
    if fdr is None:
        return None
    n_significant, n_total = int(fdr.is_de.sum()), int((~np.isnan(fdr.local_fdr)).sum())
    return {
        "n_significant": n_significant,
        "n_total": n_total,
        "fraction_significant": n_significant / max(1, n_total),
        "fdr_threshold": fdr.threshold,
        "min_significant_mahalanobis": fdr.smallest_significant,
    }


def result_dict(request: DERequest, outcome: DEOutcome, table: pd.DataFrame) -> dict[str, Any]:
    """The dictionary that `return_full_results` and `return_null_data` promise."""
    results: dict[str, Any] = {
        "model": outcome.model,
        "table": table,
        "underrepresentation": {},
        "landmarks": outcome.model.landmarks,
        "field_names": request.field_names,
    }
    if outcome.fdr is not None:
        results["fdr_summary"] = fdr_summary(outcome)
        results["null"] = null_dict(request, outcome, full=request.settings.output.return_full_results)
    return results


def null_dict(request: DERequest, outcome: DEOutcome, *, full: bool) -> dict[str, Any]:
    """The null distribution, with the null genes' expression if asked for."""
    parts = outcome.null
    distances = np.concatenate([part.distances for part in parts])
    sources = {part.source for part in parts}
    result: dict[str, Any] = {
        "mahalanobis": distances,
        "gene_indices": [gene for part in parts for gene in part.gene_indices],
        "gene_names": [name for part in parts for name in part.names],
        "seed": request.settings.fdr.null_seed,
        "n_null": len(distances),
        "source": sources.pop() if len(sources) == 1 else "combined",
    }
    fits = [part.fit for part in parts if part.fit is not None]
    if fits:
        fitted = np.concatenate([part.distances for part in parts if part.fit is not None])
        result["table"] = null_table(request, outcome, fits, fitted, result["gene_names"])
        result |= null_layers(request, outcome, fits) if full else {}
    return result


def null_table(
    request: DERequest, outcome: DEOutcome, fits: list[TwoConditionFit], distances: Float64, names: list[str]
) -> pd.DataFrame:
    """Results per null gene, for those that were fitted."""
    mean_lfc = [fit.mean_fold_change(outcome.summary.feature_mean) for fit in fits]
    columns = {
        "mahalanobis": distances,
        "mean_lfc": np.concatenate(mean_lfc),
        "neg_log10_ptp": neg_log10_tail_probability(distances, request.X.shape[1]),
    }
    return pd.DataFrame(columns, index=pd.Index(names))


def null_layers(request: DERequest, outcome: DEOutcome, fits: list[TwoConditionFit]) -> dict[str, Floats]:
    """Expression of the null genes at all cells, each n_cells x n_null, single precision."""
    names = {
        "condition1_smoothed": "smoothed_1",
        "condition2_smoothed": "smoothed_2",
        "fold_change": "fold_change",
        "fold_change_zscores": "zscore",
    }
    std = outcome.summary.fold_change_std(request.settings.gp.eps)
    parts: list[dict[str, Floats]] = []
    for fit in fits:
        layers = empty_layers(len(request.X), fit.n_genes, zscores=True, partial=False)
        fill_layers(fit, outcome.model.cells, layers, zscore_std=std)
        parts.append(layers)
    return {name: np.concatenate([layers[key] for layers in parts], axis=1) for name, key in names.items()}
