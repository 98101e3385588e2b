"""Finite-dimensional features of cell states, linear in the kernel with some landmarks U.

`phi(x) = Wᵀ k(U, x)` with W chosen so that `phi(x)·phi(y) ≈ k(x, y)`; for instance `W = L⁻ᵀ` with `L Lᵀ = k(U, U)`.
Evaluating r features of m landmarks costs O(m (n_dims + r)) per cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from kompot._memory import available_bytes
from kompot._typing import Bools, Float64, Ints
from kompot.gp.kernels import Kernel, is_own
from kompot.gp.linalg import (
    NotPositiveDefiniteError,
    add_to_diagonal,
    column_sums_of_squares,
    product,
    solve_lower_transposed,
    solve_rows,
)

_CHUNK_BYTES = 64_000_000
_ALWAYS_KEPT_BYTES = 128_000_000
_KEPT_SHARE = 0.2
# Share of the variance. Landmarks close to each other amplify rounding; a function that is no covariance goes beyond.
_MISSED_BY_ROUNDING = 0.01


@dataclass(frozen=True)
class Features:
    """The feature map `x -> phi(x)`.

    Examples
    --------
    >>> import numpy as np
    >>> from kompot.gp.kernels import Matern52
    >>> X = np.linspace(0, 1, 5)[:, None]
    >>> phi = features_at(X, Matern52(1.0))
    >>> np.allclose(phi(X) @ phi(X).T, Matern52(1.0)(X, X))
    True
    """

    kernel: Kernel
    """Covariance function."""
    landmarks: Float64
    """Inducing points U, m x n_dims."""
    factor: Float64
    """`L` (m x m, lower triangular: `phi(x) = L⁻¹ k(U, x)`) or `W` (m x r: `phi(x) = Wᵀ k(U, x)`)."""
    triangular: bool = True
    """Whether `factor` is `L`."""

    @property
    def rank(self) -> int:
        """Number of features r."""
        return int(self.factor.shape[1])

    @property
    def n_dims(self) -> int:
        """Dimension of the cell states."""
        return int(self.landmarks.shape[1])

    def __call__(self, X: Float64) -> Float64:
        """Features of the cells: n_cells x n_dims to n_cells x r."""
        if self.triangular:
            return solve_rows(self.factor, self.kernel(self.landmarks, X).T)
        return product(self.kernel(X, self.landmarks), self.factor)

    def rotated(self, V: Float64) -> Features:
        """Features `Vᵀ phi`: r x s for s features of the same landmarks."""
        basis = solve_lower_transposed(self.factor, V) if self.triangular else product(self.factor, V)
        return Features(self.kernel, self.landmarks, basis, triangular=False)

    def residual(self, X: Float64, phi: Float64) -> Float64:
        """Prior variance that the features `phi` of `X` miss: n_cells, never negative."""
        variance = self.kernel.diagonal(X)
        missed = variance - column_sums_of_squares(phi.T)
        if not is_own(self.kernel) and (missed < -_MISSED_BY_ROUNDING * np.abs(variance).max(initial=0.0)).any():
            raise NotPositiveDefiniteError(
                "cov_func is not positive semi-definite: the landmarks explain more variance of a cell than it has, so "
                "it is no covariance. Use a kernel of kompot.gp.kernels, or sums and products of them."
            )
        return np.maximum(missed, 0.0)

    def rows_per_chunk(self) -> int:
        """Cells whose features fit comfortably in memory at once."""
        return max(256, _CHUNK_BYTES // (16 * len(self.landmarks)))


def row_slices(n_rows: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` rows."""
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))


class FeatureTable:
    """Features of a set of cells, computed once and kept where they fit, else computed whenever asked for.

    Several passes over the same cells (moments, variances, layers) read the features from here.

    Parameters
    ----------
    features
        The feature map.
    X
        Cell states, n_cells x n_dims.
    keep_bytes
        Largest table to keep; by default a fifth of the memory available, and 128 MB in any case.
    """

    def __init__(self, features: Features, X: Float64, *, keep_bytes: int | None = None) -> None:
        self.features = features
        self.X = X
        kept = table_bytes(len(X), features.rank) <= (largest_kept_table() if keep_bytes is None else keep_bytes)
        self._table = np.empty((len(X), features.rank)) if kept else None
        self._done = np.zeros(len(X), dtype=np.bool_)

    def fill(self, cells: Ints, phi: Float64) -> None:
        """Keep features of some cells that are known already, if there is room."""
        if self._table is not None:
            self._table[cells] = phi
            self._done[cells] = True

    def rows(self, rows: slice) -> Float64:
        """Features of consecutive cells, n_rows x r; not to be written to."""
        if self._table is None:
            return self.features(self.X[rows])
        missing = rows.start + np.flatnonzero(~self._done[rows])
        if len(missing):
            self.fill(missing, self.features(self.X[missing]))
        return self._table[rows]

    def selected(self, rows: slice, mask: Bools) -> Float64:
        """Features of some of the consecutive cells; where nothing is kept, only these are computed."""
        if mask.all():
            return self.rows(rows)
        return self.features(self.X[rows][mask]) if self._table is None else self.rows(rows)[mask]


def table_bytes(n_cells: int, rank: int) -> int:
    """Size of a table of features."""
    return 8 * n_cells * rank


def largest_kept_table() -> int:
    """Largest table of features that is kept."""
    return max(_ALWAYS_KEPT_BYTES, int(_KEPT_SHARE * available_bytes()))


def features_at(landmarks: Float64, kernel: Kernel, jitter: float = 0.0) -> Features:
    """Features of landmarks used as they are.

    Parameters
    ----------
    landmarks
        Inducing points, m x n_dims; may be redundant.
    kernel
        Covariance function.
    jitter
        Added to the diagonal of `k(U, U)`.

    Returns
    -------
    Features
        m features, or fewer where `k(U, U)` is numerically singular: then along its eigenvectors with
        eigenvalues above rounding.
    """
    K = add_to_diagonal(kernel(landmarks, landmarks), jitter)
    rounding = np.finfo(np.float64).eps * len(K) * float(np.diagonal(K).max())
    factor, info = linalg.lapack.dpotrf(K, lower=1, clean=1)
    if info == 0 and np.diagonal(factor).min() ** 2 > rounding * len(K):
        return Features(kernel, landmarks, factor)
    values, vectors = linalg.eigh(K, check_finite=False)
    if values[0] < -max(1e-5 * values[-1], rounding * len(K)):
        raise NotPositiveDefiniteError(
            f"The kernel matrix of the landmarks has eigenvalues from {values[0]:.2g} to {values[-1]:.2g}, so it is no "
            f"covariance; check cov_func and the landmarks."
        )
    keep = values > rounding * len(K)
    if not keep.any():
        raise ValueError("The kernel matrix of the landmarks is zero; check cov_func and the landmarks.")
    basis: Float64 = vectors[:, keep] / np.sqrt(values[keep])
    return Features(kernel, landmarks, basis, triangular=False)
