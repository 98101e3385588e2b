"""Unknown keywords: where they belong, what they may be a slip for, and never a list of foreign names."""

import inspect

import pytest

import kompot
from adata_helpers import assert_unchanged, small_adata, snapshot
from kompot._names import FUNCTIONS
from kompot.gp.parameters import RegressionParameters
from kompot.settings import ARGUMENTS

CALLS = {
    "kompot.de": lambda adata, **named: kompot.de(adata, "condition", "A", "B", **named),
    "kompot.da": lambda adata, **named: kompot.da(adata, "condition", "A", "B", **named),
    "kompot.smooth_expression": lambda adata, **named: kompot.smooth_expression(adata, "condition", "A", **named),
}
ESTIMATORS = (
    "FunctionEstimator",
    "DensityEstimator",
    "ExpressionModel",
    "DifferentialExpression",
    "DifferentialAbundance",
)


@pytest.mark.parametrize("owner", FUNCTIONS)
def test_arguments_are_those_of_the_signature(owner):
    parameters = inspect.signature(getattr(kompot, owner.removeprefix("kompot."))).parameters
    optional = {name for name, item in parameters.items() if item.default is not inspect.Parameter.empty}
    switches = {"sync_parameters", "calibrate_offset"} if owner == "kompot.da" else set()
    assert set(FUNCTIONS[owner]) == optional | switches


# Settings that are keywords of the estimators, or of a function, as well.
KEYWORDS = {*RegressionParameters.__dataclass_fields__, "jit_compile", "threshold"}


@pytest.mark.parametrize("owner", FUNCTIONS)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_every_setting_says_where_it_belongs(owner, argument):
    adata = small_adata()
    before = snapshot(adata)
    kind = ARGUMENTS[argument]
    for setting in set(kind.__dataclass_fields__) - KEYWORDS:
        with pytest.raises(TypeError) as caught:
            CALLS[owner](adata, **{setting: None})
        taken = "." if argument in FUNCTIONS[owner] else " of kompot."
        place = f"{argument}=kompot.{kind.__name__}({setting}=...)"
        assert str(caught.value).startswith(f"{owner} has no parameter {setting!r}; it belongs to {place}{taken}")
    assert_unchanged(adata, before)


@pytest.mark.parametrize(
    ("owner", "name", "message"),
    [
        ("kompot.de", "fdr_threshold", r"; it belongs to fdr=kompot\.FDRSettings\(threshold=\.\.\.\)\.$"),
        ("kompot.de", "threshold", r"; it belongs to fdr=kompot\.FDRSettings\(threshold=\.\.\.\)\.$"),
        ("kompot.da", "log_fold_change_threshold", r"threshold=kompot\.DAThresholdSettings\(lfc_threshold=\.\.\.\)\.$"),
        ("kompot.da", "null_genes", r"fdr=kompot\.FDRSettings\(null_genes=\.\.\.\) of kompot\.de\.$"),
        ("kompot.da", "filter", r"; kompot\.de takes kompot\.FilterSettings\.$"),
        ("kompot.de", "nul_genes", r"\. Did you mean fdr=kompot\.FDRSettings\(null_genes=\.\.\.\)\?$"),
        ("kompot.de", "sample_column", r"\. Did you mean 'sample_col'\?$"),
        ("kompot.da", "calibrate_ofset", r"\. Did you mean 'calibrate_offset'\?$"),
        ("kompot.de", "cov_fun", r"\. Did you mean 'cov_func'\?$"),
        ("kompot.smooth_expression", "zzz", r"has no parameter 'zzz'; help\(kompot\.smooth_expression\) has"),
    ],
)
def test_unknown_keywords(owner, name, message):
    with pytest.raises(TypeError, match=message) as caught:
        CALLS[owner](small_adata(), **{name: 1})
    assert str(caught.value).startswith(f"{owner} has no parameter {name!r}")
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators(name):
    estimator = getattr(kompot, name)
    with pytest.raises(TypeError, match=rf"^{name} has no parameter 'ls_facto'. Did you mean 'ls_factor'\?$"):
        estimator(ls_facto=1)
    with pytest.raises(
        TypeError, match=rf"^{name} has no parameter 'zzz'; help\(kompot.{name}\) has those there are.$"
    ):
        estimator(zzz=1)
    with pytest.raises(TypeError, match=r"it belongs to fdr=kompot.FDRSettings\(null_genes=...\) of kompot.de.$"):
        estimator(null_genes=1)


def test_names_without_effect_are_not_suggested():
    with pytest.raises(TypeError, match="; help"):
        kompot.FunctionEstimator(optimizr=1)


def test_own_switches_of_an_estimator_are_suggested():
    with pytest.raises(TypeError, match="Did you mean 'sync_parameters'"):
        kompot.DifferentialAbundance(sync_parameter=True)
