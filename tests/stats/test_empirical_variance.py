import numpy as np
import pytest
from scipy import sparse

from helpers import dense_posterior, manifold, matern52, smooth
from kompot.gp.features import FeatureTable, features_at
from kompot.gp.kernels import Matern52
from kompot.gp.moments import moment_of
from kompot.gp.regression import fit_posterior
from kompot.gp.rows import row_source
from kompot.stats import empirical_variance
from kompot.stats.empirical_variance import EmpiricalVariance, fit_empirical_variances, squared_loo_residuals

X = manifold(40, 2)
Y = smooth(X, 3) + 0.3 * np.random.default_rng(1).normal(size=(40, 3))
NEW = manifold(15, 2, seed=3)
KERNEL = matern52(0.8)
CELLS = FeatureTable(features_at(X, Matern52(0.8)), X)
PHI = CELLS.features(X)


def posterior_of(mine, sigma=0.5, mu=0.0):
    return fit_posterior(moment_of(PHI[mine], Y[mine]), sigma=sigma, mu=mu)


def refits_without_each(mine, sigma, mu=0.0):
    """Residual of each of the cells in a dense fit of the others."""
    rest = [np.setdiff1d(mine, cell) for cell in mine]
    means = [
        dense_posterior(KERNEL, X[r], Y[r], X[c : c + 1], sigma, mu)[0][0] for c, r in zip(mine, rest, strict=True)
    ]
    return Y[mine] - np.array(means)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize(("sigma", "mu"), [(0.5, 0.0), (1.0, 0.7)])
def test_residuals_against_refits_without_the_cell(make, sigma, mu):
    everyone = np.arange(40)
    found = squared_loo_residuals(posterior_of(everyone, sigma, mu), PHI, make(Y))
    np.testing.assert_allclose(found, refits_without_each(everyone, sigma, mu) ** 2, rtol=1e-5, atol=1e-9)


def test_a_cell_that_is_all_there_is_keeps_a_finite_residual():
    posterior = fit_posterior(moment_of(np.array([[1e6]]), np.array([[2.0]])), sigma=1e-3)
    assert np.isfinite(squared_loo_residuals(posterior, np.array([[1e6]]), np.array([[2.0]]))).all()


def dense_variance(squares, at, sigma, eps):
    return np.maximum(dense_posterior(KERNEL, X, squares, at, sigma)[0], eps)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_variance_against_dense_algebra(sigma):
    pooled = posterior_of(np.arange(40), sigma)
    groups = np.zeros(40, dtype=np.int64)
    (found,) = fit_empirical_variances([pooled], [[pooled]], CELLS, row_source(Y), groups, eps=1e-8)
    expected = dense_variance(refits_without_each(np.arange(40), sigma) ** 2, NEW, sigma, 1e-8)
    np.testing.assert_allclose(found.variance(CELLS.features(NEW)), expected, rtol=1e-5, atol=1e-8)


def test_groups_take_residuals_from_their_own_fit():
    groups = np.arange(40) % 3
    pooled = posterior_of(np.arange(40))
    parts = [posterior_of(np.flatnonzero(groups == group)) for group in range(3)]
    (found,) = fit_empirical_variances([pooled], [parts], CELLS, row_source(Y), groups, eps=1e-8)
    squares = np.empty_like(Y)
    for group in range(3):
        mine = np.flatnonzero(groups == group)
        squares[mine] = refits_without_each(mine, 0.5) ** 2
    expected = dense_variance(squares, NEW, 0.5, 1e-8)
    np.testing.assert_allclose(found.variance(CELLS.features(NEW)), expected, rtol=1e-5, atol=1e-8)
    (alone,) = fit_empirical_variances(
        [pooled], [[pooled]], CELLS, row_source(Y), np.zeros(40, dtype=np.int64), eps=1e-8
    )
    assert np.abs(alone.coef - found.coef).max() > 0.01


def test_cells_left_out_do_not_count():
    groups = np.where(np.arange(40) < 30, 0, -1)
    mine = np.flatnonzero(groups == 0)
    pooled = posterior_of(mine)
    wild = np.where(groups[:, None] < 0, 1e6, Y)
    (found,) = fit_empirical_variances([pooled], [[pooled]], CELLS, row_source(wild), groups, eps=1e-8)
    squares = refits_without_each(mine, 0.5) ** 2
    expected = np.maximum(dense_posterior(KERNEL, X[mine], squares, NEW, 0.5)[0], 1e-8)
    np.testing.assert_allclose(found.variance(CELLS.features(NEW)), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_chunks_and_progress(make):
    pooled, seen = posterior_of(np.arange(40)), []
    groups = np.arange(40) % 2
    parts = [posterior_of(np.flatnonzero(groups == group)) for group in range(2)]
    (whole,) = fit_empirical_variances([pooled], [parts], CELLS, row_source(Y), groups, eps=1e-8)
    source = row_source(make(Y))
    (chunked,) = fit_empirical_variances(
        [pooled], [parts], CELLS, source, groups, eps=1e-8, batch_size=7, track=seen.append
    )
    np.testing.assert_allclose(chunked.coef, whole.coef, atol=1e-9)
    assert seen == [7, 7, 7, 7, 7, 5]


def test_floor():
    smooth_variance = EmpiricalVariance(np.array([[1.0, -1.0]]), eps=0.25)
    found = smooth_variance.variance(np.array([[2.0], [0.1]], dtype=np.float32))
    np.testing.assert_array_equal(found, np.array([[2.0, 0.25], [0.25, 0.25]], dtype=np.float32))
    assert found.dtype == np.float32


def test_leverage_is_capped(monkeypatch):
    # With the cap at one half, residuals of high leverage are scaled by no more than two.
    monkeypatch.setattr(empirical_variance, "_LARGEST_LEVERAGE", 0.5)
    posterior = fit_posterior(moment_of(np.array([[3.0]]), np.array([[2.0]])), sigma=1.0)
    residual = 2.0 - posterior.mean(np.array([[3.0]])).item()
    found = squared_loo_residuals(posterior, np.array([[3.0]]), np.array([[2.0]])).item()
    assert posterior.leverage(np.array([[3.0]])).item() == pytest.approx(0.9)
    assert found == pytest.approx((2 * residual) ** 2)


def test_two_conditions_in_one_pass():
    codes = np.where(np.arange(40) % 2, 1, 0)
    pooled = [posterior_of(np.flatnonzero(codes == code)) for code in (0, 1)]
    found = fit_empirical_variances(pooled, [[p] for p in pooled], CELLS, row_source(Y), codes, eps=1e-8)
    for code, one in enumerate(found):
        alone = np.where(codes == code, 0, -1)
        (expected,) = fit_empirical_variances([pooled[code]], [[pooled[code]]], CELLS, row_source(Y), alone, eps=1e-8)
        np.testing.assert_allclose(one.coef, expected.coef, rtol=1e-10)
