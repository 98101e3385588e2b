import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import LAWS, Toy, dense_mahalanobis, low_rank, matern52, two_conditions
from kompot import DifferentialExpression
from kompot.gp.features import features_at
from kompot.gp.kernels import RBF, CallableKernel, Constant, Exponential, Linear, Matern32, Matern52
from kompot.gp.moments import moment_of
from kompot.gp.regression import fit_posterior
from kompot.stats.mahalanobis import fold_change_metric, mahalanobis_distances

KERNELS = {
    "matern52": Matern52(1.0),
    "matern32": Matern32(1.5),
    "exponential": Exponential(2.0),
    "rbf": RBF(0.3),
    "sum": Matern52(0.7) + 0.5 * Linear() + Constant(1.0),
    "callable": CallableKernel(matern52(0.8)),
}


def posteriors(toy, landmarks, kernel, sigma, mu=0.0):
    features = features_at(landmarks, kernel)
    pairs = (toy.X1, toy.Y1), (toy.X2, toy.Y2)
    return [fit_posterior(moment_of(features(X), Y), sigma=sigma, mu=mu) for X, Y in pairs]


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
@pytest.mark.parametrize(("n_1", "n_2"), [(60, 45), (25, 120)])
def test_explicit_covariance_at_the_landmarks(kernel, sigma, n_1, n_2):
    # The features stand for the kernel k(x, U) k(U, U)⁻¹ k(U, y); all is written out for it at the landmarks.
    toy = two_conditions(n_1, n_2)
    U = toy.X[::6]
    expected = dense_mahalanobis(low_rank(kernel, U), toy, U, sigma, jitter=1e-13)
    found = mahalanobis_distances(*posteriors(toy, U, kernel, sigma))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
@pytest.mark.parametrize("intrinsic", [1, 2])
@pytest.mark.parametrize("n_dims", [3, 10])
def test_full_gaussian_process_at_the_landmarks(sigma, intrinsic, n_dims):
    # Nothing of the approximation: two exact processes with n x n matrices, compared at the landmarks chosen.
    toy = two_conditions(80, 60, n_dims, intrinsic=intrinsic)
    analysis = DifferentialExpression(ls=1.5, sigma=sigma, tolerance=1e-6).fit(*toy)
    expected = dense_mahalanobis(matern52(1.5), toy, analysis.landmarks, sigma, jitter=1e-11)
    np.testing.assert_allclose(analysis.mahalanobis_distances(), expected, rtol=1e-3)


def test_all_cells_as_landmarks_are_exact():
    toy = two_conditions(40, 30)
    expected = dense_mahalanobis(matern52(0.5), toy, toy.X, 1.0, jitter=1e-12)
    found = DifferentialExpression(ls=0.5, landmarks=toy.X).fit(*toy).mahalanobis_distances()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_closed_form_by_plain_solves(sigma):
    toy = two_conditions()
    first, second = posteriors(toy, toy.X[::5], Matern52(1.0), sigma)
    B_1, B_2 = (p.factor @ p.factor.T for p in (first, second))
    dz = second.coef - first.coef
    squared = np.einsum("ig,ig->g", B_1 @ dz, np.linalg.solve(B_1 + B_2, B_2 @ dz))
    np.testing.assert_allclose(mahalanobis_distances(first, second) ** 2, squared, rtol=1e-9)
    C = np.linalg.inv(B_1) + np.linalg.inv(B_2)
    A = fold_change_metric(first, second).transform
    np.testing.assert_allclose(A.T @ A @ C, np.eye(len(C)), atol=1e-8)


def test_worked_by_hand():
    # One feature of value 1. Condition 1: three cells of value 0, B = 4, z = 0. Condition 2: one cell of value 6,
    # B = 2, z = 3. D² = 9 / (1/4 + 1/2) = 12.
    first = fit_posterior(moment_of(np.ones((3, 1)), np.zeros((3, 1))), sigma=1.0)
    second = fit_posterior(moment_of(np.ones((1, 1)), np.full((1, 1), 6.0)), sigma=1.0)
    np.testing.assert_allclose(mahalanobis_distances(first, second), [12**0.5], rtol=1e-14)


@LAWS
@given(seed=st.integers(0, 1000), sigma=st.floats(0.2, 3.0), factor=st.floats(-5.0, 5.0))
def test_laws_of_a_distance(seed, sigma, factor):
    toy = two_conditions(30, 20, seed=seed)
    first, second = posteriors(toy, toy.X[::6], Matern52(1.0), sigma)
    distances = mahalanobis_distances(first, second)
    assert (distances >= 0).all()
    np.testing.assert_allclose(mahalanobis_distances(second, first), distances, rtol=1e-9)
    np.testing.assert_array_equal(mahalanobis_distances(first, first), np.zeros(4))
    scaled = toy._replace(Y1=factor * toy.Y1, Y2=factor * toy.Y2)
    found = mahalanobis_distances(*posteriors(scaled, toy.X[::6], Matern52(1.0), sigma))
    np.testing.assert_allclose(found, abs(factor) * distances, rtol=1e-9, atol=1e-12)


def test_a_common_shift_cancels_with_the_prior_mean():
    toy = two_conditions()
    U = toy.X[::6]
    shifted = Toy(toy.X1, toy.Y1 + 7.0, toy.X2, toy.Y2 + 7.0)
    expected = mahalanobis_distances(*posteriors(toy, U, Matern52(1.0), 1.0))
    found = mahalanobis_distances(*posteriors(shifted, U, Matern52(1.0), 1.0, mu=7.0))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_more_noise_in_the_model_means_less_distance():
    toy = two_conditions()
    U = toy.X[::6]
    found = [mahalanobis_distances(*posteriors(toy, U, Matern52(1.0), sigma))[0] for sigma in (0.3, 1.0, 3.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 2 * found[-1]
