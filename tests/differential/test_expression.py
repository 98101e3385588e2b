import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

from helpers import counts, dense_mahalanobis, dense_posterior, manifold, matern52, two_conditions
from kompot import DifferentialExpression
from kompot.errors import NullDistributionWarning, UnusedParameterWarning
from kompot.gp.kernels import Matern52
from kompot.gp.rows import row_source

TOY = two_conditions(80, 60)
ELSEWHERE = manifold(25, 3, seed=9)


@pytest.fixture(scope="module")
def fitted():
    return DifferentialExpression(ls=1.5).fit(*TOY)


@pytest.mark.parametrize("sigma", [0.4, 1.0])
@pytest.mark.parametrize("mu", [0.0, 3.0])
@pytest.mark.parametrize("eps", [1e-8, 0.1])
def test_everything_against_dense_gaussian_processes(sigma, mu, eps):
    analysis = DifferentialExpression(ls=1.5, sigma=sigma, mu=mu, eps=eps, tolerance=1e-8).fit(*TOY)
    (mean_1, cov_1), (mean_2, cov_2) = (
        dense_posterior(matern52(1.5), X, Y, ELSEWHERE, sigma, mu) for X, Y in [(TOY.X1, TOY.Y1), (TOY.X2, TOY.Y2)]
    )
    var_1, var_2 = np.diag(cov_1), np.diag(cov_2)
    found = analysis.predict(ELSEWHERE)
    np.testing.assert_allclose(found.smoothed_1, mean_1, atol=1e-4)
    np.testing.assert_allclose(found.smoothed_2, mean_2, atol=1e-4)
    np.testing.assert_allclose(found.fold_change, mean_2 - mean_1, atol=1e-4)
    np.testing.assert_allclose(found.std_1, np.sqrt(var_1 + eps), rtol=1e-4)
    np.testing.assert_allclose(found.std_2, np.sqrt(var_2 + eps), rtol=1e-4)
    zscore = (mean_2 - mean_1) / np.sqrt(var_1 + var_2 + eps)[:, None]
    np.testing.assert_allclose(found.zscore, zscore, atol=2e-3)
    np.testing.assert_allclose(analysis.mean_log_fold_change(ELSEWHERE), (mean_2 - mean_1).mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("sigma", [0.4, 1.0])
def test_distances_against_dense_gaussian_processes(sigma):
    analysis = DifferentialExpression(ls=1.5, sigma=sigma).fit(*TOY)
    expected = dense_mahalanobis(matern52(1.5), TOY, analysis.landmarks, sigma, jitter=1e-11)
    np.testing.assert_allclose(analysis.mahalanobis_distances(), expected, rtol=5e-3)
    assert np.argmax(expected) == np.argmax(analysis.mahalanobis_distances()) == 0


def test_length_scale_is_one_for_both_conditions():
    nearest = []
    for X in (TOY.X1, TOY.X2):
        distances = cdist(X, X)
        np.fill_diagonal(distances, np.inf)
        nearest.append(distances.min(axis=1))
    expected = 10.0 * np.exp(np.log(np.concatenate(nearest)).mean() + 3.0)
    kernel = DifferentialExpression().fit(*TOY).result.features.kernel
    assert isinstance(kernel, Matern52)
    assert kernel.length_scale == pytest.approx(expected, rel=1e-12)


def test_zscores_are_left_out_on_request(fitted):
    assert fitted.predict(ELSEWHERE, zscores=False).zscore is None
    assert fitted.predict(ELSEWHERE).zscore.shape == (25, 4)


def test_mean_fold_change_is_the_mean_over_cells(fitted):
    expected = fitted.predict(TOY.X).fold_change.mean(axis=0)
    np.testing.assert_allclose(fitted.mean_log_fold_change(TOY.X), expected, atol=1e-12)


def test_models_of_the_conditions_give_the_same_numbers(fitted):
    found = fitted.predict(ELSEWHERE)
    for model, mean, std in [
        (fitted.model1, found.smoothed_1, found.std_1),
        (fitted.model2, found.smoothed_2, found.std_2),
    ]:
        np.testing.assert_allclose(model.predict(ELSEWHERE).mean, mean, atol=1e-12)
        np.testing.assert_allclose(model.predict(ELSEWHERE).std, std, rtol=1e-12)
        np.testing.assert_array_equal(model.landmarks, fitted.landmarks)


def test_cells_in_one_matrix_with_some_left_out(fitted):
    rng = np.random.default_rng(0)
    order = rng.permutation(len(TOY.X) + 30)
    X = np.vstack([TOY.X, manifold(30, 3, seed=50)])[order]
    Y = np.vstack([TOY.Y, rng.normal(size=(30, 4))])[order]
    condition = np.repeat([0, 1, -1], [80, 60, 30])[order]
    done = []
    found = DifferentialExpression(ls=1.5, batch_size=32).fit_cells(X, row_source(Y), condition, track=done.append)
    assert sum(done) == len(X)
    np.testing.assert_array_equal(found.landmarks, fitted.landmarks)
    np.testing.assert_allclose(found.mahalanobis_distances(), fitted.mahalanobis_distances(), rtol=1e-8)
    assert found.approximation.lost_degrees == pytest.approx(fitted.approximation.lost_degrees, rel=1e-6)
    null, expected = found.fit_null(Y, 4, seed=1)[0], fitted.fit_null(TOY.Y, 4, seed=1)[0]
    np.testing.assert_allclose(null.distances(), expected.distances(), rtol=1e-8)


def test_more_genes_join_the_fit():
    first = DifferentialExpression(ls=1.5).fit(TOY.X1, TOY.Y1[:, :2], TOY.X2, TOY.Y2[:, :2])
    whole = DifferentialExpression(ls=1.5).fit(*TOY)
    more = first.fit_more(row_source(TOY.Y[:, 2:]))
    np.testing.assert_allclose(more.distances(), whole.mahalanobis_distances()[2:], rtol=1e-10)
    gram = whole.result.conditions[0].moments[0].gram
    np.testing.assert_allclose(more.conditions[0].moments[0].gram, gram)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_external_genes_are_fitted_as_the_others(fitted, make):
    found = fitted.fit_external(make(TOY.Y1), make(TOY.Y2))
    np.testing.assert_allclose(found.distances(), fitted.mahalanobis_distances(), rtol=1e-10)
    np.testing.assert_allclose(found.fold_change_coef, fitted.result.fold_change_coef, atol=1e-10)


def test_genes_of_a_fit(fitted):
    some = fitted.result.for_genes(np.array([2, 0]))
    assert some.n_genes == 2
    np.testing.assert_array_equal(some.distances(), fitted.mahalanobis_distances()[[2, 0]])


def test_null_genes_are_fitted_as_shuffled_columns(fitted):
    # Shuffling a constant gene changes nothing: its distance is that of the gene itself.
    Y = np.column_stack([np.full(140, 2.0), TOY.Y])
    constant = fitted.fit_external(Y[:80, :1], Y[80:, :1]).distances()
    null, draw = fitted.fit_null(Y, 5, seed=3)
    assert sorted(draw.genes) == list(range(5))
    np.testing.assert_allclose(null.distances()[draw.genes == 0], constant, rtol=1e-9)
    assert null.n_genes == 5
    sums = sum(condition.moments[0].target_sum for condition in null.conditions)
    assert sums == pytest.approx(Y[:, draw.genes].sum(axis=0))


def test_null_genes_follow_the_seed(fitted):
    Y = counts(140, 30)
    first, again, other = (fitted.fit_null(Y, 12, seed=seed)[0].distances() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_allclose(fitted.fit_null(Y.toarray(), 12, seed=1)[0].distances(), first, rtol=1e-9)


def test_shuffling_leaves_no_difference_to_find():
    # The distance of a real difference lies beyond those of all shuffles of the same gene.
    analysis = DifferentialExpression(ls=1.5).fit(*TOY)
    with pytest.warns(NullDistributionWarning, match="200 null genes were asked for"):
        null, draw = analysis.fit_null(TOY.Y, 200, seed=0)
    changed = null.distances()[draw.genes == 0]
    assert analysis.mahalanobis_distances()[0] > changed.max()


def test_identical_conditions_give_zero():
    same = DifferentialExpression(ls=1.5).fit(TOY.X1, TOY.Y1, TOY.X1, TOY.Y1)
    np.testing.assert_allclose(same.mahalanobis_distances(), 0.0, atol=1e-9)
    np.testing.assert_allclose(same.predict(ELSEWHERE).fold_change, 0.0, atol=1e-10)
    np.testing.assert_allclose(same.mean_log_fold_change(ELSEWHERE), 0.0, atol=1e-10)


def test_no_cells_to_predict(fitted):
    assert fitted.predict(np.empty((0, 3))).fold_change.shape == (0, 4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param({"Y2": TOY.Y2[:, :3]}, ValueError, "must have the same genes: came 4 and 3 columns", id="genes"),
        pytest.param(
            {"X2": TOY.X2[:, :2]}, ValueError, "X2 must have one column per dim.* needed 3, came 2", id="dims"
        ),
        pytest.param({"Y1": TOY.Y1[:5]}, ValueError, "Y1 must have one row per cell: needed 80 rows", id="rows"),
        pytest.param({"X1": TOY.X1 * np.nan}, ValueError, "X1 has NaN or infinite values in 80 of 80", id="nan-x"),
        pytest.param({"Y2": TOY.Y2 * np.inf}, ValueError, "Y2 has NaN or infinite values", id="inf-y"),
        pytest.param({"X1": TOY.X1[0]}, ValueError, r"X1 must be a matrix .* came shape \(3,\)", id="vector"),
        pytest.param({"Y1": TOY.Y1.astype(str)}, TypeError, "Y1 must hold real numbers", id="text"),
        pytest.param(
            {"X1": TOY.X1[:1], "Y1": TOY.Y1[:1]}, ValueError, "at least 2 cells, came 1 and 60", id="one-cell"
        ),
    ],
)
def test_data_that_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        DifferentialExpression().fit(*TOY._replace(**change))


def test_external_genes_that_do_not_fit(fitted):
    with pytest.raises(ValueError, match="expression of condition 2 must have one row per cell: needed 60 rows"):
        fitted.fit_external(TOY.Y1, TOY.Y1)
    with pytest.raises(ValueError, match=r"same .*genes.* came 4 and 3 columns"):
        fitted.fit_external(TOY.Y1, TOY.Y2[:, :3])


def test_null_genes_of_other_cells(fitted):
    with pytest.raises(ValueError, match="140"):
        fitted.fit_null(TOY.Y[:100], 2)


@pytest.mark.parametrize("ask", ["result", "cells", "condition", "approximation", "landmarks", "model1", "model2"])
def test_nothing_to_ask_before_the_fit(ask):
    with pytest.raises(ValueError, match=r"Not fitted yet; call fit\(X1, Y1, X2, Y2\) first."):
        getattr(DifferentialExpression(), ask)


def test_parameters_are_those_of_the_regression():
    with pytest.raises(TypeError, match=r"DifferentialExpression has no parameter 'sgima'. Did you mean 'sigma'\?"):
        DifferentialExpression(sgima=1.0)
    with pytest.raises(ValueError, match="eps must be positive and finite, came 0"):
        DifferentialExpression(eps=0)
    with pytest.warns(UnusedParameterWarning, match="gp_type"):
        DifferentialExpression(gp_type="full")


@pytest.mark.parametrize("new", [np.ones((2, 2)), np.ones(3)], ids=["width", "vector"])
def test_cell_states_that_do_not_fit(fitted, new):
    for ask in (fitted.predict, fitted.mean_log_fold_change):
        with pytest.raises(ValueError, match="X must "):
            ask(new)


def test_the_models_are_the_same_objects_each_time(fitted):
    assert fitted.model1 is fitted.model1
    assert fitted.model2 is fitted.model2
    assert fitted.model1 is not fitted.model2


def test_a_new_fit_has_new_models():
    analysis = DifferentialExpression(ls=1.0)
    first, second = (analysis.fit(*TOY).model1 for _ in range(2))
    assert first is not second
