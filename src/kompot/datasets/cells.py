"""Everything that is known about a cell before its counts are drawn: donor, condition, state, size factor.

A handful of numbers per cell, drawn for all cells at once; cells come in random order, so any run of
consecutive cells is a random sample of the data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kompot.datasets.trajectory import States, draw_states, log_abundance_ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kompot.datasets.settings import SimulationSettings


@dataclass(frozen=True)
class Cells:
    """The cells of a simulated data set, without their counts."""

    donor: NDArray[np.int64]
    """Shape (n_cells,), 0 to 2 · n_donors - 1; the first n_donors belong to condition 1."""

    in_condition2: NDArray[np.bool_]
    """Shape (n_cells,)."""

    states: States
    """Where each cell lies on the trajectory."""

    log_abundance_ratio: NDArray[np.float64]
    """Shape (n_cells,): true log p_2/p_1 at the cell's state."""

    size_factor: NDArray[np.float64]
    """Shape (n_cells,): multiplies every mean of the cell; median 1."""

    def __len__(self) -> int:
        return len(self.donor)

    def __getitem__(self, rows: slice) -> Cells:
        return Cells(
            self.donor[rows],
            self.in_condition2[rows],
            self.states[rows],
            self.log_abundance_ratio[rows],
            self.size_factor[rows],
        )


def draw_cells(
    n_cells: int, n_donors: int, settings: SimulationSettings, rng: np.random.Generator, *, null: bool
) -> Cells:
    """Draw the cells of both conditions.

    With `null` the conditions visit all states equally often; donors still differ from each other.
    """
    donor = _assign_donors(n_cells, n_donors, settings.fraction_condition2, rng)
    in_condition2 = donor >= n_donors
    slope_of_donor = rng.normal(0.0, settings.donor_log_odds_sd, 2 * n_donors)
    odds_of_donor = rng.normal(0.0, settings.donor_log_odds_sd, 2 * n_donors)
    sign = np.zeros(n_cells) if null else np.where(in_condition2, 1.0, -1.0)
    slope = sign * settings.pseudotime_shift / 2 + slope_of_donor[donor]
    odds = sign * settings.abundance_log_odds + odds_of_donor[donor]
    states = draw_states(slope, odds, rng)
    ratio = np.zeros(n_cells) if null else log_abundance_ratio(states, settings)
    size_factor = np.exp(rng.normal(0.0, settings.size_factor_sd, n_cells))
    return Cells(donor, in_condition2, states, ratio, size_factor)


def condition_sizes(n_cells: int, fraction_condition2: float) -> tuple[int, int]:
    """Return the number of cells of condition 1 and of condition 2."""
    n_second = round(n_cells * fraction_condition2)
    return n_cells - n_second, n_second


def _assign_donors(
    n_cells: int, n_donors: int, fraction_condition2: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal the cells of each condition evenly to its donors, in random order."""
    n_first, n_second = condition_sizes(n_cells, fraction_condition2)
    first = np.arange(n_first) % n_donors
    second = n_donors + np.arange(n_second) % n_donors
    return rng.permutation(np.concatenate([first, second]))
