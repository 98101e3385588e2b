"""What users bring to `DifferentialAbundance` is checked: predictors, distances, samples, cell states."""

import numpy as np
import pytest

from kompot import DensityEstimator, DifferentialAbundance
from kompot.errors import SkippedSampleWarning
from kompot.gp.neighbors import nearest_distances

RNG = np.random.default_rng(0)
X1, X2 = RNG.normal(size=(60, 2)), RNG.normal(size=(50, 2))
X, CONDITION = np.vstack([X1, X2]), np.repeat([0, 1], [60, 50])
NEAR = np.concatenate([nearest_distances(X1), nearest_distances(X2)])
PARAMETERS = {"d": 2.0, "mu": -6.0, "ls": 1.5, "calibrate_offset": False}


class Brought:
    """A predictor of a user."""

    def __init__(self, log_density, variance):
        self.log_density = log_density
        self.variance = variance

    def __call__(self, X):
        return self.log_density(X)

    def covariance(self, X, diag=True):
        assert diag
        return self.variance(X)


def first(X):
    return X[:, 0]


def ones(X):
    return np.ones(len(X))


def fitted(**kwargs):
    return DifferentialAbundance(**PARAMETERS).fit_cells(X, CONDITION, **kwargs)


def test_cells_changed_in_place_are_evaluated_anew():
    analysis = DifferentialAbundance(**PARAMETERS).fit(X1, X2)
    new = RNG.normal(size=(20, 2))
    analysis.predict(new)
    new += 1.0
    np.testing.assert_array_equal(analysis.predict(new).lfc, analysis.predict(new.copy()).lfc)


@pytest.mark.parametrize("sync_parameters", [True, False])
def test_distances_given_are_those_computed(sync_parameters):
    given = DifferentialAbundance(sync_parameters=sync_parameters, nn_distances=NEAR, **PARAMETERS).fit(X1, X2)
    computed = DifferentialAbundance(sync_parameters=sync_parameters, **PARAMETERS).fit(X1, X2)
    np.testing.assert_allclose(given.predict(X).lfc, computed.predict(X).lfc)


def test_distances_given_beside_an_injected_density():
    predictors = (Brought(first, ones), None)
    given = DifferentialAbundance(nn_distances=NEAR, **PARAMETERS).fit_cells(X, CONDITION, predictors=predictors)
    np.testing.assert_allclose(given.predict(X).lfc, fitted(predictors=predictors).predict(X).lfc)


BAD_DISTANCES = {
    "short": NEAR[:5],
    "nan": np.where(np.arange(60) == 3, np.nan, NEAR[:60]),
    "infinite": np.where(np.arange(60) == 3, np.inf, NEAR[:60]),
    "negative": np.where(np.arange(60) == 3, -1.0, NEAR[:60]),
}


@pytest.mark.parametrize("case", BAD_DISTANCES)
def test_bad_distances(case):
    with pytest.raises(ValueError, match="nn_distances must"):
        DensityEstimator(d=2, ls=1.0, nn_distances=BAD_DISTANCES[case]).fit(X1)


@pytest.mark.parametrize(
    ("predictor", "message"),
    [
        (
            Brought(lambda X: X[:, 0] * np.nan, ones),
            "A density predictor returned NaN or infinite values for 2 cells",
        ),
        (Brought(lambda X: X, ones), r"one log density per cell: needed \(2,\), came \(2, 2\)"),
        (Brought(first, lambda X: np.ones((len(X), 1))), r"one variance per cell: needed \(2,\), came \(2, 1\)"),
        (Brought(first, lambda X: X[:, 0] * np.inf), "covariance returned NaN or infinite"),
    ],
    ids=["nan", "shape", "variance_shape", "variance_infinite"],
)
def test_bad_predictors(predictor, message):
    with pytest.raises(ValueError, match=message):
        fitted(predictors=(predictor, None)).predict(X)


def test_the_error_of_a_predictor_is_not_hidden():
    def failing(X):
        raise ValueError("the user's own problem")

    with pytest.raises(TypeError, match="missing or failed") as caught:
        fitted(predictors=(Brought(first, failing), None)).predict(X)
    assert "the user's own problem" in str(caught.value.__cause__)


def test_bad_variance_predictor():
    def wrong(X, diag):
        assert diag
        return np.ones((len(X), 1))

    with pytest.raises(ValueError, match=r"A variance predictor must return one variance per cell"):
        fitted(variance_predictors=(wrong, None)).predict(X)


@pytest.mark.parametrize(
    ("samples1", "samples2", "came"),
    [
        (["a", "b"] * 30, None, "came 60 and None"),
        (None, ["a", "b"] * 25, "came None and 50"),
        (["a", "b"] * 25, ["c", "d"] * 30, "came 50 and 60"),
    ],
    ids=["first_only", "second_only", "swapped_lengths"],
)
def test_samples_of_the_wrong_length(samples1, samples2, came):
    with pytest.raises(ValueError, match=f"samples1 and samples2 must name .*needed 60 and 50, {came}"):
        DifferentialAbundance(**PARAMETERS).fit(X1, X2, samples1, samples2)


def test_a_sample_of_identical_cells_is_skipped():
    doubled = np.vstack([X1, X1[:1]])
    samples = ["twin", *["a", "b"] * 29, "a", "twin"]
    with pytest.warns(SkippedSampleWarning, match="twin"), pytest.warns(match="same coordinates"):
        analysis = DifferentialAbundance(**PARAMETERS).fit(doubled, X2, samples, ["c", "d"] * 25)
    assert analysis.skipped_samples == ["twin"]


def test_samples_beside_an_injected_density_need_a_variance():
    samples = np.array(["a", "b"] * 55, dtype=object)
    with pytest.raises(ValueError, match="pass variance_predictor1 too"):
        fitted(samples=samples, predictors=(Brought(first, ones), None))
    constant = lambda X, diag: np.ones(len(X))  # noqa: ARG005, E731  the form a predictor has
    analysis = fitted(samples=samples, predictors=(Brought(first, ones), None), variance_predictors=(constant, None))
    assert (analysis.predict(X).variance > 2.0).all()


def test_cell_states_of_another_width():
    with pytest.raises(ValueError, match="needed 2, came 5"):
        DifferentialAbundance(**PARAMETERS).fit(X1, X2).predict(np.ones((3, 5)))
