import numpy as np
import pytest
from scipy.spatial.distance import pdist

from kompot.gp.dimension import fractal_dimension


def cloud(intrinsic, n_dims, *, n_cells=3000, seed=0):
    """Uniform cells of a cube of `intrinsic` dimensions, turned at random into `n_dims` dimensions."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(n_dims, n_dims)))[0][:intrinsic]
    return rng.uniform(size=(n_cells, intrinsic)) @ basis


# The mean slope over so few neighbours lies below the dimension. The published package (mellon 1.7.1) gives the same
# 0.828 for 2,000 uniform cells on a line (default_rng(0)); the densities are comparable only if d is computed alike.
@pytest.mark.parametrize(("intrinsic", "expected"), [(1, 0.83), (2, 1.48), (3, 2.00)], ids=["line", "plane", "cube"])
@pytest.mark.parametrize("n_dims", [3, 10, 30])
def test_known_dimensions(intrinsic, expected, n_dims):
    assert fractal_dimension(cloud(intrinsic, n_dims)) == pytest.approx(expected, abs=0.05)


def test_published_value():
    t = np.random.default_rng(0).uniform(size=(2000, 1))
    assert fractal_dimension(t) == pytest.approx(0.8284263763900735, rel=1e-9)


def test_slopes_worked_out_for_one_neighborhood():
    # Four cells are all each other's neighbours: one slope, of log rank over log distance of the six pairs.
    X = np.random.default_rng(1).normal(size=(4, 2))
    slope = np.polyfit(np.log(np.sort(pdist(X))), np.log(np.arange(1, 7)), 1)[0]
    assert fractal_dimension(X) == pytest.approx(slope)


def test_explicit_neighborhoods():
    X = np.random.default_rng(2).normal(size=(60, 3))
    slopes = []
    for cell in X:
        near = X[np.argsort(np.linalg.norm(X - cell, axis=1))[:10]]
        slopes.append(np.polyfit(np.log(np.sort(pdist(near))), np.log(np.arange(1, 46)), 1)[0])
    assert fractal_dimension(X) == pytest.approx(np.mean(slopes))


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_do_not_matter(factor):
    X = cloud(2, 5, n_cells=400)
    assert fractal_dimension(factor * X) == pytest.approx(fractal_dimension(X), rel=1e-9)


@pytest.mark.parametrize("n_sampled", [50, 5000])
def test_order_of_cells_does_not_matter(n_sampled):
    X = cloud(2, 5, n_cells=400)
    order = np.random.default_rng(5).permutation(400)
    expected = fractal_dimension(X, n_sampled=n_sampled)
    assert fractal_dimension(X[order], n_sampled=n_sampled) == pytest.approx(expected, rel=1e-12)


def test_a_sample_of_cells_comes_close():
    X = cloud(2, 5)
    some, every = fractal_dimension(X, n_sampled=500), fractal_dimension(X)
    assert some != every
    assert abs(some - every) < 0.1
    assert fractal_dimension(X, n_sampled=500, seed=1) != some


def test_duplicates_are_left_out_of_the_slopes():
    X = cloud(2, 4, n_cells=1000)
    some_twice = np.vstack([X, X[:100]])
    assert abs(fractal_dimension(some_twice) - fractal_dimension(X)) < 0.2
    # A hundred copies of one cell have no slope at all and do not count.
    many = np.vstack([X, np.repeat(X[:1], 100, axis=0)])
    assert abs(fractal_dimension(many) - fractal_dimension(X)) < 0.05


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(np.zeros((50, 2)), id="identical"),
        pytest.param(np.array([[0.0], [1.0]]), id="two"),
        pytest.param(np.eye(5), id="equal-distances"),
    ],
)
def test_too_few_distances(X):
    with pytest.raises(ValueError, match=r"intrinsic dimension cannot be estimated.*at least 3.*Pass the dimension"):
        fractal_dimension(X)
