import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers import LAWS, manifold
from kompot.gp.kernels import Exponential, Linear, Matern52
from kompot.gp.landmarks import PivotedCholesky, canonical_order


def grown(kernel, X, rank, seed=0):
    pool, rng = PivotedCholesky(kernel, X), np.random.default_rng(seed)
    while pool.rank < rank and not pool.exhausted:
        pool.extend(rng, rank - pool.rank)
    return pool


def probabilities_one_at_a_time(K, rank):
    """Of every set of `rank` pivots under randomly pivoted Cholesky (algorithm 1 of Chen et al. 2022)."""
    found = {}

    def follow(pivots, probability, residual):
        if len(pivots) == rank:
            found[frozenset(pivots)] = found.get(frozenset(pivots), 0.0) + probability
            return
        chances = np.diag(residual).clip(min=0.0) / np.trace(residual)
        for i in np.flatnonzero(chances > 1e-12):
            column = residual[:, i]
            follow([*pivots, i], probability * chances[i], residual - np.outer(column, column) / residual[i, i])

    follow([], 1.0, K)
    return found


def test_order_follows_the_columns_from_the_first():
    X = np.array([[2.0, 0.0], [1.0, 5.0], [1.0, -5.0], [2.0, -1.0]])
    assert canonical_order(X).tolist() == [2, 1, 3, 0]


@LAWS
@given(seed=st.integers(0, 10_000))
def test_order_does_not_depend_on_the_rows(seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, size=(30, 3)).astype(float)
    shuffled = rng.permutation(X)
    np.testing.assert_array_equal(X[canonical_order(X)], shuffled[canonical_order(shuffled)])


@pytest.mark.parametrize("rank", [1, 15, 16, 17, 60])
def test_factor_is_the_cholesky_factor_of_the_pivots(rank):
    X, kernel = manifold(80, 3), Matern52(0.5)
    pool = grown(kernel, X, rank)
    U = X[pool.pivots]
    assert pool.rank == len(set(pool.pivots.tolist())) == rank
    L = np.linalg.cholesky(kernel(U, U))
    np.testing.assert_allclose(pool.features[pool.pivots], L, atol=1e-9)
    np.testing.assert_allclose(pool.features, np.linalg.solve(L, kernel(U, X)).T, atol=1e-8)
    np.testing.assert_allclose(pool.residual, 1.0 - (pool.features**2).sum(axis=1), atol=1e-12)


def test_all_cells_give_the_kernel_exactly():
    X, kernel = manifold(70, 3), Matern52(0.8)
    pool = grown(kernel, X, 70)
    assert pool.exhausted
    np.testing.assert_allclose(pool.features @ pool.features.T, kernel(X, X), atol=1e-12)


def test_duplicated_cells_are_taken_once():
    X = np.repeat(manifold(25, 2), 3, axis=0)
    pool = grown(Matern52(0.5), X, 75)
    assert pool.exhausted
    assert len(np.unique(X[pool.pivots], axis=0)) == pool.rank == 25


def test_a_kernel_of_low_rank_exhausts_the_pool():
    X = np.random.default_rng(0).normal(size=(100, 3))
    pool = grown(Linear(), X, 100)
    assert pool.exhausted
    assert pool.rank == 3
    np.testing.assert_allclose(pool.features @ pool.features.T, X @ X.T, atol=1e-10)


@pytest.mark.parametrize("rank", [0, 1, 20, 40])
def test_truncation_gives_the_shorter_factor(rank):
    X, kernel = manifold(60, 3), Matern52(0.5)
    pool = grown(kernel, X, 40)
    promised = pool.residual_sums(np.ones(len(pool.X)))[rank]
    pivots = pool.pivots[:rank]
    pool.truncate(rank)
    np.testing.assert_array_equal(pool.pivots, pivots)
    assert pool.residual.sum() == pytest.approx(promised, rel=1e-12)
    np.testing.assert_allclose(pool.residual, 1.0 - (pool.features**2).sum(axis=1), atol=1e-12)
    K, U = kernel(X, X), X[pivots]
    direct = np.trace(K - kernel(X, U) @ np.linalg.solve(kernel(U, U), kernel(U, X)))
    assert promised == pytest.approx(direct, rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [2, 3])
def test_blocks_choose_with_the_probabilities_of_one_draw_at_a_time(rank):
    # Seven cells and blocks of sixteen draws: most draws meet a cell that was drawn before in the same block.
    X = np.array([0.0, 0.3, 0.5, 1.2, 1.3, 2.5, 4.0])[:, None]
    kernel = Exponential(1.0)
    exact = probabilities_one_at_a_time(kernel(X, X), rank)
    assert sum(exact.values()) == pytest.approx(1.0, abs=1e-12)
    rng, n_runs, counted = np.random.default_rng(5), 8000, dict.fromkeys(exact, 0)
    for _ in range(n_runs):
        pool = PivotedCholesky(kernel, X)
        while pool.rank < rank:
            pool.extend(rng, rank - pool.rank)
        counted[frozenset(pool.pivots.tolist())] += 1
    expected = [n_runs * exact[pivots] for pivots in counted]
    assert min(expected) > 5
    assert stats.chisquare(list(counted.values()), expected).pvalue > 0.01


def test_witnesses_are_followed_but_never_chosen():
    X, kernel = manifold(90, 3), Matern52(0.7)
    pool = PivotedCholesky(kernel, X, n_candidates=30)
    rng = np.random.default_rng(0)
    while not pool.exhausted and pool.rank < 40:
        pool.extend(rng, 40 - pool.rank)
    assert pool.rank == 30
    assert set(pool.pivots) == set(range(30))
    U = X[pool.pivots]
    missed = np.diag(kernel(X, X) - kernel(X, U) @ np.linalg.solve(kernel(U, U), kernel(U, X)))
    np.testing.assert_allclose(pool.residual, missed, atol=1e-8)
    assert pool.residual[30:].max() > 1e-3
    weights = np.arange(1.0, 91.0)
    sums = pool.residual_sums(weights)
    assert sums[0] == pytest.approx(weights.sum(), rel=1e-9)  # nothing represented: the prior variance 1 of each
    assert sums[-1] == pytest.approx(weights @ missed, rel=1e-5)
