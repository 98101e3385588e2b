import numpy as np
import pytest
from scipy import optimize

from helpers import low_rank, manifold, matern52
from kompot.gp import density
from kompot.gp.density import _Objective, fit_density, log_ball_volume
from kompot.gp.features import Features, FeatureTable, features_at
from kompot.gp.kernels import Matern52
from kompot.gp.neighbors import nearest_distances

X = np.random.default_rng(0).normal(size=(80, 2))
NEW = np.random.default_rng(1).normal(size=(15, 2))
ALL = np.ones(len(X), dtype=bool)
NEAR = nearest_distances(X)


def table(cells, *, ls=1.0, landmarks=None):
    """Features of the cells, exact unless landmarks are given."""
    return FeatureTable(features_at(cells if landmarks is None else landmarks, Matern52(ls)), cells)


def log_density(fit, features, at):
    return fit.posterior.mean(features(at))[:, 0]


def dense_map(kernel, cells, V, mu):
    """Log densities at the cells by L-BFGS-B on `J(z)`, `f = mu + L z`, L the factor of the full kernel matrix."""
    L = np.linalg.cholesky(kernel(cells, cells) + 1e-12 * np.eye(len(cells)))

    def objective(z):
        f = mu + L @ z
        expected = np.exp(f + V)
        return np.sum(expected - f) + 0.5 * z @ z, L.T @ (expected - 1.0) + z

    options = {"ftol": 1e-16, "gtol": 1e-10, "maxiter": 20_000, "maxfun": 100_000, "maxcor": 50}
    found = optimize.minimize(objective, np.zeros(len(cells)), jac=True, method="L-BFGS-B", options=options)
    assert np.abs(found.jac).max() < 1e-4
    return mu + L @ found.x


def central_differences(function, z, step=1e-5):
    return np.stack([(function(z + e) - function(z - e)) / (2 * step) for e in step * np.eye(len(z))], axis=-1)


@pytest.mark.parametrize(
    ("d", "volume"),
    [(1, lambda r: 2 * r), (2, lambda r: np.pi * r**2), (3, lambda r: 4 / 3 * np.pi * r**3)],
    ids=["interval", "disc", "ball"],
)
def test_volumes_of_balls(d, volume):
    radius = np.array([1e-6, 0.3, 1.0, 40.0])
    np.testing.assert_allclose(np.exp(log_ball_volume(radius, d)), volume(radius), rtol=1e-12)


@pytest.mark.parametrize("d", [0.7, 1.6, 4.0])
def test_volume_rises_by_two_dimensions_as_known(d):
    # V_{d+2} = V_d * 2 pi r² / (d + 2), for dimensions that are no integers too.
    rise = log_ball_volume(np.array([0.4]), d + 2) - log_ball_volume(np.array([0.4]), d)
    assert rise.item() == pytest.approx(np.log(2 * np.pi * 0.16 / (d + 2)))


@pytest.mark.parametrize("subset", [ALL, np.arange(80) % 3 > 0], ids=["all", "some"])
@pytest.mark.parametrize("rows", [7, 1000])
def test_gradient_and_hessian_against_finite_differences(monkeypatch, subset, rows):
    monkeypatch.setattr(Features, "rows_per_chunk", lambda _: rows)
    V = log_ball_volume(nearest_distances(X[subset]), 1.7)
    objective = _Objective(table(X, landmarks=X[:12]), subset, V, -3.0)
    z = np.random.default_rng(2).normal(size=12)
    state = objective.at(z)
    numerical = central_differences(lambda point: objective.at(point).value, z)
    np.testing.assert_allclose(state.gradient, numerical, rtol=1e-6, atol=1e-6)
    slopes = central_differences(lambda point: objective.at(point).gradient, z)
    np.testing.assert_allclose(state.hessian, slopes, rtol=1e-6, atol=1e-6)


def test_value_worked_by_hand():
    # One feature, one cell: phi = 1 at the landmark. f = mu + z = 0.5 - 2, V = log 2 for d = 1 and r = 1.
    objective = _Objective(table(np.zeros((1, 1))), np.ones(1, dtype=bool), log_ball_volume(np.ones(1), 1), -2.0)
    exponent = -1.5 + np.log(2)
    assert objective.at(np.array([0.5])).value == pytest.approx(np.exp(exponent) - exponent + 0.125)


@pytest.mark.parametrize("ls", [0.3, 1.0, 5.0])
@pytest.mark.parametrize(("d", "mu"), [(2.0, -8.0), (1.3, 0.0)])
def test_mode_against_a_general_optimiser(ls, d, mu):
    fit = fit_density(table(X, ls=ls), ALL, NEAR, d=d, mu=mu)
    expected = dense_map(matern52(ls), X, log_ball_volume(NEAR, d), mu)
    np.testing.assert_allclose(log_density(fit, table(X, ls=ls).features, X), expected, atol=2e-5)


def test_mode_with_landmarks_against_the_kernel_they_stand_for():
    # Fewer landmarks than cells: exact inference with the low-rank kernel.
    U = X[::4]
    fit = fit_density(table(X, landmarks=U), ALL, NEAR, d=2.0, mu=-5.0)
    approximate = low_rank(matern52(1.0), U)
    f = log_density(fit, features_at(U, Matern52(1.0)), X)
    # Stationarity: f - mu = K (1 - exp(f + V)).
    pull = approximate(X, X) @ (1.0 - np.exp(f + log_ball_volume(NEAR, 2.0)))
    np.testing.assert_allclose(f + 5.0, pull, atol=1e-6)


def test_laplace_covariance_against_a_numerical_hessian():
    cells, mu = X[:25], -4.0
    near = nearest_distances(cells)
    V, K = log_ball_volume(near, 2.0), matern52(1.0)(cells, cells)
    fitted = table(cells)
    fit = fit_density(fitted, np.ones(25, dtype=bool), near, d=2.0, mu=mu)
    f = log_density(fit, fitted.features, cells)

    def gradient(values):
        return np.exp(values + V) - 1.0 + np.linalg.solve(K, values - mu)

    assert np.abs(gradient(f)).max() < 1e-5
    hessian = central_differences(gradient, f)
    phi = fitted.features(cells)
    np.testing.assert_allclose(fit.posterior.covariance(phi, phi), np.linalg.inv(hessian), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(fit.posterior.variance(phi), np.diag(np.linalg.inv(hessian)), rtol=1e-5)


def test_laplace_covariance_elsewhere():
    # k(x,x') - k(x,X) (K + diag(exp(f + V))⁻¹)⁻¹ k(X,x'), Rasmussen and Williams 2006, equation 3.24.
    kernel, fitted = matern52(1.0), table(X)
    fit = fit_density(fitted, ALL, NEAR, d=2.0, mu=-4.0)
    precision = np.exp(log_density(fit, fitted.features, X) + log_ball_volume(NEAR, 2.0))
    across = kernel(NEW, X)
    expected = kernel(NEW, NEW) - across @ np.linalg.solve(kernel(X, X) + np.diag(1 / precision), across.T)
    phi = fitted.features(NEW)
    found = kernel(NEW, NEW) - phi @ phi.T + fit.posterior.covariance(phi, phi)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_only_the_cells_used_count():
    used = np.arange(80) % 2 == 0
    near = nearest_distances(X[used])
    among = fit_density(table(X, landmarks=X[:20]), used, near, d=2.0, mu=-5.0)
    alone = fit_density(table(X[used], landmarks=X[:20]), np.ones(40, dtype=bool), near, d=2.0, mu=-5.0)
    np.testing.assert_allclose(among.posterior.coef, alone.posterior.coef, atol=1e-9)
    np.testing.assert_allclose(among.posterior.factor, alone.posterior.factor, atol=1e-8)


@pytest.mark.parametrize("rows", [1, 13, 80])
def test_chunks_change_nothing(monkeypatch, rows):
    whole = fit_density(table(X, landmarks=X[:20]), ALL, NEAR, d=2.0, mu=-5.0)
    monkeypatch.setattr(Features, "rows_per_chunk", lambda _: rows)
    chunked = fit_density(table(X, landmarks=X[:20]), ALL, NEAR, d=2.0, mu=-5.0)
    np.testing.assert_allclose(chunked.posterior.coef, whole.posterior.coef, atol=1e-9)
    np.testing.assert_allclose(chunked.posterior.factor, whole.posterior.factor, atol=1e-8)


def test_order_of_cells_changes_nothing():
    order = np.random.default_rng(3).permutation(len(X))
    one = fit_density(table(X, landmarks=X[:20]), ALL, NEAR, d=2.0, mu=-5.0)
    other = fit_density(table(X[order], landmarks=X[:20]), ALL, NEAR[order], d=2.0, mu=-5.0)
    np.testing.assert_allclose(other.posterior.coef, one.posterior.coef, atol=1e-9)


@pytest.mark.parametrize("ls", [1e-3, 0.1, 1.0, 1e3], ids="ls={}".format)
@pytest.mark.parametrize("spread", [0.0, 1.0, 8.0], ids="spread={}".format)
@pytest.mark.parametrize("mu", [-60.0, -10.0, 0.0], ids="mu={}".format)
def test_newton_converges_from_bad_starts(ls, spread, mu):
    # exp(d * 8 * normal): distances over some thirty decades.
    near = np.exp(spread * np.random.default_rng(4).normal(size=len(X)))
    cells = table(X, ls=ls, landmarks=X[:30])
    fit = fit_density(cells, ALL, near, d=2.0, mu=mu)
    assert fit.gradient <= 1e-8 * len(X)
    assert fit.n_steps <= 150
    f = log_density(fit, cells.features, X)
    phi = cells.features(X)
    gradient = phi.T @ (np.exp(f + log_ball_volume(near, 2.0)) - 1.0) + fit.posterior.coef[:, 0]
    assert np.abs(gradient).max() <= 1e-6 * len(X)


def test_few_steps_are_enough_on_ordinary_data():
    cells = manifold(600, 3)
    fit = fit_density(
        table(cells, landmarks=cells[:60]), np.ones(600, dtype=bool), nearest_distances(cells), d=2.0, mu=-10.0
    )
    assert 1 <= fit.n_steps <= 12


def test_a_start_that_overflows_is_given_up_for_the_prior_mean(monkeypatch):
    monkeypatch.setattr(_Objective, "ridge_start", lambda _: np.full(20, 1e6))
    expected = fit_density(table(X, landmarks=X[:20]), ALL, NEAR, d=2.0, mu=-5.0)
    monkeypatch.undo()
    found = fit_density(table(X, landmarks=X[:20]), ALL, NEAR, d=2.0, mu=-5.0)
    np.testing.assert_allclose(found.posterior.coef, expected.posterior.coef, atol=1e-7)


def test_a_prior_beyond_all_numbers_is_one_clear_error():
    # exp(60 + V) is beyond what the Hessian can hold beside its identity.
    with pytest.raises(ValueError, match=r"log density (is not positive definite|did not converge)"):
        fit_density(table(X, ls=0.1, landmarks=X[:30]), ALL, np.ones(len(X)), d=2.0, mu=60.0)


def test_no_convergence_says_how_far_it_got(monkeypatch):
    monkeypatch.setattr(density, "_MOST_STEPS", 1)
    message = r"log density did not converge: the largest gradient is .* of 80 cells, needed 8.00e-07.*raise ls_factor"
    with pytest.raises(ValueError, match=message):
        fit_density(table(X), ALL, NEAR, d=2.0, mu=-5.0)
