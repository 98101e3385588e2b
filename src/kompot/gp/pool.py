"""Features chosen on a sample of the cells: landmarks until little enough is lost, then the axes worth keeping.

See `kompot.gp.selection` for the rule; here it is applied to some of the cells that stand for all: a pool, among which
the landmarks are, and witnesses, which show how much worse the features represent cells that were no candidates.
Without these both choices would look better than they are, the more so the more features a pool needs. Cost
O(p m (m + n_dims)) time for m landmarks and p cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from kompot._typing import Float64
from kompot.gp.features import Features, features_at
from kompot.gp.kernels import Kernel
from kompot.gp.landmarks import PivotedCholesky
from kompot.gp.linalg import add_to_diagonal, cholesky, column_sums_of_squares, gram, product, solve_lower

LANDMARK_SHARE = 0.6
"""Share of the loss allowed that the landmarks may take; the rest is for the axes dropped. Less means more landmarks
and fewer features."""

OUT_OF_REACH = 0.1
"""No landmarks are added once the candidates, counted for all cells, lose less than this share of the whole: the rest
is lost by cells far from every candidate, on which further landmarks among the candidates have no effect."""


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
class Sample:
    """Cells that features are chosen on."""

    X: Float64
    """Cell states, p x n_dims: the pool first, then the witnesses."""
    n_pool: int
    """How many are in the pool."""
    n_cells: int
    """Number of cells that they stand for."""
    sigma: float
    """Noise standard deviation."""
    is_enriched: bool = False
    """Whether the pool holds the worst represented cells besides those drawn at random."""

    @property
    def weights(self) -> Float64:
        """What the residual variance of each of the cells counts in the degrees of freedom lost: p."""
        n_witnesses = len(self.X) - self.n_pool
        counts = np.ones(len(self.X))
        if n_witnesses:
            counts[self.n_pool :] = (self.n_cells - self.n_pool) / n_witnesses
        else:
            counts *= self.n_cells / self.n_pool
        return counts / self.sigma**2

    @property
    def gram_weight(self) -> float:
        """What a cell of the pool counts in `Phiᵀ Phi / sigma²`."""
        return self.n_cells / self.n_pool / self.sigma**2

    def lost(self, residual: Float64) -> float:
        """Degrees of freedom lost by all cells: residual variances of the sample, p."""
        return float(np.sum(self.weights * residual))

    def is_out_of_reach(self, residual: Float64) -> bool:
        """Whether nearly all that is lost is lost by cells that are no candidates."""
        of_candidates = self.n_cells * float(residual[: self.n_pool].mean()) / self.sigma**2
        return of_candidates < OUT_OF_REACH * self.lost(residual)

    def degrees(self, phi: Float64) -> float:
        """Degrees of freedom of a regression of all cells on features: p x r, of the sample."""
        if self.is_enriched:
            # The pool does not stand for the others then.
            return kept_degrees(gram(phi * np.sqrt(self.weights)[:, None]), 1.0)
        return kept_degrees(gram(phi[: self.n_pool]), self.gram_weight)


@dataclass(frozen=True)
class Chosen:
    """Features chosen on a sample of cells."""

    features: Features
    phi: Float64
    """Features of the sample, p x r."""
    residual: Float64
    """Prior variance of each cell of the sample that they miss, p."""


def grow(pool: PivotedCholesky, sample: Sample, rng: np.random.Generator, limit: int, target: Target) -> bool:
    """Add landmarks until their share of the target is met, then drop those at the end that were not needed.

    Parameters
    ----------
    pool
        Gets the landmarks.
    sample
        Whose first cells are the candidates of the pool.
    rng
        Of the random choice.
    limit
        Largest number of landmarks.
    target
        How many degrees of freedom landmarks and axes together may lose.

    Returns
    -------
    bool
        Whether the share was met; not so where the landmarks allowed are used up, or what is lost is out of reach of
        all candidates.
    """
    target *= LANDMARK_SHARE
    weights, kept = sample.weights, 0.0
    while pool.rank < limit and not pool.exhausted:
        pool.extend(rng, limit - pool.rank)
        lost = sample.lost(pool.residual)
        # Kept degrees are at most the rank, and only rise with it: counting them (O(p r²)) waits until it can matter,
        # and once is enough.
        if lost <= target.allowed(pool.rank):
            kept = kept or sample.degrees(pool.features)
            if lost <= target.allowed(kept):
                # Dropping features loses at most as many degrees as their residual variance counts.
                lost_at = pool.residual_sums(weights)
                enough = np.maximum(target.share * (kept - lost_at), target.floor)
                pool.truncate(int(np.argmax(lost_at <= enough)))
                return True
        if sample.is_out_of_reach(pool.residual):
            return False
    return False


def n_to_reach(residual: Float64, allowed: float) -> int:
    """How many of the worst represented cells must become candidates until the others lose little.

    Parameters
    ----------
    residual
        Residual variances of cells that are no candidates, falling.
    allowed
        Sum of them that may be lost.

    Returns
    -------
    int
        Where far more than that is lost, so many that a tenth of it remains.
    """
    left = np.cumsum(residual[::-1])[::-1]
    return int(np.count_nonzero(left > max(allowed, OUT_OF_REACH * left[0])))


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


def truncate_axes(chosen: Chosen, sample: Sample, target: Target, *, is_met: bool) -> Chosen:
    """Turn the features to their principal axes over the pool, and drop the least ones until the target is reached.

    Where the share of the landmarks was not met and they alone lose more than the target, the axes dropped lose their
    share of it all the same: keeping them would not bring back what no landmark represents.
    """
    n_pool, weights = sample.n_pool, sample.weights
    degrees, axes = linalg.eigh(sample.gram_weight * gram(chosen.phi[:n_pool]), check_finite=False)
    degrees = np.maximum(degrees, 0.0)
    # An axis holds less of the pool that it was chosen for than of other cells.
    energy = degrees / sample.gram_weight * weights[0]
    if len(chosen.phi) > n_pool:
        energy += column_sums_of_squares(product(chosen.phi[n_pool:], axes)) * weights[-1]
    # After dropping 0, 1, 2, ... axes: what they lose, what is kept, and what may be lost.
    lost = np.append(0.0, np.cumsum(energy))
    kept = np.append(np.cumsum((degrees / (1.0 + degrees))[::-1])[::-1], 0.0)
    if sample.is_enriched:
        kept *= sample.degrees(chosen.phi) / kept[0]
    allowed = np.maximum(target.share * kept, target.floor)
    before = sample.lost(chosen.residual)
    in_vain = not is_met and before > allowed[0]
    within = lost <= ((1.0 - LANDMARK_SHARE) * allowed if in_vain else allowed - before)
    dropped = min(int(np.flatnonzero(within).max(initial=0)), len(degrees) - 1)
    V = axes[:, dropped:]
    phi = product(chosen.phi, V)
    missed = column_sums_of_squares(chosen.phi.T) - column_sums_of_squares(phi.T)
    return Chosen(chosen.features.rotated(V), phi, chosen.residual + np.maximum(missed, 0.0))


def kept_degrees(G: Float64, weight: float) -> float:
    """`tr(I - B⁻¹)` with `B = I + weight G`, from the factor of B."""
    L = cholesky(
        add_to_diagonal(weight * G, 1.0),
        "The precision of the coefficients",
        "Increase sigma or check cov_func.",
    )
    return float(len(L) - np.sum(solve_lower(L, np.eye(len(L))) ** 2))
