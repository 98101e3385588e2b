"""Moments: everything the regression needs to know of a group of cells, in a form that adds.

For the cells of one group with features Phi (n x r) and expression Y (n x n_genes), a moment holds n, the sums over
cells of phi, phi phiᵀ, phi yᵀ, y and y². The moment of two groups together is the sum of theirs; posteriors,
distances, replicates and any contrast follow from moments alone. One pass over the cells costs O(n r (n_dims + r +
n_genes)) time, and one chunk of cells plus the moments of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from kompot._checks import is_sparse
from kompot._typing import Float64, Ints, Matrix
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.linalg import gram
from kompot.gp.products import ChunkBuffer, column_sums, feature_product, is_worth_densifying, product_dtype
from kompot.gp.rows import RowSource

_CHUNK_BYTES = 48_000_000
_MOST_ROWS = 8192
_FEWEST_ROWS = 256


@dataclass(frozen=True)
class Moment:
    """Sums over the cells of a group.

    Examples
    --------
    >>> import numpy as np
    >>> phi, Y = np.array([[1.0], [2.0]]), np.array([[3.0], [5.0]])
    >>> whole = moment_of(phi, Y)
    >>> float(whole.cross[0, 0]), float((moment_of(phi[:1], Y[:1]) + moment_of(phi[1:], Y[1:])).cross[0, 0])
    (13.0, 13.0)
    """

    count: int
    """Number of cells n."""
    feature_sum: Float64
    """`sum_i phi(x_i)`, r."""
    gram: Float64
    """`Phiᵀ Phi`, r x r."""
    cross: Float64
    """`Phiᵀ Y`, r x n_genes."""
    target_sum: Float64
    """`sum_i y_i`, n_genes."""
    target_sum_of_squares: Float64
    """`sum_i y_i²`, n_genes."""

    def __add__(self, other: Moment) -> Moment:
        return Moment(
            self.count + other.count,
            self.feature_sum + other.feature_sum,
            self.gram + other.gram,
            self.cross + other.cross,
            self.target_sum + other.target_sum,
            self.target_sum_of_squares + other.target_sum_of_squares,
        )

    @property
    def n_genes(self) -> int:
        """Number of columns of expression."""
        return int(self.cross.shape[1])

    def with_genes(self, *others: Moment) -> Moment:
        """The same cells with the genes of other moments appended."""
        moments = (self, *others)
        return Moment(
            self.count,
            self.feature_sum,
            self.gram,
            np.hstack([moment.cross for moment in moments]),
            np.concatenate([moment.target_sum for moment in moments]),
            np.concatenate([moment.target_sum_of_squares for moment in moments]),
        )

    def for_genes(self, genes: slice | Ints) -> Moment:
        """The same cells with some of the genes."""
        return Moment(
            self.count,
            self.feature_sum,
            self.gram,
            self.cross[:, genes],
            self.target_sum[genes],
            self.target_sum_of_squares[genes],
        )


def zero_moment(rank: int, n_genes: int) -> Moment:
    """The moment of no cells."""
    return Moment(
        0,
        np.zeros(rank),
        np.zeros((rank, rank)),
        np.zeros((rank, n_genes)),
        np.zeros(n_genes),
        np.zeros(n_genes),
    )


def moment_of(phi: Float64, Y: Matrix, *, only_genes: bool = False) -> Moment:
    """The moment of one chunk.

    Parameters
    ----------
    phi
        Features, n x r.
    Y
        Expression, n x n_genes, dense or CSR, of floating type.
    only_genes
        Leave the feature sum and the Gram matrix at 0, because they are known already.

    Returns
    -------
    Moment
        In double precision; products of single-precision chunks are rounded to single.
    """
    sums, squares = column_sums(Y)
    cross = feature_product(phi, Y).astype(np.float64, copy=False)
    empty = zero_moment(phi.shape[1], 0)
    feature_sum, own = (empty.feature_sum, empty.gram) if only_genes else (phi.sum(axis=0), gram(phi))
    return Moment(len(phi), feature_sum, own, cross, sums, squares)


def total(moments: Sequence[Moment]) -> Moment:
    """The moment of all groups together."""
    return reduce(Moment.__add__, moments)


def _added(sums: Moment, chunk: Moment) -> Moment:
    """`sums + chunk` in the memory of `sums`."""
    for name in ("feature_sum", "gram", "cross", "target_sum", "target_sum_of_squares"):
        array = getattr(sums, name)
        array += getattr(chunk, name)
    return replace(sums, count=sums.count + chunk.count)


def rows_per_chunk(n_genes: int, rank: int, itemsize: int, asked: int | None = None) -> int:
    """Rows per chunk: what the user asked for, else a chunk of some 48 MB, between 256 and 8,192 rows."""
    if asked:
        return asked
    per_row = itemsize * max(n_genes, 1) + 16 * rank
    return int(np.clip(_CHUNK_BYTES // per_row, _FEWEST_ROWS, _MOST_ROWS))


def accumulate(
    cells: FeatureTable,
    Y: RowSource,
    groups: Ints,
    n_groups: int,
    *,
    like: Sequence[Moment] | None = None,
    batch_size: int | None = None,
    track: Callable[[int], object] | None = None,
) -> list[Moment]:
    """Moments of groups of cells, in one pass.

    Parameters
    ----------
    cells
        Features of the cells.
    Y
        Expression of the same cells, n_cells x n_genes.
    groups
        Group of each cell, 0 to `n_groups` - 1; cells with -1 are left out.
    n_groups
        Number of groups.
    like
        Moments of the same groups for other genes, whose counts, feature sums and Gram matrices are taken over.
    batch_size
        Rows per chunk; None lets the engine choose. The result does not depend on it beyond rounding.
    track
        Called with the number of rows done after each chunk.

    Returns
    -------
    list[Moment]
        One per group.
    """
    n_cells, n_genes = Y.shape
    rank = cells.features.rank
    dtype = product_dtype(Y.dtype)
    moments = [zero_moment(rank, n_genes) for _ in range(n_groups)]
    buffer = ChunkBuffer()
    for rows in row_slices(n_cells, rows_per_chunk(n_genes, rank, dtype.itemsize, batch_size)):
        if (groups[rows] >= 0).any():
            chunk = Y.rows(rows).astype(dtype, copy=False)
            for group, phi, part in _split(cells.rows(rows), chunk, groups[rows], buffer):
                moments[group] = _added(moments[group], moment_of(phi, part, only_genes=like is not None))
        if track is not None:
            track(rows.stop - rows.start)
    if like is None:
        return moments
    return [
        replace(m, count=o.count, feature_sum=o.feature_sum, gram=o.gram) for m, o in zip(moments, like, strict=True)
    ]


def _split(phi: Float64, chunk: Matrix, groups: Ints, buffer: ChunkBuffer) -> Iterator[tuple[int, Float64, Matrix]]:
    """Features and expression of each group that occurs in a chunk."""
    order = np.argsort(groups, kind="stable")
    order = order[np.searchsorted(groups[order], 0) :]
    if not np.array_equal(order, np.arange(len(groups))):
        phi, chunk, groups = phi[order], chunk[order], groups[order]
    if is_sparse(chunk) and is_worth_densifying(chunk):
        chunk = buffer.dense(chunk, chunk.dtype)
    present, starts = np.unique(groups, return_index=True)
    for group, start, stop in zip(present, starts, [*starts[1:], len(groups)], strict=True):
        yield int(group), phi[start:stop], chunk[start:stop]
