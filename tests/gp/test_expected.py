"""Features that an analysis will choose, expected from a sample."""

import numpy as np
import pytest

import kompot.gp.expected as expected
from kompot.gp.expected import expected_features, expected_kernel
from kompot.gp.kernels import Matern52
from kompot.gp.neighbors import nearest_distances, nearest_of_some
from kompot.gp.parameters import DensityParameters, RegressionParameters
from kompot.gp.prepare import prepare_features, prepare_kernel


def curve(n_cells, seed=0):
    rng = np.random.default_rng(seed)
    t = rng.uniform(-3, 3, n_cells)
    return np.column_stack([t, np.sin(t), 0.05 * rng.normal(size=n_cells)])


PARAMETERS = {
    "regression": RegressionParameters(ls_factor=2.0),
    "noisy": RegressionParameters(ls_factor=2.0, sigma=3.0),
    "density": DensityParameters(ls_factor=4.0),
    "length scale given": RegressionParameters(ls=0.4),
}


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_few_cells_give_what_the_analysis_chooses(parameters):
    X = curve(600)
    groups = [X[:250], X[250:]]
    kernel = prepare_kernel(parameters, groups)
    assert expected_kernel(parameters, groups).length_scale == pytest.approx(kernel.length_scale, rel=1e-12)
    cells, approximation = prepare_features(parameters, kernel, X)
    found = expected_features(parameters, kernel, X)
    # The pool is in another order there, so the random choice differs.
    assert found.n_landmarks == pytest.approx(len(cells.features.landmarks), rel=0.15)
    assert found.rank == pytest.approx(approximation.rank, abs=3)
    assert found.kept_degrees == pytest.approx(approximation.kept_degrees, rel=1e-3)
    assert not found.capped


def test_many_cells_are_sampled(monkeypatch):
    monkeypatch.setattr(expected, "_SAMPLED_CELLS", 600)
    monkeypatch.setattr(expected, "_SAMPLED_DISTANCES", 300)
    X, parameters = curve(6000), RegressionParameters(ls_factor=10.0)
    groups = [X[:2000], X[2000:]]
    kernel, exact = expected_kernel(parameters, groups), prepare_kernel(parameters, groups)
    assert kernel.length_scale == pytest.approx(exact.length_scale, rel=0.15)
    found = expected_features(parameters, exact, X)
    cells, approximation = prepare_features(parameters, exact, X)
    assert found.rank == pytest.approx(approximation.rank, rel=0.1)
    assert found.n_landmarks == pytest.approx(len(cells.features.landmarks), rel=0.25)


def test_a_sample_with_too_few_cells_per_landmark_grows(monkeypatch):
    monkeypatch.setattr(expected, "_SAMPLED_CELLS", 100)
    X, kernel, parameters = curve(900), Matern52(0.5), RegressionParameters(ls=0.5)
    cells, _ = prepare_features(parameters, kernel, X)
    assert expected_features(parameters, kernel, X).n_landmarks == pytest.approx(
        len(cells.features.landmarks), rel=0.15
    )


@pytest.mark.slow
def test_numbers_beyond_those_of_the_sample(monkeypatch):
    monkeypatch.setattr(expected, "_SAMPLED_CELLS", 800)
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 2500)
    X, parameters = np.random.default_rng(0).uniform(size=(9000, 2)), RegressionParameters(ls=0.6)
    kernel = parameters.kernel(lambda: np.nan)
    cells, approximation = prepare_features(parameters, kernel, X)
    assert len(cells.features.landmarks) > 1.3 * 800 / 4
    found = expected_features(parameters, kernel, X)
    assert found.n_landmarks == pytest.approx(len(cells.features.landmarks), rel=0.2)
    assert found.rank == pytest.approx(approximation.rank, rel=0.15)
    assert found.kept_degrees == pytest.approx(approximation.kept_degrees, rel=0.03)


def test_a_limit_that_will_not_do():
    parameters = RegressionParameters(ls=0.1, n_landmarks=5)
    found = expected_features(parameters, Matern52(0.1), curve(300))
    assert found.n_landmarks == 5
    assert found.capped


def test_landmarks_that_are_given_or_stored():
    X, kernel = curve(300), Matern52(1.0)
    given = expected_features(RegressionParameters(landmarks=X[:20]), kernel, X)
    assert (given.n_landmarks, given.capped) == (20, False)
    assert given.rank <= 20
    wide = Matern52(10.0)
    stored = expected_features(RegressionParameters(stored_landmarks=X[:40]), wide, X)
    assert stored.n_landmarks == 40
    assert stored.rank <= 40


def test_stored_landmarks_that_will_not_do_are_chosen_anew():
    X, kernel, parameters = curve(300), Matern52(1.0), RegressionParameters(stored_landmarks=curve(300)[:40])
    found, (cells, record) = expected_features(parameters, kernel, X), prepare_features(parameters, kernel, X)
    assert len(cells.features.landmarks) > 80
    assert found.n_landmarks == pytest.approx(len(cells.features.landmarks), rel=0.15)
    assert found.rank == pytest.approx(record.rank, rel=0.1)


def with_isolated_cells(X, places, copies):
    """Some cells at places far from all others."""
    far = np.zeros((places, X.shape[1]))
    far[:, 0] = 100.0 + 50.0 * np.arange(places)
    return np.vstack([X, np.repeat(far, copies, axis=0)])


@pytest.mark.parametrize(("places", "copies"), [(12, 1), (60, 1), (300, 1), (4, 40)])
def test_isolated_cells_are_foreseen(monkeypatch, places, copies):
    monkeypatch.setattr(expected, "_SAMPLED_CELLS", 1000)
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 1500)
    X, kernel = with_isolated_cells(curve(3000), places, copies), Matern52(3.0)
    for seed in range(4):
        parameters = DensityParameters(ls=3.0, random_state=seed)
        cells, record = prepare_features(parameters, kernel, X)
        assert record.converged
        found = expected_features(parameters, kernel, X)
        assert found.n_attempts == 2
        assert not found.capped
        # Of few isolated cells the sample may hold more or fewer than their share.
        spread = 3 * np.sqrt(places * 2) if copies == 1 else 1
        n_landmarks = len(cells.features.landmarks)
        assert found.n_landmarks == pytest.approx(n_landmarks, abs=0.15 * n_landmarks + spread)
        assert found.rank == pytest.approx(record.rank, abs=0.1 * record.rank + spread)


def test_no_isolated_cells_no_second_attempt(monkeypatch):
    monkeypatch.setattr(expected, "_SAMPLED_CELLS", 600)
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 1500)
    assert expected_features(RegressionParameters(ls=3.0), Matern52(3.0), curve(6000)).n_attempts == 1


@pytest.mark.parametrize("n_landmarks", [None, 200])
def test_cells_that_are_all_isolated(monkeypatch, n_landmarks):
    monkeypatch.setattr(expected, "_SAMPLED_CELLS", 100)
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 200)
    X = with_isolated_cells(np.zeros((0, 2)), 600, 1)
    found = expected_features(RegressionParameters(ls=1.0, n_landmarks=n_landmarks), Matern52(1.0), X)
    assert found.n_landmarks == found.rank == (n_landmarks or 600)
    assert found.capped == (n_landmarks is not None)


@pytest.mark.parametrize("n_dims", [3, 25], ids=["tree", "brute force"])
def test_nearest_neighbours_of_some(n_dims):
    X = np.random.default_rng(1).normal(size=(300, n_dims))
    X[7] = X[3]
    rows = np.array([3, 250, 8])
    np.testing.assert_allclose(nearest_of_some(X, rows), nearest_distances(X)[rows], rtol=1e-12)
    assert nearest_of_some(X, rows)[0] == 0
