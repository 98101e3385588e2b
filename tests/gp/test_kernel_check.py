"""Functions of the user that are no covariance, and distances that are none: refused before anything is fitted."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import kompot
from adata_helpers import QUIET, assert_unchanged, small_adata, snapshot
from helpers import manifold, matern52
from kompot.gp.expected import expected_kernel
from kompot.gp.features import FeatureTable, features_at
from kompot.gp.kernel_check import few_cells, require_covariance
from kompot.gp.kernels import RBF, CallableKernel, Kernel, Linear, Matern52, as_kernel
from kompot.gp.linalg import NotPositiveDefiniteError
from kompot.gp.parameters import RegressionParameters
from kompot.gp.prepare import prepare_kernel
from kompot.gp.selection import assess

X = manifold(150, 3)
RNG = np.random.default_rng(0)


class WrongDiagonal(Matern52):
    def diagonal(self, X):
        return np.full(len(X), 2.0)


def noise(A, B):
    return RNG.normal(size=(len(A), len(B)))


def relative(A, B):
    """Distances in units of their mean among those asked for."""
    d = cdist(A, B)
    return np.exp(-d / (d.mean() or 1.0))


NO_COVARIANCE = {
    "noise": (noise, "returned other values for the same cells when it was called again"),
    "noise beside a kernel": (lambda A, B: matern52(1.0)(A, B) + 1e-3 * noise(A, B), "returned other values"),
    "zeros": (lambda A, B: np.zeros((len(A), len(B))), "returned only zeros"),
    "nan": (lambda A, B: np.full((len(A), len(B)), np.nan), r"returned NaN or infinite values for [\d,]+ of"),
    "one nan": (lambda A, B: np.where(cdist(A, B) == 0, np.nan, 1.0), r"returned NaN or infinite values for [\d,]+ of"),
    "infinite": (
        lambda A, B: np.where(cdist(A, B) == 0, np.inf, 1.0),
        r"returned NaN or infinite values for [\d,]+ of",
    ),
    "not symmetric": (lambda A, B: np.exp(-cdist(A, 1.1 * B)), r"is not symmetric: k\(x, y\) and k\(y, x\) differ"),
    "relative to others": (relative, "gives a pair of cells another covariance when other cells stand beside them"),
    "negative": (lambda A, B: -matern52(1.0)(A, B), "gives a cell the negative variance -1"),
    "distance": (cdist, "is not positive semi-definite: its matrix of 100 cells has eigenvalues from -"),
    "wide box": (lambda A, B: 1.0 * (cdist(A, B) < 1.0), "is not positive semi-definite"),
    "narrow box": (lambda A, B: 1.0 * (cdist(A, B) < 0.1), "is not positive semi-definite"),
    "sigmoid": (lambda A, B: np.tanh(A @ B.T - 1.0), "gives a cell the negative variance|not positive semi-definite"),
    "diagonal": (WrongDiagonal(1.0), "has a diagonal that differs from that of its matrix by up to 1"),
    "sum with one that is none": (RBF(1.0) + CallableKernel(cdist), "is not positive semi-definite"),
}
WRONG_TYPE = {
    "text": (lambda *_: "K", "What cov_func returns must hold real numbers, came dtype"),
    "nothing": (lambda *_: None, "What cov_func returns must hold real numbers, came dtype object"),
    "complex": (lambda A, B: np.ones((len(A), len(B)), dtype=complex), "came dtype complex128"),
    "one argument": (lambda A: A, r"cov_func must be callable as k\(X, Y\), came .*too many"),
    "class": (Matern52, r"cov_func must be callable as k\(X, Y\), came .*too many"),
}


@pytest.mark.parametrize("prepare", [prepare_kernel, expected_kernel])
@pytest.mark.parametrize(("function", "message"), NO_COVARIANCE.values(), ids=NO_COVARIANCE)
def test_no_covariance(function, message, prepare):
    with pytest.raises(ValueError, match=f"^cov_func {message}"):
        prepare(RegressionParameters(cov_func=function), [X[:90], X[90:]])
    with pytest.raises(ValueError, match=f"^The kernel that cov_func_curry makes {message}|^cov_func {message}"):
        prepare(RegressionParameters(cov_func_curry=lambda _: function, ls=1.0), [X])


@pytest.mark.parametrize(("function", "message"), WRONG_TYPE.values(), ids=WRONG_TYPE)
def test_no_matrix(function, message):
    with pytest.raises(TypeError, match=message):
        prepare_kernel(RegressionParameters(cov_func=function), [X])


@pytest.mark.parametrize(
    ("curry", "message"),
    [
        (lambda _: None, "The kernel that cov_func_curry makes must be a kernel .*, came None"),
        (lambda _: 3.0, "The kernel that cov_func_curry makes must be a kernel .*, came 3.0"),
        (matern52(1.0), r"cov_func_curry must be callable as c\(length scale\), came .*missing"),
    ],
)
def test_no_kernel(curry, message):
    with pytest.raises(TypeError, match=message):
        prepare_kernel(RegressionParameters(cov_func_curry=curry), [X])


GOOD = {
    "formula": matern52(0.7),
    "single precision": lambda A, B: np.exp(-cdist(A, B)).astype(np.float32),
    "expanded squares": lambda A, B: np.exp(-np.sqrt(((A**2).sum(1)[:, None] + (B**2).sum(1) - 2 * A @ B.T).clip(0))),
    "through the origin": lambda A, B: A @ B.T,
    "constant": lambda A, B: np.ones((len(A), len(B))),
    "small": lambda A, B: 1e-12 * matern52(0.7)(A, B),
    "large": lambda A, B: 1e12 * matern52(0.7)(A, B),
    "flags": lambda A, B: cdist(A, B) == 0,
    "sum": Linear(2.0) + CallableKernel(matern52(0.7)),
}


@pytest.mark.parametrize("function", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("groups", [[X], [X[:2]], [X[:1], X[1:]], [np.vstack([X, X])], [np.zeros((30, 3))]])
def test_covariances_pass(function, groups):
    if not np.any(groups[0]) and function is GOOD["through the origin"]:
        return  # is zero at the origin
    require_covariance(as_kernel(function), groups, "cov_func")


def test_kernels_of_this_package_are_not_tried(monkeypatch):
    monkeypatch.setattr(Matern52, "__call__", lambda *_: pytest.fail("tried"))
    require_covariance(0.5 * (Matern52(1.0) + RBF(2.0)) * Linear(), [X], "cov_func")


def test_the_cells_tried_are_spread_and_close():
    first, second = np.arange(1000.0)[:, None], 5000 + np.arange(60.0)[:, None]
    found = few_cells([first, second])
    assert len(found) == 100
    assert {0.0, 999.0, 5000.0, 5059.0} <= set(found[:, 0])
    np.testing.assert_array_equal(np.sort(found[50:, 0]), np.arange(475.0, 525.0))


def rare(A, B):
    """A covariance but for one cell, which is not among those tried."""
    K = matern52(0.7)(A, B)
    K[np.ix_((X[77] == A).all(axis=1), (X[77] != B).any(axis=1))] *= 3.0
    K[np.ix_((X[77] != A).any(axis=1), (X[77] == B).all(axis=1))] *= 3.0
    return K


def test_what_only_shows_on_all_cells():
    assert not (few_cells([X]) == X[77]).all(axis=1).any()
    with pytest.raises(NotPositiveDefiniteError, match="cov_func is not positive semi-definite: the landmarks explain"):
        kompot.FunctionEstimator(cov_func=rare).fit(X, X)


def test_landmarks_that_show_it():
    landmarks = X[[70, 77, 80]]
    with pytest.raises(NotPositiveDefiniteError, match=r"eigenvalues from -.*; check cov_func and the landmarks"):
        features_at(landmarks, as_kernel(rare))
    # Singular is not negative.
    features = features_at(np.vstack([X[:5], X[:5]]), as_kernel(matern52(0.7)))
    assert assess(FeatureTable(features, X[:5])).residual_max < 1e-6


def estimators(**given):
    Y = X[:, :1]
    return {
        "FunctionEstimator": lambda: kompot.FunctionEstimator(**given).fit(X, Y),
        "ExpressionModel": lambda: kompot.ExpressionModel(**given).fit(X, Y),
        "SampleVarianceEstimator": lambda: kompot.SampleVarianceEstimator(**given).fit(X, Y, list("ab" * 75)),
        "DifferentialExpression": lambda: kompot.DifferentialExpression(**given).fit(X[:70], Y[:70], X[70:], Y[70:]),
        "DensityEstimator": lambda: kompot.DensityEstimator(**given).fit(X),
        "DifferentialAbundance": lambda: kompot.DifferentialAbundance(**given).fit(X[:70], X[70:]),
    }


NAMES = list(estimators())


@pytest.mark.parametrize("name", NAMES)
def test_estimators_refuse_what_is_no_covariance(name):
    with pytest.raises(ValueError, match="cov_func is not positive semi-definite"):
        estimators(cov_func=cdist)[name]()


NEAR = np.full(150, 0.1)
BAD_DISTANCES = {
    "nan": (np.where(np.arange(150) % 50 == 7, np.nan, NEAR), ValueError, r"3 of 150 are not .*\[7\] = nan"),
    "infinite": (np.where(np.arange(150) == 9, np.inf, NEAR), ValueError, r"1 of 150 are not .*\[9\] = inf"),
    "negative": (np.where(np.arange(150) == 9, -1.0, NEAR), ValueError, r"1 of 150 are not .*\[9\] = -1"),
    "zeros": (np.zeros(150), ValueError, "not all be 0"),
    "short": (NEAR[:5], ValueError, r"needed \(150,\), came \(5,\)"),
    "matrix": (NEAR[:, None], ValueError, r"needed \(150,\), came \(150, 1\)"),
    "booleans": (NEAR > 0, TypeError, "came booleans"),
    "text": (NEAR.astype(str), TypeError, "hold real numbers, came dtype <U"),
    "generator": ((d for d in NEAR), TypeError, "hold real numbers, came dtype object"),
}


@pytest.mark.parametrize("ls", [None, 1.0], ids=["needed", "not-needed"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("distances", "error", "message"), BAD_DISTANCES.values(), ids=BAD_DISTANCES)
def test_estimators_refuse_what_are_no_distances(distances, error, message, name, ls):
    with pytest.raises(error, match=f"^nn_distances must.*{message}"):
        estimators(nn_distances=distances, ls=ls)[name]()


def call(kind, adata, **given):
    output = {"output": kompot.OutputSettings(**QUIET)}
    if kind == "smooth":
        return kompot.smooth_expression(adata, **output, **given)
    return {"de": kompot.de, "da": kompot.da}[kind](adata, "condition", "A", "B", **output, **given)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("kind", ["de", "da", "smooth"])
def test_analyses_refuse_both_and_change_nothing(kind, dry_run):
    adata = small_adata(150)
    before = snapshot(adata)
    for distances, error, message in BAD_DISTANCES.values():
        with pytest.raises(error, match=f"^nn_distances must.*{message}"):
            call(kind, adata, nn_distances=distances, dry_run=dry_run)
    with pytest.raises(ValueError, match="cov_func is not positive semi-definite"):
        call(kind, adata, cov_func=cdist, dry_run=dry_run)
    with pytest.raises(TypeError, match="cov_func_curry makes must be a kernel"):
        call(kind, adata, cov_func_curry=str, dry_run=dry_run)
    assert_unchanged(adata, before)


def test_distances_of_both_conditions_beside_a_model_of_one():
    adata = small_adata(150)
    mask = (adata.obs["condition"] == "A").to_numpy()
    model = kompot.ExpressionModel(ls=1.0).fit(adata.obsm["DM_EigenVectors"][mask], adata.X[mask])
    settings = {"model": kompot.ModelSettings(model1=model), "fdr": kompot.FDRSettings(null_genes=0)}
    call("de", adata, nn_distances=NEAR, **settings)
    assert np.isfinite(adata.var["kompot_de_A_to_B_mahalanobis"]).all()


def test_a_kernel_of_the_user():
    class Doubled(Kernel):
        def __call__(self, X, Y):
            return 2.0 * Matern52(1.0)(X, Y)

        def diagonal(self, X):
            return np.full(len(X), 2.0)

        def to_dict(self):
            raise NotImplementedError

    found = kompot.FunctionEstimator(cov_func=Doubled()).fit(X, X).predict(X)
    np.testing.assert_allclose(found, kompot.FunctionEstimator(cov_func=2.0 * Matern52(1.0)).fit(X, X).predict(X))
