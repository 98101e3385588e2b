from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest

from kompot.datasets.cells import condition_sizes, draw_cells
from kompot.datasets.settings import SimulationSettings
from kompot.datasets.trajectory import (
    BRANCH_A,
    BRANCH_B,
    BRANCH_POINT,
    TRUNK,
    States,
    cell_type_codes,
    draw_states,
    fade_in,
    log_abundance_ratio,
)

NO_JITTER = SimulationSettings(donor_log_odds_sd=0.0)


@given(st.floats(0, 1), st.floats(0, 1))
def test_branches_fade_in_monotonically_from_zero_to_one(first: float, second: float) -> None:
    low, high = fade_in(np.sort([first, second]))
    assert 0 <= low <= high <= 1
    np.testing.assert_array_equal(fade_in(np.array([0.0, BRANCH_POINT, 1.0])), [0, 0, 1])


@pytest.mark.parametrize("slope", [0.0, 1.5, -4.0])
def test_pseudotime_has_the_tilted_density(slope: float) -> None:
    n = 5000
    states = draw_states(np.full(n, slope), np.zeros(n), np.random.default_rng(0))
    norm = quad(lambda t: np.exp(slope * t), 0, 1)[0]

    def cdf(values: np.ndarray) -> np.ndarray:
        return np.array([quad(lambda t: np.exp(slope * t) / norm, 0, v)[0] for v in values])

    assert kstest(states.pseudotime[:500], cdf).pvalue > 0.01


def test_log_ratio_equals_that_of_normalised_densities() -> None:
    shift, odds = NO_JITTER.pseudotime_shift, NO_JITTER.abundance_log_odds
    t = np.array([0.1, 0.45, 0.6, 0.95])
    branch = np.array([TRUNK, BRANCH_A, BRANCH_B, BRANCH_B], dtype=np.int8)

    def density(sign: float) -> np.ndarray:
        norm = quad(lambda x: np.exp(sign * shift / 2 * x), 0, 1)[0]
        p_b = 1 / (1 + np.exp(-sign * odds * fade_in(t)))
        p_branch = np.where(branch == TRUNK, 1.0, np.where(branch == BRANCH_B, p_b, 1 - p_b))
        return np.exp(sign * shift / 2 * t) / norm * p_branch

    found = log_abundance_ratio(States(t, branch, np.zeros(4)), NO_JITTER)
    np.testing.assert_allclose(found, np.log(density(1) / density(-1)), rtol=1e-12)


def test_empirical_abundance_agrees_with_the_true_log_odds() -> None:
    # In a bin of states the ratio of the two probabilities is the mean of exp(log odds) over condition 1.
    cells = draw_cells(200_000, 3, NO_JITTER, np.random.default_rng(3), null=False)
    edges = np.quantile(cells.log_abundance_ratio, np.linspace(0, 1, 13))
    bins = np.clip(np.searchsorted(edges, cells.log_abundance_ratio, side="right") - 1, 0, 11)
    for b in range(12):
        second = cells.in_condition2[bins == b]
        expected = np.log(np.exp(cells.log_abundance_ratio[(bins == b) & ~cells.in_condition2]).mean())
        assert np.log(second.sum() / (~second).sum()) == pytest.approx(expected, abs=0.05)
    assert edges[-1] - edges[0] > 1.5


def test_null_draws_both_conditions_from_the_same_states() -> None:
    cells = draw_cells(50_000, 3, NO_JITTER, np.random.default_rng(3), null=True)
    t, second = cells.states.pseudotime, cells.in_condition2
    in_b = cells.states.branch == BRANCH_B
    assert t[second].mean() == pytest.approx(t[~second].mean(), abs=0.01)
    assert in_b[second].mean() == pytest.approx(in_b[~second].mean(), abs=0.015)
    assert not cells.log_abundance_ratio.any()


def test_cell_types_by_hand() -> None:
    branch = np.array([TRUNK, TRUNK, BRANCH_A, BRANCH_B], dtype=np.int8)
    states = States(np.array([0.1, 0.3, 0.5, 0.9]), branch, np.zeros(4))
    np.testing.assert_array_equal(cell_type_codes(states), [0, 1, 2, 3])


@settings(deadline=None)
@given(st.integers(100, 2000), st.integers(1, 6), st.floats(0.2, 0.8))
def test_cells_are_dealt_evenly(n_cells: int, n_donors: int, fraction: float) -> None:
    options = SimulationSettings(fraction_condition2=fraction)
    cells = draw_cells(n_cells, n_donors, options, np.random.default_rng(0), null=False)
    sizes = np.bincount(cells.donor, minlength=2 * n_donors).reshape(2, n_donors)
    np.testing.assert_array_equal(sizes.sum(axis=1), condition_sizes(n_cells, fraction))
    assert (np.ptp(sizes, axis=1) <= 1).all()
    np.testing.assert_array_equal(cells.in_condition2, cells.donor >= n_donors)
