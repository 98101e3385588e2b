import os
import signal

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from helpers import manifold
from kompot.gp.dimension import fractal_dimension
from kompot.gp.length_scale import length_scale, pooled_nearest_distances
from kompot.gp.neighbors import nearest_distances, query_tree

DIMS = [1, 2, 3, 10, 20, 21, 40, 60]


def by_all_distances(X):
    distances = cdist(X, X)
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)


@pytest.mark.parametrize("n_dims", DIMS)
def test_distances_against_all_pairs(n_dims):
    X = np.random.default_rng(n_dims).normal(size=(150, n_dims))
    np.testing.assert_allclose(nearest_distances(X), by_all_distances(X), rtol=1e-12)


@pytest.mark.parametrize("n_dims", DIMS)
def test_distances_against_scikit_learn(n_dims):
    X = manifold(200, n_dims, seed=n_dims)
    exact = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(X).kneighbors()[0][:, 0]
    # Their brute force computes |x|² + |y|² - 2xy, hence the absolute tolerance.
    np.testing.assert_allclose(nearest_distances(X), exact, atol=1e-7)


@pytest.mark.parametrize("n_dims", DIMS)
def test_a_cell_that_occurs_twice_has_distance_zero(n_dims):
    X = np.random.default_rng(n_dims).normal(size=(50, n_dims))
    X[[7, 30]] = X[[3, 3]]
    distances = nearest_distances(X)
    assert set(np.flatnonzero(distances == 0)) == {3, 7, 30}
    np.testing.assert_allclose(distances, by_all_distances(X), rtol=1e-12)


@pytest.mark.parametrize("n_dims", DIMS)
def test_distances_far_from_the_origin(n_dims):
    X = np.random.default_rng(n_dims).normal(size=(80, n_dims)) + 1e5
    np.testing.assert_allclose(nearest_distances(X), by_all_distances(X), rtol=1e-9)


@pytest.mark.parametrize("n_dims", [1, 30])
def test_a_single_cell_has_no_neighbour(n_dims):
    with pytest.raises(ValueError, match="nearest other cell needs at least 2 cells, came 1"):
        nearest_distances(np.zeros((1, n_dims)))


def test_length_scale_worked_by_hand():
    # The geometric mean of 1, 2 and 4 is 2; e³ is the neighbourhood.
    assert length_scale(np.array([1.0, 4.0, 2.0])) == pytest.approx(2.0 * np.exp(3.0), rel=1e-14)
    assert length_scale(np.array([1.0, 4.0, 2.0]), 10.0) == pytest.approx(20.0 * np.exp(3.0), rel=1e-14)


def test_length_scale_leaves_identical_cells_out():
    assert length_scale(np.array([0.0, 1.0, 0.0, 4.0, 2.0])) == length_scale(np.array([1.0, 4.0, 2.0]))


def test_length_scale_of_identical_cells():
    with pytest.raises(ValueError, match=r"All cells have an identical neighbour.*pass the length scale \(ls\)"):
        length_scale(nearest_distances(np.ones((5, 2))))


def test_neighbours_are_sought_within_the_group():
    X1, X2 = manifold(40, 3, seed=0), manifold(30, 3, seed=1)
    pooled = pooled_nearest_distances([X1, X2])
    np.testing.assert_allclose(pooled, np.concatenate([by_all_distances(X1), by_all_distances(X2)]), rtol=1e-12)
    # The two groups interleave, so that a search over both would find nearer cells.
    assert (by_all_distances(np.vstack([X1, X2])) < 0.99 * pooled).any()


@pytest.mark.parametrize("k", [1, 3])
def test_blocks_of_a_search_change_nothing(monkeypatch, k):
    X = manifold(100, 3)
    tree = cKDTree(X)
    expected = tree.query(X[:70], k=k)
    monkeypatch.setattr("kompot.gp.neighbors._BLOCK", 16)
    for found, wanted in zip(query_tree(tree, X[:70], k), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert len(query_tree(tree, X[:0], k)[0]) == 0


@pytest.mark.parametrize("search", [nearest_distances, fractal_dimension])
def test_an_interrupt_does_not_cut_a_search_in_threads(monkeypatch, search):
    ended = []

    class Interrupted:
        def __init__(self, *args, **kwargs):
            self.tree = cKDTree(*args, **kwargs)

        def query(self, *args, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)
            result = self.tree.query(*args, **kwargs)
            ended.append(len(result[0]))
            return result

    monkeypatch.setattr("scipy.spatial.cKDTree", Interrupted)
    monkeypatch.setattr("kompot.gp.neighbors._BLOCK", 16)
    with pytest.raises(KeyboardInterrupt):
        search(manifold(100, 3))
    assert ended == [16]
