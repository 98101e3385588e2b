import numpy as np
import pytest
from scipy import sparse

from helpers import counts
from kompot.gp import products


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("bool", "float32"),
        ("int8", "float32"),
        ("uint8", "float32"),
        ("int16", "float32"),
        ("uint16", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("int32", "float64"),
        ("uint32", "float64"),
        ("int64", "float64"),
        ("float64", "float64"),
    ],
)
def test_single_precision_only_where_it_is_exact(dtype, expected):
    dtype = np.dtype(dtype)
    assert products.product_dtype(dtype) == np.dtype(expected)
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype) if dtype.kind == "f" else None
    extremes = np.array([0, 1] if limits is None else [limits.min, limits.max, limits.max - 1]).astype(dtype)
    np.testing.assert_array_equal(extremes.astype(expected).astype(np.float64), extremes.astype(np.float64))


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-13), ("float32", 1e-5)])
@pytest.mark.parametrize("shape", [(1, 1), (30, 7), (600, 40)], ids=str)
@pytest.mark.parametrize("density", [0.0, 0.05, 0.5])
def test_products_of_dense_and_sparse_chunks(dtype, rtol, shape, density):
    rng = np.random.default_rng(0)
    Y = (rng.random(shape) < density) * rng.normal(size=shape)
    phi = rng.normal(size=(shape[0], 5))
    expected = sum(np.outer(p, y) for p, y in zip(phi, Y, strict=True))
    for chunk in (Y.astype(dtype), sparse.csr_array(Y.astype(dtype)), sparse.csr_matrix(Y.astype(dtype))):
        found = products.feature_product(phi, chunk)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * 10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("n_rows", [1, 255, 256, 257, 1000])
def test_column_sums(dtype, make, n_rows):
    Y = counts(n_rows, 12, seed=n_rows).toarray()
    Y[:, 3] = 0.0
    sums, squares = products.column_sums(make(Y.astype(dtype)))
    assert sums.dtype == squares.dtype == np.float64
    np.testing.assert_allclose(sums, Y.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(squares, (Y**2).sum(axis=0), rtol=1e-12)


def test_column_sums_without_stored_values():
    sums, squares = products.column_sums(sparse.csr_array((4, 3)))
    np.testing.assert_array_equal([sums, squares], np.zeros((2, 3)))


def test_column_sums_of_single_precision_do_not_drift():
    # One running sum in single precision would stop growing at 2^24.
    Y = np.full((40_000, 2), 1000.1, dtype=np.float32)
    sums, squares = products.column_sums(Y)
    value = float(np.float32(1000.1))
    np.testing.assert_allclose(sums, 40_000 * value, rtol=5e-6)
    np.testing.assert_allclose(squares, 40_000 * value**2, rtol=5e-6)


@pytest.mark.parametrize(("n_values", "worth"), [(0, False), (7, False), (8, True), (100, True)])
def test_threshold_of_the_dense_route(n_values, worth):
    Y = np.zeros(100)
    Y[:n_values] = 1.0
    assert products.is_worth_densifying(sparse.csr_array(Y.reshape(10, 10))) is worth


def test_the_buffer_holds_nothing_of_the_chunk_before():
    buffer = products.ChunkBuffer()
    first, second = np.ones((4, 5)), np.diag([1.0, 2.0, 3.0])
    for Y, dtype in [(first, "float64"), (second, "float64"), (first, "float32"), (second, "float64")]:
        dense = buffer.dense(sparse.csr_array(Y), np.dtype(dtype))
        assert dense.dtype == dtype
        np.testing.assert_array_equal(dense, Y)
