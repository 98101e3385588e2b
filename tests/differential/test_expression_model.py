import numpy as np
import pytest
from scipy import sparse

from helpers import dense_posterior, manifold, matern52, smooth
from kompot import ExpressionModel, FunctionEstimator, Predictor

X = manifold(80, 3)
Y = smooth(X, 4) + 0.2 * np.random.default_rng(0).normal(size=(80, 4))
NEW = manifold(20, 3, seed=6)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("eps", [1e-8, 0.5])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_prediction_against_dense_algebra(sigma, eps, make):
    mean, covariance = dense_posterior(matern52(1.2), X, Y, NEW, sigma)
    model = ExpressionModel(ls=1.2, sigma=sigma, eps=eps, tolerance=1e-8).fit(X, make(Y))
    found = model.predict(NEW)
    np.testing.assert_allclose(found.mean, mean, atol=1e-4)
    np.testing.assert_allclose(found.std, np.sqrt(np.diag(covariance) + eps), rtol=1e-4)
    np.testing.assert_allclose(model.variance(NEW), np.diag(covariance), atol=1e-5)
    np.testing.assert_array_equal(model.std(NEW), found.std)


def test_length_scale_factor_is_ten_unless_given():
    default, given = ExpressionModel().fit(X, Y), FunctionEstimator(ls_factor=10.0).fit(X, Y)
    assert default.predictor.features.kernel == given.predictor.features.kernel
    one, plain = ExpressionModel(ls_factor=1.0).fit(X, Y), FunctionEstimator().fit(X, Y)
    assert one.predictor.features.kernel == plain.predictor.features.kernel


def test_a_saved_predictor_makes_a_model(tmp_path):
    model = ExpressionModel(ls=1.2).fit(X, Y)
    model.predictor.save(tmp_path / "model.npz")
    again = ExpressionModel.from_predictor(Predictor.load(tmp_path / "model.npz"), eps=1e-8)
    np.testing.assert_array_equal(again.predict(NEW).mean, model.predict(NEW).mean)
    np.testing.assert_array_equal(again.predict(NEW).std, model.predict(NEW).std)
    np.testing.assert_array_equal(again.landmarks, model.landmarks)


def test_nothing_to_ask_before_the_fit():
    for ask in ("predictor", "landmarks"):
        with pytest.raises(ValueError, match=r"The model is not fitted; call fit\(X, Y\) first."):
            getattr(ExpressionModel(), ask)
    with pytest.raises(ValueError, match="not fitted"):
        ExpressionModel().predict(X)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        pytest.param({"eps": 0.0}, ValueError, "eps must be positive", id="eps"),
        pytest.param({"eps": None}, TypeError, "eps must be a number", id="eps-none"),
        pytest.param({"sigmaa": 1.0}, TypeError, "has no parameter 'sigmaa'. Did you mean 'sigma'", id="typo"),
    ],
)
def test_parameters_that_are_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        ExpressionModel(**parameters)
