"""`kompot.smooth_expression`: smoothed expression of one condition of an AnnData object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot._typing import Float64, Floats, Ints
from kompot._version import __version__
from kompot.anndata.arguments import settings_of
from kompot.anndata.deliver import deliver, writes_results
from kompot.anndata.extract import expression_rows
from kompot.anndata.fields import field_mapping
from kompot.anndata.history import environment, label_record, settings_record, timestamp
from kompot.anndata.kept_values import KeptValues, kept_values
from kompot.anndata.layer_storage import require_memory_for_layers
from kompot.anndata.locks import object_locked
from kompot.anndata.overwrite import overwrite_check
from kompot.anndata.progress import progress_bar
from kompot.anndata.reported_names import smooth_names
from kompot.anndata.smooth_request import SmoothRequest, SmoothSettings, build_smooth_request
from kompot.anndata.store import Change
from kompot.anndata.summary import tell_smooth
from kompot.anndata.uns import landmark_entry, landmark_record, record_changes
from kompot.differential.expression_model import ExpressionModel
from kompot.differential.smooth import SmoothLayers, smooth_layers
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.products import column_sums
from kompot.gp.rows import consecutive_rows, row_source
from kompot.gp.selection import Approximation
from kompot.settings import GPSettings, ModelSettings, OutputSettings, StorageSettings


def smooth_expression(
    adata: AnnData,
    groupby: str | None = None,
    condition: Any = None,
    obsm_key: str = "DM_EigenVectors",
    layer: str | None = None,
    genes: Sequence[str] | None = None,
    sample_col: str | None = None,
    gp: GPSettings | None = None,
    storage: StorageSettings | None = None,
    output: OutputSettings | None = None,
    model: ModelSettings | None = None,
    *,
    dry_run: bool = False,
    **function_kwargs: Any,
) -> Any:
    """Smooth gene expression of one condition, and evaluate it at every cell.

    The expression of each gene is a Gaussian-process regression on the cells of the condition (Rasmussen and Williams
    2006, equation 2.8, in the features' space); its value and uncertainty are given at all cells, those of other
    conditions included.

    Parameters
    ----------
    adata
        n_cells x n_genes, log-normalised; in memory, backed or lazy.
    groupby, condition
        Column of `adata.obs` and the label of the cells to fit; all cells if both are left out.
    obsm_key
        Coordinates of the cell states in `adata.obsm`, n_cells x n_dims.
    layer
        Layer with expression; None for `adata.X`.
    genes
        Names of genes to smooth, in any iterable; None for all.
    sample_col
        Column with biological replicates: the variance between their fits is stored, and part of the deviation.
    gp
        Settings of the Gaussian process; `use_empirical_variance` adds the noise variance of each gene and cell.
    storage, output
        Where results are stored and what is returned.
    model
        `model1`, a fitted `kompot.ExpressionModel`, is used instead of fitting.
    dry_run
        Print and return a `ResourcePlan` (time, memory, fields) instead of running; nothing is changed.
    **function_kwargs
        Further parameters of `kompot.FunctionEstimator`.

    Returns
    -------
    None, dict, AnnData or tuple
        None by default: results are in `adata`. A dictionary (`model`, `table`, `field_names`) with
        `return_full_results` and with `inplace=False`; a new AnnData object with `copy`; the tuple of both with both.

    Raises
    ------
    ValueError, TypeError
        For input that cannot be analysed, before any computation. `adata` is only changed after everything has been
        computed.

    Notes
    -----
    Writes into layers (float32, NaN for genes left out), with K the result key ("kompot_smooth") and C the condition
    or "all": `K_C_smoothed`, `K_C_std` (all parts of the variance added), and, where asked for, `K_C_obs_variance` and
    `K_C_sample_variance`; and the record of the run into `uns["kompot_smooth"]`.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=300, n_genes=60, seed=1)
    >>> kompot.smooth_expression(adata, "condition", "Young")
    >>> adata.layers["kompot_smooth_Young_smoothed"].shape
    (300, 60)
    """
    check.boolean("dry_run", dry_run)
    settings = SmoothSettings(**settings_of(gp=gp, storage=storage, output=output, model=model))
    writes, kept, check_again = not dry_run and writes_results(settings.output), KeptValues(), None
    with object_locked(adata):
        request = build_smooth_request(
            adata, groupby, condition, obsm_key, layer, genes, sample_col, settings, function_kwargs
        )
        if writes:
            others = adata.n_vars - len(request.columns)
            kept = kept_values(adata, request.fields, record_before(request), n_others=others)
            check_again = overwrite_check(adata, request.fields.values(), settings.storage.overwrite, kept)
    if dry_run:
        # Only dry runs need these: importing kompot stays cheap.
        from kompot.anndata.planning.plans import plan_smooth
        from kompot.anndata.planning.report import shown

        return shown(plan_smooth(adata, request))
    if writes:
        require_memory_for_layers(len(request.fields), adata.shape)
    fitted, layers = compute(request)
    kept = kept.confirmed(earlier_means(kept, request), layers.mean_smoothed)
    delivered = deliver(
        adata,
        settings.output,
        check_again,
        lambda target: changes_of(target, request, fitted, layers, kept),
        lambda: {
            "model": fitted,
            "table": gene_table(request, layers),
            "field_names": smooth_names(request, with_samples=fitted.between is not None),
        },
    )
    tell_smooth(request)
    return delivered


def compute(request: SmoothRequest) -> tuple[ExpressionModel, SmoothLayers]:
    """Fit (or take the model given) and evaluate at all cells."""
    settings, n_cells = request.settings, len(request.X)
    n_fitting = 1 + settings.gp.use_empirical_variance if settings.model.model1 is None else 0
    work, shown = n_cells * (n_fitting + 1), settings.output.progress
    with progress_bar("kompot.smooth_expression", n_cells, work, shown=shown) as track:
        track.stage("fitting")
        if settings.model.model1 is not None:
            fitted: ExpressionModel = settings.model.model1
            cells = FeatureTable(fitted.predictor.features, request.X)
        else:
            fitted = ExpressionModel.from_parameters(
                request.parameters, use_empirical_variance=settings.gp.use_empirical_variance, eps=settings.gp.eps
            )
            rows = expression_rows(request.matrix, request.used, request.columns, request.all_genes, request.layer)
            cells = fitted.fit_cells(request.X, rows, request.used, request.samples, track=track)
        partial = len(request.columns) < len(request.all_genes)
        track.stage("layers")
        layers = smooth_layers(
            fitted,
            cells,
            n_columns=len(request.all_genes),
            columns=request.columns if partial else None,
            keep=writes_results(settings.output) and settings.storage.store_layers,
            batch_size=request.parameters.batch_size,
            track=track,
        )
    return fitted, layers


def gene_table(request: SmoothRequest, layers: SmoothLayers) -> pd.DataFrame:
    """Means over cells, per gene in the order asked for: `mean_smoothed`, `mean_std`."""
    table = pd.DataFrame(
        {"mean_smoothed": layers.mean_smoothed, "mean_std": layers.mean_std}, index=request.all_genes[request.columns]
    )
    return table if request.genes is None else table.loc[request.genes]


_READ_ROWS = 4096
_LAYER = {
    "smoothed_key": "smoothed",
    "std_key": "std",
    "obs_variance_key": "obs_variance",
    "sample_variance_key": "sample_variance",
}


def earlier_means(kept: KeptValues, request: SmoothRequest) -> Float64 | None:
    """Means over cells of the genes smoothed as an earlier run left them, if it did."""
    layer = kept.values.get("smoothed_key")
    if layer is None:
        return None
    rows = row_source(layer, request.columns)
    parts = row_slices(len(request.X), _READ_ROWS)
    sums = [column_sums(rows.rows(part).astype(np.float64, copy=False))[0] for part in parts]
    return np.asarray(np.sum(sums, axis=0) / len(request.X))


def with_kept(layer: Floats, earlier: Any, columns: Ints) -> Floats:
    """A layer with an earlier layer's values in all columns but those given."""
    others = np.setdiff1d(np.arange(layer.shape[1]), columns)
    for part in row_slices(len(layer), _READ_ROWS):
        before = consecutive_rows(earlier, part)
        layer[part, others] = (before.toarray() if check.is_sparse(before) else before)[:, others]
    return layer


def changes_of(
    adata: AnnData, request: SmoothRequest, fitted: ExpressionModel, layers: SmoothLayers, kept: KeptValues
) -> list[Change]:
    """Everything a run writes: layers, landmarks and its record."""
    keep = request.settings.storage.store_landmarks
    landmarks = landmark_entry(fitted.landmarks, request.parameters, request.obsm_key, keep=keep)
    arrays = {key: layers.arrays[_LAYER[key]] for key in request.fields}
    for key, earlier in kept.values.items():
        arrays[key] = with_kept(arrays[key], earlier, request.columns)
    record = smooth_record(request, fitted) | {"kept_values": kept.record()}
    return [
        *(Change(item.field.place, item.name, arrays[key]) for key, item in request.fields.items()),
        *record_changes(adata, "smooth", request.result_key, record, landmarks),
    ]


def record_before(request: SmoothRequest) -> dict[str, Any]:
    """What the record of a run will say of the values' dependencies, known before it."""
    return {"params": smooth_params(request), "inputs": request.inputs}


def smooth_record(request: SmoothRequest, fitted: ExpressionModel) -> dict[str, Any]:
    """The entry of a run in the history.

    Parameters
    ----------
    request, fitted
        Of the run.

    Returns
    -------
    dict[str, Any]
        With the keys that readers of these records know; `params` holds both the flat names of older records and the
        settings objects.
    """
    return {
        "timestamp": timestamp(),
        "function": "smooth_expression",
        "result_key": request.result_key,
        "analysis_type": "smooth",
        **record_before(request),
        "field_names": smooth_names(request, with_samples=fitted.between is not None),
        "field_mapping": field_mapping(request.fields.values()),
        "uses_sample_variance": fitted.between is not None,
        "skipped_samples": [str(label) for label in fitted.skipped_samples],
        "has_groups": False,
        "approximation": {} if fitted.approximation is None else approximation_record(request, fitted.approximation),
        "landmarks": landmark_record(fitted.landmarks, request.parameters),
        "ls": getattr(fitted.predictor.features.kernel, "length_scale", None),
        "environment": environment(),
        "kompot_version": __version__,
    }


def approximation_record(request: SmoothRequest, approximation: Approximation) -> dict[str, Any]:
    """How well the features represent the kernel, and the seed that they were chosen with."""
    return {**asdict(approximation), "seed": request.parameters.seed}


def smooth_params(request: SmoothRequest) -> dict[str, Any]:
    """The parameters of a run."""
    settings = request.settings
    gp = settings_record(settings.gp)
    params = {
        "groupby": request.groupby,
        "condition": label_record(request.condition),
        "obsm_key": request.obsm_key,
        "layer": request.layer,
        "genes": request.genes,
        "sample_col": request.sample_col,
        **{name: gp[name] for name in ("n_landmarks", "sigma", "ls_factor", "use_empirical_variance", "batch_size")},
        "n_genes": len(request.columns),
        "n_cells": int(request.used.sum()),
        "result_key": request.result_key,
        "gp": gp,
        "storage": {**settings_record(settings.storage), "result_key": request.result_key},
        "output": settings_record(settings.output),
        "model": {"model1": "<ExpressionModel>"} if settings.model.model1 is not None else {},
    }
    return params | ({"extra_kwargs": dict(request.extra)} if request.extra else {})
