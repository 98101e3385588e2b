import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import cdist

from helpers import LAWS, counts, dense_posterior, low_rank, manifold, matern52, smooth
from kompot import FunctionEstimator
from kompot.errors import ApproximationWarning, UnusedParameterWarning
from kompot.gp.kernels import RBF, Matern52
from kompot.gp.parameters import RegressionParameters

X = manifold(70, 3)
Y = smooth(X, 4) + 0.1 * np.random.default_rng(0).normal(size=(70, 4))


def kernel_of(estimator):
    return estimator.predictor.features.kernel


def test_a_vector_is_one_column_of_a_matrix():
    vector, matrix = FunctionEstimator(ls=1.0).fit(X, Y[:, 1]), FunctionEstimator(ls=1.0).fit(X, Y[:, 1:2])
    assert vector.predict(X).shape == (70,)
    assert matrix.predict(X).shape == (70, 1)
    np.testing.assert_array_equal(vector.predict(X), matrix.predict(X)[:, 0])


def test_fit_predict_is_fit_then_predict():
    np.testing.assert_array_equal(
        FunctionEstimator(ls=1.0).fit_predict(X, Y), FunctionEstimator(ls=1.0).fit(X, Y).predict(X)
    )


@pytest.mark.parametrize(
    "make",
    [sparse.csr_array, sparse.csc_matrix, sparse.coo_array, sparse.lil_array, sparse.dok_array, np.matrix.tolist],
)
def test_formats_of_expression(make):
    C = counts(70, 5).toarray()
    expected, _ = dense_posterior(matern52(1.0), X, C, X, sigma=1.0)
    Y_made = C.tolist() if make is np.matrix.tolist else make(C)
    np.testing.assert_allclose(FunctionEstimator(ls=1.0, tolerance=1e-9).fit(X, Y_made).predict(X), expected, atol=1e-5)


def test_length_scale_is_estimated_from_neighbours():
    distances = cdist(X, X) + np.diag(np.full(70, np.inf))
    expected = np.exp(np.log(distances.min(axis=1)).mean() + 3.0)
    assert kernel_of(FunctionEstimator().fit(X, Y)).length_scale == pytest.approx(expected, rel=1e-12)
    assert kernel_of(FunctionEstimator(ls_factor=0.5).fit(X, Y)).length_scale == pytest.approx(0.5 * expected)
    assert kernel_of(FunctionEstimator(ls=3.0, ls_factor=0.5).fit(X, Y)) == Matern52(3.0)


def test_given_neighbour_distances_replace_the_search():
    fitted = FunctionEstimator(nn_distances=np.full(70, 0.1)).fit(X, Y)
    assert kernel_of(fitted).length_scale == pytest.approx(0.1 * np.exp(3.0))


@pytest.mark.parametrize("distances", [np.ones(69), np.ones((70, 1))], ids=["too-few", "matrix"])
def test_neighbour_distances_of_the_wrong_shape(distances):
    with pytest.raises(ValueError, match=r"nn_distances must hold one distance per cell: needed \(70,\), came"):
        FunctionEstimator(nn_distances=distances).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "kernel"),
    [
        pytest.param({"cov_func": matern52(0.9)}, matern52(0.9), id="callable"),
        pytest.param({"cov_func": RBF(0.9), "ls": 5.0}, RBF(0.9), id="kernel-wins-over-ls"),
        pytest.param({"cov_func_curry": RBF, "ls": 0.7}, RBF(0.7), id="curry"),
        pytest.param({"cov_func_curry": lambda ls: matern52(2 * ls), "ls": 0.7}, matern52(1.4), id="curry-of-callable"),
        pytest.param({"ls": 0.7}, matern52(0.7), id="default-is-matern52"),
    ],
)
def test_covariance_functions(parameters, kernel):
    new = manifold(10, 3, seed=3)
    mean, covariance = dense_posterior(kernel, X, Y, new, sigma=1.0)
    fitted = FunctionEstimator(tolerance=1e-9, **parameters).fit(X, Y)
    np.testing.assert_allclose(fitted.predict(new), mean, atol=1e-5)
    np.testing.assert_allclose(fitted.uncertainty(new, diag=False), covariance, atol=1e-5)


def test_landmarks_and_jitter():
    U = X[::5]
    fitted = FunctionEstimator(ls=1.0, landmarks=U.tolist(), jitter=0.01).fit(X, Y)
    np.testing.assert_array_equal(fitted.predictor.landmarks, U)

    def approximate(A, B):
        k = matern52(1.0)
        return k(A, U) @ np.linalg.solve(k(U, U) + 0.01 * np.eye(len(U)), k(U, B))

    np.testing.assert_allclose(fitted.predict(X), dense_posterior(approximate, X, Y, X, 1.0)[0], atol=1e-9)


def test_the_record_is_that_of_the_landmarks_used():
    fitted = FunctionEstimator(ls=1.0, landmarks=X[:10]).fit(X, Y)
    missed = 1.0 - np.diag(low_rank(matern52(1.0), X[:10])(X, X))
    assert fitted.approximation.rank == 10
    assert fitted.approximation.residual_mean == pytest.approx(missed.mean(), rel=1e-8)
    assert not fitted.approximation.converged


def test_cap_on_landmarks():
    with pytest.warns(ApproximationWarning, match="The 6 landmarks allowed"):
        fitted = FunctionEstimator(ls=0.3, n_landmarks=6).fit(X, Y)
    assert fitted.predictor.landmarks.shape == (6, 3)


@LAWS
@given(batch_size=st.integers(1, 100))
def test_batch_size_makes_no_difference(batch_size):
    found = FunctionEstimator(ls=1.0, batch_size=batch_size).fit(X, Y).predict(X)
    np.testing.assert_allclose(found, FunctionEstimator(ls=1.0).fit(X, Y).predict(X), atol=1e-11)


def test_one_warning_for_all_names_without_effect():
    with pytest.warns(
        UnusedParameterWarning, match=r"^Without effect here: gp_type \(.*\); optimizer \(.*\)\.$"
    ) as caught:
        FunctionEstimator(gp_type="full", sigma=0.5, optimizer="adam")
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", sorted(RegressionParameters.without_effect))
def test_names_without_effect_change_nothing(name):
    with pytest.warns(UnusedParameterWarning, match=f"{name} \\("):
        estimator = FunctionEstimator(ls=1.0, **{name: 1})
    np.testing.assert_array_equal(estimator.fit(X, Y).predict(X), FunctionEstimator(ls=1.0).fit(X, Y).predict(X))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        pytest.param({"sigm": 1}, TypeError, r"no parameter 'sigm'. Did you mean 'sigma'\?$", id="typo"),
        pytest.param({"zzz": 1}, TypeError, r"has no parameter 'zzz'; help\(kompot.Func", id="unknown"),
        pytest.param({"sigma": 0}, ValueError, "sigma must be positive and finite, came 0", id="sigma"),
        pytest.param({"sigma": "1"}, TypeError, "sigma must be a number, came '1'", id="sigma-text"),
        pytest.param({"ls": -1.0}, ValueError, "ls must be positive", id="ls"),
        pytest.param({"ls_factor": 0.0}, ValueError, "ls_factor must be positive", id="ls-factor"),
        pytest.param({"tolerance": 0.0}, ValueError, r"tolerance must lie in \(0, 1\)", id="tolerance"),
        pytest.param({"jitter": -1e-6}, ValueError, "jitter must not be negative", id="jitter"),
        pytest.param({"mu": None}, TypeError, "mu must be a number", id="mu"),
        pytest.param({"mu": np.inf}, ValueError, "mu must lie within", id="mu-infinite"),
        pytest.param({"n_landmarks": 2.5}, TypeError, "n_landmarks must be an integer", id="n-landmarks"),
        pytest.param({"batch_size": -1}, ValueError, "batch_size must not be negative", id="batch-size"),
        pytest.param({"random_state": -1}, ValueError, "random_state must not be negative", id="seed-negative"),
        pytest.param({"random_state": "a"}, TypeError, "random_state must be an integer", id="seed-text"),
        pytest.param({"cov_func": 3}, TypeError, "cov_func must be a kernel", id="cov-func"),
        pytest.param({"cov_func_curry": 3}, TypeError, "cov_func_curry must be callable", id="cov-func-curry"),
    ],
)
def test_parameters_that_are_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        FunctionEstimator(**parameters)


@pytest.mark.parametrize(
    ("cells", "targets", "error", "message"),
    [
        pytest.param(
            X, Y[:-1], ValueError, r"Y must have one row per cell: needed 70 rows .* shape \(69, 4\)", id="rows"
        ),
        pytest.param(X, Y[:, :, None], ValueError, "Y must have one row per cell", id="three-axes"),
        pytest.param(X, np.where(Y > 1, np.nan, Y), ValueError, "Y has NaN or infinite values", id="nan"),
        pytest.param(
            X, sparse.csr_array(np.full((70, 1), np.inf)), ValueError, "Y has NaN or infinite", id="sparse-inf"
        ),
        pytest.param(X, Y.astype(complex), TypeError, "Y must hold real numbers, came dtype complex128", id="complex"),
        pytest.param(X, Y.astype(str), TypeError, "Y must hold real numbers", id="text"),
        pytest.param(
            np.where(X > 0.9, np.inf, X), Y, ValueError, "X has NaN or infinite values in .* rows", id="x-inf"
        ),
        pytest.param(X[:, 0], Y, ValueError, r"X must be a matrix .* came shape \(70,\)", id="x-vector"),
        pytest.param(np.ones((70, 2)), Y, ValueError, "All cells have an identical neighbour", id="identical-cells"),
        pytest.param(X[:0], Y[:0], ValueError, "cell", id="no-cells"),
    ],
)
def test_data_that_are_refused(cells, targets, error, message):
    with pytest.raises(error, match=message):
        FunctionEstimator().fit(cells, targets)


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        pytest.param(X[:5, :2], "landmarks must have one column per dimension .*needed 3, came 2", id="width"),
        pytest.param(X[0], "landmarks must be a matrix", id="vector"),
        pytest.param(X[:0], "landmarks", id="none"),
        pytest.param(X[:5] * np.nan, "landmarks has NaN or infinite values in 5 of 5 rows", id="nan"),
    ],
)
def test_landmarks_that_are_refused(landmarks, message):
    with pytest.raises(ValueError, match=message):
        FunctionEstimator(ls=1.0, landmarks=landmarks).fit(X, Y)


@pytest.mark.parametrize("ask", ["predictor", "predict", "approximation"])
def test_nothing_to_ask_before_the_fit(ask):
    with pytest.raises(ValueError, match=r"The estimator is not fitted; call fit\(X, Y\) first."):
        getattr(FunctionEstimator(), ask)
