"""Expression of both conditions at many cells, in chunks, written straight to where it is kept.

One pass: features of a chunk once, one product per condition into the result array, and their difference. Nothing
of size n_cells x n_genes is allocated beside the arrays that are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kompot._typing import Float64, Floats, Ints
from kompot.differential.fit import TwoConditionFit
from kompot.differential.result import FoldChange
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.moments import rows_per_chunk
from kompot.gp.regression import total_variance


@dataclass(frozen=True)
class CellSummary:
    """What one pass over the cells gives without any n_cells x n_genes array."""

    feature_mean: Float64
    """Mean feature over the cells, r."""
    variance_1: Float64
    """Posterior variance in condition 1, n_cells."""
    variance_2: Float64
    """The same in condition 2."""

    def stds(self, eps: float) -> tuple[Float64, Float64]:
        """Posterior standard deviations `sqrt(variance + eps)` in condition 1 and 2, n_cells each."""
        return np.sqrt(self.variance_1 + eps), np.sqrt(self.variance_2 + eps)

    def fold_change_std(self, eps: float) -> Float64:
        """Posterior standard deviation of the fold change, n_cells."""
        return np.sqrt(self.variance_1 + self.variance_2 + eps)


def summarise_cells(fit: TwoConditionFit, cells: FeatureTable) -> CellSummary:
    """Mean feature and posterior variances at cells.

    Parameters
    ----------
    fit
        Of the two conditions.
    cells
        Features of the cells.

    Returns
    -------
    CellSummary
        The same for every gene.
    """
    n_cells, features = len(cells.X), cells.features
    feature_sum = np.zeros(features.rank)
    variances = np.empty((2, n_cells))
    for rows in row_slices(n_cells, features.rows_per_chunk()):
        phi = cells.rows(rows)
        feature_sum += phi.sum(axis=0)
        residual = features.residual(cells.X[rows], phi)
        for condition, posterior in enumerate(fit.posteriors):
            variances[condition, rows] = total_variance(posterior, phi, residual)
    return CellSummary(feature_sum / max(n_cells, 1), variances[0], variances[1])


def empty_layers(
    n_cells: int, n_genes: int, *, zscores: bool, partial: bool, dtype: type[np.floating[Any]] = np.float32
) -> dict[str, Floats]:
    """Arrays for the layers of `fill_layers`.

    Parameters
    ----------
    n_cells, n_genes
        Their shape.
    zscores
        Whether z-scores are wanted.
    partial
        Whether some genes stay empty: those are NaN.
    dtype
        Their type.

    Returns
    -------
    dict[str, Floats]
        `smoothed_1`, `smoothed_2`, `fold_change` and, if wanted, `zscore`.
    """
    names = ["smoothed_1", "smoothed_2", "fold_change", *(["zscore"] if zscores else [])]
    if partial:
        return {name: np.full((n_cells, n_genes), np.nan, dtype=dtype) for name in names}
    return {name: np.empty((n_cells, n_genes), dtype=dtype) for name in names}


def fill_layers(
    fit: TwoConditionFit,
    cells: FeatureTable,
    layers: dict[str, Floats],
    *,
    columns: Ints | None = None,
    zscore_std: Float64 | None = None,
    batch_size: int | None = None,
    track: Callable[[int], object] | None = None,
) -> None:
    """Evaluate both conditions and their difference at all cells.

    Parameters
    ----------
    fit
        Of the genes to evaluate.
    cells
        Features of the cells.
    layers
        From `empty_layers`; written in place.
    columns
        Columns of the layers that the genes belong to; None if they are all of them.
    zscore_std
        Standard deviation of the fold change at each cell, n_cells; needed for z-scores.
    batch_size
        Rows per chunk; None lets the engine choose.
    track
        Called with the number of rows done after each chunk.
    """
    dtype = layers["fold_change"].dtype
    coefs = [posterior.coef.astype(dtype) for posterior in fit.posteriors]
    mus = [posterior.mu for posterior in fit.posteriors]
    for rows in row_slices(len(cells.X), rows_per_chunk(fit.n_genes, fit.features.rank, dtype.itemsize, batch_size)):
        phi = cells.rows(rows).astype(dtype)
        means = []
        for name, coef, mu in zip(("smoothed_1", "smoothed_2"), coefs, mus, strict=True):
            mean = np.matmul(phi, coef, out=_room(layers[name], rows, columns))
            mean += dtype.type(mu)
            _put(layers[name], rows, columns, mean)
            means.append(mean)
        change = np.subtract(means[1], means[0], out=_room(layers["fold_change"], rows, columns))
        _put(layers["fold_change"], rows, columns, change)
        if "zscore" in layers and zscore_std is not None:
            std = zscore_std[rows, None].astype(dtype)
            zscore = np.divide(change, std, out=_room(layers["zscore"], rows, columns))
            _put(layers["zscore"], rows, columns, zscore)
        if track is not None:
            track(rows.stop - rows.start)


def _room(layer: Floats, rows: slice, columns: Ints | None) -> Floats | None:
    """Where in the layer a chunk of all its columns can be computed in place."""
    return layer[rows] if columns is None else None


def _put(layer: Floats, rows: slice, columns: Ints | None, values: Floats) -> None:
    """Copy a chunk of some columns that could not be computed in place."""
    if columns is not None:
        layer[rows, columns] = values


def fold_change_at(fit: TwoConditionFit, X: Float64, *, eps: float, zscores: bool) -> FoldChange:
    """Everything at cell states, in double precision.

    Parameters
    ----------
    fit
        Of the two conditions.
    X
        Cell states, n_cells x n_dims.
    eps
        Added to variances before roots are taken.
    zscores
        Whether z-scores are wanted.

    Returns
    -------
    FoldChange
        Arrays of n_cells x n_genes, and standard deviations per cell.
    """
    cells = FeatureTable(fit.features, X)
    summary = summarise_cells(fit, cells)
    layers = empty_layers(len(X), fit.n_genes, zscores=zscores, partial=False, dtype=np.float64)
    fill_layers(fit, cells, layers, zscore_std=summary.fold_change_std(eps))
    return FoldChange(
        layers["smoothed_1"],
        layers["smoothed_2"],
        layers["fold_change"],
        layers.get("zscore"),
        *summary.stds(eps),
    )
