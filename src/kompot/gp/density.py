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
the posterior covariance. Cost per step O(n r²) time; the cells are read in chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from kompot._typing import Bools, Float64
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.linalg import cholesky, solve_positive
from kompot.gp.regression import Posterior

_GRADIENT_TOLERANCE = 1e-8
_MOST_STEPS = 200
_SUFFICIENT_DECREASE = 1e-4
_SHORTEST_STEP = 1e-10
# exp(f + V) beyond this is not a density but a step too far; the line search then shortens it.
_LARGEST_EXPONENT = 500.0


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
class _Objective:
    """J, its gradient and Hessian over the cells of one group."""

    cells: FeatureTable
    used: Bools
    V: Float64
    mu: float

    def chunks(self) -> list[slice]:
        return list(row_slices(len(self.used), self.cells.features.rows_per_chunk()))

    def phi(self, rows: slice) -> Float64:
        phi, used = self.cells.rows(rows), self.used[rows]
        return phi if used.all() else phi[used]

    def exponents(self, z: Float64) -> Float64:
        """`f + V` at the cells used."""
        f = np.concatenate([self.phi(rows) @ z for rows in self.chunks()])
        return f + self.mu + self.V

    def value(self, z: Float64) -> float:
        exponents = self.exponents(z)
        if exponents.max() > _LARGEST_EXPONENT:
            return float("inf")
        return float(np.sum(np.exp(exponents) - exponents) + 0.5 * z @ z)

    def derivatives(self, z: Float64) -> tuple[Float64, Float64]:
        gradient, hessian = z.copy(), np.eye(len(z))
        offset = np.cumsum([0, *[int(self.used[rows].sum()) for rows in self.chunks()]])
        for rows, start, stop in zip(self.chunks(), offset, offset[1:], strict=False):
            phi = self.phi(rows)
            expected = np.exp(phi @ z + self.mu + self.V[start:stop])
            gradient += phi.T @ (expected - 1.0)
            weighted = phi * np.sqrt(expected)[:, None]
            hessian += weighted.T @ weighted
        return gradient, hessian

    def ridge_start(self) -> Float64:
        """Coefficients of the least-squares fit of the naive log density `-V`."""
        gram, cross = np.eye(self.cells.features.rank), np.zeros(self.cells.features.rank)
        start = 0
        for rows in self.chunks():
            phi = self.phi(rows)
            gram += phi.T @ phi
            cross -= phi.T @ (self.V[start : start + len(phi)] + self.mu)
            start += len(phi)
        return solve_positive(_factor(gram), cross)


def _factor(hessian: Float64) -> Float64:
    return cholesky(hessian, "The Hessian of the log density", "Check nn_distances, d and mu for extreme values.")


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
    z = objective.ridge_start()
    value = objective.value(z)
    if not np.isfinite(value):
        z = np.zeros_like(z)
        value = objective.value(z)
    tolerance = _GRADIENT_TOLERANCE * len(nn_distances)
    for step in range(_MOST_STEPS):
        gradient, hessian = objective.derivatives(z)
        factor = _factor(hessian)
        largest = float(np.abs(gradient).max())
        if largest <= tolerance:
            return DensityFit(Posterior(z[:, None], factor, 1.0, mu), step, largest)
        z, value, moved = _line_search(objective, z, value, gradient, -solve_positive(factor, gradient[:, None])[:, 0])
        if not moved:
            break
    raise ValueError(
        f"The log density did not converge: the largest gradient is {largest:.2e} of {len(nn_distances)} cells, needed "
        f"{tolerance:.2e}. Check the embedding for extreme outliers, or raise ls_factor."
    )


def _line_search(
    objective: _Objective, z: Float64, value: float, gradient: Float64, direction: Float64
) -> tuple[Float64, float, bool]:
    """The longest of the steps 1, 1/2, 1/4, ... that lowers J enough (Armijo), and whether there is one."""
    slope = float(gradient @ direction)
    # J is a sum over cells: differences below its rounding cannot be told from 0 and count as a decrease.
    rounding = 1e-13 * max(1.0, abs(value))
    length = 1.0
    while length > _SHORTEST_STEP:
        candidate = z + length * direction
        new = objective.value(candidate)
        if new <= value + _SUFFICIENT_DECREASE * length * slope + rounding:
            return candidate, new, True
        length *= 0.5
    return z, value, False
