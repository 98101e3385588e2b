import numpy as np
import pytest
from scipy.stats import norm

from helpers import manifold, matern52
from kompot import DensityEstimator, DensityPredictor, FunctionEstimator, Predictor
from kompot.errors import DuplicateCellsWarning, UnusedParameterWarning
from kompot.gp.density import log_ball_volume
from kompot.gp.density_estimator import positive_distances
from kompot.gp.dimension import fractal_dimension
from kompot.gp.neighbors import nearest_distances

X = np.random.default_rng(0).normal(size=(150, 2))
NEW = np.random.default_rng(1).normal(size=(20, 2))
NEAR = nearest_distances(X)


def mixture(n_cells, n_dims, seed):
    """Cells of 0.6 N(-1.5, 0.6²) + 0.4 N(1.5, 1) per axis-0, standard normal on the others; and their true density."""
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(n_cells, n_dims))
    first = rng.random(n_cells) < 0.6
    cells[:, 0] = np.where(first, -1.5 + 0.6 * cells[:, 0], 1.5 + cells[:, 0])
    along = 0.6 * norm.pdf(cells[:, 0], -1.5, 0.6) + 0.4 * norm.pdf(cells[:, 0], 1.5, 1.0)
    return cells, np.log(along) + norm.logpdf(cells[:, 1:]).sum(axis=1)


def ring(n_cells, seed):
    """Cells around the unit circle, radius N(1, 0.1²); and their true density."""
    rng = np.random.default_rng(seed)
    radius, angle = 1 + 0.1 * rng.normal(size=n_cells), rng.uniform(0, 2 * np.pi, size=n_cells)
    truth = norm.logpdf(radius, 1.0, 0.1) - np.log(2 * np.pi * radius)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), truth


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "d", "ls_factor", "correlation", "offset", "error"),
    [
        pytest.param(mixture(2000, 1, 0), 1, 50.0, 0.97, 0.1, 0.3, id="mixture-1d"),
        pytest.param(mixture(2000, 2, 0), 2, 3.0, 0.97, 0.1, 0.3, id="mixture-2d"),
        pytest.param(ring(2000, 0), 2, 1.0, 0.9, 0.15, 0.35, id="ring"),
    ],
)
def test_known_densities(case, d, ls_factor, correlation, offset, error):
    cells, truth = case
    found = DensityEstimator(d=d, ls_factor=ls_factor).fit_predict(cells, normalize=True)
    # The thinnest 2 % are left out: beyond the last cells every estimate falls back to its prior.
    inside = truth > np.quantile(truth, 0.02)
    assert np.corrcoef(found[inside], truth[inside])[0, 1] > correlation
    assert abs(np.mean((found - truth)[inside])) < offset
    assert np.sqrt(np.mean((found - truth)[inside] ** 2)) < error


@pytest.mark.slow
def test_known_shape_with_the_dimension_estimated():
    # Per volume of another dimension the level is another, and the contrast is d/2 of the true one.
    cells, truth = ring(2000, 0)
    predictor = DensityEstimator().fit(cells).predictor
    found = predictor(cells)
    assert 1.2 < predictor.d < 2.0
    inside = truth > np.quantile(truth, 0.02)
    assert np.corrcoef(found[inside], truth[inside])[0, 1] > 0.9
    assert np.polyfit(truth[inside], found[inside], 1)[0] == pytest.approx(predictor.d / 2, abs=0.15)


def test_parameters_are_estimated_as_said():
    predictor = DensityEstimator().fit(X).predictor
    d = fractal_dimension(X)
    assert predictor.d == pytest.approx(d)
    assert predictor.posterior.mu == pytest.approx(np.quantile(-log_ball_volume(NEAR, d), 0.01) - 10)
    assert predictor.features.kernel.length_scale == pytest.approx(np.exp(np.log(NEAR).mean() + 3))
    assert predictor.n_cells == 150


def test_parameters_that_are_given_are_used():
    predictor = DensityEstimator(d=1.5, mu=-3.0, ls=0.7).fit(X).predictor
    assert (predictor.d, predictor.posterior.mu, predictor.features.kernel.length_scale) == (1.5, -3.0, 0.7)
    assert DensityEstimator(d_method="embedding").fit(X).predictor.d == 2.0
    wide = DensityEstimator(ls_factor=3.0, d=2).fit(X).predictor.features.kernel.length_scale
    assert wide == pytest.approx(3 * np.exp(np.log(NEAR).mean() + 3))


def test_given_distances_take_the_place_of_computed_ones():
    same = DensityEstimator(nn_distances=NEAR).fit(X).predict(NEW)
    np.testing.assert_array_equal(same, DensityEstimator().fit(X).predict(NEW))
    # Twice the distances at fixed parameters: a density lower by d log 2, but for the prior.
    fixed = {"d": 2.0, "mu": -3.0, "ls": 1.0}
    lower = DensityEstimator(nn_distances=2 * NEAR, **fixed).fit(X).predict(X)
    assert np.mean(DensityEstimator(**fixed).fit(X).predict(X) - lower) == pytest.approx(2 * np.log(2), abs=0.1)


def test_default_tolerance_is_close_to_the_exact_answer():
    exact = DensityEstimator(d=2, ls=1.5, tolerance=1e-9).fit(X)
    fitted = DensityEstimator(d=2, ls=1.5).fit(X)
    assert fitted.approximation.rank < exact.approximation.rank
    assert fitted.approximation.converged
    np.testing.assert_allclose(fitted.predict(X), exact.predict(X), atol=5e-3)
    np.testing.assert_allclose(fitted.covariance(X), exact.covariance(X), rtol=3e-2)


def test_landmarks_are_used_as_they_are():
    U = X[::5]
    fitted = DensityEstimator(d=2, ls=1.5, landmarks=U).fit(X)
    np.testing.assert_array_equal(fitted.predictor.landmarks, U)
    assert fitted.approximation.rank == 30
    exact = DensityEstimator(d=2, ls=1.5, tolerance=1e-9).fit(X)
    assert 0 < np.median(np.abs(fitted.predict(X) - exact.predict(X))) < 0.1


def test_normalize_divides_by_the_number_of_cells():
    fitted = DensityEstimator(d=2).fit(X)
    expected = fitted.predict(NEW) - np.log(150)
    np.testing.assert_allclose(fitted.predict(NEW, normalize=True), expected, rtol=1e-14)
    np.testing.assert_allclose(DensityEstimator(d=2).fit_predict(X), fitted.predict(X), rtol=1e-14)
    normalised = DensityEstimator(d=2).fit_predict(X, normalize=True)
    np.testing.assert_allclose(normalised, fitted.predict(X, normalize=True), rtol=1e-14)


def test_uncertainty():
    fitted = DensityEstimator(d=2, ls=1.0).fit(X)
    full = fitted.covariance(NEW, diag=False)
    np.testing.assert_allclose(fitted.covariance(NEW), np.diag(full), rtol=1e-9)
    np.testing.assert_array_equal(fitted.uncertainty(NEW), fitted.covariance(NEW))
    np.testing.assert_allclose(full, full.T, atol=1e-12)
    assert np.linalg.eigvalsh(full).min() > 0
    far = np.full((1, 2), 1e3)
    np.testing.assert_allclose(fitted.covariance(far), [1.0])
    np.testing.assert_allclose(fitted.predict(far), [fitted.predictor.posterior.mu])


def test_any_kernel():
    kernel = matern52(1.2)
    found = DensityEstimator(d=2, cov_func=kernel, tolerance=1e-9).fit(X).predict(NEW)
    np.testing.assert_allclose(found, DensityEstimator(d=2, ls=1.2, tolerance=1e-9).fit(X).predict(NEW), atol=1e-6)


@pytest.mark.parametrize("ls", [0.4, 4.0])
def test_order_of_cells(ls):
    order = np.random.default_rng(2).permutation(150)
    expected = DensityEstimator(ls=ls).fit(X).predict(NEW)
    np.testing.assert_allclose(DensityEstimator(ls=ls).fit(X[order]).predict(NEW), expected, atol=1e-8)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_units_of_the_embedding(factor):
    # Every length is multiplied: the log density falls by d log(factor) everywhere.
    expected = DensityEstimator(d=1.8).fit(X).predict(NEW) - 1.8 * np.log(factor)
    np.testing.assert_allclose(DensityEstimator(d=1.8).fit(factor * X).predict(factor * NEW), expected, atol=1e-5)


def test_saved_and_loaded(tmp_path):
    predictor = DensityEstimator().fit(X).predictor
    predictor.save(tmp_path / "density")
    again = DensityPredictor.load(tmp_path / "density")
    for normalize in (False, True):
        np.testing.assert_array_equal(again(NEW, normalize=normalize), predictor(NEW, normalize=normalize))
    np.testing.assert_array_equal(again.covariance(NEW, diag=False), predictor.covariance(NEW, diag=False))
    assert (again.n_cells, again.d) == (150, predictor.d)


def test_files_of_other_kinds_are_refused(tmp_path):
    FunctionEstimator(ls=1.0).fit(X, X[:, 0]).predictor.save(tmp_path / "function.npz")
    with pytest.raises(ValueError, match=r"function.npz holds a Predictor, not a DensityPredictor; read it with Pred"):
        DensityPredictor.load(tmp_path / "function.npz")
    DensityEstimator(d=2).fit(X).predictor.save(tmp_path / "density.npz")
    with pytest.raises(ValueError, match=r"holds a DensityPredictor, not a Predictor; read it with DensityPredictor"):
        Predictor.load(tmp_path / "density.npz")
    (tmp_path / "text.npz").write_text("no zip file")
    with pytest.raises(ValueError, match=r"text.npz was not written by DensityPredictor.save"):
        DensityPredictor.load(tmp_path / "text.npz")


def test_duplicated_cells_get_the_smallest_positive_distance():
    distances = np.array([0.5, 0.0, 2.0, 0.0])
    with pytest.warns(DuplicateCellsWarning, match=r"2 of 4 cells have the same coordinates .* \(5.00e-01\)"):
        np.testing.assert_array_equal(positive_distances(distances), [0.5, 0.5, 2.0, 0.5])
    assert positive_distances(NEAR) is NEAR


def test_duplicated_cells_give_a_density():
    twice = np.vstack([X, X[:10]])
    with pytest.warns(DuplicateCellsWarning, match="20 of 160 cells"):
        fitted = DensityEstimator().fit(twice)
    assert np.isfinite(fitted.predict(twice)).all()
    assert (fitted.covariance(twice) > 0).all()


@pytest.mark.parametrize("shape", [(3, 1), (4, 2), (60, 50)], ids=["three-cells", "four-cells", "fifty-dimensions"])
def test_tiny_and_wide_data_give_numbers(shape):
    cells = np.random.default_rng(3).normal(size=shape)
    fitted = DensityEstimator().fit(cells)
    assert np.isfinite(fitted.predict(cells)).all()
    assert (fitted.covariance(cells) > 0).all()


def test_two_cells_with_the_dimension_given():
    fitted = DensityEstimator(d=2).fit(X[:2])
    assert np.isfinite(fitted.predict(X)).all()
    assert (fitted.covariance(X) > 0).all()


@pytest.mark.parametrize(
    ("cells", "parameters", "message"),
    [
        pytest.param(X[:1], {}, "needs at least 2 cells, came 1", id="one-cell"),
        pytest.param(X[:0], {}, "needs at least 2 cells, came 0", id="none"),
        pytest.param(X[:2], {}, r"intrinsic dimension cannot be estimated.*Pass the dimension \(d\)", id="two-cells"),
        pytest.param(X[:, 0], {}, r"X must be a matrix", id="vector"),
        pytest.param(np.where(NEAR[:, None] == NEAR[3], np.nan, X), {}, r"X has NaN .* in 1 of 150 rows", id="nan"),
        pytest.param(np.where(X > 2, np.inf, X), {}, "X has NaN or infinite values", id="infinite"),
        pytest.param(np.ones((9, 2)), {}, "All cells have an identical neighbour, so no density", id="identical"),
        pytest.param(X, {"nn_distances": NEAR[:5]}, r"needed \(150,\), came \(5,\)", id="nn-distances"),
        pytest.param(X, {"landmarks": np.zeros((3, 5))}, r"landmarks .* needed 2, came 5", id="landmarks"),
    ],
)
def test_data_that_are_refused(cells, parameters, message):
    with pytest.raises(ValueError, match=message):
        DensityEstimator(**parameters).fit(cells)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        pytest.param({"d": 0.0}, ValueError, "d must lie between", id="d"),
        pytest.param({"d": "2"}, TypeError, "d must be a number", id="d-text"),
        pytest.param({"mu": np.nan}, ValueError, "mu must be a number, came NaN", id="mu"),
        pytest.param({"ls": -1.0}, ValueError, "ls must be positive", id="ls"),
        pytest.param({"d_method": "guess"}, ValueError, "d_method must be 'fractal' or 'embedding'", id="d-method"),
        pytest.param({"lss": 1.0}, TypeError, "DensityEstimator has no parameter 'lss'. Did you mean 'ls'", id="typo"),
    ],
)
def test_parameters_that_are_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        DensityEstimator(**parameters)


def test_names_of_mellon_without_effect():
    with pytest.warns(UnusedParameterWarning, match=r"optimizer \(the density is found by Newton's method.*rank"):
        estimator = DensityEstimator(d=2, optimizer="advi", rank=0.9)
    np.testing.assert_array_equal(estimator.fit(X).predict(NEW), DensityEstimator(d=2).fit(X).predict(NEW))


@pytest.mark.parametrize("ask", ["predictor", "predict", "approximation"])
def test_nothing_to_ask_before_the_fit(ask):
    with pytest.raises(ValueError, match=r"The estimator is not fitted; call fit\(X\) first"):
        getattr(DensityEstimator(), ask)


def test_cells_of_another_width_are_refused():
    with pytest.raises(ValueError, match="needed 2, came 3"):
        DensityEstimator(d=2).fit(X).predict(manifold(5, 3))
