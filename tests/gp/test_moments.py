import numpy as np
import pytest
from scipy import sparse

from helpers import counts, manifold
from kompot.gp.features import FeatureTable, features_at
from kompot.gp.kernels import Matern52
from kompot.gp.moments import accumulate, moment_of, rows_per_chunk, total, zero_moment
from kompot.gp.rows import row_source

FIELDS = ("feature_sum", "gram", "cross", "target_sum", "target_sum_of_squares")
N_CELLS, N_GENES = 70, 9
X = manifold(N_CELLS, 3)
PHI = features_at(manifold(8, 3, seed=9), Matern52(1.0))
INTERLEAVED = np.arange(N_CELLS) % 3
GROUPS = {
    "one-block": np.zeros(N_CELLS, dtype=np.int64),
    "sorted": np.repeat([0, 1, 2], [10, 45, 15]),
    "interleaved": INTERLEAVED,
    "some-left-out": np.where(np.arange(N_CELLS) % 4 == 1, -1, INTERLEAVED),
    "most-left-out": np.where(np.arange(N_CELLS) < 60, -1, INTERLEAVED),
    "a-group-without-cells": 2 * (np.arange(N_CELLS) % 2),
}


def direct(Y, rows):
    """A moment by one sum over cells per term."""
    phi, Y = PHI(X)[rows], Y[rows]
    return {
        "count": len(Y),
        "feature_sum": phi.sum(axis=0),
        "gram": sum((np.outer(p, p) for p in phi), np.zeros((8, 8))),
        "cross": sum((np.outer(p, y) for p, y in zip(phi, Y, strict=True)), np.zeros((8, Y.shape[1]))),
        "target_sum": Y.sum(axis=0),
        "target_sum_of_squares": (Y**2).sum(axis=0),
    }


def assert_moment(moment, expected, rtol=1e-11):
    assert moment.count == expected["count"]
    for name in FIELDS:
        np.testing.assert_allclose(getattr(moment, name), expected[name], rtol=rtol, atol=rtol, err_msg=name)
        assert getattr(moment, name).dtype == np.float64


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("batch_size", [1, 7, 64, 70, 1000, None])
@pytest.mark.parametrize("mean", [0.02, 1.0], ids=["sparse-product", "densified"])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_moments_against_sums_over_cells(groups, batch_size, mean, make):
    Y = counts(N_CELLS, N_GENES, mean=mean).toarray()
    done = []
    moments = accumulate(FeatureTable(PHI, X), row_source(make(Y)), groups, 3, batch_size=batch_size, track=done.append)
    assert sum(done) == N_CELLS
    for group, moment in enumerate(moments):
        assert_moment(moment, direct(Y, groups == group))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float16"])
def test_moments_of_other_types(dtype):
    Y = counts(N_CELLS, N_GENES).toarray().astype(dtype)
    (moment,) = accumulate(FeatureTable(PHI, X), row_source(Y), GROUPS["one-block"], 1)
    assert_moment(moment, direct(Y.astype(np.float64), slice(None)), rtol=1e-5)


def test_moments_add():
    Y = counts(N_CELLS, N_GENES).toarray()
    parts = [moment_of(PHI(X)[rows], Y[rows]) for rows in (slice(0, 20), slice(20, 21), slice(21, None))]
    assert_moment(total(parts), direct(Y, slice(None)))
    assert_moment(zero_moment(8, N_GENES) + parts[0], direct(Y, slice(0, 20)))


@pytest.mark.parametrize("batch_size", [8, None])
def test_other_genes_of_the_same_cells_take_over_what_is_shared(batch_size):
    Y, groups = counts(N_CELLS, N_GENES).toarray(), GROUPS["some-left-out"]
    cells = FeatureTable(PHI, X)
    known = accumulate(cells, row_source(Y[:, :2]), groups, 3)
    moments = accumulate(cells, row_source(Y[:, 2:]), groups, 3, like=known, batch_size=batch_size)
    for group, moment in enumerate(moments):
        assert_moment(moment, direct(Y[:, 2:], groups == group))


def test_genes_are_appended_and_taken_out():
    Y = counts(N_CELLS, N_GENES).toarray()
    phi = PHI(X)
    pieces = [moment_of(phi, Y[:, columns]) for columns in (slice(0, 4), slice(4, 5), slice(5, 9))]
    joined = pieces[0].with_genes(*pieces[1:])
    assert joined.n_genes == N_GENES
    assert_moment(joined, direct(Y, slice(None)))
    for genes in (slice(2, 6), np.array([8, 0, 0])):
        assert_moment(joined.for_genes(genes), direct(Y[:, genes], slice(None)))


@pytest.mark.parametrize(
    ("n_genes", "rank", "itemsize", "asked", "expected"),
    [
        pytest.param(2000, 100, 4, 17, 17, id="what-was-asked-for"),
        pytest.param(2000, 100, 4, None, 48_000_000 // 9600, id="by-memory"),
        pytest.param(10, 5, 4, None, 8192, id="at-most-8192"),
        pytest.param(10**6, 100, 8, 0, 256, id="at-least-256"),
        pytest.param(0, 1, 8, None, 8192, id="no-genes"),
    ],
)
def test_rows_per_chunk(n_genes, rank, itemsize, asked, expected):
    assert rows_per_chunk(n_genes, rank, itemsize, asked) == expected
