"""Null genes: columns of expression whose values are shuffled over the cells of both conditions.

A shuffled gene keeps its distribution of values and loses any relation to cell state and condition; distances of
such genes, fitted like all others, show what chance alone gives (permutation null, pi0 = 1). A sparse column is
shuffled by drawing new cells for its non-zero values, which is the same as shuffling all of it, at a cost of
O(non-zeros) per gene in time and memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kompot._checks import is_sparse
from kompot._typing import Float64, Ints, Matrix
from kompot.errors import NullDistributionWarning, warn
from kompot.gp.features import row_slices
from kompot.gp.landmarks import canonical_order
from kompot.gp.products import product_dtype
from kompot.gp.rows import (
    Hashes,
    InvalidValuesError,
    RowSource,
    has_invalid,
    invalid_columns,
    invalid_values,
    row_hashes,
    row_source,
    stack_rows,
)

_BLOCK_BYTES = 256_000_000
_READ_ROWS = 4096


@dataclass(frozen=True)
class NullDraw:
    """Which genes are shuffled, and the generator that shuffles them."""

    genes: Ints
    """Columns of the data, n_null; a gene can occur more than once."""
    rng: np.random.Generator
    """State after the genes were drawn."""


def draw_null_genes(n_genes: int, n_null: int, seed: int | None, *, asked: bool = True) -> NullDraw:
    """Choose the genes to shuffle.

    Parameters
    ----------
    n_genes
        Number of genes in the data.
    n_null
        Number of null genes wanted; more than `n_genes` are drawn with replacement, with a warning.
    seed
        None is a fixed seed.
    asked
        Whether the user asked for this number; drawing with replacement is then worth a warning.

    Returns
    -------
    NullDraw
        Columns in the order drawn.

    Examples
    --------
    >>> sorted(draw_null_genes(3, 3, seed=0).genes.tolist())
    [0, 1, 2]
    """
    rng = np.random.default_rng(0 if seed is None else seed)
    if n_null > n_genes and asked:
        warn(
            f"{n_null} null genes were asked for, but the data have {n_genes} genes: they are drawn with replacement "
            f"(each draw is shuffled anew). Set FDRSettings(null_genes={n_genes}) or less to draw each gene once.",
            NullDistributionWarning,
        )
    return NullDraw(rng.choice(n_genes, size=n_null, replace=n_null > n_genes), rng)


def shuffle_columns(columns: Matrix, rng: np.random.Generator, rows: Ints, n_rows: int) -> Matrix:
    """Shuffle each column on its own.

    Parameters
    ----------
    columns
        n_cells x n_null, CSC, without stored zeros, sorted within columns.
    rng
        Consumed column by column.
    rows
        Which row of the result each cell becomes, n_cells.
    n_rows
        Number of rows of the result.

    Returns
    -------
    Matrix
        n_rows x n_null, CSR.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> shuffled = shuffle_columns(sparse.csc_array(np.eye(4)), np.random.default_rng(0), np.arange(4), 4)
    >>> shuffled.sum(axis=0)
    array([1., 1., 1., 1.])
    """
    n_cells, n_null = columns.shape
    # Indices as short as those of the matrix: with those of 64 bits they would take more than the values.
    target = rows.astype(columns.indices.dtype)
    places = np.empty(columns.nnz, dtype=target.dtype)
    for j in range(n_null):
        start, stop = columns.indptr[j], columns.indptr[j + 1]
        places[start:stop] = target[rng.choice(n_cells, size=stop - start, replace=False)]
    return type(columns)((columns.data, places, columns.indptr), shape=(n_rows, n_null)).tocsr()


def gather_columns(matrix: Matrix, columns: Ints, order: Ints) -> Matrix:
    """Some columns of a matrix with the cells in a given order.

    Parameters
    ----------
    matrix
        n_cells x n_genes, dense, sparse, on disk or lazy.
    columns
        Columns to read; one can occur more than once.
    order
        Cells to keep, in this order.

    Returns
    -------
    Matrix
        len(order) x len(columns), CSC, without stored zeros, each entry stored once, sorted within columns.

    Raises
    ------
    InvalidValuesError
        If these cells have values that are NaN, infinite or too large.
    """
    # Chunk by chunk, because selecting columns of a whole compressed matrix copies all of it.
    source = row_source(matrix, columns)
    dtype = product_dtype(source.dtype)
    parts = row_slices(matrix.shape[0], _READ_ROWS)
    rows = stack_rows([sparse.csr_matrix(source.rows(part).astype(dtype, copy=False)) for part in parts])
    rows = rows[order]  # all of them are not needed beside the columns
    if has_invalid(rows):
        bad = np.flatnonzero(invalid_columns(rows))
        raise InvalidValuesError(invalid_values(rows[:, bad]), np.unique(columns[bad]))
    gathered = rows.tocsc()
    gathered.eliminate_zeros()
    return gathered


def shuffling_order(X: Float64, matrix: Matrix, groups: Ints) -> Ints:
    """Cells in an order that does not depend on that of the file, to shuffle over.

    Parameters
    ----------
    X
        Cell states, n_cells x n_dims.
    matrix
        Expression of all genes, n_cells x n_genes; read where cells share their coordinates only.
    groups
        Which cells are fitted together, n_cells; -1 for those left out.

    Returns
    -------
    Ints
        Cells of the groups by their coordinates; those that share them by a hash of their expression; those that share
        that too by the cells that their group has.

    Examples
    --------
    >>> import numpy as np
    >>> X, Y = np.array([[1.0], [0.0], [1.0]]), np.array([[5.0], [6.0], [7.0]])
    >>> groups, moved = np.zeros(3, dtype=int), [2, 0, 1]
    >>> first, second = shuffling_order(X, Y, groups), shuffling_order(X[moved], Y[moved], groups)
    >>> bool((Y[first] == Y[moved][second]).all())
    True
    """
    cells = np.flatnonzero(groups >= 0)
    order = cells[canonical_order(X[cells])]
    same = (X[order][1:] == X[order][:-1]).all(axis=1)
    tied = np.sort(order[np.append(same, False) | np.append(False, same)])
    if not len(tied):
        return order
    hashes = np.zeros((2, len(X)), dtype=np.uint64)
    hashes[0, tied] = row_hashes(matrix, tied)
    # The same data compared in the other direction have the same groups under other numbers.
    hashes[1, cells] = _group_hashes(row_hashes(X, cells) + hashes[0, cells], groups[cells])
    return cells[canonical_order(X[cells], *hashes[:, cells], groups[cells])]


def _group_hashes(hashes: Hashes, groups: Ints) -> Hashes:
    """For each cell the sum of the hashes of all cells of its group."""
    sums = np.zeros(groups.max() + 1, dtype=np.uint64)
    np.add.at(sums, groups, hashes)
    return sums[groups]


def shuffled_blocks(matrix: Matrix, draw: NullDraw, order: Ints) -> Iterator[RowSource]:
    """Shuffled null genes, in blocks of columns of bounded size.

    Parameters
    ----------
    matrix
        Expression of all genes, n_cells x n_genes.
    draw
        Which genes, and the generator.
    order
        The cells to shuffle over, in an order that does not depend on that of the file.

    Yields
    ------
    RowSource
        n_cells x (number of genes in the block), in the order of `draw.genes`; zero for cells not in `order`.
    """
    for block in np.array_split(draw.genes, _n_blocks(matrix, len(order), len(draw.genes))):
        columns = gather_columns(matrix, block, order)
        yield row_source(shuffle_columns(columns, draw.rng, order, matrix.shape[0]))


def _n_blocks(matrix: Matrix, n_cells: int, n_null: int) -> int:
    """Blocks such that one fits `_BLOCK_BYTES`, or a quarter of the data where that is more."""
    first = row_source(matrix).rows(slice(0, min(_READ_ROWS, matrix.shape[0])))
    share = first.nnz / max(1, first.shape[0] * first.shape[1]) if is_sparse(first) else 1.0
    bytes_per_gene = max(share, 1e-3) * n_cells * 12
    allowed = max(_BLOCK_BYTES, 0.25 * bytes_per_gene * matrix.shape[1])
    return max(1, int(np.ceil(n_null * bytes_per_gene / allowed)))
