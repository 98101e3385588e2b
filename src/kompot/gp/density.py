"""Maximum a posteriori log density of cell states from nearest-neighbour distances.

The nearest-neighbour likelihood of Mellon (Otto et al. 2024, *Nature Methods* 21, 1185). For cell i, at distance `r_i`
from its nearest other cell in a cloud of intrinsic dimension d, the ball of radius r_i has log volume::

    V_i = d log r_i + (d/2) log(pi) - log Gamma(d/2 + 1)

and holds a Poisson number of cells with mean `exp(f_i + V_i)`, f the log density. With `f_i = mu + phi(x_i)·z` and
prior `z ~ N(0, I)` the negative log posterior is, up to a constant::

    J(z) = sum_i [exp(f_i + V_i) - f_i] + |z|²/2
    gradient  Phiᵀ (exp(f + V) - 1) + z
    Hessian   H = I + Phiᵀ diag(exp(f + V)) Phi

J is convex, so Newton's method with a line search finds its one minimum; `H⁻¹` there is the Laplace approximation of
the posterior covariance. Cost per step O(n r²) time; the cells are read in chunks. With many cells the search starts
from the minimum for a part of them, each counted several times, so that two or three steps over all cells remain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from kompot._typing import Bools, Float64
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.linalg import cholesky, gram, product, solve_positive
from kompot.gp.regression import Posterior

_GRADIENT_TOLERANCE = 1e-8
_MOST_STEPS = 200
_SUFFICIENT_DECREASE = 1e-4
_SHORTEST_STEP = 1e-10
# exp(f + V) beyond this is not a density but a step too far; the line search then shortens it.
_LARGEST_EXPONENT = 500.0
# With more than four times as many cells, the search starts from the minimum for about so many of them.
_CELLS_AT_START = 10_000


@dataclass(frozen=True)
class DensityFit:
    """Result of the optimisation."""

    posterior: Posterior
    """Posterior of the coefficients: their mode, and the factor of H in the place of the precision."""
    n_steps: int
    """Newton steps taken."""
    gradient: float
    """Largest absolute component of the gradient at the end, in cells."""


def log_ball_volume(radius: Float64, d: float) -> Float64:
    """Log volume of d-dimensional balls.

    Parameters
    ----------
    radius
        n, positive.
    d
        Dimension, not necessarily an integer.

    Returns
    -------
    Float64
        n: `d log(radius) + (d/2) log(pi) - log Gamma(d/2 + 1)`.

    Examples
    --------
    >>> import numpy as np
    >>> np.exp(log_ball_volume(np.array([2.0]), 1))  # an interval of length 4
    array([4.])
    """
    unit_ball = 0.5 * d * np.log(np.pi) - float(gammaln(0.5 * d + 1.0))
    return np.asarray(d * np.log(radius) + unit_ball)


@dataclass(frozen=True)
class _State:
    """J and its derivatives at one point."""

    value: float
    gradient: Float64
    hessian: Float64


@dataclass(frozen=True)
class _Objective:
    """J over the cells of one group."""

    cells: FeatureTable
    used: Bools
    V: Float64
    mu: float
    weight: float = 1.0
    """How often each cell counts."""

    def thinned(self) -> _Objective | None:
        """J over every k-th cell, counted k times, where there are enough cells for that to be a good start."""
        keep_every = len(self.V) // max(_CELLS_AT_START, 20 * self.cells.features.rank)
        if keep_every < 4:
            return None
        part = np.zeros_like(self.used)
        part[np.flatnonzero(self.used)[::keep_every]] = True
        V = self.V[::keep_every]
        return _Objective(self.cells, part, V, self.mu, len(self.V) / len(V))

    @property
    def tolerance(self) -> float:
        """Largest component of the gradient that counts as zero."""
        return _GRADIENT_TOLERANCE * self.weight * len(self.V)

    def chunks(self) -> Iterator[tuple[Float64, Float64]]:
        """Features and log volumes of the cells used, chunk by chunk."""
        start = 0
        for rows in row_slices(len(self.used), self.cells.features.rows_per_chunk()):
            phi = self.cells.selected(rows, self.used[rows])
            yield phi, self.V[start : start + len(phi)]
            start += len(phi)

    def at(self, z: Float64) -> _State:
        """J, gradient and Hessian at z in one pass; J alone, infinite, where the step went too far."""
        value, gradient, hessian = 0.5 * float(z @ z), z.copy(), np.eye(len(z))
        for phi, V in self.chunks():
            exponents = product(phi, z) + self.mu + V
            if exponents.max(initial=-np.inf) > _LARGEST_EXPONENT:
                return _State(float("inf"), gradient, hessian)
            expected = np.exp(exponents)
            value += self.weight * float(np.sum(expected - exponents))
            gradient += self.weight * product(phi.T, expected - 1.0)
            weighted = phi * np.sqrt(self.weight * expected)[:, None]
            hessian += gram(weighted)
        return _State(value, gradient, hessian)

    def ridge_start(self) -> Float64:
        """Coefficients of the least-squares fit of the naive log density `-V`."""
        rank = self.cells.features.rank
        precision, cross = np.eye(rank), np.zeros(rank)
        for phi, V in self.chunks():
            precision += self.weight * gram(phi)
            cross -= self.weight * product(phi.T, V + self.mu)
        return solve_positive(_factor(precision), cross[:, None])[:, 0]


def _factor(hessian: Float64) -> Float64:
    return cholesky(
        hessian, "The Hessian of the log density", "Check nn_distances, d and mu for extreme values, and cov_func."
    )


def fit_density(cells: FeatureTable, used: Bools, nn_distances: Float64, *, d: float, mu: float) -> DensityFit:
    """Log density of a group of cells.

    Parameters
    ----------
    cells
        Features of all cells.
    used
        Mask of the group, n_cells.
    nn_distances
        Distance of each cell of the group to its nearest other cell of the group, positive.
    d
        Intrinsic dimension.
    mu
        Prior mean of the log density.

    Returns
    -------
    DensityFit
        At the minimum of J.

    Raises
    ------
    ValueError
        If the optimisation does not converge.
    """
    objective = _Objective(cells, used, log_ball_volume(nn_distances, d), mu)
    thinned = objective.thinned()
    start = (
        objective.ridge_start() if thinned is None else _minimum(thinned, thinned.ridge_start()).posterior.coef[:, 0]
    )
    return _minimum(objective, start)


def _minimum(objective: _Objective, z: Float64) -> DensityFit:
    """Newton's method from z."""
    state = objective.at(z)
    if not np.isfinite(state.value):
        z = np.zeros_like(z)
        state = objective.at(z)
    for step in range(_MOST_STEPS):
        factor = _factor(state.hessian)
        largest = float(np.abs(state.gradient).max())
        if largest <= objective.tolerance:
            return DensityFit(Posterior(z[:, None], factor, 1.0, objective.mu), step, largest)
        moved = _line_search(objective, z, state, -solve_positive(factor, state.gradient[:, None])[:, 0])
        if moved is None:
            break
        z, state = moved
    raise ValueError(
        f"The log density did not converge: the largest gradient is {np.abs(state.gradient).max():.2e} of "
        f"{objective.used.sum()} cells, needed {objective.tolerance:.2e}. Check the embedding for extreme outliers, or "
        f"raise ls_factor."
    )


def _line_search(objective: _Objective, z: Float64, state: _State, direction: Float64) -> tuple[Float64, _State] | None:
    """The longest of the steps 1, 1/2, 1/4, ... that lowers J enough (Armijo); None if there is none.

    The derivatives come with each trial, because the first one is nearly always taken.
    """
    slope = float(state.gradient @ direction)
    # J is a sum over cells: differences below its rounding cannot be told from 0 and count as a decrease.
    rounding = 1e-13 * max(1.0, abs(state.value))
    length = 1.0
    while length > _SHORTEST_STEP:
        candidate = z + length * direction
        new = objective.at(candidate)
        if new.value <= state.value + _SUFFICIENT_DECREASE * length * slope + rounding:
            return candidate, new
        length *= 0.5
    return None
