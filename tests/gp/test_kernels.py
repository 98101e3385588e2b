import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.gaussian_process import kernels as sk

from helpers import LAWS, matern52
from kompot.gp.kernels import (
    RBF,
    CallableKernel,
    Constant,
    Exponential,
    Linear,
    Matern32,
    Matern52,
    RationalQuadratic,
    as_kernel,
    kernel_from_dict,
)

# Ours, and scikit-learn's equal of it.
PAIRS = {
    "matern52": (Matern52(1.7), sk.Matern(1.7, nu=2.5)),
    "matern32": (Matern32(0.6), sk.Matern(0.6, nu=1.5)),
    "exponential": (Exponential(2.0), sk.Matern(2.0, nu=0.5)),
    "rbf": (RBF(1.3), sk.RBF(1.3)),
    "rational-quadratic": (RationalQuadratic(1.3, alpha=0.4), sk.RationalQuadratic(1.3, alpha=0.4)),
    "constant": (Constant(2.5), sk.ConstantKernel(2.5)),
    "linear": (Linear(), sk.DotProduct(sigma_0=0)),
    "sum": (Matern52(1.0) + Linear(), sk.Matern(1.0, nu=2.5) + sk.DotProduct(sigma_0=0)),
    "product": (Matern52(1.0) * RBF(3.0), sk.Matern(1.0, nu=2.5) * sk.RBF(3.0)),
    "scalar-left": (0.5 * RBF(2.0), 0.5 * sk.RBF(2.0)),
    "scalar-right": (RBF(2.0) * 3, sk.RBF(2.0) * 3.0),
    "plus-scalar": (0.25 + Matern32(1.0) + 1, 1.25 + sk.Matern(1.0, nu=1.5)),
    "nested": (0.5 * (Matern52(1.0) + 2 * Linear()), 0.5 * (sk.Matern(1.0, nu=2.5) + 2.0 * sk.DotProduct(sigma_0=0))),
}
OURS = [pytest.param(ours, id=name) for name, (ours, _) in PAIRS.items()]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("n_dims", [1, 3, 10])
def test_matrix_is_that_of_scikit_learn(ours, theirs, n_dims):
    rng = np.random.default_rng(n_dims)
    X, Y = rng.normal(size=(20, n_dims)), rng.normal(size=(7, n_dims))
    np.testing.assert_allclose(ours(X, Y), theirs(X, Y), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("kernel", "value"),
    [
        pytest.param(Matern52(2.0), (1 + 5**0.5 + 5 / 3) * np.exp(-(5**0.5)), id="matern52"),
        pytest.param(Matern32(2.0), (1 + 3**0.5) * np.exp(-(3**0.5)), id="matern32"),
        pytest.param(Exponential(2.0), np.exp(-1.0), id="exponential"),
        pytest.param(RBF(2.0), np.exp(-0.5), id="rbf"),
        pytest.param(RationalQuadratic(2.0, alpha=2.0), (5 / 4) ** -2.0, id="rational-quadratic"),
        pytest.param(Linear(2.0), 12 / 4, id="linear"),
        pytest.param(Constant(0.3), 0.3, id="constant"),
    ],
)
def test_value_at_one_length_scale(kernel, value):
    # The points lie 2 apart and have the scalar product 12.
    x, y = np.array([[3.0, 1.0]]), np.array([[3.0, 3.0]])
    assert kernel(x, y).item() == pytest.approx(value, rel=1e-14)


def test_matern52_keeps_small_distances():
    # From |x|² + |y|² - 2xy the distance 1e-6 between points at 1e3 would be lost; 1 - k is 5/6 d² to first order.
    x = np.array([[1e3, 1e3]])
    near = Matern52(1e-3)(x, x + np.array([[1e-6, 0.0]])).item()
    assert 1.0 - near == pytest.approx(5 / 6 * 1e-6, rel=1e-2)


@pytest.mark.parametrize("kernel", OURS)
def test_diagonal_is_that_of_the_matrix(kernel):
    X = np.random.default_rng(3).normal(size=(30, 4))
    np.testing.assert_allclose(kernel.diagonal(X), np.diag(kernel(X, X)), rtol=1e-13)


@pytest.mark.parametrize("kernel", OURS)
def test_dictionary_gives_the_kernel_back(kernel):
    assert kernel_from_dict(kernel.to_dict()) == kernel


@pytest.mark.parametrize("kernel", OURS)
@LAWS
@given(X=arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.floats(-5, 5, width=32)))
def test_matrix_is_symmetric_and_positive(kernel, X):
    K = kernel(X, X)
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K).min() >= -1e-12 * np.abs(K).max() * len(K) - 1e-300


def test_stationary_kernels_do_not_change_their_input():
    X = np.random.default_rng(0).normal(size=(5, 2))
    before = X.copy()
    for kernel in (Matern52(1.0), Matern32(1.0), Exponential(1.0), RBF(1.0)):
        kernel(X, X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("n_cells", [1, 63, 64, 200])
def test_callable_kernel_wraps_a_function(n_cells):
    X = np.random.default_rng(1).normal(size=(n_cells, 3))
    wrapped = CallableKernel(lambda A, B: matern52(0.8)(A, B) * 2.0)
    np.testing.assert_allclose(wrapped(X, X[:1]), 2.0 * Matern52(0.8)(X, X[:1]), rtol=1e-12)
    np.testing.assert_allclose(wrapped.diagonal(X), np.full(n_cells, 2.0), rtol=1e-14)


def test_callable_kernel_with_a_position_dependent_diagonal():
    X = np.random.default_rng(2).normal(size=(150, 2))
    wrapped = CallableKernel(lambda A, B: A @ B.T)
    np.testing.assert_allclose(wrapped.diagonal(X), (X**2).sum(axis=1), rtol=1e-12)


def test_callable_kernel_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"cov_func must return one row per row of X .* needed \(3, 2\), came \(3,\)"):
        CallableKernel(lambda A, B: (A @ B.T)[:, 0])(np.ones((3, 1)), np.ones((2, 1)))


def test_callable_kernel_cannot_be_saved():
    with pytest.raises(TypeError, match=r"callable .* cannot be saved; use a kernel of kompot.gp.kernels .*Matern52"):
        (Matern52(1.0) + CallableKernel(np.dot)).to_dict()


def test_as_kernel():
    kernel = Matern52(1.0)
    assert as_kernel(kernel) is kernel
    assert as_kernel(np.dot) == CallableKernel(np.dot)
    with pytest.raises(TypeError, match=r"cov_func must be a kernel .* or callable as k\(X, Y\), came 3"):
        as_kernel(3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        pytest.param(
            lambda: Matern52(0.0), ValueError, "length_scale must be positive and finite, came 0.0", id="zero"
        ),
        pytest.param(lambda: RBF(float("inf")), ValueError, "length_scale must be positive and finite", id="infinite"),
        pytest.param(lambda: Linear(-1.0), ValueError, "length_scale must be positive and finite", id="negative"),
        pytest.param(lambda: Exponential("1"), TypeError, "length_scale must be a number, came '1'", id="text"),
        pytest.param(lambda: RationalQuadratic(1.0, alpha=0), ValueError, "alpha must be positive", id="alpha"),
        pytest.param(lambda: RBF(1.0) * -1, ValueError, "variance must be positive", id="negative-factor"),
    ],
)
def test_parameters_out_of_range(make, error, message):
    with pytest.raises(error, match=message):
        make()
