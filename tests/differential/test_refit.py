"""A fit that fails leaves the earlier fit of the estimator as it was."""

import numpy as np
import pytest

import kompot
from helpers import manifold, smooth

X = manifold(80, 3)
Y = smooth(X, 3)
SAMPLES = np.arange(80) % 3
OTHER = X * 2 + 1
LS = {"ls": 1.0}

# Estimator, arguments of the first and the second fit, how it predicts, and a step after which it holds parts of both.
CASES = {
    "FunctionEstimator": (
        kompot.FunctionEstimator(**LS),
        (X, Y),
        (OTHER, Y),
        lambda estimator: estimator.predict(X[:5]),
        "kompot.gp.function_estimator.accumulate",
    ),
    "DensityEstimator": (
        kompot.DensityEstimator(**LS),
        (X,),
        (OTHER,),
        lambda estimator: estimator.predict(X[:5]),
        "kompot.gp.density_estimator.density_of",
    ),
    "ExpressionModel": (
        kompot.ExpressionModel(**LS),
        (X, Y, SAMPLES),
        (OTHER, Y, SAMPLES),
        lambda estimator: estimator.predictor(X[:5]),
        "kompot.differential.expression_model.between_samples",
    ),
    "SampleVarianceEstimator": (
        kompot.SampleVarianceEstimator(**LS),
        (X, Y, SAMPLES),
        (OTHER, Y, SAMPLES),
        lambda estimator: estimator.predict(X[:5]),
        "kompot.differential.expression_model.between_samples",
    ),
    "DifferentialExpression": (
        kompot.DifferentialExpression(**LS),
        (X, Y, X, Y + 1),
        (OTHER, Y, OTHER, Y),
        lambda estimator: estimator.predict(X[:5]).fold_change,
        "kompot.differential.fitter.fit_posterior",
    ),
    "DifferentialAbundance": (
        kompot.DifferentialAbundance(**LS),
        (X, X + 0.1),
        (OTHER, OTHER + 0.1),
        lambda estimator: estimator.predict(X[:5]).lfc,
        "kompot.differential.abundance.DifferentialAbundance._calibrate",
    ),
}


def parts(estimator):
    return dict(vars(estimator._model if isinstance(estimator, kompot.SampleVarianceEstimator) else estimator))


@pytest.mark.parametrize(("estimator", "first", "second", "predict", "stage"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("failure", [MemoryError, KeyboardInterrupt])
@pytest.mark.filterwarnings("ignore::kompot.errors.OffsetWarning")
def test_a_failed_fit_changes_nothing(monkeypatch, estimator, first, second, predict, stage, failure):
    estimator.fit(*first)
    before, prediction = parts(estimator), predict(estimator)

    def fail(*_args, **_kwargs):
        raise failure("stopped")

    monkeypatch.setattr(stage, fail)
    with pytest.raises(failure, match="stopped"):
        estimator.fit(*second)
    after = parts(estimator)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    np.testing.assert_array_equal(predict(estimator), prediction)
    monkeypatch.undo()
    estimator.fit(*second)
    assert not np.array_equal(predict(estimator), prediction)
