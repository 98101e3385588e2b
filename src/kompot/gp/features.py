"""Finite-dimensional features of cell states: `phi(x) = L⁻¹ k(U, x)`, so that `phi(x)·phi(y) ≈ k(x, y)`.

`select_features` chooses the landmarks U adaptively and certifies the result: the prior variance that the features
miss, summed over the cells and divided by the noise variance, is the number of degrees of freedom lost::

    lost = sum_i (k(x_i, x_i) - |phi(x_i)|²) / sigma²,     kept = tr(I - B⁻¹),  B = I + Phiᵀ Phi / sigma²,

and landmarks are added until `lost <= tolerance * kept`. Cost O(n r (r + n_dims)) time; n x r memory for at most
`POOL_SIZE` cells, beyond which the landmarks are chosen on a subset and verified on all cells in chunks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from kompot._typing import Bools, Float64, Ints
from kompot.errors import ApproximationWarning, warn
from kompot.gp.kernels import Kernel
from kompot.gp.landmarks import PivotedCholesky, canonical_order
from kompot.gp.linalg import add_to_diagonal, cholesky, column_sums_of_squares, solve_lower, solve_rows

POOL_SIZE = 10_000
"""Largest number of cells among which landmarks are chosen at once."""

TOLERANCE = 3e-4
"""Lost degrees of freedom allowed per degree kept. On seven real and simulated embeddings, distances
then differ from their limit by a median of 1e-5 to 8e-5, a quarter of this number (`benchmarks/tolerance.py`)."""

_CHUNK_BYTES = 64_000_000


@dataclass(frozen=True)
class Approximation:
    """How well the features represent the kernel on the cells they were made for."""

    rank: int
    """Number of features."""
    residual_mean: float
    """Mean over cells of the prior variance that the features miss; the prior variance is of order 1."""
    residual_max: float
    """The same for the worst cell."""
    lost_degrees: float
    """Lost degrees of freedom, summed over all cells."""
    kept_degrees: float
    """Degrees of freedom of the regression on these features."""
    allowed_degrees: float
    """Degrees of freedom that were allowed to be lost."""
    capped: bool
    """Whether the number of landmarks allowed was used up before that aim was met."""

    @property
    def converged(self) -> bool:
        """Whether no more degrees of freedom are lost than allowed."""
        return self.lost_degrees <= self.allowed_degrees


@dataclass(frozen=True)
class Target:
    """How many degrees of freedom may be lost."""

    share: float
    """Share of the degrees kept."""
    floor: float = 0.0
    """Degrees that may be lost in any case."""

    def allowed(self, kept: float) -> float:
        """Degrees that may be lost where so many are kept."""
        return max(self.share * kept, self.floor)

    def __mul__(self, factor: float) -> Target:
        return Target(factor * self.share, factor * self.floor)


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
    """`L` (m x m, lower triangular) or, where `k(U, U)` is singular, a basis `W` (m x r): `phi(x) = Wᵀ k(U, x)`."""
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
        return self.kernel(X, self.landmarks) @ self.factor

    def residual(self, X: Float64, phi: Float64) -> Float64:
        """Prior variance that the features `phi` of `X` miss: n_cells, never negative."""
        return np.maximum(self.kernel.diagonal(X) - column_sums_of_squares(phi.T), 0.0)

    def rows_per_chunk(self) -> int:
        """Cells whose features fit comfortably in memory at once."""
        return max(256, _CHUNK_BYTES // (16 * len(self.landmarks)))


def row_slices(n_rows: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` rows."""
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))


class FeatureTable:
    """Features of a set of cells, computed once and kept where they fit, else computed whenever asked for.

    Several passes over the same cells (moments, variances, layers) read the features from here.
    """

    def __init__(self, features: Features, X: Float64, *, keep_bytes: int = 128_000_000) -> None:
        self.features = features
        self.X = X
        kept = 8 * len(X) * features.rank <= keep_bytes
        self._table = np.empty((len(X), features.rank)) if kept else None
        self._done = np.zeros(len(X), dtype=np.bool_)

    def rows(self, rows: slice) -> Float64:
        """Features of consecutive cells, n_rows x r; not to be written to."""
        if self._table is None:
            return self.features(self.X[rows])
        if not self._done[rows].all():
            self._table[rows] = self.features(self.X[rows])
            self._done[rows] = True
        return self._table[rows]

    def selected(self, rows: slice, mask: Bools) -> Float64:
        """Features of some of the consecutive cells; where nothing is kept, only these are computed."""
        if mask.all():
            return self.rows(rows)
        return self.features(self.X[rows][mask]) if self._table is None else self.rows(rows)[mask]


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
    keep = values > rounding * len(K)
    if not keep.any():
        raise ValueError("The kernel matrix of the landmarks is zero; check cov_func and the landmarks.")
    basis: Float64 = vectors[:, keep] / np.sqrt(values[keep])
    return Features(kernel, landmarks, basis, triangular=False)


def select_features(
    X: Float64,
    kernel: Kernel,
    *,
    used: Bools | None = None,
    sigma: float = 1.0,
    max_rank: int | None = None,
    tolerance: float = TOLERANCE,
    negligible: float = 0.0,
    jitter: float = 0.0,
    seed: int = 0,
) -> tuple[FeatureTable, Approximation]:
    """Choose landmarks among the cells until the features represent the kernel to a certified tolerance.

    Parameters
    ----------
    X
        Cell states, n_cells x n_dims. Their order does not matter.
    kernel
        Covariance function.
    used
        Mask of the cells that matter, n_cells; None for all.
    sigma
        Noise standard deviation, in the units of expression.
    max_rank
        Largest number of landmarks; a warning says when it was reached before the tolerance. None: no limit.
    tolerance
        Lost degrees of freedom allowed per degree kept.
    negligible
        Mean residual variance that is allowed in any case.
    jitter
        Added to the diagonal of `k(U, U)`.
    seed
        Of the random choice.

    Returns
    -------
    tuple[FeatureTable, Approximation]
        The cells with their features, and how well those represent the kernel on the cells that matter.

    Notes
    -----
    With more than `POOL_SIZE` cells the landmarks are chosen among a random subset; the result is checked on all
    cells, and goes on with the worst represented ones among the subset if it fails there.
    """
    rng = np.random.default_rng(seed)
    order = np.arange(len(X)) if used is None else np.flatnonzero(used)
    order = order[canonical_order(X[order])]
    n_cells = len(order)
    limit = min(n_cells, max_rank or n_cells)
    whole = n_cells <= POOL_SIZE
    places = np.arange(n_cells) if whole else np.sort(rng.permutation(n_cells)[:POOL_SIZE])
    pivots = places[:0]
    # Cells on which the landmarks were not chosen are represented a little worse, hence the margin.
    aim = Target(tolerance, negligible * n_cells / sigma**2)
    target = aim if whole and not jitter else aim * 0.8
    while True:
        pool = PivotedCholesky(kernel, X[order[places]], np.searchsorted(places, pivots))
        _grow(pool, rng, limit, target, weight=n_cells / len(places) / sigma**2)
        cells = FeatureTable(_features_of(pool, jitter), X)
        direct = whole and not jitter
        residual, gram = (pool.residual, _gram(pool.features)) if direct else _measure(cells, order)
        approximation = _assess(residual, gram, sigma, aim, capped=pool.rank >= limit)
        if len(places) == n_cells or approximation.converged or pool.rank >= limit:
            break
        pivots = places[pool.pivots]
        worst = np.argsort(-residual, kind="stable")[: POOL_SIZE // 10 + 1]
        if pool.exhausted and np.isin(worst, places).all():
            break  # what is missing is rounding
        places = np.union1d(places, worst)
        # Aim lower by as much as this attempt missed, and a little more.
        target *= 0.9 * approximation.allowed_degrees / approximation.lost_degrees
    _warn_if_capped(approximation, n_cells)
    return cells, approximation


def assess(
    cells: FeatureTable, *, used: Bools | None = None, sigma: float = 1.0, tolerance: float = TOLERANCE
) -> Approximation:
    """How well given features represent the kernel on given cells.

    Parameters
    ----------
    cells
        With features, for example those of landmarks the user chose.
    used
        Mask of the cells that matter, n_cells; None for all.
    sigma
        Noise standard deviation.
    tolerance
        Lost degrees of freedom allowed per degree kept; recorded, not enforced.

    Returns
    -------
    Approximation
        Rank, residuals and degrees of freedom; never `capped`.
    """
    rows = np.arange(len(cells.X)) if used is None else np.flatnonzero(used)
    residual, gram = _measure(cells, rows)
    return _assess(residual, gram, sigma, Target(tolerance), capped=False)


def _grow(pool: PivotedCholesky, rng: np.random.Generator, limit: int, target: Target, weight: float) -> None:
    """Add landmarks until the target is met, then drop those at the end that were not needed."""
    kept = 0.0
    while pool.rank < limit and not pool.exhausted:
        pool.extend(rng, limit - pool.rank)
        lost = float(pool.residual.sum()) * weight
        # Kept degrees are at most the rank, and only rise with it: counting them (O(n r²)) waits until it can matter,
        # and once is enough.
        if lost > target.allowed(pool.rank):
            continue
        kept = kept or _kept_degrees(_gram(pool.features), weight)
        if lost <= target.allowed(kept):
            # Dropping features loses at most as many degrees as their residual variance counts.
            lost_at = pool.residual_sums() * weight
            enough = np.maximum(target.share * (kept - lost_at), target.floor)
            pool.truncate(int(np.argmax(lost_at <= enough)))
            return


def _features_of(pool: PivotedCholesky, jitter: float) -> Features:
    landmarks = pool.X[pool.pivots]
    if jitter:
        return features_at(landmarks, pool.kernel, jitter)
    return Features(pool.kernel, landmarks, np.tril(pool.features[pool.pivots]))


def _gram(phi: Float64) -> Float64:
    """`Phiᵀ Phi`, one triangle computed."""
    product: Float64 = phi.T @ phi
    return product


def _measure(cells: FeatureTable, order: Ints) -> tuple[Float64, Float64]:
    """Residual variance of the cells asked for, in their order, and `Phiᵀ Phi` over them."""
    residual = np.full(len(cells.X), np.nan)
    wanted = np.zeros(len(cells.X), dtype=np.bool_)
    wanted[order] = True
    gram = np.zeros((cells.features.rank, cells.features.rank))
    for rows in row_slices(len(cells.X), cells.features.rows_per_chunk()):
        phi = cells.rows(rows)
        residual[rows] = cells.features.residual(cells.X[rows], phi)
        gram += _gram(phi if wanted[rows].all() else phi[wanted[rows]])
    return residual[order], gram


def _kept_degrees(gram: Float64, weight: float) -> float:
    """`tr(I - B⁻¹)` with `B = I + weight * gram`, from the factor of B."""
    L = cholesky(
        add_to_diagonal(weight * gram, 1.0),
        "The precision of the coefficients",
        "Increase sigma or check cov_func.",
    )
    return float(len(L) - np.sum(solve_lower(L, np.eye(len(L))) ** 2))


def _assess(residual: Float64, gram: Float64, sigma: float, target: Target, *, capped: bool) -> Approximation:
    lost = float(residual.sum()) / sigma**2
    kept = _kept_degrees(gram, 1.0 / sigma**2)
    return Approximation(
        rank=len(gram),
        residual_mean=float(residual.mean()),
        residual_max=float(residual.max()),
        lost_degrees=lost,
        kept_degrees=kept,
        allowed_degrees=target.allowed(kept),
        capped=capped and lost > target.allowed(kept),
    )


def _warn_if_capped(approximation: Approximation, n_cells: int) -> None:
    if not approximation.capped or approximation.rank >= n_cells:
        return
    warn(
        f"The {approximation.rank} landmarks allowed leave out {approximation.lost_degrees:.2g} of "
        f"{approximation.kept_degrees:.0f} degrees of freedom (mean residual variance "
        f"{approximation.residual_mean:.1e}, aim {approximation.allowed_degrees:.1g} degrees). Distances may be off by "
        f"more than 1e-3: raise n_landmarks, or ls_factor for a smoother function.",
        ApproximationWarning,
    )
