import warnings

import numpy as np
import pytest

from kompot import DensityEstimator, DifferentialAbundance
from kompot.datasets import simulate
from kompot.errors import DuplicateCellsWarning, OffsetWarning, SkippedSampleWarning
from kompot.gp.density_estimator import resolve_mu
from kompot.gp.dimension import fractal_dimension
from kompot.gp.length_scale import length_scale
from kompot.gp.neighbors import nearest_distances
from kompot.gp.parameters import DensityParameters

RNG = np.random.default_rng(0)
X1, X2 = RNG.normal(size=(120, 2)), RNG.normal(loc=[0.8, 0.0], size=(100, 2))
X, CONDITION = np.vstack([X1, X2]), np.repeat([0, 1], [120, 100])
NEW = RNG.normal(size=(15, 2))
FIXED = {"d": 2.0, "mu": -6.0, "ls": 1.5}
# The same landmarks wherever a density is fitted: what is compared is then the same model.
EXACT = {**FIXED, "landmarks": X}
SAMPLES1 = np.array(["a", "b", "c"])[np.arange(120) % 3]
SAMPLES2 = np.array(["d", "e"])[(np.arange(100) > 35).astype(int)]
SAMPLES = np.concatenate([SAMPLES1, SAMPLES2])


def quiet(function, *arguments, category=OffsetWarning, **named):
    """The result, without the warning of an offset that is no part of the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        return function(*arguments, **named)


def normalised(cells, at, **parameters):
    return DensityEstimator(**parameters).fit(cells).predict(at, normalize=True)


class Plain:
    """A predictor of the user's own: log density x₀, variance x₁²."""

    def __call__(self, at):
        return at[:, 0]

    def covariance(self, at, **_):
        return at[:, 1] ** 2


@pytest.mark.parametrize("sync", [True, False], ids=["synced", "apart"])
def test_change_against_two_densities(sync):
    analysis = DifferentialAbundance(sync_parameters=sync, calibrate_offset=False, **EXACT).fit(X1, X2)
    found = analysis.predict(NEW)
    first, second = (DensityEstimator(**EXACT).fit(cells).predictor for cells in (X1, X2))
    np.testing.assert_allclose(found.log_density_1, first(NEW, normalize=True), atol=1e-8)
    np.testing.assert_allclose(found.log_density_2, second(NEW, normalize=True), atol=1e-8)
    np.testing.assert_allclose(found.lfc, found.log_density_2 - found.log_density_1, atol=1e-12)
    np.testing.assert_allclose(found.variance, first.covariance(NEW) + second.covariance(NEW), rtol=1e-6)
    np.testing.assert_allclose(found.zscore, found.lfc / np.sqrt(found.variance + 1e-8), rtol=1e-12)
    assert analysis.offset == 0.0


def test_parameters_are_shared_unless_apart():
    synced = quiet(DifferentialAbundance().fit, X1, X2)
    assert len(synced.fits) == 1
    near = np.concatenate([nearest_distances(X1), nearest_distances(X2)])
    d = fractal_dimension(X)
    assert synced.fits[0].numbers.d == pytest.approx(d)
    assert synced.fits[0].numbers.ls == pytest.approx(length_scale(near, 10.0))
    assert synced.fits[0].numbers.mu == pytest.approx(resolve_mu(DensityParameters(), near, d))
    apart = quiet(DifferentialAbundance(sync_parameters=False).fit, X1, X2)
    change = apart.predict(NEW)
    found = [change.log_density_1, change.log_density_2]
    for fit, cells, log_density in zip(apart.fits, (X1, X2), found, strict=True):
        own = DensityEstimator(ls_factor=10.0).fit(cells).predictor
        assert (fit.numbers.d, fit.numbers.mu) == (own.d, own.posterior.mu)
        assert fit.numbers.ls == own.features.kernel.length_scale
        np.testing.assert_allclose(log_density, own(NEW, normalize=True), atol=1e-8)


def test_offset_is_added_to_the_fold_change_only():
    free = DifferentialAbundance(calibrate_offset=False, **FIXED).fit(X1, X2)
    analysis = quiet(DifferentialAbundance(**FIXED).fit, X1, X2)
    assert analysis.offset != 0
    plain, calibrated = free.predict(NEW), analysis.predict(NEW)
    np.testing.assert_allclose(calibrated.lfc, plain.lfc + analysis.offset, atol=1e-12)
    np.testing.assert_array_equal(calibrated.log_density_1, plain.log_density_1)
    np.testing.assert_array_equal(calibrated.variance, plain.variance)
    # The defining equation, over the cells of both conditions.
    expected = 1 / (1 + np.exp(-analysis.predict(X).lfc) * 120 / 100)
    assert expected.sum() == pytest.approx(100, abs=1e-6)


def test_cells_in_any_order_and_cells_left_out():
    order = np.random.default_rng(1).permutation(220)
    expected = quiet(DifferentialAbundance(**FIXED).fit, X1, X2)
    mixed = quiet(DifferentialAbundance(**FIXED).fit_cells, X[order], CONDITION[order])
    np.testing.assert_allclose(mixed.predict(NEW).lfc, expected.predict(NEW).lfc, atol=1e-7)
    more, codes = np.vstack([NEW, X]), np.concatenate([np.full(len(NEW), -1), CONDITION])
    without = quiet(DifferentialAbundance(**FIXED).fit_cells, more, codes)
    np.testing.assert_allclose(without.predict(NEW).lfc, expected.predict(NEW).lfc, atol=1e-7)
    assert without.offset == pytest.approx(expected.offset, abs=1e-8)


def test_recovers_the_truth_of_shifted_normals():
    rng = np.random.default_rng(5)
    one, two = rng.normal(size=(1500, 2)), rng.normal(loc=[1.0, 0.0], size=(1000, 2))
    found = quiet(DifferentialAbundance().fit, one, two).predict(np.vstack([one, two]))
    truth = np.vstack([one, two])[:, 0] - 0.5
    assert np.corrcoef(found.lfc, truth)[0, 1] > 0.97
    assert abs(np.mean(found.lfc - truth)) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_recovers_the_truth_of_the_simulator(seed):
    # The truth is that of the population; sampling and the donors' own odds come on top. Correlations are 0.94, 0.92
    # and 0.92 here; with 2,000 cells 0.86, 0.92 and 0.90.
    adata = simulate(5000, 200, seed=seed)
    states, labels = adata.obsm["DM_EigenVectors"], adata.obs["condition"]
    one, two = ((labels == label).to_numpy() for label in labels.cat.categories)
    found = quiet(DifferentialAbundance().fit, states[one], states[two]).predict(states)
    assert np.corrcoef(found.lfc, adata.obs["true_log_odds"])[0, 1] > 0.9


@pytest.mark.slow
def test_samples_against_refits_by_hand():
    analysis = DifferentialAbundance(calibrate_offset=False, **EXACT).fit(X1, X2, SAMPLES1, SAMPLES2)
    between = [
        np.var([normalised(cells[labels == s], NEW, **EXACT) for s in np.unique(labels)], axis=0, ddof=1)
        for cells, labels in ((X1, SAMPLES1), (X2, SAMPLES2))
    ]
    without = DifferentialAbundance(calibrate_offset=False, **EXACT).fit(X1, X2).predict(NEW)
    found = analysis.predict(NEW)
    np.testing.assert_allclose(found.variance - without.variance, sum(between), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.lfc, without.lfc, atol=1e-8)
    np.testing.assert_allclose(found.zscore, found.lfc / np.sqrt(found.variance + 1e-8), rtol=1e-12)
    assert analysis.skipped_samples == []


@pytest.mark.slow
def test_a_sample_of_one_cell_is_skipped_and_recorded():
    labels = SAMPLES1.copy().astype("U9")
    labels[0] = "lonely"
    with pytest.warns(SkippedSampleWarning, match=r"fewer than 2 cells .* are left out .*: lonely\."):
        analysis = quiet(DifferentialAbundance(calibrate_offset=False, **EXACT).fit, X1, X2, labels, SAMPLES2)
    assert analysis.skipped_samples == ["lonely"]
    whole = DifferentialAbundance(calibrate_offset=False, **EXACT).fit(X1, X2).predict(NEW)
    between = [
        np.var([normalised(cells[names == s], NEW, **EXACT) for s in valid], axis=0, ddof=1)
        for cells, names, valid in ((X1, labels, "abc"), (X2, SAMPLES2, "de"))
    ]
    found = analysis.predict(NEW)
    np.testing.assert_allclose(found.variance - whole.variance, sum(between), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.lfc, whole.lfc, atol=1e-8)  # the lonely cell still counts for its condition


def test_too_few_samples():
    message = r"at least 2 samples with 2 or more cells in each condition, came 3 and 1 for condition 1 and 2"
    with pytest.raises(ValueError, match=message):
        DifferentialAbundance(**FIXED).fit(X1, X2, SAMPLES1, ["d"] * 100)
    with pytest.raises(ValueError, match="came 1 and 1 for condition 1 and 2"):
        DifferentialAbundance(**FIXED).fit_cells(
            X, CONDITION, np.where(CONDITION == 0, "a", "d"), allow_single_condition_variance=True
        )


@pytest.mark.slow
def test_one_condition_lends_its_variance_to_the_other():
    labels = np.where(CONDITION == 0, SAMPLES, "d")
    analysis = DifferentialAbundance(calibrate_offset=False, **EXACT)
    found = analysis.fit_cells(X, CONDITION, labels, allow_single_condition_variance=True).predict(NEW)
    between = np.var([normalised(X1[s == SAMPLES1], NEW, **EXACT) for s in "abc"], axis=0, ddof=1)
    without = DifferentialAbundance(calibrate_offset=False, **EXACT).fit(X1, X2).predict(NEW)
    np.testing.assert_allclose(found.variance - without.variance, 2 * between, rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_own_predictors_give_the_same_change():
    predictors = tuple(DensityEstimator(**EXACT).fit(cells).predictor for cells in (X1, X2))
    expected = quiet(DifferentialAbundance(**EXACT).fit, X1, X2)
    for given in (predictors, (predictors[0], None), (None, predictors[1])):
        analysis = quiet(DifferentialAbundance(**EXACT).fit_cells, X, CONDITION, predictors=given)
        found, wanted = analysis.predict(NEW), expected.predict(NEW)
        np.testing.assert_allclose(found.lfc, wanted.lfc, atol=1e-7)
        np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-6)
    assert quiet(DifferentialAbundance().fit_cells, X, CONDITION, predictors=predictors).landmarks is None


def test_any_object_that_predicts():
    analysis = DifferentialAbundance(calibrate_offset=False, **FIXED)
    found = analysis.fit_cells(X, CONDITION, predictors=(Plain(), None)).predict(NEW)
    own = DifferentialAbundance(calibrate_offset=False, **FIXED).fit(X1, X2).predict(NEW)
    np.testing.assert_array_equal(found.log_density_1, NEW[:, 0])
    np.testing.assert_allclose(found.log_density_2, own.log_density_2, atol=1e-2)
    variance = DensityEstimator(**EXACT).fit(X2).covariance(NEW)
    np.testing.assert_allclose(found.variance, NEW[:, 1] ** 2 + variance, rtol=2e-2)


@pytest.mark.parametrize(
    ("predictor", "error", "message"),
    [
        pytest.param(
            lambda at: at[:, 0], TypeError, r"covariance\(X, diag=True\) .*; that of function is missing", id="no-cov"
        ),
        pytest.param(lambda at: at, ValueError, r"needed \(2,\), came \(2, 2\)", id="matrix"),
        pytest.param(lambda at: at[:1, 0], ValueError, r"needed \(2,\), came \(1,\)", id="short"),
    ],
)
def test_predictors_that_are_refused(predictor, error, message):
    with pytest.raises(error, match=message):
        DifferentialAbundance(**FIXED).fit_cells(X, CONDITION, predictors=(predictor, None))


def test_variance_predictors_take_the_place_of_samples():
    analysis = DifferentialAbundance(calibrate_offset=False, **FIXED)
    given = (lambda at, **_: np.full(len(at), 0.5), lambda at, **_: at[:, 0] ** 2)
    found = analysis.fit_cells(X, CONDITION, variance_predictors=given).predict(NEW)
    without = DifferentialAbundance(calibrate_offset=False, **FIXED).fit(X1, X2).predict(NEW)
    np.testing.assert_allclose(found.variance - without.variance, 0.5 + NEW[:, 0] ** 2, rtol=1e-9)


def test_given_distances_landmarks_and_dimension():
    near = np.concatenate([nearest_distances(X1), nearest_distances(X2)])
    expected = quiet(DifferentialAbundance().fit, X1, X2).predict(NEW)
    same = quiet(DifferentialAbundance(nn_distances=near).fit, X1, X2).predict(NEW)
    np.testing.assert_array_equal(same.lfc, expected.lfc)
    placed = DifferentialAbundance(calibrate_offset=False, landmarks=X[::2], **FIXED).fit(X1, X2)
    np.testing.assert_array_equal(placed.landmarks, X[::2])
    fitted = DifferentialAbundance(calibrate_offset=False, **EXACT).fit(X1, X2).predict(X)
    assert np.median(np.abs(placed.predict(X).lfc - fitted.lfc)) < 0.1
    wide = quiet(DifferentialAbundance(d_method="embedding").fit, X1, X2)
    assert wide.fits[0].numbers.d == 2.0


def test_duplicated_cells_give_a_change():
    with pytest.warns(DuplicateCellsWarning, match="10 of 125 cells"):
        analysis = quiet(DifferentialAbundance().fit, np.vstack([X1, X1[:5]]), X2)
    found = analysis.predict(X)
    assert np.isfinite(found.zscore).all()
    assert (found.variance > 0).all()


@pytest.mark.parametrize("shape", [(2, 2), (3, 1), (2, 50), (40, 50)], ids="{0[0]}-cells-{0[1]}-dimensions".format)
def test_tiny_and_wide_conditions_give_numbers(shape):
    rng = np.random.default_rng(6)
    one, two = rng.normal(size=shape), rng.normal(size=(30, shape[1]))
    found = quiet(DifferentialAbundance().fit, one, two).predict(np.vstack([one, two]))
    for values in (found.lfc, found.variance, found.zscore, found.neg_log10_ptp):
        assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("one", "two", "parameters", "message"),
    [
        pytest.param(X1[:1], X2, {}, "Each condition needs at least 2 cells, came 1 and 100", id="one-cell"),
        pytest.param(X1, X2[:0], {}, "at least 2 cells, came 120 and 0", id="none"),
        pytest.param(X1, np.full((4, 2), np.nan), {}, "X2 has NaN or infinite values in 4 of 4 rows", id="nan"),
        pytest.param(X1, np.ones((9, 3)), {}, "X2 must have one column .* needed 2, came 3", id="width"),
        pytest.param(X1, np.ones((9, 2)), {}, "All cells have an identical neighbour", id="identical"),
        pytest.param(X1, X2, {"nn_distances": np.ones(7)}, r"needed \(220,\), came \(7,\)", id="nn-distances"),
    ],
)
def test_data_that_are_refused(one, two, parameters, message):
    with pytest.raises(ValueError, match=message):
        DifferentialAbundance(**parameters).fit(one, two)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        pytest.param({"ls_facto": 1.0}, TypeError, "DifferentialAbundance has no parameter 'ls_facto'", id="typo"),
        pytest.param({"d_method": "box"}, ValueError, "d_method must be 'fractal' or 'embedding'", id="d-method"),
        pytest.param({"sync_parameters": 1}, TypeError, "sync_parameters must be True or False", id="sync"),
        pytest.param({"calibrate_offset": "no"}, TypeError, "calibrate_offset must be True or False", id="offset"),
        pytest.param({"eps": 0.0}, ValueError, "eps must be positive", id="eps"),
    ],
)
def test_parameters_that_are_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        DifferentialAbundance(**parameters)


def test_nothing_to_ask_before_the_fit():
    with pytest.raises(ValueError, match=r"Not fitted yet; call fit\(X1, X2\) first"):
        DifferentialAbundance().predict(NEW)
    assert DifferentialAbundance().landmarks is None
