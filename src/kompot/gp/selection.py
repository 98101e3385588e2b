"""Choice of the features: how many landmarks, which, and how many directions of their span.

`select_features` chooses landmarks U adaptively and certifies the result: the prior variance that the features
miss, summed over the cells and divided by the noise variance, is the number of degrees of freedom lost::

    lost = sum_i (k(x_i, x_i) - |phi(x_i)|²) / sigma²,     kept = tr(I - B⁻¹),  B = I + Phiᵀ Phi / sigma².

Landmarks are added until a part of `tolerance * kept` is lost. Then the features are turned to the principal axes of
`Phiᵀ Phi`, and the axes with the least variance dropped until no more may be lost: a landmark is a point, an axis is
the best there is. Cost O(n m (m + n_dims)) time for m landmarks among at most `POOL_SIZE` cells or a tenth of them;
beyond, the features are chosen on a random subset and verified on all cells in chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from kompot._typing import Bools, Float64, Ints
from kompot.errors import ApproximationWarning, warn
from kompot.gp.features import Features, FeatureTable, features_at, row_slices
from kompot.gp.kernels import Kernel
from kompot.gp.landmarks import PivotedCholesky, canonical_order
from kompot.gp.linalg import add_to_diagonal, cholesky, column_sums_of_squares, solve_lower

POOL_SIZE = 10_000
"""Number of cells up to which all are candidates for landmarks."""

LARGEST_POOL = 25_000
"""Largest number of candidates."""

TOLERANCE = 3e-4
"""Lost degrees of freedom allowed per degree kept. On seven real and simulated embeddings, distances
then differ from their limit by a median of 1e-5 to 8e-5, a quarter of this number (`benchmarks/tolerance.py`)."""

# Share of the loss allowed that the landmarks may take; the rest is for the axes dropped. Less means more landmarks
# and fewer features.
_LANDMARK_SHARE = 0.6


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
class _Chosen:
    """Features chosen on a pool of cells."""

    features: Features
    phi: Float64
    """Features of the pool."""
    residual: Float64
    """Prior variance of each cell of the pool that they miss."""


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
    stored: Float64 | None = None,
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
    stored
        Landmarks of an earlier analysis, m x n_dims, taken where they meet the tolerance for these cells and kernel.

    Returns
    -------
    tuple[FeatureTable, Approximation]
        The cells with their features, and how well those represent the kernel on the cells that matter.

    Notes
    -----
    With more than `POOL_SIZE` cells the features are chosen on a random subset; the result is checked on all cells,
    and goes on with the worst represented ones among the subset if it fails there.
    """
    rng = np.random.default_rng(seed)
    order = np.arange(len(X)) if used is None else np.flatnonzero(used)
    order = order[canonical_order(X[order])]
    n_cells = len(order)
    limit = min(n_cells, max_rank or n_cells)
    size = min(n_cells, max(POOL_SIZE, min(n_cells // 10, LARGEST_POOL)))
    places = np.arange(n_cells) if size == n_cells else np.sort(rng.permutation(n_cells)[:size])
    pivots = places[:0]
    aim = Target(tolerance, negligible * n_cells / sigma**2)
    # Cells on which the features were not chosen are represented a little worse, hence the margin.
    target = aim if size == n_cells else aim * 0.8
    if stored is not None:
        again = _chosen_at(stored, X[order[places]], kernel, jitter)
        cells, approximation = _verified(again, X, order, places, target, sigma, aim)
        if approximation.converged:
            return cells, approximation
    while True:
        pool = PivotedCholesky(kernel, X[order[places]], np.searchsorted(places, pivots))
        _grow(pool, rng, limit, target * _LANDMARK_SHARE, weight=n_cells / len(places) / sigma**2)
        chosen = _chosen_of(pool, jitter)
        cells, approximation = _verified(chosen, X, order, places, target, sigma, aim, capped=pool.rank >= limit)
        if len(places) == n_cells or approximation.converged or pool.rank >= limit:
            break
        pivots = places[pool.pivots]
        worst = np.argsort(-_measure(cells, order)[0], kind="stable")[: size // 10 + 1]
        if pool.exhausted and np.isin(worst, places).all():
            break  # what is missing is rounding
        places = np.union1d(places, worst)
        # Aim lower by as much as this attempt missed, and a little more.
        target *= 0.9 * approximation.allowed_degrees / approximation.lost_degrees
    _warn_if_capped(approximation, n_cells)
    return cells, approximation


def assess(
    cells: FeatureTable,
    *,
    used: Bools | None = None,
    sigma: float = 1.0,
    tolerance: float = TOLERANCE,
    negligible: float = 0.0,
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
    negligible
        Mean residual variance that is allowed in any case.

    Returns
    -------
    Approximation
        Rank, residuals and degrees of freedom; never `capped`.
    """
    rows = np.arange(len(cells.X)) if used is None else np.flatnonzero(used)
    residual, gram = _measure(cells, rows)
    return _assess(residual, gram, sigma, Target(tolerance, negligible * len(rows) / sigma**2), capped=False)


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


def _verified(
    chosen: _Chosen,
    X: Float64,
    order: Ints,
    places: Ints,
    target: Target,
    sigma: float,
    aim: Target,
    *,
    capped: bool = False,
) -> tuple[FeatureTable, Approximation]:
    """Truncate features chosen on a pool (`order[places]`), and look how well they represent all cells that matter."""
    chosen = _truncate(chosen, target, len(order) / len(places) / sigma**2)
    cells = FeatureTable(chosen.features, X)
    cells.fill(order[places], chosen.phi)
    residual, gram = _measure(cells, order)
    return cells, _assess(residual, gram, sigma, aim, capped=capped)


def _chosen_of(pool: PivotedCholesky, jitter: float) -> _Chosen:
    """Features along the landmarks of the pool."""
    landmarks = pool.X[pool.pivots]
    if jitter:
        return _chosen_at(landmarks, pool.X, pool.kernel, jitter)
    features = Features(pool.kernel, landmarks, np.tril(pool.features[pool.pivots]))
    return _Chosen(features, pool.features, pool.residual)


def _chosen_at(landmarks: Float64, X: Float64, kernel: Kernel, jitter: float) -> _Chosen:
    """Features along given landmarks."""
    features = features_at(landmarks, kernel, jitter)
    phi = features(X)
    return _Chosen(features, phi, features.residual(X, phi))


def _truncate(chosen: _Chosen, target: Target, weight: float) -> _Chosen:
    """Turn the features to their principal axes over the pool, and drop the least ones until the target is reached."""
    degrees, axes = linalg.eigh(weight * _gram(chosen.phi), check_finite=False)
    degrees = np.maximum(degrees, 0.0)
    # After dropping 0, 1, 2, ... axes: what is lost, and what is kept.
    lost = weight * chosen.residual.sum() + np.append(0.0, np.cumsum(degrees))
    kept = np.append(np.cumsum((degrees / (1.0 + degrees))[::-1])[::-1], 0.0)
    within = lost <= np.maximum(target.share * kept, target.floor)
    dropped = min(int(np.flatnonzero(within).max(initial=0)), len(degrees) - 1)
    V = axes[:, dropped:]
    phi = chosen.phi @ V
    missed = column_sums_of_squares(chosen.phi.T) - column_sums_of_squares(phi.T)
    return _Chosen(chosen.features.rotated(V), phi, chosen.residual + np.maximum(missed, 0.0))


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
