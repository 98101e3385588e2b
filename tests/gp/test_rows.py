import re

import h5py
import numpy as np
import pytest
from scipy import sparse

from helpers import counts, stored_twice
from kompot.gp.rows import StackedRows, has_invalid, invalid_columns, invalid_values, row_hashes, row_source, stack_rows

SLICES = [slice(0, 4), slice(3, 11), slice(0, 20), slice(19, 20), slice(18, 30)]
COLUMNS = {"all-columns": None, "some-columns": np.array([4, 0, 5]), "one-column-twice": np.array([2, 2])}


def to_dask(Y):
    array = pytest.importorskip("dask.array")
    return array.from_array(Y, chunks=(7, 3))


def to_sparse_dask(Y):
    array = pytest.importorskip("dask.array")
    return array.from_array(Y, chunks=(7, Y.shape[1])).map_blocks(sparse.csr_matrix, dtype=Y.dtype)


IN_MEMORY = {
    "dense": np.asarray,
    "fortran": np.asfortranarray,
    "csr-array": sparse.csr_array,
    "csr-matrix": sparse.csr_matrix,
    "csc-array": sparse.csc_array,
    "csc-matrix": sparse.csc_matrix,
    "coo": sparse.coo_array,
    "dask": to_dask,
    "dask-of-csr": to_sparse_dask,
}


@pytest.fixture(name="Y")
def expression():
    return counts(20, 6, seed=3).toarray()


def dense(chunk):
    assert isinstance(chunk, np.ndarray) or chunk.format == "csr"
    return chunk if isinstance(chunk, np.ndarray) else chunk.toarray()


def check_rows(source, expected):
    assert source.shape == expected.shape
    for rows in SLICES:
        np.testing.assert_array_equal(dense(source.rows(rows)), expected[rows])


@pytest.mark.parametrize("make", IN_MEMORY.values(), ids=IN_MEMORY)
@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_rows_of_a_matrix(Y, make, columns):
    expected = Y if columns is None else Y[:, columns]
    source = row_source(make(Y), columns)
    assert source.dtype == np.float64
    check_rows(source, expected)


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_rows_of_an_hdf5_dataset(tmp_path, Y, columns):
    with h5py.File(tmp_path / "Y.h5", "w") as file:
        file["Y"] = Y.astype(np.float32)
        source = row_source(file["Y"], columns)
        assert source.dtype == np.float32
        check_rows(source, Y if columns is None else Y[:, columns])


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_sparse_rows_stay_sparse(Y, make):
    chunk = row_source(make(Y)).rows(slice(2, 9))
    assert sparse.issparse(chunk) is (make is sparse.csr_array)


@pytest.mark.parametrize(
    "makers",
    [
        pytest.param((np.asarray, np.asarray, np.asarray), id="dense"),
        pytest.param((sparse.csr_array, sparse.csr_array, sparse.csr_array), id="csr"),
        pytest.param((sparse.csr_matrix, np.asarray, sparse.csc_array), id="mixed"),
    ],
)
@pytest.mark.parametrize("borders", [(5, 12), (1, 19), (4, 4)], ids=str)
def test_stacked_rows_across_borders(Y, makers, borders):
    parts = np.split(Y, borders)
    stacked = StackedRows(tuple(row_source(make(part)) for make, part in zip(makers, parts, strict=True)))
    check_rows(stacked, Y)


def test_stacked_rows_have_the_common_type(Y):
    parts = [row_source(Y.astype(dtype)) for dtype in ("float32", "int16")]
    assert StackedRows(tuple(parts)).dtype == np.float32
    assert StackedRows((*parts, row_source(Y))).dtype == np.float64
    assert StackedRows((row_source(Y > 0), parts[1])).dtype == np.int16


def test_a_stack_is_sparse_only_if_all_pieces_are(Y):
    S = sparse.csr_array(Y)
    assert sparse.issparse(stack_rows([S, S]))
    assert isinstance(stack_rows([S, Y]), np.ndarray)
    assert stack_rows([Y]) is Y
    np.testing.assert_array_equal(stack_rows([S, Y]), np.vstack([Y, Y]))


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_invalid_values_are_found(Y, make, bad):
    assert not has_invalid(make(Y))
    assert not invalid_columns(make(Y)).any()
    Y[[3, 7], [2, 5]] = bad
    assert has_invalid(make(Y))
    assert np.flatnonzero(invalid_columns(make(Y))).tolist() == [2, 5]


@pytest.mark.parametrize("dtype", ["int32", "bool", "uint8"])
def test_whole_numbers_are_never_invalid(dtype):
    assert not has_invalid(np.ones((2, 2), dtype=dtype))


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("rows", [slice(0, 3), slice(2, 2), slice(3, 9), slice(0, 6)])
def test_rows_of_a_compressed_matrix_share_its_values(make, rows):
    dense = np.array([[0, 1, 2], [0, 0, 0], [3, 0, 0], [0, 4, 0], [5, 6, 7], [0, 0, 0]], dtype=np.float64)
    matrix = make(dense)
    chunk = row_source(matrix).rows(rows)
    assert isinstance(chunk, make)
    np.testing.assert_array_equal(chunk.toarray(), dense[rows])
    if chunk.nnz:
        assert np.shares_memory(chunk.data, matrix.data)


TWICE = {
    "csr-array": (sparse.csr_array, np.asarray),
    "csr-matrix": (sparse.csr_matrix, np.asarray),
    "csc-array": (sparse.csc_array, np.asarray),
    "float32": (sparse.csr_array, lambda Y: Y.astype(np.float32)),
}


@pytest.mark.parametrize(("make", "convert"), TWICE.values(), ids=TWICE)
@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_entries_stored_twice_are_added_up(Y, make, convert, columns):
    matrix = stored_twice(convert(Y), make)
    before = matrix.copy()
    source = row_source(matrix, columns)
    for rows in SLICES:
        chunk = source.rows(rows)
        expected = sparse.csr_array(Y[rows] if columns is None else Y[rows][:, columns])
        assert chunk.nnz == expected.nnz
        np.testing.assert_array_equal(chunk.toarray(), expected.toarray())
    assert matrix.nnz == before.nnz == 2 * np.count_nonzero(Y)
    np.testing.assert_array_equal(matrix.data, before.data)


def test_entries_stored_twice_on_disk(Y, tmp_path):
    ad = pytest.importorskip("anndata")
    ad.AnnData(stored_twice(Y)).write_h5ad(tmp_path / "twice.h5ad")
    matrix = ad.read_h5ad(tmp_path / "twice.h5ad", backed="r").X
    for rows in SLICES[:3]:
        chunk = row_source(matrix).rows(rows)
        assert chunk.nnz == np.count_nonzero(Y[rows])
        np.testing.assert_array_equal(chunk.toarray(), Y[rows])


def test_entries_stored_twice_in_small_integers():
    twice = sparse.csr_array((np.array([200, 100], dtype=np.uint8), np.array([0, 0]), np.array([0, 2])), shape=(1, 2))
    assert row_source(twice).rows(slice(0, 1)).toarray().tolist() == [[300.0, 0.0]]


def test_masked_values_are_missing(Y):
    masked = np.ma.masked_array(Y, mask=np.arange(Y.size).reshape(Y.shape) == 7)
    assert np.flatnonzero(np.isnan(row_source(masked).rows(slice(0, 20)).ravel())).tolist() == [7]


@pytest.mark.parametrize("make", IN_MEMORY.values(), ids=IN_MEMORY)
def test_hashes_depend_on_values_alone(Y, make):
    Y[4], Y[9] = Y[2], -0.0
    cells = np.array([2, 3, 4, 9, 15])
    expected = row_hashes(Y, cells)
    assert expected[0] == expected[2]
    assert len(set(expected.tolist())) == 4
    np.testing.assert_array_equal(row_hashes(make(Y), cells), expected)
    np.testing.assert_array_equal(row_hashes(make(Y.astype(np.float32)), cells), expected)
    np.testing.assert_array_equal(row_hashes(make(Y[::-1]), 19 - cells[::-1])[::-1], expected)


def test_hashes_of_entries_stored_twice_or_out_of_order(Y):
    cells = np.arange(20)
    backwards = sparse.csr_array(Y)
    for i in range(20):
        part = slice(backwards.indptr[i], backwards.indptr[i + 1])
        backwards.indices[part], backwards.data[part] = backwards.indices[part][::-1], backwards.data[part][::-1]
    backwards.has_sorted_indices = False
    for matrix in (stored_twice(Y), backwards):
        np.testing.assert_array_equal(row_hashes(matrix, cells), row_hashes(Y, cells))


@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "NaN or infinite"), (-np.inf, "NaN or infinite"), (-3e38, "values up to 3e[+]38")]
)
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_what_is_wrong(Y, make, value, what):
    Y[3, 4] = value
    assert not has_invalid(make(Y[:3]))
    assert has_invalid(make(Y.astype(np.float32)))
    assert np.flatnonzero(invalid_columns(make(Y))).tolist() == [4]
    assert re.match(what, invalid_values(make(Y)))


def test_large_integers_are_too_large():
    assert has_invalid(np.array([[2**60]]))
    assert not has_invalid(np.array([[2**30]], dtype=np.int32))
    assert not has_invalid(np.zeros((0, 3)))
