r"""Cell states on a branching trajectory, and how often each condition visits them.

A state is ``(t, branch, a)``: pseudotime t in [0, 1], a branch that exists from ``BRANCH_POINT`` on, and an
activation level a in [-1, 1] that every condition has alike. Condition c visits the states with density

    p_c(t, b, a) = q_c(t) · P_c(b | t) · 1/2,
    q_c(t)       ∝ exp(±shift/2 · t),            logit P_c(B | t) = ±odds · s(t),

the sign + for condition 2 and − for condition 1; s rises smoothly from 0 at the branching point to 1. The
normaliser of q_c is an even function of the slope around t = 1/2, and σ(x)/σ(−x) = exp(x), so that the log
abundance ratio of the two normalised densities is exact and simple:

    log p_2/p_1 = shift · (t − 1/2) + odds · s(t) · (+1 in B, −1 in A, 0 before the branching point).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kompot.datasets.settings import SimulationSettings

BRANCH_POINT = 0.4
FADE_LENGTH = 0.3
STEM_END = 0.2

BRANCHES = ("trunk", "A", "B")
TRUNK, BRANCH_A, BRANCH_B = range(3)
CELL_TYPES = ("Stem", "Progenitor", "Branch A", "Branch B")


@dataclass(frozen=True)
class States:
    """Where each cell lies on the trajectory."""

    pseudotime: NDArray[np.float64]
    """Shape (n_cells,), in [0, 1]."""

    branch: NDArray[np.int8]
    """Shape (n_cells,), index into `BRANCHES`."""

    activation: NDArray[np.float64]
    """Shape (n_cells,), in [-1, 1]."""

    def __getitem__(self, rows: slice) -> States:
        return States(self.pseudotime[rows], self.branch[rows], self.activation[rows])

    @property
    def branch_sign(self) -> NDArray[np.float64]:
        """+1 in branch B, -1 in branch A, 0 on the trunk."""
        return np.array([0.0, -1.0, 1.0])[self.branch]


def fade_in(pseudotime: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return s(t): 0 up to the branching point, then a smooth rise to 1 over `FADE_LENGTH`."""
    u = np.clip((pseudotime - BRANCH_POINT) / FADE_LENGTH, 0.0, 1.0)
    return np.asarray(u * u * (3.0 - 2.0 * u))


def draw_states(slope: NDArray[np.float64], branch_log_odds: NDArray[np.float64], rng: np.random.Generator) -> States:
    """Draw one state per cell.

    Parameters
    ----------
    slope
        Shape (n_cells,): slope of the log density of pseudotime.
    branch_log_odds
        Shape (n_cells,): log odds of B over A where the branches have separated fully.
    rng
        Source of randomness; the same uniform numbers are used whatever the parameters.
    """
    n_cells = slope.shape[0]
    pseudotime = _tilted_uniform(rng.random((n_cells,)), slope)
    chooses_b = rng.random(n_cells) < expit(branch_log_odds * fade_in(pseudotime))
    branch = np.where(pseudotime < BRANCH_POINT, TRUNK, np.where(chooses_b, BRANCH_B, BRANCH_A))
    return States(pseudotime, branch.astype(np.int8), rng.uniform(-1.0, 1.0, (n_cells,)))


def _tilted_uniform(u: NDArray[np.float64], slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map uniform numbers to the density proportional to exp(slope · t) on [0, 1], by the inverse CDF."""
    flat = np.abs(slope) < 1e-8  # the formula below is 0/0 there
    k = np.where(flat, 1.0, slope)
    return np.where(flat, u, np.log1p(u * np.expm1(k)) / k)


def log_abundance_ratio(states: States, settings: SimulationSettings) -> NDArray[np.float64]:
    """Return log p_2/p_1 at each cell's state, shape (n_cells,), natural logarithm (module docstring)."""
    along_time = settings.pseudotime_shift * (states.pseudotime - 0.5)
    choice = settings.abundance_log_odds * fade_in(states.pseudotime) * states.branch_sign
    return along_time + choice


def cell_type_codes(states: States) -> NDArray[np.int8]:
    """Return each cell's index into `CELL_TYPES`, shape (n_cells,)."""
    on_trunk = np.where(states.pseudotime < STEM_END, 0, 1)
    return np.where(states.branch == TRUNK, on_trunk, states.branch + 1).astype(np.int8)
