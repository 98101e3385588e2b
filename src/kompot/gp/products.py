"""Products of features with a chunk of expression, and its column sums, for dense and sparse chunks.

A sparse chunk is multiplied as it is below `DENSE_FROM` stored values per entry and made dense (into a buffer that
is used again) above: a dense product runs on the BLAS threads at some 20 times the rate per entry. Measured with
4,096 cells x 3,000 genes and 60, 120 and 300 features on two cores, the two routes meet at densities of 0.09, 0.07
and 0.07 (`benchmarks/suite/products.py`).

Products of single-precision chunks are single precision, accurate to about 1e-6 of the largest term; sums over
chunks are the caller's, in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kompot._checks import is_sparse
from kompot._typing import Float64, Floats, Ints, Matrix
from kompot.gp.linalg import product

DENSE_FROM = 0.08
"""Share of stored values from which a sparse chunk is multiplied as a dense one."""

_SUM_ROWS = 256


@dataclass
class ChunkBuffer:
    """Room for one dense chunk, used again from chunk to chunk."""

    _room: Floats = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def dense(self, chunk: Matrix, dtype: np.dtype[Any]) -> Floats:
        """The sparse chunk as a dense array in this buffer, valid until the next call."""
        size = chunk.shape[0] * chunk.shape[1]
        if self._room.size < size or self._room.dtype != dtype:
            self._room = np.empty(size, dtype=dtype)
        dense: Floats = self._room[:size].reshape(chunk.shape)
        chunk.astype(dtype, copy=False).toarray(out=dense)
        return dense


def product_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Precision of products with data of this type: single where that holds every value exactly."""
    exact_in_single = dtype == np.float32 or (dtype.kind in "iub" and dtype.itemsize <= 2) or dtype == np.float16
    return np.dtype(np.float32 if exact_in_single else np.float64)


def is_worth_densifying(chunk: Matrix) -> bool:
    """Whether a sparse chunk holds so many values that the dense product is faster."""
    return bool(chunk.nnz >= DENSE_FROM * chunk.shape[0] * chunk.shape[1])


def feature_product(phi: Float64, chunk: Matrix) -> Floats:
    """`phiᵀ Y` of one chunk.

    Parameters
    ----------
    phi
        Features, n_rows x r.
    chunk
        Expression, n_rows x n_genes, dense or CSR, of floating type.

    Returns
    -------
    Floats
        r x n_genes in the precision of the chunk.
    """
    phi_in_kind = phi.astype(chunk.dtype, copy=False)
    if is_sparse(chunk):
        crossed: Floats = (chunk.T @ np.ascontiguousarray(phi_in_kind)).T
        return crossed
    dense: Floats = chunk
    return product(phi_in_kind.T, dense)


def column_sums(chunk: Matrix) -> tuple[Float64, Float64]:
    """Sums over the rows of a chunk of y and of y², each n_genes, in double precision."""
    if is_sparse(chunk):
        values = chunk.data.astype(np.float64)
        first, second = (_bincount(chunk.indices, weights, chunk.shape[1]) for weights in (values, values * values))
        return first, second
    sums, squares = np.zeros(chunk.shape[1]), np.zeros(chunk.shape[1])
    for start in range(0, len(chunk), _SUM_ROWS):
        # Short blocks keep the rounding of single-precision running sums below 1e-6.
        block = chunk[start : start + _SUM_ROWS]
        sums += block.sum(axis=0)
        squares += np.einsum("ij,ij->j", block, block)
    return sums, squares


def _bincount(columns: Ints, weights: Float64, n_columns: int) -> Float64:
    # Of no entries at all, bincount returns integers.
    return np.bincount(columns, weights=weights, minlength=n_columns).astype(np.float64, copy=False)
