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
    n_cells, n_genes = len(cells.X), model.predictor.posterior.coef.shape[1]
    place = slice(None) if columns is None else columns
    arrays: dict[str, Floats] = {}
    sums = np.zeros((2, n_genes))
    for rows in row_slices(n_cells, rows_per_chunk(n_genes, cells.features.rank, 8, batch_size)):
        parts = _chunk(model, cells, rows)
        sums += [parts["smoothed"].sum(axis=0, dtype=np.float64), parts["std"].sum(axis=0, dtype=np.float64)]
        for name, values in parts.items() if keep else ():
            if name not in arrays:
                arrays[name] = np.full((n_cells, n_columns), np.nan, dtype=np.float32)
            arrays[name][rows, place] = values
        if track is not None:
            track(rows.stop - rows.start)
    return SmoothLayers(arrays, sums[0] / n_cells, sums[1] / n_cells)


def _chunk(model: ExpressionModel, cells: FeatureTable, rows: slice) -> dict[str, Floats]:
    """Everything at one chunk of cells; the standard deviation holds all parts of the variance."""
    posterior = model.predictor.posterior
    phi = cells.rows(rows)
    single = phi.astype(np.float32)
    parts: dict[str, Floats] = {
        "smoothed": product(single, posterior.coef.astype(np.float32)) + np.float32(posterior.mu)
    }
    variance = total_variance(posterior, phi, cells.features.residual(cells.X[rows], phi)) + model.eps
    total: Floats = np.repeat(variance[:, None].astype(np.float32), parts["smoothed"].shape[1], axis=1)
    for name, source in (("obs_variance", model.empirical), ("sample_variance", model.between)):
        if source is not None:
            parts[name] = source.variance(single)
            total += parts[name]
    return {"smoothed": parts.pop("smoothed"), "std": np.sqrt(total), **parts}
