"""From the outcome of a run to what the user sees: columns, layers, table, dictionary and record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kompot._typing import Float64
from kompot.anndata.compute import LAYER_ARRAYS, DEOutcome
from kompot.anndata.reported_names import de_names
from kompot.anndata.request import DERequest
from kompot.anndata.store import Change
from kompot.stats.fdr import FDRResult
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
        `weighted_mean_lfc` where an earlier `kompot.da` compared the same; `mahalanobis`, `neg_log10_ptp` where
        distances were computed.
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
    if outcome.weighted_mean_lfc is not None:
        columns["weighted_mean_lfc"] = outcome.weighted_mean_lfc
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
    "weighted_mean_lfc_key": "weighted_mean_lfc",
}


def field_changes(request: DERequest, outcome: DEOutcome, table: pd.DataFrame) -> list[Change]:
    """What to write into obs, var, layers, varm and obsp."""
    stds = dict(zip(("std_key_1", "std_key_2"), outcome.stds, strict=True)) if outcome.stds else {}
    frames = group_frames(request, outcome)
    changes = []
    for key, item in request.fields.items():
        value: Any
        if item.field.place == "varm":
            value = stored_frame(request, key, frames[key], outcome.kept.values.get(key))
        elif item.field.place == "obsp":
            value = outcome.covariance
        elif item.field.place == "layers":
            value = outcome.layers[LAYER_ARRAYS[key]]
        elif item.field.place == "obs":
            value = stds[key]
        else:
            values = table[_TABLE_COLUMN[key]].to_numpy()
            value = for_all_genes(request, values, outcome.kept.values.get(key))
        changes.append(Change(item.field.place, item.name, value))
    return changes


def group_frames(request: DERequest, outcome: DEOutcome) -> dict[str, pd.DataFrame]:
    """Results per gene and group, by key of the field: n_genes x n_groups each, columns named as the groups."""
    n_dims = request.X.shape[1]
    columns: dict[str, dict[str, Any]] = {}
    for name, group in outcome.groups.items():
        ptp = None if group.distances is None else neg_log10_tail_probability(group.distances, n_dims)
        for key, values in {
            "mean_lfc_varm_key": group.mean_lfc,
            "weighted_mean_lfc_varm_key": group.weighted_mean_lfc,
            "mahalanobis_varm_key": group.distances,
            "mahalanobis_local_fdr_varm_key": group.local_fdr,
            "is_de_varm_key": group.is_de,
            "ptp_varm_key": ptp,
        }.items():
            if values is not None:
                columns.setdefault(key, {})[name] = values
    # Python's own text holds any label, Arrow's only what UTF-8 has a form for.
    return {
        key: pd.DataFrame(values, index=request.gene_names, columns=pd.Index(list(values), dtype=object))
        for key, values in columns.items()
    }


def stored_frame(request: DERequest, key: str, frame: pd.DataFrame, kept: Any) -> pd.DataFrame:
    """A table of groups as it goes into varm: a row for every gene, columns that files can hold."""
    columns = request.group_columns
    everyone = frame_for_all_genes(request, key, frame, kept)
    return everyone.set_axis(pd.Index([columns[group] for group in everyone.columns]), axis=1)


def frame_for_all_genes(request: DERequest, key: str, frame: pd.DataFrame, kept: Any) -> pd.DataFrame:
    """A table of the genes reported with a row for every gene: those kept, else NaN (or False)."""
    if kept is None:
        fill: Any = False if key == "is_de_varm_key" else np.nan
        return frame.reindex(request.all_genes, fill_value=fill)
    everyone = pd.DataFrame(kept).set_axis(request.all_genes)[list(frame.columns)].copy()
    everyone.iloc[request.columns] = frame.to_numpy()
    return everyone


def for_all_genes(request: DERequest, values: np.ndarray[Any, Any], kept: Any = None) -> np.ndarray[Any, Any]:
    """Values of the genes reported, in the length of the object; for the others those kept, else NaN (or False)."""
    everyone = np.full(len(request.all_genes), False if values.dtype == np.bool_ else np.nan)
    if kept is not None:
        everyone[:] = np.asarray(kept, dtype=np.float64)
    everyone[request.columns] = values
    return everyone


def hits(fdr: FDRResult) -> dict[str, Any]:
    """Counts of significant genes."""
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
        "model": outcome.analysis.model,
        "table": table,
        "underrepresentation": request.cells.underrepresented,
        "field_names": de_names(request),
    }
    if outcome.analysis.landmarks is not None:
        results["landmarks"] = outcome.analysis.landmarks
    if outcome.covariance is not None:
        results["posterior_covariance"] = outcome.covariance
    if outcome.groups:
        results["groups"] = {
            key.removesuffix("_varm_key"): frame for key, frame in group_frames(request, outcome).items()
        }
    if outcome.fdr is not None:
        results["fdr_summary"] = hits(outcome.fdr)
        results["null"] = null_dict(request, outcome)
    return results


def null_dict(request: DERequest, outcome: DEOutcome) -> dict[str, Any]:
    """The null distribution, with the null genes' expression if that was asked for."""
    parts = outcome.analysis.null
    sources = {part.source for part in parts}
    result: dict[str, Any] = {
        "mahalanobis": np.concatenate(outcome.null_distances),
        "gene_indices": [gene for part in parts for gene in part.gene_indices],
        "gene_names": [name for part in parts for name in part.names],
        "seed": request.settings.fdr.null_seed,
        "n_null": sum(map(len, outcome.null_distances)),
        "source": sources.pop() if len(sources) == 1 else "combined",
    }
    means = [mean for mean in outcome.null_mean_lfc if mean is not None]
    if means:
        fitted = [
            distances
            for distances, mean in zip(outcome.null_distances, outcome.null_mean_lfc, strict=True)
            if mean is not None
        ]
        result["table"] = null_table(request, means, np.concatenate(fitted), result["gene_names"])
    return result | outcome.null_layers


def null_table(request: DERequest, means: list[Float64], distances: Float64, names: list[str]) -> pd.DataFrame:
    """Results per null gene, for those that were fitted."""
    columns = {
        "mahalanobis": distances,
        "mean_lfc": np.concatenate(means),
        "neg_log10_ptp": neg_log10_tail_probability(distances, request.X.shape[1]),
    }
    return pd.DataFrame(columns, index=pd.Index(names))
