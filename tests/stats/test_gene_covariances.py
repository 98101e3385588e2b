"""Distances whose covariance differs between genes, against the explicit covariance of every single gene."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg

from helpers import LAWS
from kompot.gp.regression import Posterior
from kompot.stats import mahalanobis as module
from kompot.stats.mahalanobis import fold_change_metric


def random_posteriors(rank, n_genes, rng):
    """Two posteriors with random precisions of at least 1."""
    made = []
    for _ in range(2):
        A = rng.normal(size=(rank, 2 * rank))
        factor = np.linalg.cholesky(np.eye(rank) + A @ A.T)
        made.append(Posterior(rng.normal(size=(rank, n_genes)), factor, 1.0))
    return made


def inverse_precisions(posteriors):
    return sum(np.linalg.inv(p.factor @ p.factor.T) for p in posteriors)


def dense(points, C, dz, noise):
    """`|L⁻¹ P dz|²` with the Cholesky factor L of `P C Pᵀ + diag(noise)`."""
    L = np.linalg.cholesky(points @ C @ points.T + np.diag(noise))
    return np.sum(linalg.solve_triangular(L, points @ dz, lower=True) ** 2)


@LAWS
@given(
    rank=st.integers(1, 9),
    n_samples=st.integers(1, 12),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 99),
)
def test_samples_by_explicit_covariance(rank, n_samples, scale, seed):
    rng = np.random.default_rng(seed)
    first, second = random_posteriors(rank, 4, rng)
    V = scale * rng.normal(size=(n_samples, rank, 4))
    dz = second.coef - first.coef
    found = fold_change_metric(first, second).squared_distance(dz, list(V))
    C = inverse_precisions((first, second))
    for gene in range(4):
        covariance = C + V[:, :, gene].T @ V[:, :, gene]
        assert found[gene] == pytest.approx(dz[:, gene] @ np.linalg.solve(covariance, dz[:, gene]), rel=1e-6)


@LAWS
@given(
    rank=st.integers(1, 7),
    n_points=st.integers(1, 20),
    n_samples=st.integers(0, 5),
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_noise_at_points_by_explicit_covariance(rank, n_points, n_samples, scale, seed):
    rng = np.random.default_rng(seed)
    first, second = random_posteriors(rank, 3, rng)
    V = rng.normal(size=(n_samples, rank, 3))
    points, noise = rng.normal(size=(n_points, rank)), scale * rng.uniform(0.5, 2.0, size=(n_points, 3))
    dz = second.coef - first.coef
    found = fold_change_metric(first, second).noisy_squared_distance(dz, list(V), points, noise)
    C = inverse_precisions((first, second))
    for gene in range(3):
        covariance = C + V[:, :, gene].T @ V[:, :, gene]
        assert found[gene] == pytest.approx(dense(points, covariance, dz[:, gene], noise[:, gene]), rel=1e-6)


@pytest.mark.parametrize("block_bytes", [1, 10**9])
def test_blocks_of_genes_do_not_matter(monkeypatch, block_bytes):
    rng = np.random.default_rng(0)
    first, second = random_posteriors(5, 30, rng)
    V, dz = list(rng.normal(size=(3, 5, 30))), second.coef - first.coef
    points, noise = rng.normal(size=(9, 5)), rng.uniform(1, 2, size=(9, 30))
    metric = fold_change_metric(first, second)
    expected = metric.squared_distance(dz, V), metric.noisy_squared_distance(dz, V, points, noise)
    monkeypatch.setattr(module, "_BLOCK_BYTES", block_bytes)
    np.testing.assert_allclose(metric.squared_distance(dz, V), expected[0], rtol=1e-10)
    np.testing.assert_allclose(metric.noisy_squared_distance(dz, V, points, noise), expected[1], rtol=1e-10)


def test_worked_values():
    # One feature, precisions 1 and 1: C = 2. dz = 3. Without more D² = 9/2; with one sample of deviation 1, 9/3; with
    # noise 4 at two points of feature 1, (3, 3) under [[6, 2], [2, 6]]: 18 * (6 - 2) / 32 = 9/4.
    eye = np.eye(1)
    metric = fold_change_metric(Posterior(np.zeros((1, 1)), eye, 1.0), Posterior(3 * eye, eye, 1.0))
    dz, one = 3 * eye, np.ones((1, 1))
    assert metric.squared_distance(dz) == pytest.approx([4.5])
    assert metric.squared_distance(dz, [one]) == pytest.approx([3.0])
    assert metric.noisy_squared_distance(dz, [], np.ones((2, 1)), np.full((2, 1), 4.0)) == pytest.approx([2.25])


@LAWS
@given(seed=st.integers(0, 99))
def test_more_variance_never_brings_a_gene_farther(seed):
    rng = np.random.default_rng(seed)
    first, second = random_posteriors(6, 5, rng)
    dz, V = second.coef - first.coef, list(rng.normal(size=(2, 6, 5)))
    points, noise = rng.normal(size=(30, 6)), rng.uniform(0.1, 1, size=(30, 5))
    metric = fold_change_metric(first, second)
    plain, replicates = metric.squared_distance(dz), metric.squared_distance(dz, V)
    noisy, both = (metric.noisy_squared_distance(dz, parts, points, noise) for parts in ([], V))
    assert (replicates <= plain * (1 + 1e-9)).all()
    assert (noisy <= plain * (1 + 1e-9)).all()
    assert (both <= np.minimum(noisy, replicates) * (1 + 1e-9)).all()
    assert (both >= 0).all()
