import numpy as np
import pytest

from helpers import manifold, matern52, smooth
from kompot.gp.features import features_at
from kompot.gp.kernels import Matern52
from kompot.gp.moments import moment_of
from kompot.gp.regression import fit_posterior
from kompot.stats.sample_variance import BetweenSamples, between_samples, require_samples

X = manifold(90, 3)
Y = smooth(X, 4) + 0.2 * np.random.default_rng(1).normal(size=(90, 4))
NEW = manifold(12, 3, seed=3)
FEATURES = features_at(X[:25], Matern52(1.0))


def fits(n_samples):
    """Posterior of each sample, and its function at the new cells by dense algebra with the features' kernel."""
    phi, at = FEATURES(X), FEATURES(NEW)
    posteriors, functions = [], []
    for s in range(n_samples):
        mine = np.arange(s, 90, n_samples)
        posteriors.append(fit_posterior(moment_of(phi[mine], Y[mine]), sigma=0.5, mu=0.3))
        gram = phi[mine] @ phi[mine].T + 0.25 * np.eye(len(mine))
        functions.append(0.3 + at @ phi[mine].T @ np.linalg.solve(gram, Y[mine] - 0.3))
    return posteriors, np.stack(functions)


@pytest.mark.parametrize("n_samples", [2, 3, 7])
def test_variance_and_covariance_against_refits(n_samples):
    posteriors, functions = fits(n_samples)
    between, phi = between_samples(posteriors), FEATURES(NEW)
    assert between.n_samples == n_samples
    np.testing.assert_allclose(between.variance(phi), np.var(functions, axis=0, ddof=1), rtol=1e-6, atol=1e-10)
    covariance = between.covariance(phi)
    for gene in range(4):
        expected = np.cov(functions[:, :, gene], rowvar=False)
        np.testing.assert_allclose(covariance[:, :, gene], expected, rtol=1e-6, atol=1e-9)


def test_worked_values():
    # One feature; samples at 1, 2 and 6: mean 3, variance (4 + 1 + 9) / 2 = 7, at phi = 2 four times as much.
    posteriors = [fit_posterior(moment_of(np.ones((1, 1)), np.full((1, 1), 2.0 * z)), sigma=1.0) for z in (1, 2, 6)]
    between = between_samples(posteriors)
    assert between.variance(np.array([[2.0]])).item() == pytest.approx(28.0)
    np.testing.assert_allclose(between.covariance(np.array([[1.0], [-2.0]]))[:, :, 0], [[7, -14], [-14, 28]])


def test_equal_samples_have_no_variance():
    posteriors, _ = fits(2)
    assert between_samples([posteriors[0]] * 3).variance(FEATURES(NEW)).max() < 1e-30


def test_the_posteriors_are_left_as_they_were():
    posteriors, _ = fits(3)
    before = [posterior.coef.copy() for posterior in posteriors]
    between_samples(posteriors)
    for posterior, coef in zip(posteriors, before, strict=True):
        np.testing.assert_array_equal(posterior.coef, coef)


def test_single_precision_stays_single():
    posteriors, functions = fits(3)
    found = between_samples(posteriors).variance(FEATURES(NEW).astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.var(functions, axis=0, ddof=1), rtol=1e-3, atol=1e-5)


def test_far_from_all_cells_the_samples_agree():
    posteriors, _ = fits(3)
    far = np.full((1, 3), 1e3)
    assert matern52(1.0)(far, X).max() < 1e-12
    assert between_samples(posteriors).variance(FEATURES(far)).max() < 1e-20


@pytest.mark.parametrize("n_samples", [0, 1])
def test_too_few_samples(n_samples):
    with pytest.raises(ValueError, match=f"at least 2 samples with 2 or more cells each, came {n_samples}. Leave the"):
        require_samples(n_samples)
    with pytest.raises(ValueError, match="needs at least 2 samples"):
        between_samples(fits(2)[0][:n_samples])


def test_deviations_are_scaled_already():
    between = BetweenSamples(np.array([[[3.0, 0.0]], [[4.0, 1.0]]]))
    np.testing.assert_array_equal(between.variance(np.ones((1, 1))), [[25.0, 1.0]])
