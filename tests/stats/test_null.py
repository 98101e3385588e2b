import numpy as np
import pytest
from scipy import sparse, stats

from helpers import counts, stored_twice
from kompot.errors import NullDistributionWarning
from kompot.gp.rows import InvalidValuesError
from kompot.stats.null import draw_null_genes, gather_columns, shuffle_columns, shuffled_blocks, shuffling_order

N_CELLS, N_GENES = 50, 12
FORMATS = {
    "dense": np.asarray,
    "csr": sparse.csr_array,
    "csc": sparse.csc_array,
    "csr-matrix": sparse.csr_matrix,
    "coo": sparse.coo_array,
}


@pytest.fixture(name="Y")
def expression():
    return counts(N_CELLS, N_GENES, seed=1).toarray()


def shuffled(matrix, n_null=8, seed=3, order=None):
    """Dense shuffled genes, and the columns they come from."""
    draw = draw_null_genes(matrix.shape[1], n_null, seed)
    order = np.arange(matrix.shape[0]) if order is None else order
    blocks = [block.rows(slice(0, block.shape[0])) for block in shuffled_blocks(matrix, draw, order)]
    return np.hstack([block.toarray() for block in blocks]), draw.genes


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_every_column_keeps_its_values(Y, make):
    found, genes = shuffled(make(Y))
    assert found.shape == (N_CELLS, 8)
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(Y[:, genes], axis=0))
    assert (found != Y[:, genes]).any(axis=0).sum() >= 6


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_the_format_makes_no_difference(Y, make):
    np.testing.assert_array_equal(shuffled(make(Y))[0], shuffled(Y)[0])


def test_stored_zeros_make_no_difference(Y):
    stored = sparse.csr_array(Y + 1.0)
    stored.data -= 1.0
    assert stored.nnz == Y.size
    np.testing.assert_array_equal(shuffled(stored)[0], shuffled(Y)[0])
    assert stored.nnz == Y.size


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(("block_bytes", "n_blocks"), [(1, 3), (10**9, 1)])
def test_the_size_of_blocks_makes_no_difference(monkeypatch, Y, make, block_bytes, n_blocks):
    expected = shuffled(Y)[0]
    monkeypatch.setattr("kompot.stats.null._BLOCK_BYTES", block_bytes)
    draw = draw_null_genes(N_GENES, 8, 3)
    assert len(list(shuffled_blocks(make(Y), draw, np.arange(N_CELLS)))) == n_blocks
    np.testing.assert_array_equal(shuffled(make(Y))[0], expected)


@pytest.mark.parametrize("read_rows", [1, 7, 50])
def test_the_rows_read_at_once_make_no_difference(monkeypatch, Y, read_rows):
    expected = shuffled(Y)[0]
    monkeypatch.setattr("kompot.stats.null._READ_ROWS", read_rows)
    np.testing.assert_array_equal(shuffled(Y)[0], expected)


def test_cells_left_out_take_no_part(Y):
    order = np.random.default_rng(0).permutation(N_CELLS)[:30]
    found, genes = shuffled(Y, order=order)
    np.testing.assert_array_equal(np.sort(found[order], axis=0), np.sort(Y[order][:, genes], axis=0))
    np.testing.assert_array_equal(np.delete(found, order, axis=0), 0.0)


def test_the_order_in_the_file_makes_no_difference(Y):
    # The same cells in another order, with the order that brings them back.
    permutation = np.random.default_rng(4).permutation(N_CELLS)
    found = shuffled(Y[permutation], order=np.argsort(permutation))[0]
    np.testing.assert_array_equal(found[np.argsort(permutation)], shuffled(Y)[0])


@pytest.mark.parametrize("n_values", [1, 3])
def test_values_land_in_every_cell_equally_often(n_values):
    column = np.zeros((10, 3000))
    column[:n_values] = np.arange(1, n_values + 1)[:, None]
    columns = sparse.csc_array(column)
    found = shuffle_columns(columns, np.random.default_rng(0), np.arange(10), 10).toarray()
    for value in range(1, n_values + 1):
        assert stats.chisquare((found == value).sum(axis=1)).pvalue > 0.01


def test_two_values_are_placed_independently_of_each_other():
    column = np.zeros((5, 4000))
    column[:2] = [[1.0], [2.0]]
    found = shuffle_columns(sparse.csc_array(column), np.random.default_rng(1), np.arange(5), 5).toarray()
    pairs = 5 * np.argmax(found == 1, axis=0) + np.argmax(found == 2, axis=0)
    times = np.bincount(pairs, minlength=25).reshape(5, 5)
    np.testing.assert_array_equal(np.diag(times), 0)
    assert stats.chisquare(times[~np.eye(5, dtype=bool)]).pvalue > 0.01


def test_gathered_columns_follow_order_and_repetition(Y):
    order, genes = np.array([4, 0, 9]), np.array([3, 3, 1])
    for make in FORMATS.values():
        gathered = gather_columns(make(Y), genes, order)
        assert gathered.format == "csc"
        assert gathered.has_sorted_indices
        assert (gathered.data != 0).all()
        np.testing.assert_array_equal(gathered.toarray(), Y[order][:, genes])


def test_genes_are_drawn_once_each_where_there_are_enough():
    assert sorted(draw_null_genes(40, 40, 5).genes) == list(range(40))
    assert len(set(draw_null_genes(40, 25, 5).genes)) == 25


def test_more_null_genes_than_genes():
    with pytest.warns(
        NullDistributionWarning, match="9 null genes were asked for, but the data have 4 genes"
    ) as caught:
        draw = draw_null_genes(4, 9, 0)
    assert len(caught) == 1
    assert len(draw.genes) == 9
    assert set(draw.genes) <= set(range(4))


def test_more_null_genes_than_genes_without_asking_for_them():
    # Warnings fail here: the default number of null genes is nobody's wish.
    draw = draw_null_genes(4, 9, 0, asked=False)
    assert len(draw.genes) == 9


def test_copies_of_a_gene_are_shuffled_anew():
    with pytest.warns(NullDistributionWarning, match="drawn with replacement"):
        found, genes = shuffled(np.arange(30.0)[:, None] + 1.0, n_null=4)
    assert genes.tolist() == [0] * 4
    assert len(np.unique(found, axis=1).T) == 4


def test_the_seed_decides():
    first, second, other = (draw_null_genes(1000, 50, seed).genes.tolist() for seed in (1, 1, 2))
    assert first == second != other
    assert draw_null_genes(1000, 50, None).genes.tolist() == draw_null_genes(1000, 50, None).genes.tolist()


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix])
def test_entries_stored_twice_make_no_difference(Y, make):
    np.testing.assert_array_equal(shuffled(stored_twice(Y, make))[0], shuffled(Y)[0])


def test_invalid_values_are_reported_by_column(Y):
    Y[7, 5] = 1e30
    with pytest.raises(InvalidValuesError, match=r"Columns 5 have values up to 1e\+30") as raised:
        gather_columns(Y, np.array([5, 2, 5]), np.arange(N_CELLS))
    assert raised.value.columns.tolist() == [5]
    assert gather_columns(Y, np.array([5, 2]), np.arange(7)).shape == (7, 2)  # of the cells used


def tied_cells(seed=0):
    """Cells of which many share coordinates, some of those expression too, and some of those not the group."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (60, 2)).astype(float)
    Y = rng.poisson(0.7, (60, 3)).astype(float)
    return X, Y, rng.integers(-1, 4, 60)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("seed", range(5))
def test_cells_at_equal_coordinates_do_not_keep_the_order_of_the_file(make, seed):
    X, Y, groups = tied_cells()
    order = shuffling_order(X, make(Y), groups)
    assert np.array_equal(np.sort(order), np.flatnonzero(groups >= 0))
    assert np.array_equal(X[order], X[groups >= 0][np.lexsort(X[groups >= 0].T[::-1])])
    moved = np.random.default_rng(seed).permutation(60)
    again = moved[shuffling_order(X[moved], make(Y[moved]), groups[moved])]
    for values in (X, Y, groups):
        np.testing.assert_array_equal(values[again], values[order])


def test_the_numbers_of_the_groups_make_no_difference():
    X, Y, groups = tied_cells()
    renumbered = np.where(groups < 0, -1, 3 - groups)
    first, second = (shuffling_order(X, Y, codes) for codes in (groups, renumbered))
    for values in (X, Y, groups):
        np.testing.assert_array_equal(values[first], values[second])


def test_expression_is_read_only_where_cells_share_coordinates():
    class Unreadable:
        shape = (4, 3)

    X = np.array([[3.0], [1.0], [2.0], [0.0]])
    assert shuffling_order(X, Unreadable(), np.array([0, 1, -1, 0])).tolist() == [3, 1, 0]
