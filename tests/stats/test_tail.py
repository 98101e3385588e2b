import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln, logsumexp

from kompot.stats.tail import chi2_log_survival, neg_log10_tail_probability

SQUARED = np.concatenate([[0.0, 1e-300, 1e-8], np.geomspace(1e-3, 1e5, 60), [1150.0, 1151.0, 1e6]])


def even_closed_form(squared, df):
    """log of exp(-x) sum_k x^k / k!, k below df/2, x = squared/2: the tail as a Poisson probability."""
    k, x = np.arange(df // 2)[:, None], 0.5 * squared
    return logsumexp(k * np.log(x) - gammaln(k + 1), axis=0) - x


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 10, 15, 20, 31, 50])
def test_against_scipy_where_that_is_finite(df):
    expected = stats.chi2.logsf(SQUARED, df)
    finite = np.isfinite(expected)
    assert finite.sum() > 40
    np.testing.assert_allclose(chi2_log_survival(SQUARED, df)[finite], expected[finite], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("df", [2, 4, 6, 10, 20, 30, 50, 100, 500])
def test_even_degrees_far_into_the_tail(df):
    squared = np.concatenate([np.geomspace(df, 1e5, 80), [1e6, 1e8]])
    np.testing.assert_allclose(chi2_log_survival(squared, df), even_closed_form(squared, df), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("df", [1, 3, 9, 25, 49, 99, 501])
def test_odd_degrees_lie_between_the_even_ones(df):
    squared = np.geomspace(1.0, 1e6, 80)
    tail = chi2_log_survival(squared, df)
    above = chi2_log_survival(squared, df + 1)
    assert (tail <= above).all()
    if df > 1:
        assert (chi2_log_survival(squared, df - 1) <= tail).all()
    # The recurrence Q(a + 1, x) = Q(a, x) + x^a e^-x / Gamma(a + 1) ties the odd degrees together.
    a, x = 0.5 * df, 0.5 * squared
    step = a * np.log(x) - x - gammaln(a + 1)
    np.testing.assert_allclose(chi2_log_survival(squared, df + 2), np.logaddexp(tail, step), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("df", [1, 2, 5, 10, 49, 50, 99, 200, 1000, 2001, 5000])
def test_finite_falling_and_never_positive(df):
    # Any warning on the way would fail the test.
    squared = np.concatenate([[0.0], np.geomspace(1e-12, 1e9, 400)])
    tail = chi2_log_survival(squared, df)
    assert tail[0] == 0.0
    assert np.isfinite(tail).all()
    assert (tail <= 0).all()
    assert (np.diff(tail) <= 1e-12 * np.abs(tail[1:])).all()


@pytest.mark.parametrize("df", [1, 2, 10, 33])
def test_both_routes_meet(df):
    # Around a tail of 1e-250 the route changes; the slope of the logarithm stays about -1/2.
    squared = np.linspace(1100.0, 1400.0, 3001)
    slopes = np.diff(chi2_log_survival(squared, df)) / np.diff(squared)
    assert np.abs(np.diff(slopes)).max() < 1e-5


def test_worked_values():
    np.testing.assert_allclose(chi2_log_survival(np.array([4.0, 4000.0]), 2), [-2.0, -2000.0], rtol=1e-13)
    # Two degrees of freedom: -log10 exp(-D²/2) at D² = 2 ln(10) k is k.
    distances = np.sqrt(2 * np.log(10.0) * np.array([0.0, 1.0, 50.0, 5000.0]))
    np.testing.assert_allclose(neg_log10_tail_probability(distances, 2), [0.0, 1.0, 50.0, 5000.0], rtol=1e-12)


def test_zero_is_not_negative_and_nan_stays():
    found = neg_log10_tail_probability(np.array([0.0, np.nan, 3.0]), 10)
    assert not np.signbit(found[0])
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(-np.log10(stats.chi2.sf(9.0, 10)))


def test_shape_is_kept():
    assert chi2_log_survival(np.ones((2, 3)), 4).shape == (2, 3)
