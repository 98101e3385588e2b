"""Every accepted form of groups and of cell filters."""

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import small_adata
from kompot.anndata.cell_filter import filtered_cells
from kompot.anndata.groups import parse_groups

N = 120


@pytest.fixture
def adata():
    adata = small_adata(N)
    kinds = np.array(["NK", "T cell", "B/x"])[np.arange(N) % 3]
    adata.obs["kind"] = pd.Categorical(kinds, categories=["T cell", "unused", "NK", "B/x"])
    adata.obs["text"] = kinds
    adata.obs["text"] = adata.obs["text"].astype(object).where(np.arange(N) != 5)
    adata.obs["good"] = np.arange(N) % 4 == 0
    adata.obs["maybe"] = pd.array([None, True, False, True] * 30, dtype="boolean")
    adata.obs["nullable"] = pd.array([None, "first", "second", "first"] * 30, dtype="string")
    adata.obs["number"] = np.arange(N, dtype=float)
    adata.obs["batch"] = np.arange(N) % 2
    adata.obs["cluster"] = pd.Categorical(np.arange(N) % 3, categories=[0, 1, 2, 7])
    adata.obs["digits"] = (np.arange(N) % 2).astype(str)
    adata.obs["flags"] = np.array([True, False, None, np.True_] * 30, dtype=object)
    adata.obs["flag category"] = pd.Categorical([True, False, None, True] * 30)
    adata.obs["words"] = np.array(["True", "False"])[np.arange(N) % 2]
    return adata


IS_T, IS_NK, IS_B = (np.arange(N) % 3 == k for k in (1, 0, 2))
GOOD = np.arange(N) % 4 == 0
ODD = np.arange(N) % 2 == 1
FLAGS = np.isin(np.arange(N) % 4, [0, 3])


def cells(*indices):
    return np.isin(np.arange(N), indices)


def same(found, expected):
    assert list(found) == list(expected)
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask, err_msg=name)
        assert found[name].dtype == np.bool_


FORMS = {
    "categories in their order, without unused ones": ("kind", {"T cell": IS_T, "NK": IS_NK, "B/x": IS_B}),
    "text in order of appearance, missing values in no group": (
        "text",
        {"NK": IS_NK, "T cell": IS_T, "B/x": IS_B & (np.arange(N) != 5)},
    ),
    "boolean column": ("good", {"True": GOOD}),
    "nullable boolean column": ("maybe", {"True": ODD}),
    "objects that are flags or missing": ({"flags": True}, {"flags=True": FLAGS}),
    "nullable text": ("nullable", {"first": ODD, "second": np.arange(N) % 4 == 2}),
    "value of a column": ({"kind": "NK"}, {"kind=NK": IS_NK}),
    "values of a column": ({"kind": ["NK", "T cell"]}, {"kind=NK+T cell": IS_NK | IS_T}),
    "set of values, in the order of their texts": (
        {"kind": {"NK", "T cell", "B/x"}},
        {"kind=B/x+NK+T cell": IS_NK | IS_T | IS_B},
    ),
    "frozen set of values": ({"kind": frozenset(["NK"]), "good": True}, {"kind=NK_AND_good=True": IS_NK & GOOD}),
    "categories as values": ({"kind": pd.Categorical(["NK", "T cell"])}, {"kind=NK+T cell": IS_NK | IS_T}),
    "nullable texts as values": ({"kind": pd.array(["NK"], dtype="string")}, {"kind=NK": IS_NK}),
    "flag of a column": ({"good": True}, {"good=True": GOOD}),
    "two columns": ({"kind": ["NK", "B/x"], "good": True}, {"kind=NK+B/x_AND_good=True": (IS_NK | IS_B) & GOOD}),
    "named filters": (
        {"first": {"kind": "NK", "good": True}, "second": {"batch": [0]}},
        {"first": IS_NK & GOOD, "second": np.arange(N) % 2 == 0},
    ),
    "numbers of a column": (
        {"x": {"batch": np.int64(1)}, "y": {"cluster": [0, 1]}, "z": {"number": np.float64(3)}},
        {"x": ODD, "y": IS_NK | IS_T, "z": cells(3)},
    ),
    "named filters with every container": (
        {"set": {"kind": {"NK"}}, "category": {"kind": pd.Categorical(["NK"])}, "numbers": {"batch": pd.array([1])}},
        {"set": IS_NK, "category": IS_NK, "numbers": ODD},
    ),
    "label of any column": ({"mine": "NK"}, {"mine": IS_NK}),
    "named mask": ({"a": GOOD}, {"a": GOOD}),
    "named list of booleans": ({"a": GOOD.tolist()}, {"a": GOOD}),
    "named nullable mask": (
        {"a": pd.array([None, True, False, True] * 30, dtype="boolean"), "b": pd.Categorical(GOOD)},
        {"a": ODD, "b": GOOD},
    ),
    "named indices": ({"a": [0, 4]}, {"a": cells(0, 4)}),
    "named indices in other containers": (
        {"a": {0, 4}, "b": pd.array([0, 4]), "c": pd.Index([0, 4])},
        {"a": cells(0, 4), "b": cells(0, 4), "c": cells(0, 4)},
    ),
    "indices under the name of a column": ({"kind": [0, 4]}, {"kind": cells(0, 4)}),
    "indices that are not all values of the column": ({"batch": [0, 4], "a": GOOD}, {"batch": cells(0, 4), "a": GOOD}),
    "indices under the name of a column of digits": ({"digits": [0, 1]}, {"digits": cells(0, 1)}),
    "indices under the name of a column of flags": ({"good": [0, 1]}, {"good": cells(0, 1)}),
    "indices under the name of a column of objects that are flags": ({"flags": [0, 1]}, {"flags": cells(0, 1)}),
    "mask under the name of a column": ({"kind": GOOD}, {"kind": GOOD}),
    "nullable mask under the name of a column": (
        {"maybe": pd.array([None, True, False, True] * 30, dtype="boolean")},
        {"maybe": ODD},
    ),
    "overlapping": ({"a": GOOD, "b": np.arange(60)}, {"a": GOOD, "b": np.arange(N) < 60}),
    "nothing in a dictionary": ({}, {}),
    "nothing in a list": ([], {}),
    "list of filters": (
        [{"kind": "NK"}, {"good": True, "kind": "T cell"}, {}],
        {"kind=NK": IS_NK, "good=True_AND_kind=T cell": GOOD & IS_T, "filter3": np.ones(N, dtype=bool)},
    ),
    "list of filters with sets": (
        [{"kind": {"NK", "T cell", "B/x"}}],
        {"kind=B/x+NK+T cell": IS_NK | IS_T | IS_B},
    ),
    "equal filters": ([{"kind": "NK"}, {"kind": "NK"}], {"kind=NK": IS_NK}),
    "list of masks": ([GOOD, IS_T], {"subset1": GOOD, "subset2": IS_T}),
    "mask and indices": ([GOOD, np.array([1, 2])], {"subset1": GOOD, "subset2": np.isin(np.arange(N), [1, 2])}),
    "label arrays": (
        [GOOD, np.array(["x", "y"])[np.arange(N) % 2], IS_T],
        {
            "subset1": GOOD,
            "subset2_x": np.arange(N) % 2 == 0,
            "subset2_y": np.arange(N) % 2 == 1,
            "subset3": IS_T,
        },
    ),
    "list of categories, in their order, and a nullable mask": (
        [
            pd.Categorical(["NK", "T cell", "B/x"] * 40, categories=["T cell", "unused", "NK", "B/x"]),
            pd.array([None, True, False, True] * 30, dtype="boolean"),
        ],
        {"subset1_T cell": IS_T, "subset1_NK": IS_NK, "subset1_B/x": IS_B, "subset2": ODD},
    ),
    "mask": (GOOD, {"True": GOOD}),
    "indices": (np.array([3, 7]), {"True": np.isin(np.arange(N), [3, 7])}),
    "labels": (np.array(["b", "a"])[np.arange(N) % 2], {"a": np.arange(N) % 2 == 1, "b": np.arange(N) % 2 == 0}),
    "categories in their order": (
        pd.Categorical(np.arange(N) % 3, categories=[2, 1, 7, 0]),
        {"2": IS_B, "1": IS_T, "0": IS_NK},
    ),
    "whole numbers, one per cell": (10 * (np.arange(N)[::-1] % 3), {"0": IS_B, "10": IS_T, "20": IS_NK}),
    "whole numbers below 0 too": (np.arange(N) % 3 - 1, {"-1": IS_NK, "0": IS_T, "1": IS_B}),
    "index of whole numbers, one per cell": (pd.Index(np.arange(N) % 3), {"0": IS_NK, "1": IS_T, "2": IS_B}),
    "fractions, one per cell": (np.arange(N) % 3 / 2, {"0.0": IS_NK, "0.5": IS_T, "1.0": IS_B}),
    "mask of 0 and 1": (GOOD.astype(np.uint8), {"True": GOOD}),
    "mask of 0.0 and 1.0": (GOOD.astype(float), {"True": GOOD}),
    "indices of all cells": (np.arange(N)[::-1], {"True": np.ones(N, dtype=bool)}),
    "named masks of 0 and 1": (
        {"array": GOOD.astype(int), "list": GOOD.astype(int).tolist(), "index": pd.Index(GOOD.astype(int))},
        {"array": GOOD, "list": GOOD, "index": GOOD},
    ),
    "named series of 0 and 1": (
        {
            "by count": pd.Series(GOOD.astype(int)),
            "by name": pd.Series(GOOD.astype(int), index=[f"cell{i}" for i in range(N)]).iloc[::-1],
            "nullable": pd.Series(GOOD.astype(int), dtype="Int64"),
            "fractions": pd.Series(GOOD.astype(float)),
        },
        {"by count": GOOD, "by name": GOOD, "nullable": GOOD, "fractions": GOOD},
    ),
    "named series of indices": ({"a": pd.Series([3, 7], index=["x", "y"])}, {"a": cells(3, 7)}),
    "named indices of all cells": (
        {"a": np.arange(N), "b": pd.Series(np.arange(N))},
        {"a": np.ones(N, dtype=bool), "b": np.ones(N, dtype=bool)},
    ),
    "0 and 1 under the name of a column of text": ({"kind": GOOD.astype(int)}, {"kind": GOOD}),
    "list of masks of 0 and 1, whole numbers, indices and a matrix": (
        [GOOD.astype(int), np.arange(N)[::-1] % 3, [5, 3], np.arange(N), np.stack([GOOD, IS_T])],
        {
            "subset1": GOOD,
            "subset2_0": IS_B,
            "subset2_1": IS_T,
            "subset2_2": IS_NK,
            "subset3": cells(3, 5),
            "subset4": np.ones(N, dtype=bool),
            "subset5_1": GOOD,
            "subset5_2": IS_T,
        },
    ),
    "list of series": (
        [pd.Series(GOOD.astype(int)), pd.Series(np.arange(N) % 3, index=[f"cell{i}" for i in range(N)]).iloc[::-1]],
        {"subset1": GOOD, "subset2_0": IS_NK, "subset2_1": IS_T, "subset2_2": IS_B},
    ),
    "matrix": (np.stack([GOOD, IS_T]), {"subset1": GOOD, "subset2": IS_T}),
    "matrix of zeros and ones": (np.stack([GOOD, IS_T]).astype(int), {"subset1": GOOD, "subset2": IS_T}),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_groups(adata, form):
    groups, expected = FORMS[form]
    same(parse_groups(adata, groups), expected)


@pytest.mark.parametrize("number", [False, True])
def test_a_series_is_aligned_by_its_index(adata, number):
    values = np.arange(N) % 2 if number else np.array(["x", "y"])[np.arange(N) % 2]
    series = pd.Series(values, index=adata.obs_names)
    names = ("0", "1") if number else ("x", "y")
    expected = {names[0]: np.arange(N) % 2 == 0, names[1]: np.arange(N) % 2 == 1}
    shuffled = series.sample(frac=1, random_state=0)
    found = parse_groups(adata, shuffled)
    same({name: found[name] for name in names}, expected)
    same(parse_groups(adata, pd.Series(values)), expected)
    mask = pd.Series(GOOD, index=adata.obs_names).sample(frac=1, random_state=1)
    same(parse_groups(adata, {"a": mask}), {"a": GOOD})
    np.testing.assert_array_equal(filtered_cells(adata, mask), GOOD)


BAD_GROUPS = {
    "no such column": ("knd", r"groups='knd' is not a column of adata.obs. Did you mean 'kind'\?"),
    "numeric column": ("number", r"numeric \(float64\).*pandas.cut"),
    "unknown value": ({"kind": "NKT"}, r"'NKT' does not occur in adata.obs\['kind'\]"),
    "unknown value in a filter": ({"a": {"kind": ["NK", "no"]}}, "'no' does not occur"),
    "unknown column in a filter": ({"a": {"knd": "NK"}}, "'knd' is not a column"),
    "no value": ({"a": {"kind": None}}, "must be a label or a list"),
    "missing value": ({"kind": pd.array(["NK", None], dtype="string")}, "<NA> does not occur"),
    "table of values": ({"a": {"kind": np.array([["NK"]])}}, "a flat list of values, came an array of shape"),
    "whole numbers that are values too": (
        {"batch": [0, 1]},
        r"groups=\{'batch': \[0, 1\]\} could mean values of .*'name': \{'batch': \[0, 1\]\}.*\{'name': \[0, 1\]\}",
    ),
    "one whole number that is a value too": ({"batch": [1], "a": GOOD}, "could mean values of"),
    "whole numbers that are categories too": ({"cluster": np.array([7, 0])}, "could mean values of"),
    "whole numbers that are floats too": ({"number": [3, 7]}, "could mean values of"),
    "a set of whole numbers that are values too": ({"batch": {0, 1}}, "could mean values of"),
    "many whole numbers that are values too": (
        {"batch": np.arange(N) % 2},
        r"\[0, 1, 0 and 117 more\]\} could mean",
    ),
    "nested too deep": ({"a": {"kind": {"b": 1}}}, "must be a label or a list"),
    "label of no column": ({"mine": "nowhere"}, "occurs in no column"),
    "number": ({"a": 3}, r"groups\['a'\] must be a mask, indices"),
    "empty list in a dictionary": ({"a": []}, r"groups\['a'\] must be"),
    "short mask": ({"a": GOOD[:5]}, "needed 120, came 5"),
    "short nullable mask": ({"a": pd.array(GOOD[:5], dtype="boolean")}, "needed 120, came 5"),
    "nullable indices": ({"a": pd.array([1, None], dtype="Int64")}, "booleans .* or indices"),
    "index out of range": ({"a": [0, 500]}, "0 to 500, but the object has 120 cells"),
    "negative index": (np.array([-1, 3]), "-1 to 3"),
    "floats": ({"a": [0.5, 1.5]}, "booleans .* or indices"),
    "mixed list": ([GOOD, {"kind": "NK"}], "dictionaries only, or masks"),
    "list of text": (["NK", "T cell"], "dictionaries only, or masks"),
    "list of booleans": (GOOD.tolist(), "dictionaries only, or masks"),
    "short labels": (np.array(["a", "b"]), "needed 120, came 2"),
    "matrix of the wrong width": (np.ones((2, 5), dtype=bool), "k x 120"),
    "matrix of numbers": (np.full((2, N), 7.0), "k x 120"),
    "series of other cells": (pd.Series(["a"] * N, index=[f"x{i}" for i in range(N)]), "index does not name the cells"),
    "series of one": (pd.Series([True], index=["x"]), "came 1 value. Index it"),
    "short series": (pd.Series([True, False]), "index does not name the cells"),
    "equal texts": ({1: GOOD, "1": ODD}, "different names with the same text: 1, '1'"),
    "number alone": (3, "groups must be the name of a column"),
    "short categories": (pd.Categorical([3, 7]), "labels must name every cell: needed 120, came 2"),
    "indices that repeat": (
        np.array([3, 7, 3]),
        r"groups \(True\) has 3 whole numbers, of which only 2 differ.* one value for each of the 120 cells",
    ),
    "named indices that repeat": ({"a": [3, 7, 3]}, r"groups\['a'\] has 3 whole numbers, of which only 2 differ"),
    "indices that repeat in a list": ([GOOD, [3, 3]], r"groups \(subset2\) has 2 whole numbers, of which only 1"),
    "short whole numbers as labels": (np.arange(N - 1) % 3, "of which only 3 differ.* If they are labels"),
    "labels under a name": (
        {"a": np.arange(N) % 3},
        r"groups\['a'\] has a whole number for each of the 120 cells, so these are labels.*values == 0",
    ),
    "series of labels under a name": (
        {"a": pd.Series(np.arange(N), index=[f"cell{i}" for i in range(N)])},
        "so these are labels",
    ),
    "a number of its own for each cell": (np.arange(N) + 5, "each of the 120 cells has a number of its own"),
    "a fraction of its own for each cell": (pd.Series(np.linspace(0, 1, N)), "has a number of its own.*pandas.cut"),
    "no dimension": (np.array(3), "one or two dimensions, came 0"),
    "no dimension under a name": ({"a": np.array(3)}, r"groups\['a'\] must be a mask, indices"),
    "no dimension in a list": ([GOOD, np.array(3)], "dictionaries only, or masks"),
}


@pytest.mark.parametrize("form", BAD_GROUPS)
def test_forms_of_groups_that_are_refused(adata, form):
    groups, message = BAD_GROUPS[form]
    with pytest.raises((TypeError, ValueError), match=message):
        parse_groups(adata, groups)


@pytest.mark.parametrize("form", [lambda labels: labels, lambda labels: pd.Series(labels, dtype=object).array])
def test_labels_that_pandas_takes_for_equal(adata, form):
    names = ["a\0b", "a\0c", "\ud800", "\udfff"]
    labels = form(np.array(names, dtype=object)[np.arange(N) % 4])
    adata.obs["strange"] = labels
    for groups in ("strange", {"strange": names[:1]}, {"x": {"strange": names[1:2]}}, np.asarray(labels)):
        for name, mask in parse_groups(adata, groups).items():
            expected = [i for i, label in enumerate(names) if name.endswith(label) or (name == "x" and i == 1)]
            np.testing.assert_array_equal(mask, np.isin(np.arange(N) % 4, expected))
    assert sorted(parse_groups(adata, "strange")) == sorted(names)


def test_different_filters_with_the_same_name_are_numbered(adata):
    adata.obs["state"] = np.array(["a", "b", "a+b"])[np.arange(N) % 3]
    groups = parse_groups(adata, [{"state": ["a", "b"]}, {"state": "a+b"}, {"state": ["a", "b"]}])
    assert list(groups) == ["state=a+b", "state=a+b_2"]
    np.testing.assert_array_equal(groups["state=a+b"], np.arange(N) % 3 < 2)
    np.testing.assert_array_equal(groups["state=a+b_2"], np.arange(N) % 3 == 2)


FILTERS = {
    "all": (None, np.ones(N, dtype=bool)),
    "boolean column": ("good", GOOD),
    "nullable boolean column": ("maybe", ODD),
    "column of objects that are flags or missing": ("flags", FLAGS),
    "column of categories that are flags or missing": ("flag category", FLAGS),
    "value": ({"kind": "NK"}, IS_NK),
    "values": ({"kind": ["NK", "T cell"]}, IS_NK | IS_T),
    "tuple": ({"kind": ("NK", "T cell")}, IS_NK | IS_T),
    "set": ({"kind": {"NK"}}, IS_NK),
    "array": ({"batch": np.array([1])}, ODD),
    "numpy scalar": ({"batch": np.int64(1)}, ODD),
    "categories as values": ({"kind": pd.Categorical(["NK", "T cell", "NK"]).unique()[:2]}, IS_NK | IS_T),
    "nullable array of values": ({"kind": pd.array(["NK"], dtype="string"), "batch": pd.array([1])}, IS_NK & ODD),
    "category that is not used": ({"kind": ["NK", "unused"]}, IS_NK),
    "several columns": ({"kind": "NK", "batch": 0}, IS_NK & (np.arange(N) % 2 == 0)),
    "mask": (GOOD, GOOD),
    "list of booleans": (GOOD.tolist(), GOOD),
    "nullable mask": (pd.array([None, True, False, True] * 30, dtype="boolean"), ODD),
    "nullable series": (pd.Series([None, True, False, True] * 30, dtype="boolean"), ODD),
    "series of objects": (pd.Series(np.array([True, False, None, True] * 30, dtype=object)), FLAGS),
    "indices": (np.array([0, 1]), np.arange(N) < 2),
    "list of indices": ([0, 1], np.arange(N) < 2),
    "indices of all cells": (np.flatnonzero(np.ones(N)), np.ones(N, dtype=bool)),
    "mask of 0 and 1": (GOOD.astype(np.int8), GOOD),
    "list of 0 and 1": (GOOD.astype(int).tolist(), GOOD),
    "series of 0 and 1": (pd.Series(GOOD.astype(int), index=[f"cell{i}" for i in range(N)]).iloc[::-1], GOOD),
    "any of several filters": ([{"kind": "NK"}, {"kind": "T cell", "good": True}], IS_NK | (IS_T & GOOD)),
    "any of several columns": (["good", "maybe"], GOOD | ODD),
    "columns and filters": (["good", {"kind": "NK"}], GOOD | IS_NK),
    "a report of flags": ({"__underrepresentation_data": {"True": ["A"]}, "good": ["True"]}, ~GOOD),
    "a report of few cells": ({"__underrepresentation_data": {"NK": ["A"]}, "kind": ["T cell", "NK", "B/x"]}, ~IS_NK),
}


@pytest.mark.parametrize("form", FILTERS)
def test_forms_of_filters(adata, form):
    cell_filter, expected = FILTERS[form]
    np.testing.assert_array_equal(filtered_cells(adata, cell_filter), expected)


BAD_FILTERS = {
    "text column": ("words", r"must be boolean.*\{'words': \[...\]\}"),
    "category column": ("kind", "must be boolean"),
    "no such column": ("god", "Did you mean 'good'"),
    "unknown value": ({"kind": "NKT"}, "'NKT' does not occur"),
    "empty dictionary": ({}, "empty dictionary"),
    "empty list": ([], "cell_filter is empty"),
    "nobody": ({"kind": "NK", "batch": [2]}, "does not occur"),
    "nobody left": (np.zeros(N, dtype=bool), "leaves no cell of 120"),
    "number": (3, "cell_filter must be the name"),
    "mixed list": (["good", 3], "A list as cell_filter"),
    "short mask": (GOOD[:9], "needed 120, came 9"),
    "labels": (np.arange(N) % 3, "cell_filter has a whole number for each of the 120 cells, so these are labels"),
    "indices that repeat": ([4, 4, 5], "cell_filter has 3 whole numbers, of which only 2 differ"),
    "no dimension": (np.array(3), "cell_filter must be the name"),
    "value without dimension": ({"kind": np.array("NK")}, "a value or a flat list of values"),
    "only zeros": (np.zeros(N, dtype=int), "leaves no cell of 120"),
    "two dimensions": (np.ones((2, N), dtype=bool), "one-dimensional"),
    "a report of labels that are gone": (
        {"__underrepresentation_data": {"NKT": ["A"]}, "kind": ["NKT"]},
        "group 'NKT' has in this object, neither by name",
    ),
    "no flag at all": (pd.Series([None] * N, dtype=object), r"must be boolean, came object \(no value\)"),
    "a report without cells": ({"__underrepresentation_data": {"NK": ["A"]}}, "does not say which cells"),
}


@pytest.mark.parametrize("form", BAD_FILTERS)
def test_forms_of_filters_that_are_refused(adata, form):
    cell_filter, message = BAD_FILTERS[form]
    with pytest.raises((TypeError, ValueError), match=message):
        filtered_cells(adata, cell_filter)


def test_mistakes_are_found_before_any_work(adata, monkeypatch):
    monkeypatch.setattr("kompot.anndata.run_de.compute", lambda *_args, **_kwargs: pytest.fail("computed"))
    for options in ({"groups": "knd"}, {"cell_filter": {"kind": "NKT"}}, {"check_representation": True}):
        with pytest.raises(ValueError, match=r"knd|NKT|needs groups"):
            kompot.de(adata, "condition", "A", "B", filter=kompot.FilterSettings(**options))
