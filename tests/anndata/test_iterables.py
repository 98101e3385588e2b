"""Arguments that hold several things may be any iterable, and are read once."""

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import QUIET, small_adata
from kompot.anndata.layers import layer_names
from record_helpers import with_donors

GENES = ["g9", "g2", "g5"]
NO_NULL = kompot.FDRSettings(null_genes=0)
FULL = kompot.OutputSettings(inplace=False, return_full_results=True, **QUIET)

ITERABLES = {
    "generator": lambda names: (name for name in names),
    "iterator": iter,
    "map": lambda names: map(str, names),
    "keys": lambda names: dict.fromkeys(names).keys(),
    "values": lambda names: dict(enumerate(names)).values(),
    "tuple": tuple,
    "array": np.array,
    "index": pd.Index,
    "series": pd.Series,
    "categorical": pd.Categorical,
}


@pytest.fixture(params=ITERABLES.values(), ids=ITERABLES)
def form(request):
    return request.param


def smoothed(adata, genes):
    return kompot.smooth_expression(adata, "condition", "A", genes=genes, output=FULL)["table"]


def test_genes_to_smooth(form):
    adata = small_adata()
    expected = smoothed(adata, GENES)
    assert list(expected.index) == GENES
    pd.testing.assert_frame_equal(smoothed(adata, form(GENES)), expected)


def test_genes_to_compare(form):
    adata = small_adata()
    kompot.de(adata, "condition", "A", "B", genes=form(GENES), fdr=NO_NULL, output=kompot.OutputSettings(**QUIET))
    assert set(adata.var_names[adata.var["kompot_de_A_to_B_mean_lfc"].notna()]) == set(GENES)
    assert kompot.RunInfo(adata).params["genes"] == ["g2", "g5", "g9"]


def test_a_set_of_genes_has_the_order_of_the_names():
    assert list(smoothed(small_adata(), set(GENES)).index) == sorted(GENES)


@pytest.mark.parametrize("genes", [3, {"g1": 1}, np.array([["g1"]]), pd.DataFrame({"g1": [1]}), b"g1"])
def test_what_is_no_list_of_genes(genes):
    adata = small_adata()
    with pytest.raises(TypeError, match=r"^genes must be a list of names, came "):
        smoothed(adata, genes)
    with pytest.raises(TypeError, match=r"^genes must be a list of names, came "):
        kompot.de(adata, "condition", "A", "B", genes=genes)


def group_tables(adata, groups, times=1):
    settings = kompot.FilterSettings(groups=groups)
    for _ in range(times):
        results = kompot.de(adata, "condition", "A", "B", filter=settings, fdr=NO_NULL, output=FULL)
    return results["groups"]


MASKS = [np.arange(120) % 3 > 0, np.arange(120) % 4 > 0]
ONCE = {
    "generator of masks": (lambda: (mask for mask in MASKS), MASKS),
    "masks of a dictionary": ({"x": MASKS[0], "y": MASKS[1]}.values, MASKS),
    "generator of filters": (
        lambda: ({"cell_type": label} for label in "TB"),
        [{"cell_type": "T"}, {"cell_type": "B"}],
    ),
    "map of indices under a name": (
        lambda: {"a": map(int, "369"), "b": range(50)},
        {"a": [3, 6, 9], "b": np.arange(50)},
    ),
    "generator of labels": (lambda: {"cell_type": (x for x in "TB")}, {"cell_type": ["T", "B"]}),
    "generator of labels under a name": (lambda: {"a": {"cell_type": iter("TB")}}, {"a": {"cell_type": ["T", "B"]}}),
}


@pytest.mark.filterwarnings("ignore::kompot.errors.RepresentationWarning")
@pytest.mark.parametrize(("once", "expected"), ONCE.values(), ids=ONCE)
def test_groups_can_be_used_again(once, expected):
    adata = with_donors(small_adata())
    known, found = group_tables(adata, expected), group_tables(adata, once(), times=2)
    assert list(found) == list(known)
    for name, table in known.items():
        pd.testing.assert_frame_equal(pd.DataFrame(found[name]), pd.DataFrame(table))
    report = kompot.check_underrepresentation(adata, "condition", once(), warn=False)
    assert list(report.masks) == list(kompot.check_underrepresentation(adata, "condition", expected, warn=False).masks)


@pytest.mark.parametrize(
    ("once", "expected"),
    [
        (lambda: (i for i in range(90)), list(range(90))),
        (lambda: range(90), list(range(90))),
        (lambda: (i < 90 for i in range(120)), np.arange(120) < 90),
        (lambda: iter([{"cell_type": "T"}]), [{"cell_type": "T"}]),
    ],
    ids=["generator", "range", "mask", "filters"],
)
def test_filters_can_be_used_again(once, expected):
    adata = with_donors(small_adata())
    known = kompot.de(
        adata, "condition", "A", "B", filter=kompot.FilterSettings(cell_filter=expected), fdr=NO_NULL, output=FULL
    )
    settings = kompot.FilterSettings(cell_filter=once())
    for _ in range(2):
        found = kompot.de(adata, "condition", "A", "B", filter=settings, fdr=NO_NULL, output=FULL)
        pd.testing.assert_frame_equal(found["table"], known["table"])


def test_conditions_to_check(form):
    adata = with_donors(small_adata())
    report = kompot.check_underrepresentation(adata, "condition", "cell_type", conditions=form(["A"]), warn=False)
    assert all(list(counts) == ["A"] for counts in report.counts.values())
    with pytest.raises(TypeError, match=r"^conditions must be a list of labels, came 3"):
        kompot.check_underrepresentation(adata, "condition", "cell_type", conditions=3)


@pytest.mark.parametrize("columns", [range(3, 6), iter([5, 3, 4]), {3, 4, 5}, pd.Index([3, 4, 5]), np.array([3, 4, 5])])
def test_columns_of_null_features(columns):
    settings = kompot.FDRSettings(null_genes=columns)
    assert sorted(settings.null_genes) == [3, 4, 5]
    assert all(type(column) is int for column in settings.null_genes)


@pytest.mark.parametrize("columns", [{3: "x"}, np.array(3.0), np.array([[3]])], ids=["dictionary", "number", "matrix"])
def test_what_are_no_columns_of_null_features(columns):
    with pytest.raises(TypeError, match=r"^null_genes must be"):
        kompot.FDRSettings(null_genes=columns)


def test_names_of_distances(form):
    null = np.linspace(0, 3, 50)
    assert list(kompot.compute_fdr([1.0, 2.0, 3.0], null, gene_names=form(GENES)).index) == GENES
    with pytest.raises(TypeError, match=r"^gene_names must be a list of names, came 'abc'"):
        kompot.compute_fdr([1.0, 2.0, 3.0], null, gene_names="abc")


def test_samples(form):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(80, 2)), rng.normal(size=(80, 1))
    labels = np.repeat(["a", "b"], 40)

    def variance(samples):
        return kompot.SampleVarianceEstimator(ls=2.0).fit(X, Y, samples).predict(X[:3])

    def distances(samples):
        model = kompot.DifferentialExpression(ls=2.0).fit(X, Y, X, Y + 1, samples(labels), samples(labels))
        return model.mahalanobis_distances()

    if form is not ITERABLES["keys"]:  # which has each name once
        np.testing.assert_array_equal(variance(form(labels)), variance(labels))
        np.testing.assert_array_equal(distances(form), distances(np.asarray))


@pytest.mark.parametrize("samples", [3, "ab", {"a": 1}, np.array([["a"]])])
def test_what_are_no_samples(samples):
    X = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(TypeError, match=r"^samples must be a list of labels, came"):
        kompot.ExpressionModel().fit(X, X, samples)
    with pytest.raises(TypeError, match=r"^samples2 must be a list of labels, came"):
        kompot.DifferentialExpression().fit(X, X, X, X, list("ab" * 10), samples)
    with pytest.raises(TypeError, match=r"^samples1 must be a list of labels, came"):
        kompot.DifferentialAbundance().fit(X, X, samples, list("ab" * 10))


def test_runs_to_clean_up():
    adata = small_adata()
    for key in ("x", "y", "z"):
        kompot.smooth_expression(
            adata,
            "condition",
            "A",
            storage=kompot.StorageSettings(result_key=key),
            output=kompot.OutputSettings(**QUIET),
        )
    kompot.cleanup(adata, run_ids=(i for i in (0, 2)), analysis_type="smooth", keep_layers=False)
    assert [name for name in layer_names(adata) if name.endswith("smoothed")] == ["y_A_smoothed"]
