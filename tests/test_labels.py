from datetime import date

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import small_adata
from kompot import _callables as callables
from kompot import _checks as check
from kompot import _labels as labels
from kompot.anndata.record_values import encodable, is_placeholder
from kompot.gp.kernels import RBF


@pytest.mark.parametrize(
    "value", ["a", "", b"a", 3, -2.5, True, date(2020, 1, 1), pd.Timestamp("2020"), pd.Interval(0, 1)]
)
def test_labels(value):
    assert labels.label("x", value, "a label") is value


def test_numbers_of_numpy_become_plain():
    assert type(labels.label("x", np.int8(3), "a label")) is int
    assert type(labels.label("x", np.str_("a"), "a label")) is str


@pytest.mark.parametrize(
    "value", [None, [], ["a"], (), ("a",), {}, set(), np.array(3), np.array(["a"]), pd.Series(["a"])]
)
def test_what_is_no_label(value):
    with pytest.raises(TypeError, match=r"^x must be a label, came "):
        labels.label("x", value, "a label")


@pytest.mark.parametrize("value", [np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT", "ns")])
def test_missing_labels(value):
    with pytest.raises(ValueError, match=r"^x must be a label, came a missing value"):
        labels.label("x", value, "a label")


def test_samples_are_labels_of_each_cell():
    assert labels.labels("x", np.array([1, 2, 1]), "labels", 3) == [1, 2, 1]
    with pytest.raises(ValueError, match="x must name the sample of each cell: needed 4, came 3"):
        labels.labels("x", ["a", "c", "d"], "labels", 4)
    with pytest.raises(TypeError, match=r"^Each of x must be a label, came \['a'\]"):
        labels.labels("x", ["b", ["a"]], "labels")
    with pytest.raises(ValueError, match=r"^Each of x must be a label, came a missing value"):
        labels.labels("x", ["b", np.nan], "labels")


def test_columns_that_hold_lists():
    adata = small_adata(n_cells=20, n_genes=5)
    adata.obs["lists"] = [["A"], ["B"]] * 10
    with pytest.raises(
        TypeError, match=r"^adata.obs\['lists'\] must hold labels or numbers, came values that are none"
    ):
        kompot.de(adata, "lists", "A", "B")


def test_long_integers_are_marked_in_records():
    assert encodable({"n_iter": 10**5000}) == {"n_iter": "<object: number of 16610 bits>"}
    assert is_placeholder(encodable(-(10**5000)))
    assert encodable(10**38) == 10**38


class Silent:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**5000, "an integer of about 5,001 digits"),
        (Silent(), "<Silent that cannot be shown> (Silent)"),
        (pd.DataFrame({"a": [1]}), "a DataFrame of shape (1, 1)"),
        (["x" * 1000] * 1000, "['" + "x" * 58 + "..."),
        ("a\nb", r"'a\nb' (str)"),
    ],
    ids=["integer", "no-text", "table", "list", "lines"],
)
def test_messages_survive_any_value(value, text):
    assert check.show(value) == text
    assert len(check.listed([value] * 20)) < 4000
    assert check.nearest(value, ["a", Silent()]) in (
        "",
        " Did you mean 'a'?",
        " Did you mean <Silent that cannot be shown>?",
    )


def test_functions_are_tried_for_the_number_of_their_arguments():
    assert callables.callable_as("x", max, "p(X)", 1) is max
    for value in (lambda _, diag: None, lambda _, diag=True: None, lambda _: None):  # noqa: ARG005
        assert callables.callable_as("x", value, "p(X)", 1, "diag") is value
    assert callables.callable_as("x", RBF, "c(ls)", 1) is RBF
    for value in (lambda: None, lambda _a, _b: None, lambda _a, *, _b: None, Silent):
        with pytest.raises(TypeError, match=r"^x must be callable as p\(X\), came "):
            callables.callable_as("x", value, "p(X)", 1)
    with pytest.raises(
        TypeError, match=r"^It must be callable as p\(X\), came <class 'int'> .*: int\(\) argument must"
    ):
        callables.called("It", "p(X)", int, None)
