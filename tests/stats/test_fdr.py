from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.stats import gaussian_kde
from sklearn.isotonic import IsotonicRegression

from helpers import LAWS
from kompot.stats.fdr import empirical_pvalues, false_discovery_rates, reflected_density


def distances(n, seed, *, shift=0.0):
    """Distances as of null genes: the root of a chi-squared variable with ten degrees of freedom."""
    return np.sqrt(np.random.default_rng(seed).chisquare(10, size=n)) + shift


@pytest.mark.parametrize("seed", range(3))
def test_pvalues_by_counting(seed):
    rng = np.random.default_rng(seed)
    observed, null = rng.integers(0, 12, size=40).astype(float), rng.integers(0, 10, size=25).astype(float)
    counted = np.array([np.mean([n >= o for n in null]) for o in observed])
    assert (counted == 0).any()
    expected = np.where(counted == 0, counted[counted > 0].min(), counted)
    np.testing.assert_allclose(empirical_pvalues(observed, null), expected, atol=1e-15)


def test_pvalues_where_all_lie_beyond_the_null():
    np.testing.assert_allclose(empirical_pvalues(np.array([5.0, 6.0]), np.arange(4.0)), [0.25, 0.25])


def test_pvalues_of_the_null_are_uniform():
    null = distances(2000, 0)
    pvalues = empirical_pvalues(distances(2000, 1), null)
    np.testing.assert_allclose(np.quantile(pvalues, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.05)


@pytest.mark.parametrize("shift", [0.0, 3.0])
@pytest.mark.parametrize("n", [20, 300])
def test_density_is_that_of_the_mirrored_sample(n, shift):
    sample = np.abs(np.random.default_rng(n).normal(size=n)) + shift
    grid = np.linspace(0.0, 1.5 * sample.max(), 400)
    bandwidth = sample.std(ddof=1) * n**-0.2
    mirrored = np.concatenate([sample, -sample])
    reference = gaussian_kde(mirrored, bw_method=bandwidth / mirrored.std(ddof=1))
    np.testing.assert_allclose(reflected_density(sample, grid), 2.0 * reference(grid), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_density_has_integral_one(shift):
    sample = np.abs(np.random.default_rng(0).normal(size=200)) + shift
    grid = np.linspace(0.0, 3.0 * sample.max(), 3000)
    assert trapezoid(reflected_density(sample, grid), grid) == pytest.approx(1.0, abs=1e-6)


def test_density_in_blocks(monkeypatch):
    sample, grid = distances(500, 0), np.linspace(0.0, 8.0, 300)
    expected = reflected_density(sample, grid)
    monkeypatch.setattr("kompot.stats.fdr._BLOCK", 1000)
    np.testing.assert_allclose(reflected_density(sample, grid), expected, rtol=1e-12)


def mirrored_density(sample, grid):
    bandwidth, mirrored = sample.std(ddof=1) * len(sample) ** -0.2, np.concatenate([sample, -sample])
    return 2.0 * gaussian_kde(mirrored, bw_method=bandwidth / mirrored.std(ddof=1))(grid)


@pytest.mark.parametrize("shift", [0.0, 1.0, 4.0])
def test_local_rate_by_other_libraries(shift):
    # The ratio of the densities, made non-increasing by scikit-learn with the observed density as weight.
    observed = np.concatenate([distances(300, 0), distances(100, 1, shift=shift)])
    null = distances(500, 2)
    grid = np.linspace(0.0, 1.05 * max(observed.max(), null.max()), 500)
    f, f0 = mirrored_density(observed, grid), mirrored_density(null, grid)
    seen = f > 1e-12 * f.max()
    ratio = IsotonicRegression(increasing=False).fit(grid[seen], f0[seen] / f[seen], sample_weight=f[seen])
    expected = ratio.predict(observed).clip(max=1.0)
    np.testing.assert_allclose(false_discovery_rates(observed, null).local_fdr, expected, atol=2e-3)


@LAWS
@given(seed=st.integers(0, 1000), shift=st.floats(0.0, 6.0), share=st.floats(0.0, 1.0))
def test_rates_lie_in_the_unit_interval_and_fall_with_the_distance(seed, shift, share):
    n_shifted = int(150 * share)
    observed = np.concatenate([distances(150 - n_shifted, seed), distances(n_shifted, seed + 1, shift=shift)])
    result = false_discovery_rates(observed, distances(200, seed + 2))
    order = np.argsort(observed)
    for rates in (result.pvalue, result.local_fdr, result.tail_fdr):
        assert ((rates >= 0) & (rates <= 1)).all()
        assert (np.diff(rates[order]) <= 1e-12).all()
    assert (result.pvalue > 0).all()
    np.testing.assert_array_equal(result.is_de, result.local_fdr < 0.05)
    called = observed[result.is_de]
    assert result.smallest_significant == (called.min() if len(called) else np.inf)


@LAWS
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_order_and_unit_of_distances_make_no_difference(seed, scale):
    observed, null = distances(80, seed, shift=1.0), distances(100, seed + 1)
    expected = false_discovery_rates(observed, null)
    order = np.random.default_rng(seed).permutation(80)
    found = false_discovery_rates(scale * observed[order], scale * null[::-1])
    np.testing.assert_allclose(found.local_fdr, expected.local_fdr[order], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.tail_fdr, expected.tail_fdr[order], rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(found.pvalue, expected.pvalue[order])


def test_a_missing_distance_is_carried_and_changes_nothing():
    observed, null = distances(60, 0, shift=2.0), distances(100, 1)
    expected = false_discovery_rates(observed, null)
    with_gaps = false_discovery_rates(np.insert(observed, [0, 30], np.nan), null)
    for name in ("pvalue", "local_fdr", "tail_fdr"):
        found = getattr(with_gaps, name)
        assert np.flatnonzero(np.isnan(found)).tolist() == [0, 31]
        np.testing.assert_array_equal(found[~np.isnan(found)], getattr(expected, name))
    assert not with_gaps.is_de[[0, 31]].any()


def test_only_missing_distances():
    result = false_discovery_rates(np.array([np.nan, np.nan]), distances(10, 0))
    assert np.isnan([result.pvalue, result.local_fdr, result.tail_fdr]).all()
    assert not result.is_de.any()
    assert result.smallest_significant == np.inf


def test_no_null_distances():
    with pytest.raises(ValueError, match="The null distribution is empty: needed at least one null distance"):
        false_discovery_rates(distances(5, 0), np.empty(0))


def test_null_distances_that_are_missing():
    with pytest.raises(ValueError, match="The null distribution has NaN for 2 of 12 distances"):
        false_discovery_rates(distances(5, 0), np.append(distances(10, 0), [np.nan, np.nan]))


def test_all_distances_zero():
    result = false_discovery_rates(np.zeros(10), np.zeros(20))
    np.testing.assert_array_equal(result.pvalue, 1.0)
    np.testing.assert_array_equal(result.local_fdr, 1.0)
    assert not result.is_de.any()


@pytest.mark.parametrize("n_zeros", [20, 100, 2000])
def test_no_gene_is_called_for_a_distance_below_all_null_distances(n_zeros):
    # Genes without expression in either condition have distance 0: a pile of them is no sign of a difference.
    observed = np.concatenate([np.zeros(n_zeros), distances(200, 0)])
    result = false_discovery_rates(observed, distances(500, 1))
    assert not result.is_de[:n_zeros].any()
    assert result.is_de.sum() <= 5


def test_a_higher_threshold_calls_more():
    observed = np.concatenate([distances(300, 0), distances(100, 1, shift=2.5)])
    results = [false_discovery_rates(observed, distances(500, 2), threshold) for threshold in (0.01, 0.05, 0.2, 0.5)]
    counts = [int(result.is_de.sum()) for result in results]
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1]
    for low, high in pairwise(results):
        assert (low.is_de <= high.is_de).all()
        np.testing.assert_array_equal(low.local_fdr, high.local_fdr)


def test_null_genes_are_hardly_ever_called():
    called = [false_discovery_rates(distances(500, 2 * s), distances(500, 2 * s + 1)).is_de.sum() for s in range(20)]
    assert np.mean(called) < 2.0
    assert np.median(called) == 0.0


def test_true_differences_are_found_among_null_genes():
    for seed in range(5):
        observed = np.concatenate([distances(800, 3 * seed), distances(200, 3 * seed + 1, shift=5.0)])
        called = false_discovery_rates(observed, distances(1000, 3 * seed + 2)).is_de
        assert called[800:].mean() > 0.9
        assert called[:800].sum() <= 0.1 * called.sum()


def test_tail_rate_is_about_the_share_of_null_genes_beyond():
    observed = np.concatenate([distances(800, 0), distances(200, 1, shift=5.0)])
    result = false_discovery_rates(observed, distances(2000, 2))
    at = np.searchsorted(np.sort(observed), [4.5, 6.0])
    rates = result.tail_fdr[np.argsort(observed)][at]
    null = distances(200_000, 3)
    expected = [(null > d).mean() / (observed > d).mean() for d in (4.5, 6.0)]
    np.testing.assert_allclose(rates, expected, atol=0.05)


def test_one_stray_null_gene_does_not_lift_the_rates_below():
    observed = np.concatenate([distances(800, 0), distances(200, 1, shift=5.0)])
    null = distances(1000, 2)
    without = false_discovery_rates(observed, null)
    stray = false_discovery_rates(observed, np.append(null, 1.5 * observed.max()))
    assert stray.is_de.sum() > 0.9 * without.is_de.sum() > 150
