"""Smoothed expression of one condition at many cells, in chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kompot._typing import Float64, Floats, Ints
from kompot.differential.expression_model import ExpressionModel
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.linalg import product
from kompot.gp.moments import rows_per_chunk
from kompot.gp.regression import total_variance


@dataclass(frozen=True)
class SmoothLayers:
    """Smoothed expression and its uncertainty at all cells."""

    arrays: dict[str, Floats]
    """`smoothed`, `std` and, where the model has them, `obs_variance` and `sample_variance`: each n_cells x n_columns,
    single precision, NaN for columns that were not smoothed; empty if not kept."""
    mean_smoothed: Float64
    """Mean over cells, n_genes."""
    mean_std: Float64
    """Mean standard deviation over cells, n_genes."""


def smooth_layers(
    model: ExpressionModel,
    cells: FeatureTable,
    *,
    n_columns: int,
    columns: Ints | None,
    keep: bool,
    batch_size: int | None = None,
    track: Callable[[int], object] | None = None,
) -> SmoothLayers:
    """Evaluate a model at all cells.

    Parameters
    ----------
    model
        Fitted.
    cells
        Features of the cells.
    n_columns
        Width of the layers.
    columns
        Columns that the model's genes belong to; None if they are all.
    keep
        Whether to keep the layers, or their means only.
    batch_size
        Rows per chunk; None lets the engine choose.
    track
        Called with the number of rows done after each chunk.

    Returns
    -------
    SmoothLayers
        Layers and their means over cells.
    """
    posterior, n_cells = model.predictor.posterior, len(cells.X)
    n_genes = posterior.coef.shape[1]
    arrays = _empty(model, (n_cells, n_columns), whole=columns is None) if keep else {}
    place = slice(None) if columns is None else columns
    coef: Floats = posterior.coef.astype(np.float32)
    feature_sum, std_sum = np.zeros(posterior.rank), np.zeros(n_genes)
    for rows in row_slices(n_cells, rows_per_chunk(n_genes, posterior.rank, 8, batch_size)):
        phi = cells.rows(rows)
        feature_sum += phi.sum(axis=0)
        parts = _variances(model, cells, rows, phi)
        std_sum += parts["std"].sum(axis=0, dtype=np.float64)
        if keep:
            arrays["smoothed"][rows, place] = product(phi.astype(np.float32), coef) + np.float32(posterior.mu)
            for name, values in parts.items():
                arrays[name][rows, place] = values
        if track is not None:
            track(rows.stop - rows.start)
    mean_smoothed = product(posterior.coef.T, feature_sum / n_cells) + posterior.mu
    return SmoothLayers(arrays, mean_smoothed, std_sum / n_cells)


def _empty(model: ExpressionModel, shape: tuple[int, int], *, whole: bool) -> dict[str, Floats]:
    """Arrays for everything that the model has, NaN where some columns will stay empty."""
    names = ["smoothed", "std"]
    names += ["obs_variance"] if model.empirical is not None else []
    names += ["sample_variance"] if model.between is not None else []
    if whole:
        return {name: np.empty(shape, dtype=np.float32) for name in names}
    return {name: np.full(shape, np.nan, dtype=np.float32) for name in names}


def _variances(model: ExpressionModel, cells: FeatureTable, rows: slice, phi: Float64) -> dict[str, Floats]:
    """Standard deviation (n x 1 where it is the same for every gene) and its parts that differ between genes."""
    variance = total_variance(model.predictor.posterior, phi, cells.features.residual(cells.X[rows], phi)) + model.eps
    total: Floats = variance[:, None].astype(np.float32)
    parts: dict[str, Floats] = {}
    for name, source in (("obs_variance", model.empirical), ("sample_variance", model.between)):
        if source is not None:
            parts[name] = source.variance(phi.astype(np.float32))
            total = total + parts[name]
    return {"std": np.sqrt(total), **parts}
