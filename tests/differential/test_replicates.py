"""Replicates and empirical variance in the comparison of two conditions, against dense algebra gene by gene."""

import numpy as np
import pytest
from scipy import linalg

from helpers import dense_posterior, low_rank, manifold, matern52, two_conditions
from kompot import DifferentialExpression, ExpressionModel, SampleVarianceEstimator
from kompot.errors import SkippedSampleWarning

TOY = two_conditions(90, 75, n_genes=4)
SAMPLES_1 = np.array(["a", "b", "c"])[np.arange(90) % 3]
SAMPLES_2 = np.array(["d", "e", "f", "g"])[np.arange(75) % 4]
SIGMA = 0.5
KERNEL = matern52(1.5)
U = TOY.X[::8]
FIXED = {"ls": 1.5, "sigma": SIGMA, "landmarks": U}
STAND_IN = low_rank(KERNEL, U)
"""The kernel that the features at U stand for; its posterior covariance needs no residual."""


def parts(X, Y, samples, points):
    """Mean, posterior covariance, and functions of the samples, at points, by n x n matrices."""
    mean, covariance = dense_posterior(STAND_IN, X, Y, points, SIGMA)
    functions = [
        dense_posterior(STAND_IN, X[samples == s], Y[samples == s], points, SIGMA)[0] for s in np.unique(samples)
    ]
    return mean, covariance, np.stack(functions)


def distance(change, covariance):
    L = np.linalg.cholesky(covariance)
    return np.linalg.norm(linalg.solve_triangular(L, change, lower=True))


def between(functions, gene):
    return np.cov(functions[:, :, gene], rowvar=False)  # ddof 1


def test_distances_with_samples_by_refits_and_covariances_of_each_gene():
    found = DifferentialExpression(**FIXED).fit(*TOY, SAMPLES_1, SAMPLES_2).mahalanobis_distances()
    mean_1, cov_1, functions_1 = parts(TOY.X1, TOY.Y1, SAMPLES_1, U)
    mean_2, cov_2, functions_2 = parts(TOY.X2, TOY.Y2, SAMPLES_2, U)
    for gene in range(4):
        covariance = cov_1 + cov_2 + between(functions_1, gene) + between(functions_2, gene)
        expected = distance((mean_2 - mean_1)[:, gene], covariance + 1e-13 * np.eye(len(U)))
        assert found[gene] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("with_samples", [False, True], ids=["pooled", "samples"])
def test_distances_with_empirical_variance_are_the_exact_ones(with_samples):
    samples = (SAMPLES_1, SAMPLES_2) if with_samples else (None, None)
    model = DifferentialExpression(use_empirical_variance=True, **FIXED).fit(*TOY, *samples)
    np.testing.assert_array_equal(model.points, U)
    found = model.mahalanobis_distances()
    mean_1, cov_1, functions_1 = parts(TOY.X1, TOY.Y1, SAMPLES_1, U)
    mean_2, cov_2, functions_2 = parts(TOY.X2, TOY.Y2, SAMPLES_2, U)
    single = [
        ExpressionModel(use_empirical_variance=True, **FIXED).fit(X, Y, s)
        for X, Y, s in ((TOY.X1, TOY.Y1, samples[0]), (TOY.X2, TOY.Y2, samples[1]))
    ]
    noise = sum(one.empirical_variance(U) for one in single)
    for gene in range(4):
        covariance = cov_1 + cov_2 + np.diag(noise[:, gene])
        if with_samples:
            covariance += between(functions_1, gene) + between(functions_2, gene)
        assert found[gene] == pytest.approx(distance((mean_2 - mean_1)[:, gene], covariance), rel=1e-5)


def test_evaluation_points_are_centroids_of_all_cells():
    model = DifferentialExpression(use_empirical_variance=True, ls=1.5, n_landmarks=100).fit(*TOY)
    assert model.points.shape == (100, 3)
    shuffled = np.random.default_rng(0).permutation(90)
    again = DifferentialExpression(use_empirical_variance=True, ls=1.5, n_landmarks=100).fit(
        TOY.X1[shuffled], TOY.Y1[shuffled], TOY.X2, TOY.Y2
    )
    np.testing.assert_allclose(again.points, model.points, atol=1e-12)
    everything = DifferentialExpression(use_empirical_variance=True, ls=1.5).fit(*TOY)
    assert everything.points.shape == (165, 3)


def test_standard_deviations_and_zscores_hold_all_parts():
    model = DifferentialExpression(use_empirical_variance=True, **FIXED).fit(*TOY, SAMPLES_1, SAMPLES_2)
    new = manifold(20, 3, seed=9)
    found = model.predict(new)
    single = [
        ExpressionModel(use_empirical_variance=True, **FIXED).fit(X, Y, s)
        for X, Y, s in ((TOY.X1, TOY.Y1, SAMPLES_1), (TOY.X2, TOY.Y2, SAMPLES_2))
    ]
    for std, one in zip((found.std_1, found.std_2), single, strict=True):
        np.testing.assert_allclose(std, one.std(new), rtol=1e-6)
    spread = np.sqrt(single[0].std(new) ** 2 + single[1].std(new) ** 2 - 1e-8)
    np.testing.assert_allclose(found.zscore, found.fold_change / spread, rtol=1e-6)


def test_models_of_the_conditions_carry_their_variances():
    model = DifferentialExpression(use_empirical_variance=True, **FIXED).fit(*TOY, SAMPLES_1, SAMPLES_2)
    alone = ExpressionModel(use_empirical_variance=True, **FIXED).fit(TOY.X2, TOY.Y2, SAMPLES_2)
    np.testing.assert_allclose(model.model2.std(U), alone.std(U), rtol=1e-6)


def test_null_and_further_genes_get_the_same_variances():
    model = DifferentialExpression(use_empirical_variance=True, **FIXED).fit(*TOY, SAMPLES_1, SAMPLES_2)
    external = model.fit_external(TOY.Y1, TOY.Y2)
    np.testing.assert_allclose(model.distances(external), model.mahalanobis_distances(), rtol=1e-9)
    null, draw = model.fit_null(TOY.Y, 3, seed=1)
    assert null.n_genes == len(draw.genes) == 3
    assert np.isfinite(model.distances(null)).all()
    assert null.has_gene_variance


def test_one_condition_lends_its_variance():
    one_sample = np.repeat("x", 75)
    with pytest.raises(ValueError, match=r"at least 2 samples .* came 3 and 1 .*allow_single_condition_variance"):
        DifferentialExpression(**FIXED).fit(*TOY, SAMPLES_1, one_sample)
    model = DifferentialExpression(allow_single_condition_variance=True, **FIXED).fit(*TOY, SAMPLES_1, one_sample)
    mean_1, cov_1, functions_1 = parts(TOY.X1, TOY.Y1, SAMPLES_1, U)
    mean_2, cov_2, _ = parts(TOY.X2, TOY.Y2, SAMPLES_2, U)
    covariance = cov_1 + cov_2 + 2 * between(functions_1, 2) + 1e-13 * np.eye(len(U))
    expected = distance((mean_2 - mean_1)[:, 2], covariance)
    assert model.mahalanobis_distances()[2] == pytest.approx(expected, rel=1e-4)
    found = model.predict(U[:5])
    lent = functions_1.var(axis=0, ddof=1)[:5]
    posterior = np.diag(cov_2)[:5, None]
    np.testing.assert_allclose(found.std_2**2, lent + posterior, rtol=1e-3, atol=1e-6)


def test_small_samples_are_skipped_with_a_warning():
    samples = SAMPLES_1.astype(object)
    samples[0] = "lonely"
    with pytest.warns(SkippedSampleWarning, match="lonely"):
        model = DifferentialExpression(**FIXED).fit(*TOY, samples, SAMPLES_2)
    assert model.skipped_samples == ["lonely"]
    assert model.result.conditions[0].between.n_samples == 3
    assert model.result.conditions[0].n_cells == 90  # the condition's own fit has all cells
    np.testing.assert_allclose(
        model.result.posteriors[0].coef, DifferentialExpression(**FIXED).fit(*TOY).result.posteriors[0].coef, rtol=1e-8
    )


def test_sample_variance_estimator_is_the_variance_of_refits():
    estimator = SampleVarianceEstimator(**FIXED).fit(TOY.X1, TOY.Y1, SAMPLES_1)
    functions = parts(TOY.X1, TOY.Y1, SAMPLES_1, TOY.X2[:9])[2]
    np.testing.assert_allclose(estimator.predict(TOY.X2[:9]), functions.var(axis=0, ddof=1), rtol=1e-3, atol=1e-8)
    matrix = estimator(TOY.X2[:9], diag=False)
    np.testing.assert_allclose(matrix[:, :, 3], between(functions, 3), rtol=1e-3, atol=1e-6)
    with pytest.raises(ValueError, match="not fitted"):
        SampleVarianceEstimator().predict(U)
    with pytest.raises(ValueError, match="samples must name"):
        SampleVarianceEstimator().fit(TOY.X1, TOY.Y1, None)
