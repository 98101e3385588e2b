import numpy as np
import pytest

from helpers import dense_posterior, manifold, matern52, smooth
from kompot import ExpressionModel
from kompot.differential.smooth import smooth_layers
from kompot.errors import SkippedSampleWarning
from kompot.gp.features import FeatureTable

X = manifold(60, 3)
Y = smooth(X, 3) + 0.4 * np.random.default_rng(0).normal(size=(60, 3))
NEW = manifold(15, 3, seed=6)
KERNEL = matern52(1.2)
EXACT = {"ls": 1.2, "sigma": 0.5, "landmarks": X}
SAMPLES = np.array(["a", "b", "c"])[np.arange(60) % 3]


def loo_squares(mine):
    """Squared residual of each cell in a dense fit of the others."""
    rest = [np.setdiff1d(mine, cell) for cell in mine]
    means = [dense_posterior(KERNEL, X[r], Y[r], X[c : c + 1], 0.5)[0][0] for c, r in zip(mine, rest, strict=True)]
    return (Y[mine] - np.array(means)) ** 2


def refits(labels, names):
    """Function of each sample at the new cells."""
    return np.stack([dense_posterior(KERNEL, X[labels == s], Y[labels == s], NEW, 0.5)[0] for s in names])


def smoothed(squares):
    return np.maximum(dense_posterior(KERNEL, X, squares, NEW, 0.5)[0], 1e-8)


def test_empirical_variance_against_refits_without_each_cell():
    model = ExpressionModel(use_empirical_variance=True, **EXACT).fit(X, Y)
    expected = smoothed(loo_squares(np.arange(60)))
    np.testing.assert_allclose(model.empirical_variance(NEW), expected, rtol=1e-4, atol=1e-7)
    assert model.has_gene_variance
    assert model.sample_variance(NEW) is None


def test_with_samples_residuals_are_those_of_each_sample():
    model = ExpressionModel(use_empirical_variance=True, **EXACT).fit(X, Y, SAMPLES)
    squares = np.empty_like(Y)
    for sample in "abc":
        mine = np.flatnonzero(sample == SAMPLES)
        squares[mine] = loo_squares(mine)
    np.testing.assert_allclose(model.empirical_variance(NEW), smoothed(squares), rtol=1e-4, atol=1e-7)
    pooled = ExpressionModel(use_empirical_variance=True, **EXACT).fit(X, Y)
    assert np.abs(pooled.empirical_variance(NEW) - model.empirical_variance(NEW)).max() > 1e-3


def test_sample_variance_against_refits_by_hand():
    model = ExpressionModel(**EXACT).fit(X, Y, SAMPLES)
    functions = refits(SAMPLES, "abc")
    np.testing.assert_allclose(model.sample_variance(NEW), np.var(functions, axis=0, ddof=1), rtol=1e-4, atol=1e-8)
    covariance = model.between.covariance(model.predictor.features(NEW))
    np.testing.assert_allclose(covariance[:, :, 1], np.cov(functions[:, :, 1], rowvar=False), rtol=1e-3, atol=1e-6)
    assert model.empirical_variance(NEW) is None


def test_samples_leave_the_mean_alone():
    with_samples, without = ExpressionModel(**EXACT).fit(X, Y, SAMPLES), ExpressionModel(**EXACT).fit(X, Y)
    np.testing.assert_allclose(with_samples.predict(NEW).mean, without.predict(NEW).mean, atol=1e-8)
    assert not without.has_gene_variance


@pytest.mark.parametrize("eps", [1e-8, 0.3])
@pytest.mark.parametrize("samples", [None, SAMPLES], ids=["cells", "samples"])
@pytest.mark.parametrize("empirical", [False, True], ids=["plain", "empirical"])
def test_standard_deviations_hold_all_parts(eps, samples, empirical):
    model = ExpressionModel(use_empirical_variance=empirical, eps=eps, **EXACT).fit(X, Y, samples)
    variance = np.diag(dense_posterior(KERNEL, X, Y, NEW, 0.5)[1])[:, None] + eps + np.zeros((1, 3))
    if empirical:
        variance = variance + model.empirical_variance(NEW)
    if samples is not None:
        variance = variance + np.var(refits(SAMPLES, "abc"), axis=0, ddof=1)
    expected = np.sqrt(variance if model.has_gene_variance else variance[:, 0])
    np.testing.assert_allclose(model.std(NEW), expected, rtol=1e-4)
    np.testing.assert_array_equal(model.predict(NEW).std, model.std(NEW))


@pytest.mark.parametrize("batch_size", [None, 4])
def test_layers_hold_the_same_numbers(batch_size):
    model = ExpressionModel(use_empirical_variance=True, **EXACT).fit(X, Y, SAMPLES)
    table = FeatureTable(model.predictor.features, NEW)
    layers = smooth_layers(model, table, n_columns=3, columns=None, keep=True, batch_size=batch_size)
    expected = {
        "smoothed": model.predict(NEW).mean,
        "std": model.std(NEW),
        "obs_variance": model.empirical_variance(NEW),
        "sample_variance": model.sample_variance(NEW),
    }
    assert layers.arrays.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(layers.arrays[name], values, rtol=2e-2, atol=2e-3, err_msg=name)
    np.testing.assert_allclose(layers.mean_std, model.std(NEW).mean(axis=0), rtol=1e-3)


def test_recovers_noise_that_differs_between_cells_and_genes():
    rng = np.random.default_rng(3)
    t = rng.uniform(-1, 1, size=(4000, 1))
    truth = np.column_stack([0.1 + 0.4 * (t[:, 0] + 1), np.full(4000, 0.3)])
    Y_noisy = np.sin(2 * t) + np.sqrt(truth) * rng.normal(size=(4000, 2))
    model = ExpressionModel(use_empirical_variance=True, ls=1.0).fit(t, Y_noisy)
    inside = np.abs(t[:, 0]) < 0.9
    np.testing.assert_allclose(model.empirical_variance(t)[inside], truth[inside], rtol=0.2)


def test_noise_far_from_all_cells_is_eps():
    model = ExpressionModel(use_empirical_variance=True, eps=1e-3, **EXACT).fit(X, Y)
    np.testing.assert_allclose(model.empirical_variance(np.full((1, 3), 1e3)), np.full((1, 3), 1e-3))


def test_a_sample_of_one_cell_is_skipped_but_counts_for_the_mean():
    labels = np.where(np.arange(60) == 0, "lonely", SAMPLES)
    with pytest.warns(SkippedSampleWarning, match=r": lonely\."):
        model = ExpressionModel(use_empirical_variance=True, **EXACT).fit(X, Y, labels)
    assert model.skipped_samples == ["lonely"]
    np.testing.assert_allclose(model.sample_variance(NEW), np.var(refits(labels, "abc"), axis=0, ddof=1), rtol=1e-4)
    np.testing.assert_allclose(model.predict(NEW).mean, ExpressionModel(**EXACT).fit(X, Y).predict(NEW).mean, atol=1e-8)
    squares = np.empty_like(Y)
    for sample in "abc":
        mine = np.flatnonzero(labels == sample)
        squares[mine] = loo_squares(mine)
    squares[0] = loo_squares(np.arange(60))[0]  # left out of the pooled fit: it has none of its own
    np.testing.assert_allclose(model.empirical_variance(NEW), smoothed(squares), rtol=1e-3, atol=1e-6)


def test_samples_that_are_refused():
    with pytest.raises(ValueError, match=r"samples must name the sample of each cell: needed 60, came 3"):
        ExpressionModel(**EXACT).fit(X, Y, ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"at least 2 samples with 2 or more cells each, came 1"):
        ExpressionModel(**EXACT).fit(X, Y, ["a"] * 60)
