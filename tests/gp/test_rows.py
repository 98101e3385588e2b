import h5py
import numpy as np
import pytest
from scipy import sparse

from helpers import counts
from kompot.gp.rows import StackedRows, has_invalid, invalid_columns, row_source, stack_rows

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
