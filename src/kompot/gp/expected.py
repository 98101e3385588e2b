"""How many features an analysis will choose, from a few thousand cells and before the analysis itself.

The length scale follows from the nearest neighbours, among all cells, of some of them. The features are chosen as
`kompot.gp.selection` does, but among fewer cells. Where these would need more landmarks than they can choose well,
fewer are chosen, and their number is extrapolated: the eigenvalues of a Matérn kernel fall by a power law, and so does
the loss with the number of landmarks m. Cells far from all others need a landmark each, so that their number follows
from their share of the sample. Cost O(n log n) for the neighbours and O(p m²) for p sampled cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kompot._typing import Float64
from kompot.gp.features import features_at
from kompot.gp.kernel_check import require_covariance
from kompot.gp.kernels import Kernel
from kompot.gp.landmarks import PivotedCholesky
from kompot.gp.length_scale import given_distances, length_scale
from kompot.gp.linalg import column_sums_of_squares, solve_lower
from kompot.gp.neighbors import nearest_of_some
from kompot.gp.parameters import GPParameters
from kompot.gp.pool import (
    LANDMARK_SHARE,
    Chosen,
    Sample,
    Target,
    chosen_at,
    chosen_of,
    grow,
    n_to_reach,
    truncate_axes,
)
from kompot.gp.selection import MARGIN, drawn_cells, pool_size

_SAMPLED_CELLS = 4000
_MOST_SAMPLED = 12_000
_CELLS_PER_LANDMARK = 4
# By more than this the number of landmarks is not extrapolated while more cells can be sampled.
_FARTHEST = 3.0
_SAMPLED_DISTANCES = 2000
# A landmark is alone where all others miss more than this share of its prior variance; of so many it is looked up how
# many cells are there.
_ALONE = 0.5
_MOST_VISITED = 50


@dataclass(frozen=True)
class ExpectedFeatures:
    """What the choice of features will come to."""

    n_landmarks: int
    """Number of landmarks m."""
    rank: int
    """Number of features r."""
    kept_degrees: float
    """Degrees of freedom of the regression."""
    capped: bool
    """Whether the landmarks allowed will not suffice for the tolerance."""
    n_attempts: int = 1
    """How often features will be chosen and verified: again where cells turn out to be far from all candidates."""


@dataclass(frozen=True)
class _Growth:
    """From numbers in a sample to those among all cells."""

    n_alone_sampled: int = 0
    """Landmarks in the sample that no others represent."""
    n_alone: int = 0
    """Such landmarks among all cells."""
    factor: float = 1.0
    """By how much the number of the others grows."""

    def of(self, number: int) -> int:
        """Landmarks or features among all cells, for so many in the sample."""
        return round(self.factor * (number - self.n_alone_sampled)) + self.n_alone


def expected_kernel(parameters: GPParameters, groups: Sequence[Float64]) -> Kernel:
    """The kernel, with the length scale estimated from some of the cells.

    Parameters
    ----------
    parameters
        Of the regression or density.
    groups
        Cell states of each condition, n_cells x n_dims each.

    Returns
    -------
    Kernel
        As `kompot.gp.prepare.prepare_kernel` gives, but for the sampling error of the length scale (a few per cent).
    """
    given = None if parameters.nn_distances is None else given_distances(parameters.nn_distances, sum(map(len, groups)))

    def estimate() -> float:
        if given is not None:
            return length_scale(given, parameters.ls_factor)
        rng = np.random.default_rng(parameters.seed)
        sizes = np.array([len(X) for X in groups])
        shares = np.ceil(_SAMPLED_DISTANCES * sizes / sizes.sum()).astype(np.int64)
        some = [rng.permutation(len(X))[:share] for X, share in zip(groups, shares, strict=True)]
        distances = [nearest_of_some(X, rows) for X, rows in zip(groups, some, strict=True)]
        return length_scale(np.concatenate(distances), parameters.ls_factor)

    kernel = parameters.kernel(estimate)
    require_covariance(kernel, groups, parameters.kernel_name)
    return kernel


def expected_features(parameters: GPParameters, kernel: Kernel, X: Float64) -> ExpectedFeatures:
    """Number of landmarks and features that cells will need.

    Parameters
    ----------
    parameters
        Of the regression or density.
    kernel
        From `expected_kernel`.
    X
        Cell states of the cells that will be fitted, n_cells x n_dims.

    Returns
    -------
    ExpectedFeatures
        Exact for landmarks that were given; otherwise from a sample.
    """
    given = parameters.landmark_matrix(X.shape[1])
    if given is not None:
        return ExpectedFeatures(len(given), features_at(given, kernel, parameters.jitter).rank, np.nan, capped=False)
    n_cells = len(X)
    limit, size = min(n_cells, parameters.n_landmarks or n_cells), min(n_cells, _SAMPLED_CELLS)
    while True:
        chosen, sample, target, growth = _from_sample(parameters, kernel, X, limit, size)
        if growth.factor <= _FARTHEST or size >= min(n_cells, _MOST_SAMPLED):
            return _expected(chosen, sample, target, limit, growth)
        size = min(n_cells, 3 * size)


def _from_sample(
    parameters: GPParameters, kernel: Kernel, X: Float64, limit: int, size: int
) -> tuple[Chosen, Sample, Target, _Growth]:
    """Landmarks chosen on some cells, what they may lose, and by how much their number must grow."""
    rng = np.random.default_rng(parameters.seed)
    n_cells, noise = len(X), parameters.noise
    places, witnesses = drawn_cells(n_cells, size, rng)
    sample = Sample(X[np.concatenate([places, witnesses])], size, n_cells, noise)
    target = Target(parameters.tolerance, parameters.negligible * n_cells / noise**2)
    target *= MARGIN if pool_size(n_cells) < n_cells else 1.0
    if parameters.stored_landmarks is not None:
        again = chosen_at(parameters.stored_landmarks, sample.X, kernel, parameters.jitter)
        if sample.lost(again.residual) <= target.allowed(sample.degrees(again.phi)):
            return again, sample, target, _Growth()
    most = limit if size == n_cells else min(limit, size // _CELLS_PER_LANDMARK)
    pool, sample = _grown(kernel, sample, rng, most, target)
    chosen, excess = chosen_of(pool, parameters.jitter), _excess(pool, sample, target)
    growth = _Growth(*_isolated(pool, X, len(sample.X)))
    if most == limit or excess <= 1.0:
        return chosen, sample, target, growth
    # The axes that so few landmarks are worth, for a loss in proportion to theirs.
    return chosen, sample, target * excess, replace(growth, factor=_landmarks_missing(pool, sample, excess))


def _grown(
    kernel: Kernel, sample: Sample, rng: np.random.Generator, limit: int, target: Target
) -> tuple[PivotedCholesky, Sample]:
    """Landmarks chosen on a sample; witnesses out of their reach become candidates, as all such cells will."""
    pool = PivotedCholesky(kernel, sample.X, n_candidates=sample.n_pool)
    while not grow(pool, sample, rng, limit, target) and sample.is_out_of_reach(pool.residual):
        n_pool, weight = sample.n_pool, sample.weights[-1]
        worst = n_pool + np.argsort(-pool.residual[n_pool:], kind="stable")
        n_far = max(n_to_reach(pool.residual[worst], target.allowed(pool.rank) / weight), len(worst) // 10 + 1)
        if pool.rank >= limit or 2 * n_far > len(worst):
            break
        order = np.concatenate([np.arange(n_pool), worst])
        sample = replace(sample, X=sample.X[order], n_pool=n_pool + n_far, is_enriched=True)
        pool = PivotedCholesky(kernel, sample.X, pool.pivots, sample.n_pool)
    return pool, sample


def _isolated(pool: PivotedCholesky, X: Float64, n_sampled: int) -> tuple[int, int]:
    """Landmarks of a sample that no others represent, and how many such there will be among all cells.

    A place with c cells is in a sample of s of n cells with probability `1 - (1 - s/n)^c`, so that each of those found
    stands for one over it (Horvitz and Thompson 1952).
    """
    U = pool.X[pool.pivots]
    L = np.tril(pool.features[pool.pivots])
    # The variance of a landmark given all others is one over the diagonal of k(U, U)⁻¹.
    others_miss = 1.0 / column_sums_of_squares(solve_lower(L, np.eye(len(L))))
    found = U[others_miss > _ALONE * pool.kernel.diagonal(U)]
    if not len(found) or n_sampled >= len(X):
        return len(found), len(found)
    some = found[:_MOST_VISITED]
    n_cells = np.sum(pool.kernel(some, X) > _ALONE * pool.kernel.diagonal(some)[:, None], axis=1)
    stand_for = 1.0 / (1.0 - (1.0 - n_sampled / len(X)) ** n_cells)
    return len(found), round(len(found) * float(stand_for.mean()))


def _excess(pool: PivotedCholesky, sample: Sample, target: Target) -> float:
    """The loss of the landmarks over what they may lose."""
    return sample.lost(pool.residual) / (LANDMARK_SHARE * target.allowed(sample.degrees(pool.features)))


def _landmarks_missing(pool: PivotedCholesky, sample: Sample, excess: float) -> float:
    """By how much the number of landmarks must grow until they lose so many times less."""
    lost, half = pool.residual_sums(sample.weights), pool.rank // 2
    exponent = np.log(lost[half] / lost[-1]) / np.log(pool.rank / half)
    # There are no more landmarks than cells, however slowly the loss falls.
    most = np.log(sample.n_cells / pool.rank)
    return float(np.exp(min(most, np.log(excess) / max(exponent, np.finfo(np.float64).tiny))))


def _expected(chosen: Chosen, sample: Sample, target: Target, limit: int, growth: _Growth) -> ExpectedFeatures:
    """What a choice on a sample comes to among all cells."""
    lost = sample.lost(chosen.residual)
    chosen = truncate_axes(chosen, sample, target, is_met=False)
    kept, m = sample.degrees(chosen.phi), growth.of(len(chosen.features.landmarks))
    n_attempts = 1 + (growth.n_alone > 0 and pool_size(sample.n_cells) < sample.n_cells)
    if m > limit:
        return ExpectedFeatures(limit, limit, kept, capped=True, n_attempts=n_attempts)
    capped = m == limit and lost > target.allowed(kept)
    return ExpectedFeatures(m, growth.of(chosen.features.rank), kept, capped=capped, n_attempts=n_attempts)
