"""How many features an analysis will choose, from a few thousand cells and before the analysis itself.

The length scale follows from the nearest neighbours, among all cells, of some of them. The features are chosen as
`kompot.gp.selection` does, among some cells each of which counts for several. Cost O(n log n) for the neighbours and
O(p m²) for m landmarks among p sampled cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kompot._typing import Float64
from kompot.gp.features import features_at
from kompot.gp.kernels import Kernel
from kompot.gp.landmarks import PivotedCholesky
from kompot.gp.length_scale import length_scale
from kompot.gp.neighbors import nearest_of_some
from kompot.gp.parameters import GPParameters
from kompot.gp.pool import Target, chosen_at, chosen_of, gram_of, grow, kept_degrees, truncate_axes

_SAMPLED_CELLS = 4000
_MOST_SAMPLED = 12_000
_CELLS_PER_LANDMARK = 6
_SAMPLED_DISTANCES = 2000
# Of the tolerance; `select_features` leaves the same margin to cells outside its pool.
_MARGIN = 0.8


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

    def estimate() -> float:
        if parameters.nn_distances is not None:
            return length_scale(np.asarray(parameters.nn_distances, dtype=np.float64), parameters.ls_factor)
        rng = np.random.default_rng(parameters.seed)
        sizes = np.array([len(X) for X in groups])
        shares = np.ceil(_SAMPLED_DISTANCES * sizes / sizes.sum()).astype(np.int64)
        some = [rng.permutation(len(X))[:share] for X, share in zip(groups, shares, strict=True)]
        distances = [nearest_of_some(X, rows) for X, rows in zip(groups, some, strict=True)]
        return length_scale(np.concatenate(distances), parameters.ls_factor)

    return parameters.kernel(estimate)


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
    size = min(len(X), _SAMPLED_CELLS)
    while True:
        found = _from_sample(parameters, kernel, X, size)
        # With few cells per landmark too few landmarks are found.
        if size == len(X) or size >= _MOST_SAMPLED or found.n_landmarks < size / _CELLS_PER_LANDMARK:
            return found
        size = min(len(X), 3 * size)


def _from_sample(parameters: GPParameters, kernel: Kernel, X: Float64, size: int) -> ExpectedFeatures:
    rng = np.random.default_rng(parameters.seed)
    n_cells, noise = len(X), parameters.noise
    sampled = X if n_cells == size else X[rng.permutation(n_cells)[:size]]
    weight = n_cells / len(sampled) / noise**2
    margin = 1.0 if n_cells == len(sampled) else _MARGIN
    target = Target(parameters.tolerance, parameters.negligible * n_cells / noise**2) * margin
    limit = min(n_cells, parameters.n_landmarks or n_cells)
    if parameters.stored_landmarks is not None:
        chosen = chosen_at(parameters.stored_landmarks, sampled, kernel, parameters.jitter)
    else:
        pool = PivotedCholesky(kernel, sampled)
        grow(pool, rng, limit, target, weight)
        chosen = chosen_of(pool, parameters.jitter)
    lost = float(chosen.residual.sum()) * weight
    chosen = truncate_axes(chosen, target, weight)
    kept = kept_degrees(gram_of(chosen.phi), weight)
    m = len(chosen.features.landmarks)
    return ExpectedFeatures(m, chosen.features.rank, kept, capped=m >= limit and lost > target.allowed(kept))
