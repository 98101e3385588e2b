"""`kompot.de` with models and predictors that the user brings: ours, mellon's, and plain Python objects."""

import numpy as np
import pandas as pd
import pytest
from scipy import linalg

import kompot
from adata_helpers import QUIET, assert_unchanged, last_run, small_adata, snapshot
from helpers import dense_posterior, matern52
from kompot.errors import StorageWarning, UnusedParameterWarning

NO_FDR = kompot.FDRSettings(null_genes=0)
FULL = kompot.OutputSettings(return_full_results=True, **QUIET)
LS, SIGMA = 0.8, 0.5
KERNEL = matern52(LS)


@pytest.fixture
def adata():
    adata = small_adata(110, n_genes=9)
    adata.obs["donor"] = np.char.add("d", (np.arange(110) % 5).astype(str))
    adata.obs["kind"] = pd.Categorical(np.where(adata.obsm["DM_EigenVectors"][:, 0] > 0, "right", "left"))
    return adata


def data(adata, label):
    mask = (adata.obs["condition"] == label).to_numpy()
    return adata.obsm["DM_EigenVectors"][mask], adata.X.toarray().astype(np.float64)[mask]


def run(adata, model, **options):
    options = {"fdr": NO_FDR, "output": FULL, **options}
    return kompot.de(adata, "condition", "A", "B", model=kompot.ModelSettings(**model), **options)


class Plain:
    """Not ours and not mellon's: a dense Gaussian process with the two methods that are needed."""

    def __init__(self, X, Y, landmarks=None):
        self.X, self.Y = X, Y
        if landmarks is not None:
            self.landmarks = landmarks

    def __call__(self, X):
        return dense_posterior(KERNEL, self.X, self.Y, X, SIGMA)[0]

    def covariance(self, X, diag=True):
        covariance = dense_posterior(KERNEL, self.X, self.Y, X, SIGMA)[1]
        return np.diag(covariance).copy() if diag else covariance


def plain(adata, **options):
    return {f"function_predictor{i}": Plain(*data(adata, label), **options) for i, label in ((1, "A"), (2, "B"))}


def assert_predicts_the_layers(model, adata, genes=slice(None)):
    """What the model of a run predicts at the cells is what the run stored there."""
    found = model.predict(adata.obsm["DM_EigenVectors"])
    stored = {"smoothed_1": "kompot_de_A_smoothed", "fold_change": "kompot_de_A_to_B_fold_change"}
    for name, layer in stored.items():
        np.testing.assert_allclose(getattr(found, name), adata.layers[layer][:, genes], rtol=1e-4, atol=1e-5)
    means = adata.var["kompot_de_A_to_B_mean_lfc"].to_numpy()[genes]
    np.testing.assert_allclose(model.mean_log_fold_change(adata.obsm["DM_EigenVectors"]), means, atol=1e-6)
    if "kompot_de_A_std" in adata.obs:
        np.testing.assert_allclose(found.std_1, adata.obs["kompot_de_A_std"], rtol=1e-6)


def dense_distances(predictors, points, eps=1e-8, extra=None):
    first, second = predictors.values()
    change = second(points) - first(points)
    Sigma = first.covariance(points, diag=False) + second.covariance(points, diag=False) + eps * np.eye(len(points))
    distances = []
    for gene in range(change.shape[1]):
        own = Sigma if extra is None else Sigma + extra[gene]
        L = np.linalg.cholesky(own)
        distances.append(np.linalg.norm(linalg.solve_triangular(L, change[:, gene], lower=True)))
    return np.array(distances)


def fitted_models(adata, *, columns=slice(None), **options):
    """Our models of both conditions on the same landmarks."""
    landmarks = adata.obsm["DM_EigenVectors"][::4]
    donors = adata.obs["donor"].to_numpy()
    models = {}
    for i, label in ((1, "A"), (2, "B")):
        X, Y = data(adata, label)
        samples = donors[adata.obs["condition"] == label] if options.get("samples") else None
        made = kompot.ExpressionModel(
            ls=LS, sigma=SIGMA, landmarks=landmarks, use_empirical_variance=options.get("empirical", False)
        )
        models[f"model{i}"] = made.fit(X, Y[:, columns], samples)
    return models


@pytest.mark.parametrize("with_landmarks", [False, True])
def test_plain_objects(adata, with_landmarks):
    points = adata.obsm["DM_EigenVectors"][::6] if with_landmarks else adata.obsm["DM_EigenVectors"]
    predictors = plain(adata, landmarks=points if with_landmarks else None)
    results = run(adata, predictors, storage=kompot.StorageSettings(store_additional_stats=True))
    np.testing.assert_allclose(results["table"]["mahalanobis"], dense_distances(predictors, points), rtol=1e-6)
    X = adata.obsm["DM_EigenVectors"]
    means = [p(X) for p in predictors.values()]
    np.testing.assert_allclose(adata.layers["kompot_de_A_smoothed"], means[0], atol=1e-5)
    np.testing.assert_allclose(results["table"]["mean_lfc"], (means[1] - means[0]).mean(axis=0), atol=1e-9)
    variances = [p.covariance(X) for p in predictors.values()]
    np.testing.assert_allclose(adata.obs["kompot_de_B_std"], np.sqrt(variances[1] + 1e-8), rtol=1e-8)
    zscore = (means[1] - means[0]) / np.sqrt(sum(variances) + 1e-8)[:, None]
    np.testing.assert_allclose(adata.layers["kompot_de_A_to_B_fold_change_zscores"], zscore, rtol=1e-3, atol=1e-5)
    assert last_run(adata)["params"]["model"] == ["function_predictor1", "function_predictor2"]
    model = results["model"]
    assert isinstance(model, kompot.DifferentialExpression)
    assert (model.model1, model.model2) == tuple(predictors.values())
    np.testing.assert_allclose(model.mahalanobis_distances(), results["table"]["mahalanobis"])
    np.testing.assert_array_equal(np.unique(model.landmarks, axis=0), np.unique(points, axis=0))
    assert_predicts_the_layers(model, adata)
    with pytest.raises(ValueError, match="Predictors of any kind have no coefficients"):
        _ = model.result


def test_own_models_take_the_fast_path_to_the_same_numbers(adata):
    models = fitted_models(adata)
    gp = kompot.GPSettings(ls=LS, sigma=SIGMA, landmarks=adata.obsm["DM_EigenVectors"][::4])
    results = run(adata, models, filter=kompot.FilterSettings(groups="kind"))
    expected = kompot.de(
        adata,
        "condition",
        "A",
        "B",
        gp=gp,
        fdr=NO_FDR,
        output=FULL,
        filter=kompot.FilterSettings(groups="kind"),
        storage=kompot.StorageSettings(result_key="fitted"),
    )
    pd.testing.assert_frame_equal(results["table"], expected["table"], rtol=1e-5)
    for name in ("mean_lfc", "mahalanobis"):
        pd.testing.assert_frame_equal(results["groups"][name], expected["groups"][name], rtol=1e-5)
    np.testing.assert_allclose(adata.layers["kompot_de_B_smoothed"], adata.layers["fitted_B_smoothed"], atol=1e-6)
    assert last_run(adata)["approximation"]["rank"] == expected["model"].approximation.rank
    model = results["model"]
    assert isinstance(model, kompot.DifferentialExpression)
    assert (model.model1, model.model2) == tuple(models.values())
    np.testing.assert_allclose(model.mahalanobis_distances(), results["table"]["mahalanobis"])
    assert_predicts_the_layers(model, adata)


def test_models_with_variances(adata):
    models = fitted_models(adata, samples=True, empirical=True)
    gp = kompot.GPSettings(
        ls=LS, sigma=SIGMA, landmarks=adata.obsm["DM_EigenVectors"][::4], use_empirical_variance=True, n_landmarks=None
    )
    expected = kompot.de(adata, "condition", "A", "B", gp=gp, fdr=NO_FDR, output=FULL, sample_col="donor")
    stds = adata.layers["kompot_de_A_std"]
    storage = kompot.StorageSettings(result_key="brought")
    results = run(adata, models, sample_col="donor", storage=storage)
    np.testing.assert_allclose(results["model"].mahalanobis_distances(), results["table"]["mahalanobis"])
    np.testing.assert_allclose(results["model"].predict(adata.obsm["DM_EigenVectors"]).std_1, stds, rtol=1e-4)
    np.testing.assert_allclose(adata.layers["brought_A_std"], stds, rtol=1e-4)
    assert (adata.var["brought_A_to_B_mahalanobis_sample_var"] > 0).all()
    assert len(expected["table"]) == 9


def test_own_predictors_on_different_features_are_compared_densely(adata):
    predictors = {}
    for i, label in ((1, "A"), (2, "B")):
        estimator = kompot.FunctionEstimator(ls=LS, sigma=SIGMA, tolerance=1e-7).fit(*data(adata, label))
        predictors[f"function_predictor{i}"] = estimator.predictor
    results = run(adata, predictors)
    points = predictors["function_predictor1"].landmarks
    expected = dense_distances(plain(adata), points)
    np.testing.assert_allclose(results["table"]["mahalanobis"], expected, rtol=1e-2)


def test_one_condition_brought_the_other_fitted(adata):
    predictor = Plain(*data(adata, "A"), landmarks=adata.obsm["DM_EigenVectors"][::6])
    gp = kompot.GPSettings(ls=LS, sigma=SIGMA)
    results = run(adata, {"function_predictor1": predictor}, gp=gp, genes=["g1", "g4"])
    # At the landmarks of both: those of one alone would make the distance depend on which one it is.
    points = np.unique(np.vstack([predictor.landmarks, results["model"].model2.landmarks]), axis=0)
    expected = dense_distances(plain(adata), points)[[1, 4]]
    np.testing.assert_allclose(results["table"]["mahalanobis"], expected, rtol=2e-2)
    assert list(results["table"].index) == ["g1", "g4"]
    assert isinstance(results["model"].model2, kompot.ExpressionModel)
    assert results["model"].model1 is predictor


def test_variance_predictors(adata):
    points = adata.obsm["DM_EigenVectors"][::6]

    def spread(X, diag=True):
        u = np.cos(X[:, :1]) * np.linspace(0.5, 1.5, 9)
        return u**2 if diag else np.einsum("ng,mg->nmg", u, u)

    def noise(X):
        return np.full((len(X), 9), 0.3)

    predictors = plain(adata, landmarks=points)
    brought = {
        **predictors,
        "variance_predictor1": spread,
        "variance_predictor2": spread,
        "obs_variance_predictor2": noise,
    }
    results = run(adata, brought, sample_col="donor")
    covariance = spread(points, diag=False)
    extra = [2 * covariance[:, :, gene] + 0.3 * np.eye(len(points)) for gene in range(9)]
    expected = dense_distances(predictors, points, extra=extra)
    np.testing.assert_allclose(results["table"]["mahalanobis"], expected, rtol=1e-6)
    X = adata.obsm["DM_EigenVectors"]
    variance = predictors["function_predictor2"].covariance(X)[:, None] + spread(X) + 0.3
    np.testing.assert_allclose(adata.layers["kompot_de_B_std"], np.sqrt(variance), rtol=1e-5)


def test_variance_predictors_beside_functions_fitted_here(adata):
    donors, estimators = adata.obs["donor"].to_numpy(), {}
    for i, label in ((1, "A"), (2, "B")):
        X, Y = data(adata, label)
        samples = donors[adata.obs["condition"] == label]
        estimators[f"variance_predictor{i}"] = kompot.SampleVarianceEstimator(ls=LS, sigma=SIGMA).fit(X, Y, samples)
    gp = kompot.GPSettings(ls=LS, sigma=SIGMA)
    found = run(adata, estimators, gp=gp, sample_col="donor")["table"]
    expected = kompot.de(
        adata,
        "condition",
        "A",
        "B",
        gp=gp,
        fdr=NO_FDR,
        sample_col="donor",
        output=FULL,
        storage=kompot.StorageSettings(result_key="fitted"),
    )["table"]
    np.testing.assert_allclose(found["mahalanobis"], expected["mahalanobis"], rtol=0.05)
    np.testing.assert_allclose(adata.layers["kompot_de_A_std"], adata.layers["fitted_A_std"], rtol=1e-2)


@pytest.mark.parametrize("where", ["in the data", "in addition"])
@pytest.mark.parametrize("kind", ["models", "plain"])
def test_null_features_that_were_fitted_too(adata, where, kind):
    wide = adata
    if where == "in addition":
        adata = wide[:, :6].copy()
    brought = fitted_models(wide) if kind == "models" else plain(wide, landmarks=wide.obsm["DM_EigenVectors"][::6])
    null = [6, 7, 8]
    results = run(adata, brought, fdr=kompot.FDRSettings(null_genes=null), filter=kompot.FilterSettings(groups="kind"))
    everything = run(wide, brought, storage=kompot.StorageSettings(result_key="all"))["table"]["mahalanobis"]
    np.testing.assert_allclose(results["table"]["mahalanobis"], everything.iloc[:6], rtol=1e-8)
    np.testing.assert_allclose(results["null"]["mahalanobis"], everything.iloc[6:], rtol=1e-8)
    assert list(results["table"].index) == [f"g{i}" for i in range(6)]
    assert results["null"]["gene_indices"] == null
    assert adata.layers["kompot_de_A_smoothed"].shape == (110, adata.n_vars)
    if where == "in the data":
        assert np.isnan(adata.layers["kompot_de_A_smoothed"][:, 6:]).all()
    assert results["groups"]["mahalanobis_local_fdr"].shape == (6, 2)


def test_auto_means_no_null_genes(adata):
    results = run(adata, fitted_models(adata), fdr=kompot.FDRSettings())
    assert "null" not in results
    assert last_run(adata)["params"]["fdr"]["null_genes"] == 0


def test_given_null_distances(adata):
    fdr = kompot.FDRSettings(null_mahalanobis=np.linspace(0.1, 1, 30))
    results = run(adata, fitted_models(adata), fdr=fdr)
    assert results["null"]["source"] == "external"
    assert results["table"]["local_fdr"].notna().all()


def test_allow_single_condition_variance(adata):
    points = adata.obsm["DM_EigenVectors"][::6]
    predictors = plain(adata, landmarks=points)

    def spread(X, diag=True):
        return np.full((len(X), 9), 0.2) if diag else np.full((len(X), len(X)), 0.2)

    output = kompot.OutputSettings(return_full_results=True, allow_single_condition_variance=True, **QUIET)
    brought = {**predictors, "variance_predictor1": spread}
    found = run(adata, brought, output=output)["table"]["mahalanobis"]
    extra = [np.full((len(points), len(points)), 0.4)] * 9
    np.testing.assert_allclose(found, dense_distances(predictors, points, extra=extra), rtol=1e-6)
    np.testing.assert_allclose(
        adata.layers["kompot_de_B_std"][:, 0] ** 2,
        predictors["function_predictor2"].covariance(adata.obsm["DM_EigenVectors"]) + 0.2,
        rtol=1e-5,
    )


def without_covariance(X):
    return np.zeros((len(X), 9))


def refused(case, adata):
    """Arguments of a call that must be refused, the error and its message."""
    models = fitted_models(adata)
    narrow = {"function_predictor1": Plain(*(part[:, :4] if i else part for i, part in enumerate(data(adata, "A"))))}
    return {
        "null genes to be made": (
            models,
            {"fdr": kompot.FDRSettings(null_genes=50)},
            ValueError,
            "cannot cover columns",
        ),
        "null expression": (
            models,
            {"fdr": kompot.FDRSettings(null_expression=(np.zeros((9, 2)), np.zeros((9, 2))))},
            ValueError,
            "null_expression cannot be used",
        ),
        "null columns out of range": (
            models,
            {"fdr": kompot.FDRSettings(null_genes=[3, 12])},
            ValueError,
            "names column 12, but",
        ),
        "not a model": ({"model1": Plain(*data(adata, "A"))}, {}, TypeError, "must be a fitted kompot.ExpressionModel"),
        "model not fitted": ({"model1": kompot.ExpressionModel()}, {}, ValueError, "not fitted"),
        "no covariance": ({"function_predictor1": without_covariance}, {}, TypeError, "must have a method covariance"),
        "different widths": ({**plain(adata), **narrow}, {}, ValueError, "came 4 and 9 columns"),
        "too narrow": (narrow, {}, ValueError, "return 4 columns, but the data have 9 genes"),
        "samples without their variance": (
            plain(adata),
            {"sample_col": "donor"},
            ValueError,
            "variance_predictor1=...",
        ),
    }[case]


@pytest.mark.parametrize(
    "case",
    [
        "null genes to be made",
        "null expression",
        "null columns out of range",
        "not a model",
        "model not fitted",
        "no covariance",
        "different widths",
        "too narrow",
        "samples without their variance",
    ],
)
def test_refusals(adata, case, monkeypatch):
    model, options, error, message = refused(case, adata)
    before = snapshot(adata)
    monkeypatch.setattr("kompot.anndata.run_de.compute", lambda *_args, **_kwargs: pytest.fail("computed"))
    with pytest.raises(error, match=message):
        run(adata, model, **options)
    assert_unchanged(adata, before)


@pytest.mark.parametrize("what", ["nan", "shape of the covariance", "shape of the variance"])
def test_predictors_that_return_nonsense(adata, what):
    predictors = plain(adata, landmarks=adata.obsm["DM_EigenVectors"][::6])
    second = predictors["function_predictor2"]
    if what == "nan":
        second.Y = second.Y * np.nan
        message = "function predictor of condition 2 returned NaN"
    elif what == "shape of the covariance":
        second.covariance = lambda X, **_: np.ones((len(X), 9))
        message = "covariance of the function predictor of condition 2 must return an array of shape"
    else:
        predictors["variance_predictor1"] = lambda X, **_: np.ones((len(X), 3))
        message = "variance predictor of condition 1 must return"
    before = snapshot(adata)
    with pytest.raises(ValueError, match=message):
        run(adata, predictors)
    assert_unchanged(adata, before)


def test_density_predictors_are_for_abundance(adata):
    with pytest.warns(UnusedParameterWarning, match="model.density_predictor1"):
        run(adata, {"density_predictor1": without_covariance})


def test_predictors_with_too_many_points(adata, monkeypatch):
    monkeypatch.setattr("kompot.differential.injected.available_bytes", lambda: 10_000)
    with pytest.raises(MemoryError, match="matrices of 110 x 110 points"):
        run(adata, plain(adata))


def test_covariance_of_brought_predictors(adata):
    predictors = plain(adata, landmarks=adata.obsm["DM_EigenVectors"][::6])
    run(adata, predictors, storage=kompot.StorageSettings(store_posterior_covariance=True))
    X = adata.obsm["DM_EigenVectors"]
    expected = sum(p.covariance(X, diag=False) for p in predictors.values())
    np.testing.assert_allclose(adata.obsp["kompot_de_A_to_B_posterior_covariance"], expected, atol=1e-12)


def test_real_mellon_predictors(adata):
    mellon = pytest.importorskip("mellon")
    X = adata.obsm["DM_EigenVectors"]
    predictors = {}
    for i, label in ((1, "A"), (2, "B")):
        estimator = mellon.FunctionEstimator(
            ls=LS, sigma=SIGMA, landmarks=X[::3], n_landmarks=len(X[::3]), predictor_with_uncertainty=True, jitter=1e-8
        )
        estimator.fit(*data(adata, label))
        predictors[f"function_predictor{i}"] = estimator.predict
    found = run(adata, predictors)["table"]
    gp = kompot.GPSettings(ls=LS, sigma=SIGMA, landmarks=X[::3])
    storage = kompot.StorageSettings(result_key="own")
    expected = kompot.de(adata, "condition", "A", "B", gp=gp, fdr=NO_FDR, output=FULL, storage=storage)["table"]
    np.testing.assert_allclose(found["mean_lfc"], expected["mean_lfc"], atol=1e-3)
    np.testing.assert_allclose(found["mahalanobis"], expected["mahalanobis"], rtol=2e-2)


def half_models(adata):
    """Models of conditions whose cells lie apart, each on landmarks of its own."""
    models = {}
    for label, t in (
        ("A", adata.obsm["DM_EigenVectors"][:, 0] < 0.4),
        ("B", adata.obsm["DM_EigenVectors"][:, 0] > -0.4),
    ):
        mine = (adata.obs["condition"] == label).to_numpy() & t
        model = kompot.ExpressionModel(ls=LS, sigma=SIGMA)
        models[label] = model.fit(adata.obsm["DM_EigenVectors"][mine], adata.X[mine].toarray())
    return models


def test_distances_between_models_do_not_depend_on_the_direction(adata):
    models = half_models(adata)
    there = run(adata, {"model1": models["A"], "model2": models["B"]})["table"]
    storage = kompot.StorageSettings(result_key="back")
    given = kompot.ModelSettings(model1=models["B"], model2=models["A"])
    back = kompot.de(adata, "condition", "B", "A", model=given, fdr=NO_FDR, output=FULL, storage=storage)["table"]
    np.testing.assert_allclose(back["mahalanobis"], there["mahalanobis"], rtol=1e-6)
    np.testing.assert_allclose(back["mean_lfc"], -there["mean_lfc"], rtol=1e-9)


def test_models_brought_again_give_the_same_at_landmarks_that_are_given(adata):
    gp = kompot.GPSettings(ls=LS, landmarks=adata.obsm["DM_EigenVectors"][::4], use_empirical_variance=True)
    first = kompot.de(adata, "condition", "A", "B", gp=gp, fdr=NO_FDR, output=FULL)
    brought = {"model1": first["model"].model1, "model2": first["model"].model2}
    storage = kompot.StorageSettings(overwrite=True)
    landmarks = kompot.GPSettings(landmarks=gp.landmarks)
    again = run(adata, brought, gp=landmarks, storage=storage)["table"]
    np.testing.assert_allclose(again["mahalanobis"], first["table"]["mahalanobis"], rtol=1e-6)


def test_names_follow_what_was_computed(adata):
    first = kompot.de(adata, "condition", "A", "B", sample_col="donor", fdr=NO_FDR, output=FULL)
    brought = {"model1": first["model"].model1, "model2": first["model"].model2}
    storage = kompot.StorageSettings(result_key="again", store_posterior_covariance=True)
    with pytest.warns(StorageWarning, match="not stored with replicates"):
        again = run(adata, brought, storage=storage)
    np.testing.assert_allclose(again["table"]["mahalanobis"], first["table"]["mahalanobis"], rtol=1e-9)
    assert "again_A_to_B_mahalanobis_sample_var" in adata.var
    assert "again_A_to_B_mahalanobis" not in adata.var
    assert last_run(adata)["uses_sample_variance"] is True
    assert not adata.obsp


def test_one_variance_between_samples_may_serve_for_both(adata):
    points = adata.obsm["DM_EigenVectors"][::6]

    def spread(X, diag=True):
        return np.full((len(X), 9), 0.2) if diag else np.full((len(X), len(X)), 0.2)

    predictors = plain(adata, landmarks=points)
    brought = {**predictors, "variance_predictor1": spread}
    with pytest.raises(ValueError, match="variance_predictor2"):
        run(adata, brought, sample_col="donor")
    output = kompot.OutputSettings(return_full_results=True, allow_single_condition_variance=True, **QUIET)
    found = run(adata, brought, sample_col="donor", output=output)["table"]["mahalanobis"]
    extra = [np.full((len(points), len(points)), 0.4)] * 9
    np.testing.assert_allclose(found, dense_distances(predictors, points, extra=extra), rtol=1e-6)


def test_settings_of_fits_that_are_not_made_are_named(adata):
    gp = kompot.GPSettings(sigma=9.0, ls=7.0, use_empirical_variance=True)
    with pytest.warns(UnusedParameterWarning, match=r"gp\.sigma, gp\.ls, gp\.use_empirical_variance.*mu"):
        run(adata, plain(adata), gp=gp, mu=1.0)
    # They are not half used either: standard deviations are those of the predictors, the same for all genes.
    assert "kompot_de_A_std" in adata.obs


def test_a_model_hides_single_predictors(adata):
    models = fitted_models(adata)
    with pytest.warns(UnusedParameterWarning, match="model.function_predictor1"):
        run(adata, {**models, "function_predictor1": plain(adata)["function_predictor1"]})


def test_null_features_in_addition_are_numbered_as_the_predictors_do(adata):
    rng = np.random.default_rng(0)
    predictors = {}
    for i, label in ((1, "A"), (2, "B")):
        X, Y = data(adata, label)
        predictors[f"function_predictor{i}"] = Plain(X, np.hstack([rng.permutation(Y), Y]))
    fdr = kompot.FDRSettings(null_genes=list(range(9)))
    null = run(adata, predictors, fdr=fdr)["null"]
    assert null["gene_names"][:2] == ["NULL_0_0", "NULL_1_1"]
    assert null["gene_indices"] == list(range(9))


def test_expression_is_not_looked_at_where_nothing_is_fitted(adata):
    predictors = plain(adata)
    expected = run(adata, predictors)["table"]
    adata.X = adata.X.toarray() * np.nan
    found = run(adata, predictors, storage=kompot.StorageSettings(overwrite=True))["table"]
    np.testing.assert_array_equal(found["mahalanobis"], expected["mahalanobis"])
