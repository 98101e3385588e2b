import inspect
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kompot import (
    DAThresholdSettings,
    FDRSettings,
    FilterSettings,
    GPSettings,
    ModelSettings,
    OutputSettings,
    StorageSettings,
)
from kompot.settings import ARGUMENTS

# Names, order and defaults are promised to users; `store_layers` is our addition.
DEFAULTS = {
    GPSettings: {
        "sigma": 1.0,
        "ls": None,
        "ls_factor": 10.0,
        "n_landmarks": 5000,
        "landmarks": None,
        "use_empirical_variance": False,
        "batch_size": 100,
        "eps": 1e-8,
        "jit_compile": False,
        "random_state": None,
    },
    FDRSettings: {
        "null_genes": "auto",
        "null_seed": 42,
        "threshold": 0.05,
        "null_mahalanobis": None,
        "null_expression": None,
        "combine_with_internal": False,
    },
    DAThresholdSettings: {"lfc_threshold": 1.0, "ptp_threshold": 0.05},
    FilterSettings: {
        "cell_filter": None,
        "groups": None,
        "min_cells": 2,
        "min_percentage": None,
        "check_representation": None,
    },
    StorageSettings: {
        "result_key": None,
        "overwrite": None,
        "store_landmarks": False,
        "store_posterior_covariance": False,
        "store_additional_stats": False,
        "store_arrays_on_disk": None,
        "disk_storage_dir": None,
        "max_memory_ratio": 0.8,
        "store_layers": True,
    },
    OutputSettings: {
        "copy": False,
        "inplace": True,
        "return_full_results": False,
        "return_null_data": False,
        "compute_mahalanobis": True,
        "allow_single_condition_variance": False,
        "progress": True,
    },
    ModelSettings: {
        f"{name}{number}": None
        for name in ("model", "function_predictor", "obs_variance_predictor", "variance_predictor", "density_predictor")
        for number in (1, 2)
    },
}
FIELDS = [(cls, name) for cls, defaults in DEFAULTS.items() for name in defaults]
over_classes = pytest.mark.parametrize("cls", DEFAULTS, ids=lambda cls: cls.__name__)
PAIR = (np.ones((3, 2)), np.ones((4, 2)))
POSITIVE = "must be positive and finite, came"
NUMBER = "must be a number, came"
INTEGER = "must be an integer, came"
NEGATIVE = "must not be negative, came"
FRACTION = r"must lie in \(0, 1\], came"


POSITIVE_FLOAT = (
    [1e-9, 2, np.float32(0.5), np.int64(3)],
    [(0, ValueError, POSITIVE), (-1.0, ValueError, POSITIVE), (np.inf, ValueError, POSITIVE),
     (np.nan, ValueError, "came NaN"), ("1", TypeError, NUMBER), (True, TypeError, NUMBER)],
)  # fmt: skip
COUNT = (
    [0, 1, np.int64(7)],
    [(-1, ValueError, NEGATIVE), (1.0, TypeError, INTEGER), ("5", TypeError, INTEGER), (True, TypeError, INTEGER)],
)
SHARE = (
    [1e-9, 0.5, 1, np.float32(0.25)],
    [(0, ValueError, FRACTION), (1.1, ValueError, FRACTION), (-0.1, ValueError, FRACTION),
     ("a", TypeError, NUMBER), (None, TypeError, NUMBER)],
)  # fmt: skip
FLAG = (
    [True, False, np.True_],
    [(1, TypeError, "must be True or False, came 1"), ("no", TypeError, "must be True or False")],
)
PREDICTOR = (
    [None, np.sin, len],
    [(3, TypeError, r"must be callable as p\(X\), came 3"), ("f", TypeError, "must be callable")],
)
ANYTHING = ([None, "column", {"a": ["b"]}, [1, 2]], [])
DISTANCES = "must be a vector of at least one finite, non-negative distance"
MATRICES = "must hold two matrices .* with the same number of columns"


def optional(case):
    return [None, *case[0]], [refusal for refusal in case[1] if refusal[0] is not None]


CASES = {
    (GPSettings, "sigma"): POSITIVE_FLOAT,
    (GPSettings, "ls"): optional(POSITIVE_FLOAT),
    (GPSettings, "ls_factor"): POSITIVE_FLOAT,
    (GPSettings, "n_landmarks"): optional(COUNT),
    (GPSettings, "landmarks"): (
        [None, [[1.0, 2.0]], np.ones((3, 2), np.float32)],
        [
            (np.ones(3), ValueError, r"must be a matrix .* came shape \(3,\)"),
            (np.ones((0, 2)), ValueError, "must be a matrix"),
            ([["a"]], TypeError, "must hold real numbers"),
        ],
    ),
    (GPSettings, "use_empirical_variance"): FLAG,
    (GPSettings, "batch_size"): optional(COUNT),
    (GPSettings, "eps"): POSITIVE_FLOAT,
    (GPSettings, "jit_compile"): FLAG,
    (GPSettings, "random_state"): optional(COUNT),
    (FDRSettings, "null_genes"): (
        ["auto", None, 0, 2000, np.int32(5), [3, 1], (0, 2), np.array([4, 5])],
        [
            ("all", ValueError, "must be 'auto', None, a number of genes or a list of columns, came 'all'"),
            ([1, 1], ValueError, "names a column more than once"),
            ([0, -2], ValueError, r"\[1\] must not be negative"),
            ([0.5], TypeError, r"\[0\] must be an integer"),
            (-1, ValueError, NEGATIVE),
            (1.5, TypeError, INTEGER),
            (True, TypeError, INTEGER),
        ],
    ),
    (FDRSettings, "null_seed"): optional(COUNT),
    (FDRSettings, "threshold"): SHARE,
    (FDRSettings, "null_mahalanobis"): (
        [None, [0.0, 1.0], np.arange(3)],
        [
            ([], ValueError, DISTANCES),
            ([-1.0], ValueError, DISTANCES),
            ([np.nan], ValueError, DISTANCES),
            ([np.inf], ValueError, DISTANCES),
            (np.ones((2, 2)), ValueError, DISTANCES),
            (["a"], TypeError, "must hold real numbers"),
        ],
    ),
    (FDRSettings, "null_expression"): (
        [None, PAIR, list(PAIR), (sparse.csr_array((3, 2)), np.ones((4, 2)))],
        [
            (np.ones((2, 3)), TypeError, "must be a pair"),
            (PAIR[:1], TypeError, "must be a pair"),
            ((PAIR[0], np.ones((4, 3))), ValueError, MATRICES),
            ((np.ones(3), np.ones(3)), ValueError, MATRICES),
            ((np.ones((3, 0)), np.ones((4, 0))), ValueError, MATRICES),
        ],
    ),
    (FDRSettings, "combine_with_internal"): FLAG,
    (DAThresholdSettings, "lfc_threshold"): (
        [0, 1.5, np.inf, np.float32(2)],
        [(-0.1, ValueError, NEGATIVE), (None, TypeError, NUMBER), (np.nan, ValueError, "came NaN")],
    ),
    (DAThresholdSettings, "ptp_threshold"): SHARE,
    (FilterSettings, "cell_filter"): ANYTHING,
    (FilterSettings, "groups"): ANYTHING,
    (FilterSettings, "min_cells"): COUNT,
    (FilterSettings, "min_percentage"): (
        [None, 1, 100.0],
        [(0, ValueError, r"must lie in \(0, 100\]"), (101, ValueError, "must lie in"), ("5", TypeError, NUMBER)],
    ),
    (FilterSettings, "check_representation"): optional(FLAG),
    (StorageSettings, "result_key"): (
        [None, "kompot_de"],
        [("a/b", ValueError, "must not contain '/'.* came 'a/b'"), (3, TypeError, "must be text, came 3")],
    ),
    (StorageSettings, "overwrite"): optional(FLAG),
    (StorageSettings, "store_landmarks"): FLAG,
    (StorageSettings, "store_posterior_covariance"): FLAG,
    (StorageSettings, "store_additional_stats"): FLAG,
    (StorageSettings, "store_arrays_on_disk"): optional(FLAG),
    (StorageSettings, "disk_storage_dir"): ([None, "folder"], [(3, TypeError, "must be a path, came 3")]),
    (StorageSettings, "max_memory_ratio"): SHARE,
    (StorageSettings, "store_layers"): FLAG,
    **{(OutputSettings, name): FLAG for name in DEFAULTS[OutputSettings]},
    **{(ModelSettings, name): PREDICTOR for name in DEFAULTS[ModelSettings]},
    (ModelSettings, "model1"): ANYTHING,
    (ModelSettings, "model2"): ANYTHING,
}
ACCEPTED = [
    pytest.param(cls, name, value, id=f"{name}-{i}")
    for (cls, name), (good, _) in CASES.items()
    for i, value in enumerate(good)
]
REFUSED = [
    pytest.param(cls, name, *refusal, id=f"{name}-{i}")
    for (cls, name), (_, bad) in CASES.items()
    for i, refusal in enumerate(bad)
]


@over_classes
def test_names_order_and_defaults(cls):
    settings = cls()
    assert [item.name for item in fields(cls)] == list(DEFAULTS[cls])
    for name, default in DEFAULTS[cls].items():
        assert getattr(settings, name) == default
        assert type(getattr(settings, name)) is type(default)
        assert settings.is_default(name)


def test_every_field_has_cases():
    assert set(CASES) == set(FIELDS)


def equal(first, second):
    if isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    if sparse.issparse(second):
        return first is second
    return np.array_equal(first, second)


@pytest.mark.parametrize(("cls", "name", "value"), ACCEPTED)
def test_values_accepted(cls, name, value):
    given, assigned = cls(**{name: value}), cls()
    setattr(assigned, name, value)
    for settings in (given, assigned):
        found = getattr(settings, name)
        assert equal(found, value)
        assert not isinstance(found, np.generic)


@pytest.mark.parametrize(("cls", "name", "value", "error", "message"), REFUSED)
def test_values_refused(cls, name, value, error, message):
    with pytest.raises(error, match=f"^{name}.*{message}"):
        cls(**{name: value})
    settings = cls()
    with pytest.raises(error, match=f"^{name}.*{message}"):
        setattr(settings, name, value)
    assert settings == cls()


@pytest.mark.parametrize(
    ("settings", "name", "value", "expected"),
    [
        pytest.param(StorageSettings(), "result_key", "", None, id="no-key"),
        pytest.param(StorageSettings(), "disk_storage_dir", Path("a") / "b", str(Path("a") / "b"), id="path"),
        pytest.param(FDRSettings(), "null_genes", [], None, id="no-null-columns"),
        pytest.param(FDRSettings(), "null_genes", (np.int64(4), 2), [4, 2], id="columns-as-list"),
        pytest.param(GPSettings(), "sigma", 2, 2.0, id="whole-number"),
    ],
)
def test_values_are_converted(settings, name, value, expected):
    setattr(settings, name, value)
    found = getattr(settings, name)
    assert found == expected
    assert type(found) is type(expected)


@over_classes
def test_unknown_settings(cls):
    name = next(iter(DEFAULTS[cls]))
    with pytest.raises(
        AttributeError, match=rf"^{cls.__name__} has no setting '{name}_'. Did you mean '\w+'\? Known: {name}, "
    ):
        setattr(cls(), f"{name}_", None)
    with pytest.raises(TypeError, match=rf"^{cls.__name__} has no setting '{name}_'. Did you mean '\w+'\?"):
        cls(**{f"{name}_": None})


def test_settings_of_another_class():
    message = r"^GPSettings has no setting 'null_genes'; it belongs to fdr=kompot.FDRSettings\(null_genes=...\)\.$"
    with pytest.raises(TypeError, match=message):
        GPSettings(null_genes=100)
    with pytest.raises(AttributeError, match=message):
        GPSettings().null_genes = 100
    with pytest.raises(TypeError, match=r"belongs to threshold=kompot.DAThresholdSettings\(lfc_threshold=...\)"):
        FDRSettings(log_fold_change_threshold=1.0)


@over_classes
def test_constructors_show_their_settings(cls):
    assert list(inspect.signature(cls).parameters) == list(DEFAULTS[cls])


def test_every_class_has_its_argument():
    assert set(ARGUMENTS.values()) == set(DEFAULTS)


def test_null_distances_and_null_expression_exclude_each_other():
    message = "Give null_mahalanobis or null_expression, not both."
    with pytest.raises(ValueError, match=message):
        FDRSettings(null_mahalanobis=[1.0], null_expression=PAIR)
    settings = FDRSettings(null_mahalanobis=[1.0])
    with pytest.raises(ValueError, match=message):
        settings.null_expression = PAIR
    # A refused assignment changes nothing, and one after the other is fine.
    assert settings == FDRSettings(null_mahalanobis=[1.0])
    settings.null_mahalanobis = None
    settings.null_expression = PAIR
    assert settings.null_expression is not None


ALIKE = {
    "landmarks": lambda: GPSettings(landmarks=np.arange(6.0).reshape(3, 2)),
    "null-distances": lambda: FDRSettings(null_mahalanobis=[1.0, 2.0]),
    "null-expression": lambda: FDRSettings(null_expression=(np.eye(2), np.ones((3, 2)))),
    "sparse-null-expression": lambda: FDRSettings(null_expression=(sparse.csr_array(np.eye(2)),) * 2),
    "series-of-groups": lambda: FilterSettings(groups=pd.Series(["a", "b"])),
    "mask-in-a-dictionary": lambda: FilterSettings(groups={"first": np.array([True, False])}),
    "list-of-masks": lambda: FilterSettings(groups=[np.array([True, False]), np.array([False, True])]),
    "dictionary": lambda: FilterSettings(cell_filter={"type": ["B", "T"]}),
    "numbers": lambda: GPSettings(sigma=0.5, random_state=3),
}


@pytest.mark.parametrize("make", ALIKE.values(), ids=ALIKE)
def test_equality_is_by_value(make):
    settings = make()
    assert settings == make()
    assert settings != type(settings)()
    for name in DEFAULTS[type(settings)]:
        assert settings.is_default(name) is (getattr(settings, name) is getattr(type(settings)(), name))


def test_what_is_not_equal():
    assert GPSettings(landmarks=np.ones((3, 2))) != GPSettings(landmarks=np.ones((2, 2)))
    assert GPSettings(landmarks=np.ones((3, 2))) != GPSettings(landmarks=np.zeros((3, 2)))
    assert FDRSettings(null_expression=PAIR) != FDRSettings(null_expression=PAIR[::-1])
    assert FDRSettings(null_genes=[1, 2]) != FDRSettings(null_genes=[2, 1])
    assert FDRSettings() != GPSettings()


@over_classes
def test_settings_have_no_hash(cls):
    with pytest.raises(TypeError, match="unhashable"):
        hash(cls())
