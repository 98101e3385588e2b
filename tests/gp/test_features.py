import numpy as np
import pytest

from helpers import low_rank, manifold
from kompot.gp.features import Features, FeatureTable, features_at, row_slices
from kompot.gp.kernels import RBF, CallableKernel, Constant, Exponential, Linear, Matern32, Matern52

KERNELS = {
    "matern52": Matern52(1.0),
    "matern32": Matern32(2.0),
    "exponential": Exponential(3.0),
    "rbf": RBF(0.7),
    "sum-with-linear": Matern52(1.5) + 0.3 * Linear() + Constant(0.5),
}

over_kernels = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


@over_kernels
def test_given_landmarks_are_used_as_they_are(kernel):
    X, U = manifold(80, 3), manifold(25, 3, seed=5)
    features = features_at(U, kernel)
    np.testing.assert_array_equal(features.landmarks, U)
    np.testing.assert_allclose(features(X) @ features(X).T, low_rank(kernel, U)(X, X), rtol=1e-7, atol=1e-9)


@over_kernels
def test_redundant_landmarks_reproduce_the_kernel(kernel):
    U = manifold(20, 3)
    twice = features_at(np.vstack([U, U, U[:3]]), kernel)
    assert not twice.triangular
    assert twice.rank <= 20
    X = manifold(50, 3, seed=3)
    once = features_at(U, kernel)
    np.testing.assert_allclose(twice(X) @ twice(X).T, once(X) @ once(X).T, atol=1e-7)
    np.testing.assert_allclose(twice(U) @ twice(U).T, kernel(U, U), atol=1e-7)


def test_a_kernel_that_is_zero_at_the_landmarks():
    with pytest.raises(ValueError, match="The kernel matrix of the landmarks is zero; check cov_func"):
        features_at(np.zeros((3, 2)), Linear())


def test_residual_is_never_negative():
    features = Features(Constant(1.0), np.zeros((1, 1)), np.eye(1))
    np.testing.assert_array_equal(features.residual(np.zeros((2, 1)), np.array([[1.5], [0.6]])), [0.0, 0.64])


@pytest.mark.parametrize(("n_rows", "size"), [(0, 3), (1, 3), (6, 3), (7, 3)])
def test_row_slices_cover_every_row_once(n_rows, size):
    slices = list(row_slices(n_rows, size))
    rows = [row for part in slices for row in range(n_rows)[part]]
    assert rows == list(range(n_rows))
    assert all(0 < part.stop - part.start <= size for part in slices)


@pytest.mark.parametrize("keep_bytes", [0, 10**6], ids=["computed-each-time", "kept"])
def test_a_table_holds_the_features_of_its_cells(keep_bytes):
    X = manifold(50, 3)
    features = features_at(X[:7], Matern52(1.0))
    table, expected = FeatureTable(features, X, keep_bytes=keep_bytes), features(X)
    for rows in (slice(5, 20), slice(0, 10), slice(0, 50), slice(45, 60)):
        np.testing.assert_allclose(table.rows(rows), expected[rows], atol=1e-13)


@pytest.mark.parametrize("writeable", [False, True])
def test_the_covariance_function_keeps_its_matrix(writeable):
    # A callable may return the same array again, or one that is read-only: it must not be written to.
    U, X = manifold(6, 2), manifold(9, 2, seed=1)
    known = {}

    def remembering(A, B):
        key = (A.tobytes(), B.tobytes())
        if key not in known:
            known[key] = Matern52(1.0)(A, B)
            known[key].flags.writeable = writeable
        return known[key]

    features = features_at(U, CallableKernel(remembering))
    first = features(X).copy()
    np.testing.assert_allclose(first, features_at(U, Matern52(1.0))(X), atol=1e-12)
    np.testing.assert_array_equal(features(X), first)


@over_kernels
def test_rotated_features_are_combinations_of_the_features(kernel):
    X, U = manifold(40, 3), manifold(12, 3, seed=5)
    V = np.random.default_rng(0).normal(size=(12, 4))
    for features in (features_at(U, kernel), features_at(U, kernel).rotated(np.eye(12))):
        np.testing.assert_allclose(features.rotated(V)(X), features(X) @ V, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("keep_bytes", [0, 10**6], ids=["computed-each-time", "kept"])
def test_features_known_already_fill_a_table(keep_bytes):
    X = manifold(50, 3)
    features = features_at(X[:7], Matern52(1.0))
    table, phi = FeatureTable(features, X, keep_bytes=keep_bytes), features(X)
    places = np.array([30, 3, 4])
    table.fill(places, phi[places] + 1.0)  # told apart from computed ones by the shift
    np.testing.assert_allclose(table.rows(slice(3, 5)), phi[3:5] + bool(keep_bytes), atol=1e-13)


def test_a_table_is_kept_if_it_fits_a_share_of_the_memory(monkeypatch):
    X = manifold(50, 3)
    features = features_at(X[:7], Matern52(1.0))
    calls = []
    monkeypatch.setattr(Features, "__call__", lambda self, X: calls.append(len(X)) or np.zeros((len(X), self.rank)))
    for available, expected in ((50 * 7 * 8 * 5 - 5, [50, 50]), (50 * 7 * 8 * 5, [50])):
        calls.clear()
        monkeypatch.setattr("kompot.gp.features.available_bytes", lambda available=available: available)
        monkeypatch.setattr("kompot.gp.features._ALWAYS_KEPT_BYTES", 0)
        table = FeatureTable(features, X)
        table.rows(slice(0, 50))
        table.rows(slice(0, 50))
        assert calls == expected
