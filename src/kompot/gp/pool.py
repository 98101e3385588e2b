"""Features chosen on a pool of cells: landmarks until little enough is lost, then the axes worth keeping.

See `kompot.gp.selection` for the rule; here it is applied to some of the cells, each counting for several. Cost
O(n m (m + n_dims)) time for m landmarks among n cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from kompot._typing import Float64
from kompot.gp.features import Features, features_at
from kompot.gp.kernels import Kernel
from kompot.gp.landmarks import PivotedCholesky
from kompot.gp.linalg import add_to_diagonal, cholesky, column_sums_of_squares, solve_lower

# Share of the loss allowed that the landmarks may take; the rest is for the axes dropped. Less means more landmarks
# and fewer features.
_LANDMARK_SHARE = 0.6


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
class Chosen:
    """Features chosen on a pool of cells."""

    features: Features
    phi: Float64
    """Features of the pool."""
    residual: Float64
    """Prior variance of each cell of the pool that they miss."""


def grow(pool: PivotedCholesky, rng: np.random.Generator, limit: int, target: Target, weight: float) -> None:
    """Add landmarks until their share of the target is met, then drop those at the end that were not needed."""
    target *= _LANDMARK_SHARE
    kept = 0.0
    while pool.rank < limit and not pool.exhausted:
        pool.extend(rng, limit - pool.rank)
        lost = float(pool.residual.sum()) * weight
        # Kept degrees are at most the rank, and only rise with it: counting them (O(n r²)) waits until it can matter,
        # and once is enough.
        if lost > target.allowed(pool.rank):
            continue
        kept = kept or kept_degrees(gram_of(pool.features), weight)
        if lost <= target.allowed(kept):
            # Dropping features loses at most as many degrees as their residual variance counts.
            lost_at = pool.residual_sums() * weight
            enough = np.maximum(target.share * (kept - lost_at), target.floor)
            pool.truncate(int(np.argmax(lost_at <= enough)))
            return


def chosen_of(pool: PivotedCholesky, jitter: float) -> Chosen:
    """Features along the landmarks of the pool."""
    landmarks = pool.X[pool.pivots]
    if jitter:
        return chosen_at(landmarks, pool.X, pool.kernel, jitter)
    features = Features(pool.kernel, landmarks, np.tril(pool.features[pool.pivots]))
    return Chosen(features, pool.features, pool.residual)


def chosen_at(landmarks: Float64, X: Float64, kernel: Kernel, jitter: float) -> Chosen:
    """Features along given landmarks."""
    features = features_at(landmarks, kernel, jitter)
    phi = features(X)
    return Chosen(features, phi, features.residual(X, phi))


def truncate_axes(chosen: Chosen, target: Target, weight: float) -> Chosen:
    """Turn the features to their principal axes over the pool, and drop the least ones until the target is reached."""
    degrees, axes = linalg.eigh(weight * gram_of(chosen.phi), check_finite=False)
    degrees = np.maximum(degrees, 0.0)
    # After dropping 0, 1, 2, ... axes: what is lost, and what is kept.
    lost = weight * chosen.residual.sum() + np.append(0.0, np.cumsum(degrees))
    kept = np.append(np.cumsum((degrees / (1.0 + degrees))[::-1])[::-1], 0.0)
    within = lost <= np.maximum(target.share * kept, target.floor)
    dropped = min(int(np.flatnonzero(within).max(initial=0)), len(degrees) - 1)
    V = axes[:, dropped:]
    phi = chosen.phi @ V
    missed = column_sums_of_squares(chosen.phi.T) - column_sums_of_squares(phi.T)
    return Chosen(chosen.features.rotated(V), phi, chosen.residual + np.maximum(missed, 0.0))


def gram_of(phi: Float64) -> Float64:
    """`Phiᵀ Phi`, one triangle computed."""
    product: Float64 = phi.T @ phi
    return product


def kept_degrees(gram: Float64, weight: float) -> float:
    """`tr(I - B⁻¹)` with `B = I + weight * gram`, from the factor of B."""
    L = cholesky(
        add_to_diagonal(weight * gram, 1.0),
        "The precision of the coefficients",
        "Increase sigma or check cov_func.",
    )
    return float(len(L) - np.sum(solve_lower(L, np.eye(len(L))) ** 2))
