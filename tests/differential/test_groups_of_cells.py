"""Distances over the cells of a group, against the full Gaussian process at those cells."""

import numpy as np
import pytest
from scipy import linalg

from helpers import dense_mahalanobis, dense_posterior, matern52, two_conditions
from kompot import DifferentialExpression
from kompot.differential.comparison import FittedComparison, Landscape
from kompot.gp.centroids import evaluation_points
from kompot.gp.local import local_prior
from kompot.gp.rows import row_source

TOY = two_conditions(90, 75, n_genes=5)
CONDITION = np.repeat([0, 1], [90, 75])
GROUPS = {
    "region": TOY.X[:, 0] > 0.3,
    "few": np.isin(np.arange(165), [3, 50, 120, 160]),
    "one condition": np.arange(165) < 40,
    "all": np.ones(165, dtype=bool),
}


def comparison(eps=1e-6, n_points=None, **options):
    model = DifferentialExpression(ls=1.5, sigma=0.5, tolerance=1e-5, **options)
    model.fit_cells(TOY.X, row_source(TOY.Y), CONDITION)
    landscape = Landscape(model.cells, np.ones(165, dtype=bool), eps, n_points)
    points = None if model.points is None else model.cells.features(model.points)
    return FittedComparison(model.result, landscape, points)


@pytest.mark.parametrize("name", GROUPS)
def test_distance_at_the_cells_of_the_group(name):
    mask = GROUPS[name]
    expected = dense_mahalanobis(matern52(1.5), TOY, TOY.X[mask], 0.5, jitter=1e-6)
    np.testing.assert_allclose(comparison().group_distances(mask), expected, rtol=5e-3)


@pytest.mark.parametrize("name", ["region", "few"])
def test_with_empirical_variance(name):
    found = comparison(use_empirical_variance=True)
    mask = GROUPS[name]
    points = TOY.X[mask]
    phi = found.landscape.cells.features(points)
    noise = sum(condition.empirical.variance(phi) for condition in found.fit.conditions)
    mean_1, cov_1 = dense_posterior(matern52(1.5), TOY.X1, TOY.Y1, points, 0.5)
    mean_2, cov_2 = dense_posterior(matern52(1.5), TOY.X2, TOY.Y2, points, 0.5)
    distances = found.group_distances(mask)
    for gene in range(5):
        L = np.linalg.cholesky(cov_1 + cov_2 + np.diag(noise[:, gene]))
        expected = np.linalg.norm(linalg.solve_triangular(L, (mean_2 - mean_1)[:, gene], lower=True))
        assert distances[gene] == pytest.approx(expected, rel=2e-3)


def test_means_are_means_over_the_cells():
    found = comparison()
    mask = GROUPS["region"]
    layers = found.fit.posteriors[1].mean(found.landscape.cells.features(TOY.X)) - found.fit.posteriors[0].mean(
        found.landscape.cells.features(TOY.X)
    )
    weights = np.stack([mask / mask.sum(), np.linspace(0, 1, 165)], axis=1)
    np.testing.assert_allclose(found.means(weights), weights.T @ layers, rtol=1e-8, atol=1e-12)


def test_the_local_prior_is_the_kernel_at_the_cells():
    found = comparison()
    mask = GROUPS["region"]
    R, F = local_prior(found.landscape.cells, mask, residual=1e-9)
    # Both live on one orthonormal basis, so that singular values and products are those at the cells.
    K, phi = matern52(1.5)(TOY.X[mask], TOY.X[mask]), found.landscape.cells.features(TOY.X[mask])
    rank = len(R)
    expected = np.linalg.eigvalsh(K)[::-1][:rank]
    np.testing.assert_allclose(np.linalg.eigvalsh(R @ R.T)[::-1], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(F.T @ F, phi.T @ phi, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 10**9])
def test_chunks_do_not_matter(monkeypatch, chunk):
    expected = comparison().group_distances(GROUPS["region"])
    monkeypatch.setattr("kompot.gp.features._CHUNK_BYTES", chunk)
    np.testing.assert_allclose(comparison().group_distances(GROUPS["region"]), expected, rtol=1e-6)


def test_covariance_between_cells_is_that_of_the_two_processes():
    found = comparison()
    mask = GROUPS["region"]
    covariances = [
        dense_posterior(matern52(1.5), X, Y, TOY.X[mask], 0.5)[1] for X, Y in ((TOY.X1, TOY.Y1), (TOY.X2, TOY.Y2))
    ]
    covariance = found.covariance(mask)
    np.testing.assert_allclose(covariance, sum(covariances), atol=1e-4)
    std_1, std_2 = found.stds()
    np.testing.assert_allclose(np.diag(covariance), (std_1**2 + std_2**2 - 2e-6)[mask], rtol=1e-8)


@pytest.mark.parametrize("n_points", [None, 0, 30, 100, 500])
def test_evaluation_points(n_points):
    X = np.random.default_rng(0).normal(size=(100, 2))
    points = evaluation_points(X, n_points)
    if n_points == 30:
        assert points.shape == (30, 2)
        np.testing.assert_allclose(evaluation_points(X[::-1], 30), points, atol=1e-12)
        # Every cell is near a centroid, nearer than the cells' spread.
        assert np.linalg.norm(X[:, None] - points[None], axis=2).min(axis=1).mean() < 0.4
    else:
        np.testing.assert_array_equal(points, X)
