import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import LAWS, dense_degrees, low_rank, manifold
from kompot.errors import ApproximationWarning
from kompot.gp import selection as module
from kompot.gp.features import FeatureTable, features_at
from kompot.gp.kernels import RBF, Constant, Exponential, Linear, Matern32, Matern52

KERNELS = {
    "matern52": Matern52(1.0),
    "matern32": Matern32(2.0),
    "exponential": Exponential(3.0),
    "rbf": RBF(0.7),
    "sum-with-linear": Matern52(1.5) + 0.3 * Linear() + Constant(0.5),
}

over_kernels = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def select_features(X, kernel, **options):
    cells, record = module.select_features(X, kernel, **options)
    assert cells.X is X
    return cells.features, record


def assess(features, X, **options):
    return module.assess(FeatureTable(features, X), **options)


@over_kernels
@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_record_agrees_with_dense_algebra(kernel, sigma):
    X = manifold(150, 3)
    features, record = select_features(X, kernel, sigma=sigma)
    K, phi = kernel(X, X), features(X)
    residual = np.diag(K) - np.sum(phi**2, axis=1)
    assert record.rank == features.rank <= len(features.landmarks)
    assert record.residual_mean == pytest.approx(residual.mean(), rel=1e-4, abs=1e-10)
    assert record.residual_max == pytest.approx(residual.max(), rel=1e-4, abs=1e-9)
    assert record.lost_degrees == pytest.approx(residual.sum() / sigma**2, rel=1e-4, abs=1e-8)
    assert record.kept_degrees == pytest.approx(dense_degrees(lambda *_: phi @ phi.T, X, sigma), rel=1e-6)
    # What is lost bounds the true difference in degrees of freedom.
    assert -1e-9 <= dense_degrees(kernel, X, sigma) - record.kept_degrees <= record.lost_degrees + 1e-6
    assert record.converged
    assert not record.capped


@over_kernels
def test_features_are_the_principal_axes_of_the_landmarks_span(kernel):
    X = manifold(150, 3)
    features, _ = select_features(X, kernel)
    phi = features(X)
    values = np.linalg.eigvalsh(low_rank(kernel, features.landmarks)(X, X))[::-1][: features.rank]
    gram = phi.T @ phi
    np.testing.assert_allclose(np.sort(np.diag(gram))[::-1], values, rtol=1e-5, atol=1e-8 * values[0])
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0.0, atol=1e-9 * values[0])


@over_kernels
def test_features_represent_the_kernel_within_the_residual(kernel):
    X = manifold(120, 3)
    features, record = select_features(X, kernel)
    phi = features(X)
    missed = kernel(X, X) - phi @ phi.T
    # The difference is positive semi-definite, so that no entry exceeds the largest on the diagonal.
    assert np.abs(missed).max() <= record.residual_max * (1 + 1e-6) + 1e-12
    assert np.linalg.eigvalsh(missed).min() > -1e-10
    np.testing.assert_allclose(features.residual(X, phi), np.diag(missed), atol=1e-10)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_no_more_features_than_the_tolerance_needs(tolerance, sigma):
    X, kernel = manifold(200, 3), Matern52(1.0)
    features, record = select_features(X, kernel, sigma=sigma, tolerance=tolerance)
    assert record.lost_degrees <= tolerance * record.kept_degrees
    assert 1 < record.rank < 200
    # One axis less is one too few.
    shorter = assess(features.rotated(np.eye(record.rank)[:, 1:]), X, sigma=sigma, tolerance=tolerance)
    assert shorter.rank == record.rank - 1
    assert shorter.lost_degrees > tolerance * shorter.kept_degrees


def test_axes_are_fewer_than_landmarks():
    features, record = select_features(manifold(400, 3), Matern52(1.0))
    assert record.rank < 0.8 * len(features.landmarks)


@LAWS
@given(seed=st.integers(0, 10_000))
def test_landmarks_do_not_depend_on_the_order_of_cells(seed):
    X = manifold(100, 3)
    shuffled = np.random.default_rng(seed).permutation(X)
    expected, found = (select_features(cells, Matern52(1.0))[0] for cells in (X, shuffled))
    np.testing.assert_array_equal(found.landmarks, expected.landmarks)
    np.testing.assert_array_equal(found.factor, expected.factor)


def test_the_seed_changes_the_choice():
    X = manifold(100, 3)
    first, second, again = (select_features(X, Matern52(1.0), seed=seed)[0].landmarks for seed in (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_landmarks_are_cells():
    X = manifold(90, 4)
    landmarks = select_features(X, Matern52(1.0))[0].landmarks
    assert {tuple(u) for u in landmarks} <= {tuple(x) for x in X}


def test_a_cap_warns_and_is_recorded():
    with pytest.warns(
        ApproximationWarning, match=r"The 5 landmarks allowed leave out .* degrees of freedom .*raise n_landmarks"
    ) as caught:
        features, record = select_features(manifold(100, 3), Matern52(0.5), max_rank=5)
    assert len(caught) == 1
    assert features.rank == record.rank == 5
    assert record.capped
    assert not record.converged


@pytest.mark.parametrize("max_rank", [None, 0, 100, 5000])
def test_no_cap_no_warning(max_rank):
    X = manifold(100, 3)
    features, record = select_features(X, Matern52(0.05), sigma=0.01, max_rank=max_rank)
    assert record.converged
    np.testing.assert_allclose(features(X) @ features(X).T, Matern52(0.05)(X, X), atol=1e-6)


def test_duplicated_cells():
    X = np.repeat(manifold(20, 2), 5, axis=0)
    features, record = select_features(X, Matern52(0.05), sigma=0.01)
    assert features.rank <= 20
    assert record.converged


@pytest.mark.parametrize("pool_size", [60, 150])
def test_selection_on_a_subset_is_verified_on_all_cells(monkeypatch, pool_size):
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", pool_size)
    X, kernel = manifold(400, 3), Matern52(3.0)
    features, record = select_features(X, kernel)
    direct = assess(features, X)
    assert record.lost_degrees == pytest.approx(direct.lost_degrees, rel=1e-6)
    assert record.kept_degrees == pytest.approx(direct.kept_degrees, rel=1e-9)
    assert record.converged
    shuffled = select_features(np.random.default_rng(0).permutation(X), kernel)[0]
    np.testing.assert_array_equal(shuffled.landmarks, features.landmarks)


@pytest.mark.slow
@pytest.mark.parametrize("length_scale", [0.5, 2.0])
def test_the_loss_of_all_cells_is_foreseen_from_some(monkeypatch, length_scale):
    # Without witnesses the first attempt would miss the tolerance where a pool needs many of its cells as landmarks.
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 1500)
    attempts = []
    verified = module._verified
    monkeypatch.setattr(module, "_verified", lambda *a, **k: attempts.append(1) or verified(*a, **k))
    X = np.random.default_rng(0).uniform(size=(12_000, 2))
    _, record = select_features(X, Matern52(length_scale))
    assert len(attempts) == 1
    assert 0.8 < record.lost_degrees / record.allowed_degrees <= 1.0


@pytest.mark.parametrize("n_outliers", [1, 5])
def test_cells_outside_the_subset_are_found(monkeypatch, n_outliers):
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 100)
    X = np.vstack([manifold(300, 3), 50.0 + 10.0 * np.arange(n_outliers)[:, None] * np.ones(3)])
    features, record = select_features(X, Matern52(3.0))
    assert record.residual_max < 1e-2
    assert (features.landmarks[:, 0] >= 50.0).sum() == n_outliers


def isolated(n_cells, n_dims=3):
    """Cells at least 50 apart, and as far from the landscape."""
    X = np.zeros((n_cells, n_dims))
    X[:, 0] = 100.0 + 50.0 * np.arange(n_cells)
    return X


def over_seeds(X, kernel, n_seeds=6, **options):
    found = [select_features(X, kernel, seed=seed, **options) for seed in range(n_seeds)]
    for _, record in found:
        assert record.converged
        assert not record.capped
    return (
        np.array([len(features.landmarks) for features, _ in found]),
        np.array([record.rank for _, record in found]),
        np.array([record.residual_max for _, record in found]),
    )


@pytest.mark.parametrize(
    "options", [{}, {"sigma": 0.5}, {"negligible": 3e-6}], ids=["regression", "less noise", "density"]
)
def test_isolated_cells_take_one_feature_each_whatever_the_seed(monkeypatch, options):
    # Some of them are candidates, some stand for several cells that are none: six seeds have all cases.
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 600)
    near, far, kernel = manifold(1200, 3), isolated(6), Matern52(3.0)
    n_landmarks, rank, _ = over_seeds(near, kernel, **options)
    n_landmarks_far, rank_far, residual_far = over_seeds(np.vstack([near, far]), kernel, **options)
    assert residual_far.max() < 1e-2
    assert np.ptp(rank_far) <= 0.06 * rank_far.mean() + 1
    # No more, because degrees kept at isolated cells allow others to be lost.
    assert rank_far.max() <= rank.max() + 6
    assert n_landmarks_far.max() <= 1.1 * n_landmarks.max() + 6


def test_copies_of_an_isolated_cell_take_one_feature(monkeypatch):
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 600)
    near, kernel = manifold(1200, 3), Matern52(3.0)
    rank = over_seeds(near, kernel)[1]
    copies = np.repeat(isolated(1), 8, axis=0)
    assert abs(over_seeds(np.vstack([near, copies]), kernel)[1] - rank - 1).max() <= 3


def test_cells_that_are_all_isolated_are_all_landmarks(monkeypatch):
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 30)
    attempts = []
    verified = module._verified
    monkeypatch.setattr(module, "_verified", lambda *a, **k: attempts.append(1) or verified(*a, **k))
    record = select_features(isolated(200), Matern52(1.0))[1]
    assert (record.rank, record.capped, record.converged) == (200, False, True)
    assert len(attempts) <= 5  # the candidates are doubled each time
    with pytest.warns(ApproximationWarning, match="The 50 landmarks allowed leave out"):
        features, record = select_features(isolated(200), Matern52(1.0), max_rank=50)
    assert len(features.landmarks) == record.rank == 50
    assert record.capped
    assert record.lost_degrees == pytest.approx(150.0)


def test_the_limit_is_reported_even_where_the_tolerance_is_met():
    # Landmarks aim at a part of what may be lost. With one less than they need for that, the whole aim is still met.
    X, kernel = manifold(100, 3), Matern52(1.0)
    n_landmarks = len(select_features(X, kernel)[0].landmarks)
    features, record = select_features(X, kernel, max_rank=n_landmarks - 1)
    assert len(features.landmarks) == n_landmarks - 1
    assert record.capped
    assert record.converged
    assert not select_features(X, kernel, max_rank=n_landmarks)[1].capped


def test_axes_are_dropped_where_the_landmarks_allowed_lose_too_much(monkeypatch):
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 150)
    X, kernel = manifold(400, 3), Matern52(3.0)
    n_landmarks = len(select_features(X, kernel)[0].landmarks)
    most = n_landmarks - n_landmarks // 4
    with pytest.warns(ApproximationWarning, match=f"The {most} landmarks allowed leave out"):
        features, record = select_features(X, kernel, max_rank=most)
    assert len(features.landmarks) == most
    assert record.rank < most
    # That loses no more than the axes' share of what may be lost.
    whole = assess(features_at(features.landmarks, kernel), X)
    assert record.lost_degrees <= whole.lost_degrees + 0.6 * record.allowed_degrees


def test_no_landmarks_are_added_against_jitter(monkeypatch):
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 150)
    X, kernel = manifold(400, 3), Matern52(3.0)
    n_landmarks = len(select_features(X, kernel)[0].landmarks)
    with pytest.warns(ApproximationWarning, match=r"The jitter of 0\.001 leaves out .* degrees of freedom"):
        features, record = select_features(X, kernel, jitter=1e-3)
    assert len(features.landmarks) <= n_landmarks
    assert not record.converged
    assert not record.capped


def test_stored_landmarks_are_used_where_they_hold_the_isolated_cells(monkeypatch):
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 600)
    near, kernel = manifold(1200, 3), Matern52(3.0)
    X = np.vstack([near, isolated(6)])
    stored = select_features(near, kernel)[0].landmarks
    for seed in range(4):
        features, record = select_features(X, kernel, stored=stored, seed=seed)
        assert record.converged
        assert (features.landmarks[:, 0] >= 100.0).sum() == 6
    stored = select_features(X, kernel, tolerance=5e-5)[0].landmarks
    for seed in range(4):
        features, record = select_features(X, kernel, stored=stored, seed=seed)
        assert record.converged
        np.testing.assert_array_equal(features.landmarks, stored)


@pytest.mark.parametrize("max_rank", [None, 300])
def test_a_subset_too_small_for_the_tolerance_is_extended(monkeypatch, max_rank):
    # The length scale is so short that more landmarks are needed than the first subset has cells.
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 40)
    X = np.random.default_rng(0).uniform(size=(300, 2))
    _, record = select_features(X, Matern52(0.05), sigma=0.1, max_rank=max_rank)
    assert record.converged


def test_a_subset_and_a_cap_warn(monkeypatch):
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 50)
    with pytest.warns(ApproximationWarning, match="The 10 landmarks allowed leave out"):
        record = select_features(manifold(200, 3), Matern52(0.3), max_rank=10)[1]
    assert record.capped


def test_jitter_is_added_to_the_landmark_covariance():
    U, X, kernel = manifold(15, 2), manifold(30, 2, seed=1), Matern52(1.0)
    phi = features_at(U, kernel, jitter=0.1)(X)
    expected = kernel(X, U) @ np.linalg.solve(kernel(U, U) + 0.1 * np.eye(15), kernel(U, X))
    np.testing.assert_allclose(phi @ phi.T, expected, atol=1e-11)
    with pytest.warns(
        ApproximationWarning, match=r"The jitter of 0\.1 leaves out .* degrees of freedom .*lower jitter"
    ):
        selected = select_features(X, kernel, jitter=0.1)[0]
    V = selected.landmarks
    expected = kernel(X, V) @ np.linalg.solve(kernel(V, V) + 0.1 * np.eye(len(V)), kernel(V, X))
    np.testing.assert_allclose(selected(X) @ selected(X).T, expected, atol=1e-10)


def test_assessment_of_a_single_landmark_by_hand():
    # One landmark at 0, cells at 0 and at one length scale, k = exp(-1): residuals 0 and 1 - exp(-2); the gram is
    # 1 + exp(-2), and with sigma 0.5 the kept degrees are g / (g + 0.25).
    features = features_at(np.zeros((1, 1)), Exponential(1.0))
    record = assess(features, np.array([[0.0], [1.0]]), sigma=0.5)
    gram = 1 + np.exp(-2)
    assert record.residual_max == pytest.approx(1 - np.exp(-2))
    assert record.residual_mean == pytest.approx((1 - np.exp(-2)) / 2)
    assert record.lost_degrees == pytest.approx(4 * (1 - np.exp(-2)))
    assert record.kept_degrees == pytest.approx(gram / (gram + 0.25))
    assert not record.converged
    assert not record.capped


def test_selection_is_silent_when_it_converges():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        select_features(manifold(60, 2), Matern52(1.0))
    assert not caught


def test_cells_that_do_not_matter_have_no_say():
    X, kernel = manifold(120, 3), Matern52(1.0)
    used = np.arange(120) % 3 > 0
    X[~used] += 20.0
    cells, record = module.select_features(X, kernel, used=used)
    alone, expected = select_features(X[used], kernel)
    np.testing.assert_array_equal(cells.features.landmarks, alone.landmarks)
    for name in ("rank", "residual_mean", "residual_max", "lost_degrees", "kept_degrees", "allowed_degrees"):
        assert getattr(record, name) == pytest.approx(getattr(expected, name), rel=1e-6), name
    again = module.assess(cells, used=used)
    assert again.lost_degrees == pytest.approx(expected.lost_degrees, rel=1e-6)
    assert again.kept_degrees == pytest.approx(expected.kept_degrees, rel=1e-9)
