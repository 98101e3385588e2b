"""Expression of both conditions at many cells, in chunks, written straight to where it is kept.

One pass: features of a chunk once, one product per condition into the result array, and their difference; where the
variance differs between genes (replicates, empirical variance) it is added up chunk by chunk. Nothing of size n_cells x
n_genes is allocated beside the arrays that are kept, in memory or on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kompot._checks import is_sparse
from kompot._typing import Bools, Float64, Floats, Ints
from kompot.differential.fit import TwoConditionFit
from kompot.differential.result import FoldChange
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.linalg import product
from kompot.gp.moments import rows_per_chunk
from kompot.gp.regression import total_variance
from kompot.gp.rows import consecutive_rows

# A chunk with variances of its own for every gene needs about so many arrays of its size.
_ARRAYS_WITH_GENE_VARIANCE = 4


@dataclass(frozen=True)
class CellSummary:
    """What one pass over the cells gives without any n_cells x n_genes array."""

    feature_mean: Float64
    """Mean feature over the cells evaluated, r."""
    variance_1: Float64
    """Posterior variance in condition 1, n_cells; NaN for cells not evaluated."""
    variance_2: Float64
    """The same in condition 2."""

    def stds(self, eps: float) -> tuple[Float64, Float64]:
        """Posterior standard deviations `sqrt(variance + eps)` in condition 1 and 2, n_cells each."""
        return np.sqrt(self.variance_1 + eps), np.sqrt(self.variance_2 + eps)


def summarise_cells(fit: TwoConditionFit, cells: FeatureTable, evaluated: Bools | None = None) -> CellSummary:
    """Mean feature and posterior variances at cells.

    Parameters
    ----------
    fit
        Of the two conditions.
    cells
        Features of the cells.
    evaluated
        Mask of the cells that matter, n_cells; None for all.

    Returns
    -------
    CellSummary
        The same for every gene.
    """
    n_cells, features = len(cells.X), cells.features
    mask = np.ones(n_cells, dtype=np.bool_) if evaluated is None else evaluated
    feature_sum = np.zeros(features.rank)
    variances = np.full((2, n_cells), np.nan)
    for rows in row_slices(n_cells, features.rows_per_chunk()):
        here = rows.start + np.flatnonzero(mask[rows])
        phi = cells.selected(rows, mask[rows])
        feature_sum += phi.sum(axis=0)
        residual = features.residual(cells.X[here], phi)
        for condition, posterior in enumerate(fit.posteriors):
            variances[condition, here] = total_variance(posterior, phi, residual)
    return CellSummary(feature_sum / max(int(mask.sum()), 1), variances[0], variances[1])


def layer_names(*, zscores: bool, stds: bool) -> list[str]:
    """Names of the arrays of `fill_layers`."""
    return [
        "smoothed_1",
        "smoothed_2",
        "fold_change",
        *(["zscore"] if zscores else []),
        *(["std_1", "std_2"] if stds else []),
    ]


def empty_layers(
    n_cells: int,
    n_genes: int,
    *,
    zscores: bool,
    stds: bool = False,
    partial: bool = False,
    dtype: type[np.floating[Any]] = np.float32,
) -> dict[str, Floats]:
    """Arrays in memory for the layers of `fill_layers`.

    Parameters
    ----------
    n_cells, n_genes
        Their shape.
    zscores, stds
        Whether z-scores and standard deviations are wanted.
    partial
        Whether some cells or genes stay empty: those are NaN.
    dtype
        Their type.

    Returns
    -------
    dict[str, Floats]
        `smoothed_1`, `smoothed_2`, `fold_change` and, if wanted, `zscore`, `std_1`, `std_2`.
    """
    names = layer_names(zscores=zscores, stds=stds)
    if partial:
        return {name: np.full((n_cells, n_genes), np.nan, dtype=dtype) for name in names}
    return {name: np.empty((n_cells, n_genes), dtype=dtype) for name in names}


@dataclass(frozen=True)
class LayerTarget:
    """Where layers are written to."""

    arrays: Mapping[str, Any]
    """Arrays of n_cells x n_columns by name: NumPy's, or on disk with the same assignment of rows."""
    columns: Ints | None = None
    """Columns that the genes belong to; None if they are all of them."""
    before: Mapping[str, Any] = field(default_factory=dict)
    """By name of the array, what the other columns shall hold, n_cells x n_columns; those not named hold NaN."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.arrays["fold_change"].dtype)
        return dtype

    def whole_chunks(self, n_rows: int) -> int:
        """About so many rows, a multiple of the rows that an array on disk keeps together."""
        together = getattr(self.arrays["fold_change"], "chunks", None)
        return n_rows if together is None else max(together[0], n_rows // together[0] * together[0])

    def room(self, name: str, rows: slice, kept: Bools) -> Floats | None:
        """Where a chunk of all columns can be computed in place."""
        array = self.arrays[name]
        return array[rows] if self.columns is None and isinstance(array, np.ndarray) and kept.all() else None

    def put(self, name: str, rows: slice, kept: Bools, values: Floats) -> None:
        """Write a chunk that was not computed in place: the rows kept, the others NaN."""
        array = self.arrays[name]
        if self.room(name, rows, kept) is not None:
            if not np.shares_memory(values, array):
                array[rows] = values
            return
        block = np.full((rows.stop - rows.start, array.shape[1]), np.nan, dtype=array.dtype)
        if name in self.before:
            earlier = consecutive_rows(self.before[name], rows)
            block[:] = earlier.toarray() if is_sparse(earlier) else earlier
        block[np.ix_(kept, np.arange(array.shape[1]) if self.columns is None else self.columns)] = values
        array[rows] = block


def fill_layers(
    fit: TwoConditionFit,
    cells: FeatureTable,
    target: LayerTarget,
    summary: CellSummary,
    *,
    eps: float,
    evaluated: Bools | None = None,
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
    target
        Where to write; which of z-scores and standard deviations it has tells which are computed.
    summary
        Posterior variances at the cells.
    eps
        Added to variances before roots are taken.
    evaluated
        Mask of the cells to evaluate, n_cells; the others are NaN. None for all.
    batch_size
        Rows per chunk; None lets the engine choose.
    track
        Called with the number of rows done after each chunk.
    """
    dtype = target.dtype
    coefs = [posterior.coef.astype(dtype) for posterior in fit.posteriors]
    arrays = _ARRAYS_WITH_GENE_VARIANCE if fit.has_gene_variance else 1
    n_cells = len(cells.X)
    mask = np.ones(n_cells, dtype=np.bool_) if evaluated is None else evaluated
    for rows in row_slices(
        n_cells, rows_per_chunk(fit.n_genes * arrays, fit.features.rank, dtype.itemsize, batch_size)
    ):
        if mask[rows].any():
            phi = cells.selected(rows, mask[rows]).astype(dtype)
            _fill_chunk(fit, coefs, phi, target, rows, mask[rows], summary, eps)
        else:
            for name in target.arrays:
                target.put(name, rows, mask[rows], np.empty((0, fit.n_genes), dtype=dtype))
        if track is not None:
            track(rows.stop - rows.start)


def _fill_chunk(
    fit: TwoConditionFit,
    coefs: list[Floats],
    phi: Floats,
    target: LayerTarget,
    rows: slice,
    kept: Bools,
    summary: CellSummary,
    eps: float,
) -> None:
    dtype, means = target.dtype, []
    for name, coef, posterior in zip(("smoothed_1", "smoothed_2"), coefs, fit.posteriors, strict=True):
        mean = product(phi, coef, out=target.room(name, rows, kept))
        mean += dtype.type(posterior.mu)
        target.put(name, rows, kept, mean)
        means.append(mean)
    change = np.subtract(means[1], means[0], out=target.room("fold_change", rows, kept))
    target.put("fold_change", rows, kept, change)
    if "zscore" not in target.arrays and "std_1" not in target.arrays:
        return
    variances: list[Floats] = []
    for condition, variance in zip(fit.lending(), (summary.variance_1, summary.variance_2), strict=True):
        per_cell = variance[rows][kept, None].astype(dtype)
        per_gene = condition.gene_variance(phi)
        variances.append(per_cell if per_gene is None else np.add(per_gene, per_cell, out=per_gene))
    if "zscore" in target.arrays:
        both: Floats = np.sqrt(variances[0] + variances[1] + dtype.type(eps))
        target.put("zscore", rows, kept, np.divide(change, both, out=target.room("zscore", rows, kept)))
    for name, total in zip(("std_1", "std_2"), variances, strict=True):
        if name in target.arrays:
            std: Floats = np.sqrt(total + dtype.type(eps))
            target.put(name, rows, kept, np.broadcast_to(std, change.shape).astype(dtype))


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
        Arrays of n_cells x n_genes; standard deviations per cell where they are the same for every gene.
    """
    cells = FeatureTable(fit.features, X)
    summary = summarise_cells(fit, cells)
    layers = empty_layers(len(X), fit.n_genes, zscores=zscores, stds=fit.has_gene_variance, dtype=np.float64)
    fill_layers(fit, cells, LayerTarget(layers), summary, eps=eps)
    std_1, std_2 = (layers["std_1"], layers["std_2"]) if fit.has_gene_variance else summary.stds(eps)
    return FoldChange(
        layers["smoothed_1"], layers["smoothed_2"], layers["fold_change"], layers.get("zscore"), std_1, std_2
    )
