"""Expression matrices as sources of row chunks: dense, sparse, on disk, lazy or stacked.

The engine reads expression only through `RowSource`: consecutive rows, a few thousand at a time. So the same code
serves arrays in memory, HDF5 files opened in backed mode and Dask arrays, and no source is ever copied whole, except
a compressed-column matrix, which has no rows to read and is converted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from kompot._checks import is_sparse
from kompot._typing import Bools, Ints, Matrix


class RowSource(Protocol):
    """Rows of a matrix, read in order."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def rows(self, rows: slice) -> Matrix:
        """The rows as a dense array or a CSR matrix."""


@dataclass(frozen=True)
class ArrayRows:
    """Rows of anything that is sliced like an array: NumPy, SciPy CSR, HDF5, AnnData's backed matrices, Dask."""

    matrix: Matrix
    """n_cells x n_genes."""
    columns: Ints | None = None
    """Columns to keep, in this order; None for all."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns kept."""
        n_rows, n_columns = self.matrix.shape
        return n_rows, n_columns if self.columns is None else len(self.columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.matrix.dtype)
        return dtype

    def rows(self, rows: slice) -> Matrix:
        """The rows as a dense array or a CSR matrix."""
        chunk = consecutive_rows(self.matrix, rows)
        return chunk if self.columns is None else chunk[:, self.columns]


@dataclass(frozen=True)
class StackedRows:
    """Several sources one below the other."""

    parts: tuple[RowSource, ...]
    """Sources with the same number of columns."""

    @property
    def shape(self) -> tuple[int, int]:
        """Total number of rows, and the number of columns."""
        return sum(part.shape[0] for part in self.parts), self.parts[0].shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Common type of the values."""
        return _common_type(self.parts)

    def rows(self, rows: slice) -> Matrix:
        """The rows as a dense array or a CSR matrix."""
        pieces, offset = [], 0
        for part in self.parts:
            start, stop = max(rows.start - offset, 0), min(rows.stop - offset, part.shape[0])
            if start < stop:
                pieces.append(part.rows(slice(start, stop)))
            offset += part.shape[0]
        return stack_rows(pieces)


def _common_type(parts: tuple[RowSource, ...]) -> np.dtype[Any]:
    common = parts[0].dtype
    for part in parts[1:]:
        common = np.promote_types(common, part.dtype)
    return common


def consecutive_rows(matrix: Matrix, rows: slice) -> Matrix:
    """Rows of a matrix, in memory; those of a compressed-row matrix share its values."""
    if not is_sparse(matrix) or matrix.format != "csr":
        return in_memory(matrix[rows])
    start, stop, _ = rows.indices(matrix.shape[0])
    bounds = matrix.indptr[start : stop + 1]
    first, last = (bounds[0], bounds[-1]) if len(bounds) else (0, 0)
    parts = (matrix.data[first:last], matrix.indices[first:last], bounds - first)
    return type(matrix)(parts, shape=(max(stop - start, 0), matrix.shape[1]), copy=False)


def in_memory(chunk: Matrix) -> Matrix:
    """A slice of any supported matrix as a NumPy array or a CSR matrix."""
    if hasattr(chunk, "compute"):
        chunk = chunk.compute()
    if is_sparse(chunk):
        return chunk if chunk.format == "csr" else chunk.tocsr()
    return np.asarray(chunk)


def stack_rows(pieces: list[Matrix]) -> Matrix:
    """Chunks one below the other; sparse if all are."""
    if len(pieces) == 1:
        return pieces[0]
    if all(is_sparse(piece) for piece in pieces):
        return sparse.vstack(pieces, format="csr")
    return np.vstack([piece.toarray() if is_sparse(piece) else piece for piece in pieces])


def row_source(matrix: Matrix, columns: Ints | None = None) -> RowSource:
    """Rows of a matrix, with only some columns if asked.

    Parameters
    ----------
    matrix
        Dense, sparse, on disk or lazy, n_cells x n_genes. A sparse matrix in memory that is not CSR is converted.
    columns
        Columns to keep, in this order; None for all.

    Returns
    -------
    RowSource
        Reads chunks of rows.
    """
    if is_sparse(matrix) and matrix.format != "csr":
        matrix = (matrix if columns is None else matrix.tocsc()[:, columns]).tocsr()
        columns = None
    return ArrayRows(matrix, columns)


def has_invalid(chunk: Matrix) -> bool:
    """Whether a chunk holds NaN or infinite values."""
    values = chunk.data if is_sparse(chunk) else chunk
    return values.dtype.kind == "f" and not bool(np.isfinite(values).all())


def invalid_columns(chunk: Matrix) -> Bools:
    """Which columns of a chunk hold NaN or infinite values."""
    if is_sparse(chunk):
        bad = np.bincount(chunk.indices[~np.isfinite(chunk.data)], minlength=chunk.shape[1]) > 0
    else:
        bad = ~np.isfinite(chunk).all(axis=0)
    return np.asarray(bad, dtype=np.bool_)
