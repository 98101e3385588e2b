"""Densities against the package they follow, where it is installed: mellon.DensityEstimator, all cells as landmarks."""

import numpy as np
import pytest

from kompot import DensityEstimator, DifferentialAbundance
from kompot.gp.neighbors import nearest_distances

mellon = pytest.importorskip("mellon")
# What JAX and mellon say about themselves is not ours to fix.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*[jJ][aA][xX].*:UserWarning"),
]

FIRST = np.random.default_rng(0).normal(size=(150, 2))
SECOND = np.random.default_rng(1).normal(loc=[0.7, 0.0], size=(120, 2))
NEW = np.random.default_rng(2).normal(size=(30, 2))
# mellon adds 1e-6 to the diagonal of the kernel matrix and stops L-BFGS-B before the gradient is zero.
TOLERANCE = 1e-3


def theirs(X, *, d=2.0, mu=-5.0, ls=1.5, uncertain=True):
    estimator = mellon.DensityEstimator(
        d=d,
        mu=mu,
        ls=ls,
        nn_distances=nearest_distances(X),
        n_landmarks=len(X),
        optimizer="L-BFGS-B",
        predictor_with_uncertainty=uncertain,
    )
    estimator.fit(X)
    return estimator.predict


@pytest.mark.parametrize("ls", [0.7, 1.5, 8.0])
@pytest.mark.parametrize(("d", "mu"), [(2.0, -5.0), (1.6, -12.0)])
def test_log_densities(ls, d, mu):
    published = theirs(FIRST, d=d, mu=mu, ls=ls, uncertain=False)
    ours = DensityEstimator(d=d, mu=mu, ls=ls, tolerance=1e-8).fit(FIRST).predict
    np.testing.assert_allclose(ours(FIRST), np.asarray(published(FIRST)), atol=TOLERANCE)
    np.testing.assert_allclose(ours(NEW), np.asarray(published(NEW)), atol=2 * TOLERANCE)


def test_normalised_log_densities():
    ours = DensityEstimator(d=2.0, mu=-5.0, ls=1.5, tolerance=1e-8).fit(FIRST).predict
    published = np.asarray(theirs(FIRST, uncertain=False)(FIRST, normalize=True))
    np.testing.assert_allclose(ours(FIRST, normalize=True), published, atol=TOLERANCE)


def test_estimated_parameters():
    estimator = mellon.DensityEstimator(n_landmarks=len(FIRST), optimizer="L-BFGS-B", d_method="fractal")
    estimator.fit(FIRST)
    ours = DensityEstimator().fit(FIRST).predictor
    assert ours.features.kernel.length_scale == pytest.approx(float(estimator.ls), rel=1e-5)
    assert ours.d == pytest.approx(float(estimator.d), rel=1e-5)
    assert ours.posterior.mu == pytest.approx(float(estimator.mu), abs=0.05)


def test_their_predictors_in_a_comparison():
    predictors = theirs(FIRST), theirs(SECOND)
    X, condition = np.vstack([FIRST, SECOND]), np.repeat([0, 1], [150, 120])
    analysis = DifferentialAbundance(calibrate_offset=False).fit_cells(X, condition, predictors=predictors)
    found = analysis.predict(NEW)
    ours = DifferentialAbundance(calibrate_offset=False, d=2.0, mu=-5.0, ls=1.5, tolerance=1e-8).fit(FIRST, SECOND)
    np.testing.assert_allclose(found.lfc, ours.predict(NEW).lfc, atol=4 * TOLERANCE)
    variance = sum(np.asarray(predictor.uncertainty(NEW, diag=True)) for predictor in predictors)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-10)
    assert (found.variance > 0).all()


def test_their_predictors_without_uncertainty_are_refused():
    predictors = theirs(FIRST, uncertain=False), theirs(SECOND)
    X, condition = np.vstack([FIRST, SECOND]), np.repeat([0, 1], [150, 120])
    analysis = DifferentialAbundance()
    with pytest.raises(TypeError, match=r"covariance\(X, diag=True\).*needs predictor_with_uncertainty=True"):
        analysis.fit_cells(X, condition, predictors=predictors)


def test_one_of_their_predictors_beside_ours():
    X, condition = np.vstack([FIRST, SECOND]), np.repeat([0, 1], [150, 120])
    parameters = {"d": 2.0, "mu": -5.0, "ls": 1.5, "tolerance": 1e-8, "calibrate_offset": False}
    mixed = DifferentialAbundance(**parameters).fit_cells(X, condition, predictors=(theirs(FIRST), None))
    own = DifferentialAbundance(**parameters).fit(FIRST, SECOND)
    np.testing.assert_allclose(mixed.predict(NEW).lfc, own.predict(NEW).lfc, atol=4 * TOLERANCE)
