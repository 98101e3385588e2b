import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import LAWS
from kompot.gp.linalg import (
    NotPositiveDefiniteError,
    add_to_diagonal,
    cholesky,
    column_sums_of_squares,
    gram,
    product,
    solve_lower,
    solve_lower_transposed,
    solve_positive,
    solve_rows,
)


def positive(n, seed):
    A = np.random.default_rng(seed).normal(size=(n, n))
    return A @ A.T + 0.1 * np.eye(n)


def test_factor_worked_by_hand():
    np.testing.assert_allclose(cholesky(np.array([[4.0, 2.0], [2.0, 10.0]]), "A", ""), [[2.0, 0.0], [1.0, 3.0]])


@LAWS
@given(n=st.integers(1, 12), seed=st.integers(0, 1000))
def test_solves_against_inverses(n, seed):
    A, B = positive(n, seed), np.random.default_rng(seed).normal(size=(n, 3))
    L = cholesky(A, "A", "")
    np.testing.assert_allclose(L, np.linalg.cholesky(A), atol=1e-10)
    np.testing.assert_allclose(L @ solve_lower(L, B), B, atol=1e-9)
    np.testing.assert_allclose(L.T @ solve_lower_transposed(L, B), B, atol=1e-9)
    for order in ("C", "F"):
        np.testing.assert_allclose(solve_rows(L, np.array(B.T, order=order)), solve_lower(L, B).T, atol=1e-12)
    np.testing.assert_allclose(A @ solve_positive(L, B), B, atol=1e-8)


def test_only_the_lower_triangle_is_read():
    A = positive(4, 0)
    np.testing.assert_array_equal(cholesky(np.tril(A), "A", ""), cholesky(A, "A", ""))


def test_failure_names_the_matrix_and_the_way_out():
    with pytest.raises(
        NotPositiveDefiniteError, match=r"^The covariance is not positive definite. Raise it.$"
    ) as caught:
        cholesky(np.diag([1.0, -1.0]), "The covariance", "Raise it.")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)


def test_sums_of_squares_and_diagonal():
    A = np.array([[1.0, 2.0], [3.0, -4.0]])
    before = A.copy()
    np.testing.assert_array_equal(column_sums_of_squares(A), [10.0, 20.0])
    np.testing.assert_array_equal(add_to_diagonal(A, 0.5), [[1.5, 2.0], [3.0, -3.5]])
    np.testing.assert_array_equal(A, before)


@pytest.mark.parametrize("solve", [solve_lower, solve_lower_transposed, solve_positive])
@pytest.mark.parametrize("order", ["C", "F"])
def test_solves_leave_their_input_alone(solve, order):
    L, B = np.linalg.cholesky(positive(4, 0)), np.array(np.random.default_rng(0).normal(size=(4, 3)), order=order)
    before = L.copy(), B.copy()
    solve(L, B)
    np.testing.assert_array_equal(L, before[0])
    np.testing.assert_array_equal(B, before[1])


@pytest.mark.parametrize("solve", [solve_lower, solve_lower_transposed, solve_positive])
def test_solves_with_nothing_to_solve(solve):
    assert solve(np.eye(3), np.empty((3, 0))).shape == (3, 0)


def in_order(A, order):
    """The matrix in row-major or column-major order, or as a strided view of a larger one."""
    return np.repeat(A, 2, axis=1)[:, ::2] if order == "strided" else np.array(A, order=order)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("orders", [("C", "C"), ("C", "F"), ("F", "C"), ("F", "F"), ("strided", "F"), ("C", "strided")])
def test_products_are_those_of_numpy(dtype, orders):
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(7, 4)).astype(dtype), rng.normal(size=(4, 5)).astype(dtype)
    first, second = (in_order(part, order) for part, order in zip((A, B), orders, strict=True))
    found = product(first, second)
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, A @ B, rtol=1e-5 if dtype == np.float32 else 1e-12)
    np.testing.assert_allclose(product(first, B[:, 0]), A @ B[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(first, A)
    np.testing.assert_array_equal(second, B)


@pytest.mark.parametrize("rows", [slice(2, 9), slice(0, 14, 2)], ids=["consecutive", "every other"])
def test_products_are_written_where_they_are_wanted(rows):
    rng = np.random.default_rng(1)
    A, B = rng.normal(size=(7, 3)), rng.normal(size=(3, 6))
    room = np.full((14, 6), 9.0)
    out = room[rows]
    assert product(A, B, out=out) is out
    np.testing.assert_allclose(room[rows], A @ B, rtol=1e-12)
    assert (room == 9.0).sum() == 7 * 6


@pytest.mark.parametrize("shapes", [((0, 3), (3, 2)), ((4, 0), (0, 2)), ((4, 3), (3, 0))])
def test_products_of_nothing(shapes):
    A, B = map(np.ones, shapes)
    np.testing.assert_array_equal(product(A, B), A @ B)
    np.testing.assert_array_equal(gram(A), A.T @ A)


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_gram_matrices(order):
    A = np.random.default_rng(2).normal(size=(9, 4))
    G = gram(in_order(A, order))
    np.testing.assert_allclose(G, A.T @ A, rtol=1e-12)
    np.testing.assert_array_equal(G, G.T)


@pytest.mark.parametrize("m", [255, 256, 257, 700])
def test_gram_matrices_of_several_blocks(m):
    A = np.random.default_rng(3).normal(size=(20, m))
    G = gram(A)
    np.testing.assert_allclose(G, A.T @ A, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(G, G.T)


def test_gram_matrices_take_no_second_matrix():
    A = np.ones((2, 2000))
    tracemalloc.start()
    gram(A)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * 8 * 2000**2


def test_vectors_of_size_one_matrices():
    np.testing.assert_array_equal(product(np.array([[2.0]]), np.array([[3.0]])), [[6.0]])
    np.testing.assert_array_equal(product(np.array([[2.0], [4.0]]), np.array([3.0])), [6.0, 12.0])
