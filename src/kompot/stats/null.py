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
from kompot._typing import Ints, Matrix
from kompot.errors import NullDistributionWarning, warn
from kompot.gp.features import row_slices
from kompot.gp.products import product_dtype
from kompot.gp.rows import RowSource, row_source, stack_rows

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
        len(order) x len(columns), CSC, without stored zeros, sorted within columns.
    """
    # Chunk by chunk, because selecting columns of a whole compressed matrix copies all of it.
    source = row_source(matrix, columns)
    dtype = product_dtype(source.dtype)
    parts = row_slices(matrix.shape[0], _READ_ROWS)
    rows = stack_rows([sparse.csr_matrix(source.rows(part).astype(dtype, copy=False)) for part in parts])
    rows = rows[order]  # all of them are not needed beside the columns
    gathered = rows.tocsc()
    gathered.eliminate_zeros()
    return gathered


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
