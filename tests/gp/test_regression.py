import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as sk

from helpers import dense_posterior, low_rank, manifold, matern52, smooth
from kompot import FunctionEstimator
from kompot.gp.features import features_at
from kompot.gp.kernels import RBF, Constant, Exponential, Linear, Matern32, Matern52
from kompot.gp.linalg import NotPositiveDefiniteError
from kompot.gp.moments import Moment, moment_of
from kompot.gp.regression import fit_posterior, total_variance

X = manifold(90, 3)
Y = smooth(X, 4) + 0.2 * np.random.default_rng(1).normal(size=(90, 4))
# Between the cells, and so far away that only the prior is left.
ELSEWHERE = np.vstack([manifold(20, 3, seed=4), [[50.0, 0.0, 0.0], [0.0, -300.0, 10.0]]])
KERNELS = {
    "matern52": (Matern52(1.2), sk.Matern(1.2, "fixed", nu=2.5)),
    "matern32": (Matern32(2.0), sk.Matern(2.0, "fixed", nu=1.5)),
    "exponential": (Exponential(4.0), sk.Matern(4.0, "fixed", nu=0.5)),
    "rbf": (RBF(0.8), sk.RBF(0.8, "fixed")),
    "sum": (
        0.5 * Matern52(1.0) + Linear() + Constant(2.0),
        sk.ConstantKernel(0.5, "fixed") * sk.Matern(1.0, "fixed", nu=2.5)
        + sk.DotProduct(0.0, "fixed")
        + sk.ConstantKernel(2.0, "fixed"),
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("at", [X, ELSEWHERE], ids=["fitted-cells", "elsewhere"])
def test_mean_and_covariance_against_scikit_learn(ours, theirs, sigma, at):
    reference = GaussianProcessRegressor(theirs, alpha=sigma**2, optimizer=None).fit(X, Y)
    mean, covariance = reference.predict(at, return_cov=True)
    fitted = FunctionEstimator(cov_func=ours, sigma=sigma, tolerance=1e-9).fit(X, Y)
    np.testing.assert_allclose(fitted.predict(at), mean, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(fitted.covariance(at, diag=False), covariance[:, :, 0], rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(fitted.covariance(at), np.diag(covariance[:, :, 0]), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_default_tolerance_is_close_to_the_exact_answer(sigma):
    reference = GaussianProcessRegressor(sk.Matern(1.2, "fixed", nu=2.5), alpha=sigma**2, optimizer=None).fit(X, Y)
    mean, std = reference.predict(X, return_std=True)
    fitted = FunctionEstimator(ls=1.2, sigma=sigma).fit(X, Y)
    assert fitted.predict.features.rank < 90
    assert np.abs(fitted.predict(X) - mean).max() < 5e-3
    np.testing.assert_allclose(fitted.covariance(X), std[:, 0] ** 2, rtol=2e-2)


@pytest.mark.parametrize("mu", [0.0, 5.0, -2.5])
@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_landmarks_against_dense_algebra(mu, sigma):
    # With landmarks the model is exact regression with the kernel of the features; what they miss is added to the
    # variance, so that it is that of the prior far away.
    U = manifold(25, 3, seed=2)
    kernel, approximate = matern52(1.2), low_rank(matern52(1.2), U)
    mean, covariance = dense_posterior(approximate, X, Y, ELSEWHERE, sigma, mu)
    covariance += kernel(ELSEWHERE, ELSEWHERE) - approximate(ELSEWHERE, ELSEWHERE)
    fitted = FunctionEstimator(ls=1.2, sigma=sigma, mu=mu, landmarks=U).fit(X, Y)
    np.testing.assert_allclose(fitted.predict(ELSEWHERE), mean, atol=1e-8)
    np.testing.assert_allclose(fitted.covariance(ELSEWHERE, diag=False), covariance, atol=1e-9)


def test_far_from_all_cells_the_prior_is_left():
    fitted = FunctionEstimator(ls=1.0, mu=3.0).fit(X, Y)
    far = np.full((1, 3), 1e3)
    np.testing.assert_allclose(fitted.predict(far), np.full((1, 4), 3.0), atol=1e-12)
    np.testing.assert_allclose(fitted.covariance(far), [1.0], atol=1e-12)


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_leverage_is_the_diagonal_of_the_hat_matrix(sigma):
    kernel = Matern52(1.0)
    features = features_at(X[:40], kernel)
    phi = features(X)
    posterior = fit_posterior(moment_of(phi, Y), sigma=sigma)
    Q = low_rank(matern52(1.0), X[:40])(X, X)
    hat = Q @ np.linalg.inv(Q + sigma**2 * np.eye(len(X)))
    leverage = posterior.leverage(phi)
    np.testing.assert_allclose(leverage, np.diag(hat), atol=1e-8)
    np.testing.assert_allclose(posterior.mean(phi), hat @ Y, atol=1e-7)
    assert ((leverage > 0) & (leverage < 1)).all()


def test_leverage_gives_the_leave_one_out_residual():
    # r / (1 - h) is the residual of a cell in the fit without it.
    phi = features_at(X[:20], Matern52(1.0))(X)
    posterior = fit_posterior(moment_of(phi, Y), sigma=0.5)
    scaled = (Y - posterior.mean(phi))[7] / (1 - posterior.leverage(phi)[7])
    others = np.arange(len(X)) != 7
    without = fit_posterior(moment_of(phi[others], Y[others]), sigma=0.5)
    np.testing.assert_allclose(scaled, Y[7] - without.mean(phi[7:8])[0], rtol=1e-9)


def test_posterior_worked_by_hand():
    # One feature with values 1 and 2, targets 3 and 5, sigma² = 1/2, mu = 1: B = 1 + 2 * 5 = 11 and
    # z = (1 * 2 + 2 * 4) * 2 / 11 = 20 / 11.
    posterior = fit_posterior(moment_of(np.array([[1.0], [2.0]]), np.array([[3.0], [5.0]])), sigma=0.5**0.5, mu=1.0)
    assert posterior.coef.item() == pytest.approx(20 / 11)
    assert posterior.factor.item() ** 2 == pytest.approx(11)
    assert posterior.mean(np.array([[3.0]])).item() == pytest.approx(1 + 60 / 11)
    assert posterior.variance(np.array([[3.0]])).item() == pytest.approx(9 / 11)
    assert posterior.covariance(np.array([[3.0]]), np.array([[-1.0]])).item() == pytest.approx(-3 / 11)
    assert posterior.leverage(np.array([[2.0]])).item() == pytest.approx(8 / 11)


def test_no_cells_leave_the_prior():
    phi = features_at(X[:10], Matern52(1.0))(X)
    posterior = fit_posterior(moment_of(phi[:0], Y[:0]), sigma=1.0, mu=2.0)
    np.testing.assert_array_equal(posterior.mean(phi), np.full_like(Y, 2.0))
    np.testing.assert_allclose(posterior.variance(phi), (phi**2).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("genes", [slice(1, 3), np.array([3, 0])], ids=["slice", "indices"])
def test_some_of_the_genes(genes):
    phi = features_at(X[:10], Matern52(1.0))(X)
    posterior = fit_posterior(moment_of(phi, Y), sigma=1.0, mu=0.5)
    np.testing.assert_array_equal(posterior.for_genes(genes).mean(phi), posterior.mean(phi)[:, genes])


def test_total_variance_adds_what_the_features_miss_and_never_subtracts():
    phi = features_at(X[:10], Matern52(1.0))(X)
    posterior = fit_posterior(moment_of(phi, Y), sigma=1.0)
    residual = np.linspace(-1e-12, 0.5, len(X))
    expected = posterior.variance(phi) + residual.clip(min=0.0)
    np.testing.assert_array_equal(total_variance(posterior, phi, residual), expected)


def test_a_gram_matrix_that_is_not_positive_names_the_way_out():
    broken = Moment(1, np.zeros(1), np.array([[-5.0]]), np.zeros((1, 1)), np.zeros(1), np.zeros(1))
    with pytest.raises(NotPositiveDefiniteError, match=r"precision of the coefficients .* Increase sigma"):
        fit_posterior(broken, sigma=1.0)
