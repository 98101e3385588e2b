import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from helpers import LAWS
from kompot.stats.offset import label_offset, offset_standard_error


def explained(lfc, delta, n_first, n_second):
    """Cells of condition 2 that the fold changes and delta explain."""
    return expit(lfc + delta + np.log(n_second / n_first)).sum()


@LAWS
@given(n_first=st.integers(1, 300), n_second=st.integers(1, 300), scale=st.floats(0.0, 20.0), seed=st.integers(0, 99))
def test_the_offset_solves_its_equation(n_first, n_second, scale, seed):
    lfc = scale * np.random.default_rng(seed).normal(size=n_first + n_second)
    delta = label_offset(lfc, n_first, n_second)
    assert explained(lfc, delta, n_first, n_second) == pytest.approx(n_second, abs=1e-6)


@pytest.mark.parametrize(("n_first", "n_second"), [(1, 1), (10, 10), (500, 50), (3, 3000)])
@pytest.mark.parametrize("constant", [0.0, 1.1, -25.0])
def test_equal_fold_changes_are_all_offset(n_first, n_second, constant):
    delta = label_offset(np.full(n_first + n_second, constant), n_first, n_second)
    assert delta == pytest.approx(-constant, abs=1e-9)


def test_worked_value():
    # 1 and 2 cells; lfc 0, log 3, log 3. With t = exp(delta): 2t/(1+2t) + 2 * 6t/(1+6t) = 2. Multiplied out,
    # 36t² + 14t = 24t² + 16t + 2, that is 6t² - t - 1 = 0: t = 1/2.
    lfc = np.log([1.0, 3.0, 3.0])
    assert label_offset(lfc, 1, 2) == pytest.approx(np.log(0.5))


def test_a_constant_in_the_fold_changes_moves_the_offset_by_as_much():
    lfc = np.random.default_rng(0).normal(size=110)
    assert label_offset(lfc + 0.7, 100, 10) == pytest.approx(label_offset(lfc, 100, 10) - 0.7, abs=1e-9)


def test_swapped_conditions_swap_the_sign():
    lfc = np.random.default_rng(0).normal(size=110)
    assert label_offset(-lfc, 10, 100) == pytest.approx(-label_offset(lfc, 100, 10), abs=1e-9)


def test_true_odds_need_no_offset():
    # Labels drawn with the odds that the fold changes say: zero within the error of a logistic intercept.
    rng = np.random.default_rng(1)
    lfc = rng.normal(size=20_000)
    second = rng.random(20_000) < expit(lfc + np.log(0.25))
    n_second = int(second.sum())
    normalised = lfc + np.log(0.25) - np.log(n_second / (20_000 - n_second))
    assert abs(label_offset(normalised, 20_000 - n_second, n_second)) < 0.05


@pytest.mark.parametrize("lfc", [[-1e3, 1e3], [-1e6, 1e6], [0.0, 1e-300]], ids=["wide", "wider", "tiny"])
def test_two_cells_far_apart(lfc):
    delta = label_offset(np.array(lfc), 1, 1)
    assert np.isfinite(delta)
    assert explained(np.array(lfc), delta, 1, 1) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("n_first", "n_second"), [(60, 60), (400, 40), (3, 3000)])
def test_standard_error_where_nothing_differs(n_first, n_second):
    error = offset_standard_error(np.zeros(n_first + n_second), n_first, n_second)
    assert error == pytest.approx(np.sqrt(1 / n_first + 1 / n_second))


def test_standard_error_against_the_curvature_of_the_likelihood():
    lfc = np.random.default_rng(0).normal(size=110)
    delta, h = label_offset(lfc, 100, 10), 1e-4
    # The score of the intercept is N_2 minus the cells explained, so the information is the slope of the latter.
    slope = (explained(lfc, delta + h, 100, 10) - explained(lfc, delta - h, 100, 10)) / (2 * h)
    assert offset_standard_error(lfc + delta, 100, 10) == pytest.approx(slope**-0.5, rel=1e-5)


def test_standard_error_of_certain_cells():
    assert offset_standard_error(np.array([-1e3, 1e3]), 1, 1) == np.inf
