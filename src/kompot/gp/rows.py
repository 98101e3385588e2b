"""Expression matrices as sources of row chunks: dense, sparse, on disk, lazy or stacked.

The engine reads expression only through `RowSource`: consecutive rows, a few thousand at a time. So the same code
serves arrays in memory, HDF5 files opened in backed mode and Dask arrays, and no source is ever copied whole, except
a compressed-column matrix, which has no rows to read and is converted once.

A sparse matrix may store several values for one entry, which then is their sum. Products add them up by themselves;
squares, shuffles and hashes would not. So every chunk that leaves a source stores each entry once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kompot._checks import LARGEST_VALUE, is_sparse, listed, unmasked
from kompot._typing import Bools, Ints, Matrix

Hashes: TypeAlias = NDArray[np.uint64]
_HASHED_ROWS = 4096


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
    """Rows of a matrix, in memory, each entry stored once; those of a compressed-row matrix share its values."""
    if not is_sparse(matrix) or matrix.format != "csr":
        return in_memory(matrix[rows])
    start, stop, _ = rows.indices(matrix.shape[0])
    bounds = matrix.indptr[start : stop + 1]
    first, last = (bounds[0], bounds[-1]) if len(bounds) else (0, 0)
    parts = (matrix.data[first:last], matrix.indices[first:last], bounds - first)
    return stored_once(type(matrix)(parts, shape=(max(stop - start, 0), matrix.shape[1]), copy=False))


def in_memory(chunk: Matrix) -> Matrix:
    """A slice of any supported matrix as a NumPy array or a CSR matrix; masked values become NaN."""
    if hasattr(chunk, "compute"):
        chunk = chunk.compute()
    if is_sparse(chunk):
        return stored_once(chunk if chunk.format == "csr" else chunk.tocsr())
    return np.asarray(unmasked(chunk))


def stored_once(chunk: Matrix) -> Matrix:
    """A CSR matrix with one stored value per entry: itself, or a copy in which values of one entry are added up.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> twice = sparse.csr_array((np.array([1.0, 2.0]), np.array([0, 0]), np.array([0, 2])), shape=(1, 3))
    >>> stored_once(twice).nnz, twice.nnz
    (1, 2)
    """
    # Looked up for each chunk anew: what SciPy remembers of a whole matrix is wrong once somebody edits its arrays.
    if chunk.has_canonical_format:
        return chunk
    kind = chunk.dtype.kind
    # Sums of small integers would not fit their type.
    summed = chunk.astype(np.float64) if kind in "iu" else chunk.copy()
    summed.sum_duplicates()
    return summed


def row_hashes(matrix: Matrix, cells: Ints) -> Hashes:
    """A number for each of some rows that depends on its values alone.

    Parameters
    ----------
    matrix
        n_cells x n_columns: dense, sparse, on disk or lazy, with the same hashes in every form and precision.
    cells
        Rows to read, sorted.

    Returns
    -------
    Hashes
        64 bits per row asked for; equal rows have equal hashes, different rows different ones but for a chance of
        1 in 2^64.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> Y = np.array([[0.0, 1.5], [2.0, 0.0], [0.0, 1.5]], dtype=np.float32)
    >>> first, second, third = row_hashes(Y, np.arange(3))
    >>> bool(first == third), bool(first == second), bool((row_hashes(sparse.csr_array(Y), np.arange(3))[0]) == first)
    (True, False, True)
    """
    source = row_source(matrix)
    hashes = np.zeros(len(cells), dtype=np.uint64)
    for start in range(0, matrix.shape[0], _HASHED_ROWS):
        first, last = np.searchsorted(cells, (start, start + _HASHED_ROWS))
        if first < last:
            chunk = source.rows(slice(start, min(start + _HASHED_ROWS, matrix.shape[0])))
            hashes[first:last] = _hashes(chunk[cells[first:last] - start])
    return hashes


def _hashes(chunk: Matrix) -> Hashes:
    if not is_sparse(chunk):
        columns = _mixed(np.arange(chunk.shape[1], dtype=np.uint64))
        each = _mixed(columns ^ np.ascontiguousarray(chunk, dtype=np.float64).view(np.uint64))
        each[chunk == 0] = 0
        return np.asarray(each.sum(axis=1))
    entries = sparse.csr_array(chunk)
    entries.eliminate_zeros()  # a stored zero, of either sign, is no value
    columns = _mixed(entries.indices.astype(np.uint64))
    # A sum does not depend on the order in which the entries are stored.
    running = np.cumsum(_mixed(columns ^ entries.data.astype(np.float64).view(np.uint64)))
    ends = np.concatenate([np.zeros(1, dtype=np.uint64), running])[entries.indptr]
    return np.diff(ends)


def _mixed(values: Hashes) -> Hashes:
    """Bits of 64-bit integers well mixed: the finaliser of SplitMix64 (Steele, Lea and Flood 2014), modulo 2^64."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


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


class InvalidValuesError(ValueError):
    """Columns of a matrix hold values that cannot be analysed."""

    def __init__(self, what: str, columns: Ints) -> None:
        super().__init__(f"Columns {listed(columns)} have {what}.")
        self.what = what
        self.columns = columns


def has_invalid(matrix: Matrix) -> bool:
    """Whether a matrix in memory holds values that are NaN, infinite or beyond `LARGEST_VALUE`."""
    values = matrix.data if is_sparse(matrix) else matrix
    if not values.size or values.dtype.kind == "b" or (values.dtype.kind in "iu" and values.dtype.itemsize < 8):
        return False
    # NaN is neither; no array of the same size is made.
    return not (float(values.max()) <= LARGEST_VALUE and float(values.min()) >= -LARGEST_VALUE)


def invalid_columns(chunk: Matrix) -> Bools:
    """Which columns of a chunk hold values that are NaN, infinite or beyond `LARGEST_VALUE`."""
    if is_sparse(chunk):
        return np.bincount(chunk.indices[_is_invalid(chunk.data)], minlength=chunk.shape[1]) > 0
    return np.asarray(_is_invalid(chunk).any(axis=0))


def invalid_values(matrix: Matrix) -> str:
    """What is wrong with a matrix that `has_invalid`, in words."""
    values = matrix.data if is_sparse(matrix) else matrix
    if not np.isfinite(values).all():
        return "NaN or infinite values"
    return f"values up to {np.abs(values.astype(np.float64)).max():.2g}, beyond ±{LARGEST_VALUE:g}, whose sums overflow"


def _is_invalid(values: Any) -> Bools:
    if values.dtype == np.float16:  # which has no number as large as the limit
        return np.asarray(~np.isfinite(values))
    return np.asarray(~((values <= LARGEST_VALUE) & (values >= -LARGEST_VALUE)))
