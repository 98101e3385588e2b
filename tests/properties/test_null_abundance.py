"""Differential abundance where nothing differs: two random parts of one population, over 20 seeds."""

import warnings
from functools import cache

import numpy as np
import pytest

from kompot import DifferentialAbundance
from kompot.errors import OffsetWarning

pytestmark = pytest.mark.slow

SEEDS = range(20)
HALVES, TEN_TO_ONE = (400, 400), (500, 50)


@cache
def null_runs(sizes):
    """Offset, and change at all cells, of each seed: standard normal cells in two dimensions, split at random."""
    runs = []
    for seed in SEEDS:
        X = np.random.default_rng(seed).normal(size=(sum(sizes), 2))
        analysis = DifferentialAbundance()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OffsetWarning)
            analysis.fit(X[: sizes[0]], X[sizes[0] :])
        runs.append((analysis.offset, analysis.predict(X)))
    return runs


@pytest.mark.parametrize("sizes", [HALVES, TEN_TO_ONE], ids=["halves", "ten-to-one"])
def test_the_mean_fold_change_is_zero(sizes):
    means = [change.lfc.mean() for _, change in null_runs(sizes)]
    assert np.abs(means).max() < 0.05


def test_without_calibration_ten_to_one_shows_the_offset():
    # Too high for the condition with more cells: 0.14 to 0.79, 0.45 on average, at 500 + 50 cells.
    raw = [(change.lfc - offset).mean() for offset, change in null_runs(TEN_TO_ONE)]
    assert np.mean(raw) > 0.3
    assert np.min(raw) > 0.05


def test_without_calibration_halves_have_no_offset_on_average():
    raw = [(change.lfc - offset).mean() for offset, change in null_runs(HALVES)]
    assert abs(np.mean(raw)) < 0.05
    assert np.abs(raw).max() < 0.3


def test_the_offset_is_warned_of_and_kept_if_asked():
    X = np.random.default_rng(0).normal(size=(1100, 2))
    with pytest.warns(OffsetWarning, match=r"of 0\.\d\d, .* unequal .*\(1,000 and 100\) do: .*calibrate_offset"):
        calibrated = DifferentialAbundance().fit(X[:1000], X[1000:])
    kept = DifferentialAbundance(calibrate_offset=False).fit(X[:1000], X[1000:])
    assert kept.offset == 0.0
    assert calibrated.offset < -0.1
    np.testing.assert_allclose(kept.predict(X).lfc + calibrated.offset, calibrated.predict(X).lfc, atol=1e-12)
    assert kept.predict(X).lfc.mean() > 0.1


@pytest.mark.parametrize(
    ("sizes", "spread", "most"), [(HALVES, (0.5, 1.5), 0.1), (TEN_TO_ONE, (0.2, 1.0), 0.05)], ids=["halves", "10:1"]
)
def test_spread_of_the_zscores(sizes, spread, most):
    """Z-scores of one population, as they are with the default length scale (10 times the estimate).

    Observed over 20 seeds. Halves (400 + 400): standard deviation 0.95 over all cells and seeds, 4.1 % beyond 1.96;
    neighbouring cells share one smooth function, so a whole seed can be off: mean |z| of a seed up to 1.5, single
    cells up to 3.5, and cells beyond 2 in 7 of the 20 seeds. Ten to one (500 + 50): standard deviation 0.47, 0.05 %
    beyond 1.96, single cells up to 2.4, because 50 cells leave more to the prior.
    """
    zscores = np.array([change.zscore for _, change in null_runs(sizes)])
    assert spread[0] < zscores.std() < spread[1]
    assert (np.abs(zscores) > 1.96).mean() < most
    assert abs(zscores.mean()) < 0.1
    assert np.isfinite(zscores).all()


def test_swapped_conditions_swap_the_sign():
    rng = np.random.default_rng(3)
    X1, X2 = rng.normal(size=(90, 2)), rng.normal(loc=[0.5, 0.0], size=(70, 2))
    forth = DifferentialAbundance(calibrate_offset=False).fit(X1, X2).predict(X1)
    back = DifferentialAbundance(calibrate_offset=False).fit(X2, X1).predict(X1)
    np.testing.assert_allclose(back.lfc, -forth.lfc, atol=1e-8)
    np.testing.assert_allclose(back.variance, forth.variance, rtol=1e-8)


def test_equal_conditions_do_not_differ_at_all():
    X = np.random.default_rng(4).normal(size=(100, 3))
    analysis = DifferentialAbundance().fit(X, X.copy())
    assert np.abs(analysis.predict(X).lfc).max() < 1e-8
    assert abs(analysis.offset) < 1e-8


def warned(X1, X2):
    """Texts of the warnings of a fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OffsetWarning)
        DifferentialAbundance().fit(X1, X2)
    return [str(warning.message) for warning in caught]


def test_random_halves_are_rarely_warned_of():
    # 13 of these 20 halves have an offset beyond 0.1, which is what chance makes of 60 cells against 60.
    parts = (np.random.default_rng(seed).normal(size=(120, 2)) for seed in SEEDS)
    assert sum(bool(warned(X[:60], X[60:])) for X in parts) <= 1


def test_unequal_parts_are_warned_of():
    parts = (np.random.default_rng(seed).normal(size=(1100, 2)) for seed in range(6))
    texts = [text for X in parts for text in warned(X[:1000], X[1000:])]
    assert len(texts) >= 5
    assert all("as those of unequal numbers of cells (1,000 and 100) do: nothing needs" in text for text in texts)


def test_equal_numbers_are_not_blamed():
    # Every cell of one condition twice, a hair apart: nearest neighbours far closer than the density implies.
    rng = np.random.default_rng(0)
    X1, half = rng.normal(size=(200, 2)), rng.normal(size=(100, 2))
    (text,) = warned(X1, np.vstack([half, half + 1e-3 * rng.normal(size=half.shape)]))
    assert "more than chance explains (standard error 0.1" in text
    assert "(200 and 200): look for states that only one of them reaches, and for repeated cells; the constant" in text
    assert "unequal" not in text
