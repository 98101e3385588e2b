"""Laws that hold for any data: what the order, the format and the names of things must not change."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from helpers import LAWS, Toy, counts, manifold, two_conditions
from kompot import DifferentialExpression

SEEDS = st.integers(0, 10_000)
NEW = manifold(15, 3, seed=77)


def toy_of(seed):
    rng = np.random.default_rng(seed)
    return two_conditions(*rng.integers(12, 40, size=2), 3, 5, intrinsic=int(rng.integers(1, 3)), seed=seed)


def whole_numbers(seed):
    toy = toy_of(seed)
    Y1, Y2 = (counts(len(X), 6, mean=2.0, seed=seed + i).toarray() for i, X in enumerate((toy.X1, toy.X2)))
    return Toy(toy.X1, Y1, toy.X2, Y2)


def answers(toy, **parameters):
    """Everything a user reads off: per gene, and per cell and gene."""
    analysis = DifferentialExpression(**{"ls_factor": 1.0, **parameters}).fit(*toy)
    at = analysis.predict(NEW)
    return {
        "distance": analysis.mahalanobis_distances(),
        "mean_log_fold_change": analysis.mean_log_fold_change(NEW),
        "smoothed_1": at.smoothed_1,
        "smoothed_2": at.smoothed_2,
        "fold_change": at.fold_change,
        "zscore": at.zscore,
        "std": np.column_stack([at.std_1, at.std_2]),
    }


def assert_same(found, expected, tolerance=1e-8):
    for name, values in expected.items():
        scale = max(np.abs(values).max(), 1e-3)
        np.testing.assert_allclose(found[name], values, rtol=tolerance, atol=tolerance * scale, err_msg=name)


@LAWS
@given(seed=SEEDS)
def test_order_of_cells(seed):
    toy, rng = toy_of(seed), np.random.default_rng(seed)
    one, two = rng.permutation(len(toy.X1)), rng.permutation(len(toy.X2))
    assert_same(answers(Toy(toy.X1[one], toy.Y1[one], toy.X2[two], toy.Y2[two])), answers(toy))


@LAWS
@given(seed=SEEDS)
def test_order_of_genes(seed):
    toy = toy_of(seed)
    order = np.random.default_rng(seed).permutation(5)
    expected = {name: values if name == "std" else values[..., order] for name, values in answers(toy).items()}
    assert_same(answers(toy._replace(Y1=toy.Y1[:, order], Y2=toy.Y2[:, order])), expected)


@LAWS
@given(seed=SEEDS)
def test_a_gene_does_not_depend_on_the_others(seed):
    toy = toy_of(seed)
    expected = {name: values if name == "std" else values[..., 1:2] for name, values in answers(toy).items()}
    assert_same(answers(toy._replace(Y1=toy.Y1[:, 1:2], Y2=toy.Y2[:, 1:2])), expected)


@LAWS
@given(seed=SEEDS, batch_size=st.integers(1, 90))
def test_size_of_chunks(seed, batch_size):
    toy = toy_of(seed)
    assert_same(answers(toy, batch_size=batch_size), answers(toy))


@LAWS
@given(seed=SEEDS)
def test_format_of_expression(seed):
    toy = whole_numbers(seed)
    expected = answers(toy)
    for make in (sparse.csr_array, sparse.csc_array, sparse.csr_matrix, np.asfortranarray):
        assert_same(answers(toy._replace(Y1=make(toy.Y1), Y2=make(toy.Y2))), expected)
    assert_same(answers(toy._replace(Y1=sparse.csr_array(toy.Y1))), expected)


@LAWS
@given(seed=SEEDS)
def test_type_of_expression(seed):
    toy = whole_numbers(seed)
    expected = answers(toy)
    for dtype, tolerance in [("int64", 1e-10), ("int32", 1e-10), ("float32", 2e-5), ("int16", 2e-5), ("uint8", 2e-5)]:
        assert_same(answers(toy._replace(Y1=toy.Y1.astype(dtype), Y2=toy.Y2.astype(dtype))), expected, tolerance)


@LAWS
@given(seed=SEEDS)
def test_type_of_cell_states(seed):
    toy = toy_of(seed)
    rounded = toy._replace(X1=toy.X1.astype(np.float32), X2=toy.X2.astype(np.float32))
    exact = rounded._replace(X1=rounded.X1.astype(np.float64), X2=rounded.X2.astype(np.float64))
    assert_same(answers(rounded), answers(exact), 1e-12)


@LAWS
@given(seed=SEEDS)
def test_swapping_the_conditions(seed):
    toy = toy_of(seed)
    there, back = answers(toy), answers(Toy(toy.X2, toy.Y2, toy.X1, toy.Y1))
    expected = {
        "distance": there["distance"],
        "mean_log_fold_change": -there["mean_log_fold_change"],
        "smoothed_1": there["smoothed_2"],
        "smoothed_2": there["smoothed_1"],
        "fold_change": -there["fold_change"],
        "zscore": -there["zscore"],
        "std": there["std"][:, ::-1],
    }
    assert_same(back, expected)


@LAWS
@given(seed=SEEDS)
def test_identical_conditions(seed):
    toy = toy_of(seed)
    found = answers(Toy(toy.X1, toy.Y1, toy.X1, toy.Y1))
    for name in ("distance", "mean_log_fold_change", "fold_change", "zscore"):
        np.testing.assert_allclose(found[name], 0.0, atol=1e-8, err_msg=name)


@LAWS
@given(seed=SEEDS, factor=st.floats(0.01, 100.0))
def test_unit_of_the_embedding(seed, factor):
    # The length scale follows the distances between cells, so that only relative positions count.
    toy = toy_of(seed)
    expected = DifferentialExpression(ls_factor=1.0).fit(*toy)
    scaled = DifferentialExpression(ls_factor=1.0).fit(*toy._replace(X1=factor * toy.X1, X2=factor * toy.X2))
    found = scaled.mean_log_fold_change(factor * NEW)
    np.testing.assert_allclose(found, expected.mean_log_fold_change(NEW), atol=1e-6)
    np.testing.assert_allclose(scaled.mahalanobis_distances(), expected.mahalanobis_distances(), rtol=1e-5)


@LAWS
@given(seed=SEEDS)
def test_moving_the_embedding(seed):
    toy, shift = toy_of(seed), np.random.default_rng(seed).normal(size=3)
    expected = DifferentialExpression(ls=1.0).fit(*toy)
    moved = DifferentialExpression(ls=1.0).fit(*toy._replace(X1=toy.X1 + shift, X2=toy.X2 + shift))
    # Rounding can change the choice of landmarks, hence the tolerance of the approximation.
    np.testing.assert_allclose(moved.mean_log_fold_change(NEW + shift), expected.mean_log_fold_change(NEW), atol=5e-3)
    np.testing.assert_allclose(moved.mahalanobis_distances(), expected.mahalanobis_distances(), rtol=5e-3)


@LAWS
@given(seed=SEEDS)
def test_null_genes_do_not_depend_on_the_order_of_cells(seed):
    toy, rng = whole_numbers(seed), np.random.default_rng(seed)
    one, two = rng.permutation(len(toy.X1)), rng.permutation(len(toy.X2))
    shuffled = Toy(toy.X1[one], toy.Y1[one], toy.X2[two], toy.Y2[two])
    expected, found = (
        DifferentialExpression(ls=1.0).fit(*cells).fit_null(sparse.csr_array(cells.Y), 6, seed=seed)[0].distances()
        for cells in (toy, shuffled)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
