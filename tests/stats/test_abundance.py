import numpy as np
import pytest
from scipy.stats import norm

from kompot.stats.abundance import DIRECTIONS, change_statistics, direction_codes

LFC = np.array([-800.0, -40.0, -1.5, -1e-9, 0.0, 0.3, 2.0, 37.0, 1e4])


@pytest.mark.parametrize("variance", [0.25, 1.0, 9.0])
@pytest.mark.parametrize("eps", [1e-8, 0.5])
def test_statistics_against_scipy(variance, eps):
    found = change_statistics(LFC, np.full(len(LFC), variance), eps)
    zscore = LFC / np.sqrt(variance + eps)
    np.testing.assert_allclose(found.zscore, zscore, rtol=1e-14)
    np.testing.assert_allclose(found.neg_log10_ptp, -norm.logsf(np.abs(zscore)) / np.log(10), rtol=1e-12)
    assert np.isfinite(found.neg_log10_ptp).all()


def test_worked_values():
    # Tail beyond 1.959964 is 2.5 %, beyond 0 one half.
    found = change_statistics(np.array([2 * 1.959963984540054, 0.0]), np.array([3.0, 1.0]), 1.0)
    np.testing.assert_allclose(10.0**-found.neg_log10_ptp, [0.025, 0.5])


def test_no_variance_leaves_eps():
    found = change_statistics(np.array([1.0, 0.0]), np.zeros(2), 1e-8)
    np.testing.assert_allclose(found.zscore, [1e4, 0.0])


@pytest.mark.parametrize(
    ("lfc", "neg_log10_ptp", "expected"),
    [
        pytest.param(1.5, 5.0, "up", id="up"),
        pytest.param(-1.5, 5.0, "down", id="down"),
        pytest.param(0.5, 5.0, "neutral", id="small"),
        pytest.param(1.5, 1.0, "neutral", id="uncertain"),
        pytest.param(-1.5, 1.0, "neutral", id="uncertain-down"),
        pytest.param(1.0, 5.0, "neutral", id="at-the-fold-change"),
        pytest.param(-1.0, 5.0, "neutral", id="at-the-negative-fold-change"),
        pytest.param(np.nextafter(1.0, 2.0), 5.0, "up", id="just-above"),
        pytest.param(1.5, 2.0, "neutral", id="at-the-probability"),
        pytest.param(1.5, np.nextafter(2.0, 3.0), "up", id="just-less-probable"),
        pytest.param(0.0, 0.30103, "neutral", id="nothing"),
        pytest.param(np.inf, np.inf, "up", id="infinite"),
    ],
)
def test_directions(lfc, neg_log10_ptp, expected):
    code = direction_codes(np.array([lfc]), np.array([neg_log10_ptp]), lfc_threshold=1.0, ptp_threshold=0.01)
    assert code.dtype == np.int64
    assert DIRECTIONS[code.item()] == expected


def test_no_fold_change_has_no_direction_even_at_threshold_zero():
    assert direction_codes(np.zeros(1), np.full(1, 9.0), 0.0, 0.05).tolist() == [1]
