"""Values that nobody means, and every parameter of the public interface to give them to.

Parameters are read from signatures and from the fields of dataclasses, so that a new one is tried without being named
here. `python tests/junk_helpers.py` tries all of them and prints how many calls there were and how they ended.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

import kompot
from adata_helpers import assert_unchanged, small_adata, snapshot
from kompot.errors import KompotWarning
from kompot.gp.parameters import DensityParameters, RegressionParameters
from kompot.settings import ARGUMENTS

PACKAGE = str(Path(kompot.__file__).parent)


class Unprintable:
    """Its text is an error."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


class Junk:
    """A class of the user, which takes no arguments."""


JUNK: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "1": lambda: 1,
    "-1": lambda: -1,
    "2.5": lambda: 2.5,
    "1e-308": lambda: 1e-308,
    "1e308": lambda: 1e308,
    "10**400": lambda: 10**400,
    "-10**5000": lambda: -(10**5000),
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "empty text": lambda: "",
    "text": lambda: "junk",
    "text True": lambda: "True",
    "text with NUL": lambda: "nope\x00",
    "lone surrogate": lambda: "\ud800",
    "dots": lambda: "..",
    "long text": lambda: "x" * 100_000,
    "bytes": lambda: b"x",
    "[]": list,
    "[[]]": lambda: [[]],
    "nested names": lambda: [["g0"]],
    "ragged": lambda: [[1.0], [2.0, 3.0]],
    "[None]": lambda: [None],
    "()": tuple,
    "tuple of names": lambda: ("A", "B"),
    "{}": dict,
    "dict": lambda: {"a": 1},
    "dict of lists": lambda: {"condition": [["A"], {}]},
    "set()": set,
    "set of names": lambda: {"g0"},
    "array of one value": lambda: np.array(3),
    "empty array": lambda: np.array([]),
    "matrix": lambda: np.zeros((2, 2)),
    "cube": lambda: np.zeros((2, 2, 2)),
    "array of objects": lambda: np.array(["a", None], dtype=object),
    "array of dates": lambda: np.array(["2020-01-01"], dtype="datetime64[D]"),
    "records": lambda: np.zeros(3, dtype=[("a", float)]),
    "sparse matrix": lambda: sparse.csr_matrix((2, 2)),
    "DataFrame": lambda: pd.DataFrame({"a": [1, 2]}),
    "Series": lambda: pd.Series([1.0, 2.0]),
    "Categorical": lambda: pd.Categorical(["A", "B"]),
    "Index": lambda: pd.Index(["g0", "g1"]),
    "NA": lambda: pd.NA,
    "NaT": lambda: pd.NaT,
    "[NA]": lambda: [pd.NA],
    "object": object,
    "unprintable": Unprintable,
    "lambda": lambda: lambda: None,
    "lambda of one": lambda: lambda _: None,
    "class": lambda: Junk,
    "type": lambda: int,
    "module": lambda: os,
    "range": lambda: range(3),
    "generator": lambda: (i for i in (1, 2)),
    "complex": lambda: 1 + 2j,
    "Decimal": lambda: Decimal("0.5"),
    "Fraction": lambda: Fraction(1, 3),
    "date": lambda: date(2020, 1, 1),
    "exception": lambda: ValueError("junk"),
    "ellipsis": lambda: ...,
}
"""Makers of junk by name; made anew for each call, because some can be read once."""


@dataclass
class World:
    """Objects that calls start from, made when they are first needed."""

    known: dict[str, Any] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """The object, made again where a call that succeeded may have changed it."""
        if name not in self.known or name in self.changed:
            self.known[name] = make()
            self.changed.discard(name)
        return self.known[name]

    @property
    def adata(self) -> Any:
        """24 cells and 6 genes."""
        return self.get("adata", cells)

    @property
    def recorded(self) -> Any:
        """The same with a run of each kind."""
        return self.get("recorded", analysed)

    def arrays(self) -> dict[str, Any]:
        """Cell states and expression of two conditions."""
        rng = np.random.default_rng(0)
        X, Y = rng.normal(size=(2, 12, 2)), rng.normal(size=(2, 12, 3))
        return {"X1": X[0], "X2": X[1], "Y1": Y[0], "Y2": Y[1], "samples": np.repeat(["a", "b"], 6)}

    def fitted(self, kind: type[Any]) -> Any:
        """A fitted estimator."""
        return self.get(kind.__name__, partial(fit, kind, self.arrays()))


OF_ANNDATA = ("The 'future.infer_string' option", "The 'mode.chained_assignment' option")
"""What anndata 0.13 itself makes pandas 3 warn of; see `filterwarnings` in pyproject."""


def cells() -> Any:
    """A small object with conditions, donors and cell types."""
    adata = small_adata(n_cells=24, n_genes=6, n_dims=2)
    adata.obs["condition"] = pd.Categorical(np.tile(["A", "B"], 12))
    adata.obs["donor"] = np.tile(["a1", "b1", "a2", "b2"], 6)
    adata.obs["cell_type"] = pd.Categorical(np.repeat(["T", "B"], 12))
    return adata


def analysed() -> Any:
    """The same with a run of each kind."""
    adata = cells()
    common = {"output": kompot.OutputSettings(progress=False)}
    kompot.de(adata, "condition", "A", "B", fdr=kompot.FDRSettings(null_genes=5), **common)
    kompot.da(adata, "condition", "A", "B", **common)
    kompot.smooth_expression(adata, "condition", "A", **common)
    return adata


def fit(kind: type[Any], arrays: Mapping[str, Any], **parameters: Any) -> Any:
    """Fit an estimator of any kind."""
    a = arrays
    given = {
        "DensityEstimator": (a["X1"],),
        "FunctionEstimator": (a["X1"], a["Y1"]),
        "ExpressionModel": (a["X1"], a["Y1"], a["samples"]),
        "SampleVarianceEstimator": (a["X1"], a["Y1"], a["samples"]),
        "DifferentialExpression": (a["X1"], a["Y1"], a["X2"], a["Y2"]),
        "DifferentialAbundance": (a["X1"], a["X2"]),
    }[kind.__name__]
    return kind(**parameters).fit(*given)


@dataclass(frozen=True)
class Target:
    """A parameter and how to call what it belongs to."""

    owner: str
    """Name of the function, method or class."""
    parameter: str
    """Name of the parameter."""
    call: Callable[[World, Any], object]
    """Calls the owner with a value for the parameter."""
    words: tuple[str, ...] = ()
    """What an error may call the parameter by, besides its name."""
    uses: str = ""
    """Which object of the world the call may change: "adata" or "recorded"."""

    def __str__(self) -> str:
        return f"{self.owner}:{self.parameter}"


WORDS: dict[str, tuple[str, ...]] = {
    "obsm_key": ("adata.obsm",),
    "layer": ("adata.layers",),
    "keep_layers": ("layers",),
    "run_ids": ("run_id",),
    "run_id1": ("run_id",),
    "run_id2": ("run_id",),
    "other_run_id": ("run_id",),
    "samples1": ("samples",),
    "samples2": ("samples",),
    "d": ("intrinsic dimension",),
    "X": ("cells", "Y must have one row per cell"),
    "X1": ("cells", "X2", "Y1 must have one row per cell"),
    "X2": ("cells", "Y2 must have one row per cell"),
}
"""What else errors call some parameters by."""

ESTIMATORS = (
    kompot.FunctionEstimator,
    kompot.DensityEstimator,
    kompot.ExpressionModel,
    kompot.DifferentialExpression,
    kompot.DifferentialAbundance,
    kompot.SampleVarianceEstimator,
)
LIKE_OTHERS = ("ExpressionModel", "DifferentialExpression", "DifferentialAbundance", "SampleVarianceEstimator")
"""Estimators that take the keywords of another one."""
_DENSITIES = (kompot.DensityEstimator, kompot.DifferentialAbundance)

INTERNAL = {
    "DensityPredictor": "made by DensityEstimator",
    "Predictor": "made by FunctionEstimator",
    "SampleVariancePredictor": "made by SampleVarianceEstimator",
    "RepresentationReport": "made by check_underrepresentation",
    "ResourcePlan": "made by dry runs",
    "RunInfo.of_records": "inner functions trust their input",
    "RunInfo.read": "inner functions trust their input",
    "DifferentialAbundance.fit_cells": "inner functions trust their input",
    "DifferentialAbundance.from_parameters": "inner functions trust their input",
    "DifferentialExpression.distances": "inner functions trust their input",
    "DifferentialExpression.fit_cells": "inner functions trust their input",
    "DifferentialExpression.fit_external": "inner functions trust their input",
    "DifferentialExpression.fit_more": "inner functions trust their input",
    "DifferentialExpression.fit_null": "inner functions trust their input",
    "DifferentialExpression.from_parameters": "inner functions trust their input",
    "DifferentialExpression.of_models": "inner functions trust their input",
    "DifferentialExpression.points_of": "inner functions trust their input",
    "ExpressionModel.fit_cells": "inner functions trust their input",
    "ExpressionModel.from_parameters": "inner functions trust their input",
    "ExpressionModel.of_condition": "inner functions trust their input",
    "SimulationSettings.de_counts": "inner functions trust their input",
    "SimulationSettings.mean_depth": "inner functions trust their input",
}
"""What is not called by users with values of their own, and why."""


def public_callables() -> Iterator[tuple[str, Any]]:
    """Functions, classes and their methods with parameters, by name."""
    for module in (kompot, kompot.datasets):
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isfunction(item):
                yield name, item
            elif inspect.isclass(item):
                yield name, item
                yield from ((f"{name}.{member}", method) for member, method in _methods(item))


def _methods(item: type[Any]) -> Iterator[tuple[str, Any]]:
    for member, value in vars(item).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        shown = member == "__call__" or not member.startswith("_")
        if shown and inspect.isfunction(function) and len(inspect.signature(function).parameters) > 1:
            yield member, function


def parameters_of(function: Any) -> list[str]:
    """Names of the parameters that are named."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = inspect.signature(function).parameters
    return [name for name, item in named.items() if item.kind not in kinds and name not in ("self", "cls")]


def quiet(**given: Any) -> dict[str, Any]:
    """Settings that keep calls fast and silent."""
    return {"output": kompot.OutputSettings(progress=False), **given}


def _compared() -> dict[str, Any]:
    return {"groupby": "condition", "condition1": "A", "condition2": "B"}


def _five() -> Any:
    return kompot.FDRSettings(null_genes=5)


# Valid arguments of each callable, besides the one that is tried; a callable without an entry fails the test.
BASE: dict[str, Callable[[World], dict[str, Any]]] = {
    "de": lambda w: {"adata": w.adata, **_compared(), **quiet(fdr=_five())},
    "da": lambda w: {"adata": w.adata, **_compared(), **quiet()},
    "smooth_expression": lambda w: {"adata": w.adata, "groupby": "condition", "condition": "A", **quiet()},
    "cleanup": lambda w: {"adata": w.recorded},
    "get_field_status": lambda w: {"adata": w.recorded},
    "runs": lambda w: {"adata": w.recorded},
    "RunInfo": lambda w: {"adata": w.recorded},
    "RunInfo.compare_with": lambda _: {"other_run_id": 0},
    "RunComparison": lambda w: {"adata": w.recorded, "run_id1": 0, "run_id2": -1},
    "check_underrepresentation": lambda w: {"adata": w.adata, "groupby": "condition", "groups": "cell_type"},
    "compute_fdr": lambda _: {"real": [1.0, 2.0], "null": [0.5, 1.5, 1.0]},
    "recompute_fdr": lambda w: {"adata": w.recorded, "null_mahalanobis": [0.5, 1.5, 1.0]},
    "extract_null_distribution": lambda w: {"adata": w.recorded},
    "update_direction": lambda w: {"adata": w.recorded},
    "simulate": lambda _: {"n_cells": 48, "n_genes": 10, "n_components": 3},
    "SimulationSettings": lambda _: {},
    **{name.__name__: lambda _: {} for name in (*ARGUMENTS.values(), *ESTIMATORS)},
    "RepresentationReport.masks_in": lambda w: {"adata": w.adata},
    "ResourcePlan.add_requirement": lambda _: {"name": "a", "size_bytes": 1, "resource_type": "memory"},
    "ResourcePlan.check_availability": lambda _: {},
    "ResourcePlan.format_report": lambda _: {},
    "ExpressionModel.from_predictor": lambda w: {"predictor": w.fitted(kompot.FunctionEstimator).predictor},
    "ExpressionModel.fit": lambda w: _pick(w, X="X1", Y="Y1"),
    "FunctionEstimator.fit": lambda w: _pick(w, X="X1", Y="Y1"),
    "FunctionEstimator.fit_predict": lambda w: _pick(w, X="X1", Y="Y1"),
    "DensityEstimator.fit": lambda w: _pick(w, X="X1"),
    "DensityEstimator.fit_predict": lambda w: _pick(w, X="X1"),
    "SampleVarianceEstimator.fit": lambda w: _pick(w, X="X1", Y="Y1", samples="samples"),
    "DifferentialExpression.fit": lambda w: _pick(w, X1="X1", Y1="Y1", X2="X2", Y2="Y2"),
    "DifferentialAbundance.fit": lambda w: _pick(w, X1="X1", X2="X2"),
    "Predictor.save": lambda _: {},
    "Predictor.load": lambda _: {},
    "DensityPredictor.save": lambda _: {},
    "DensityPredictor.load": lambda _: {},
    **{
        name: lambda w: _pick(w, X="X1")
        for name in (
            *(f"{kind}.covariance" for kind in ("FunctionEstimator", "DensityEstimator")),
            *(f"{kind}.uncertainty" for kind in ("FunctionEstimator", "DensityEstimator")),
            *(f"{kind}.{name}" for kind in ("Predictor", "DensityPredictor") for name in ("covariance", "uncertainty")),
            *(f"{kind}.__call__" for kind in ("Predictor", "DensityPredictor", "SampleVariancePredictor")),
            *(f"ExpressionModel.{name}" for name in ("predict", "variance", "empirical_variance", "sample_variance")),
            "ExpressionModel.std",
            "SampleVarianceEstimator.predict",
            "SampleVarianceEstimator.__call__",
            "DifferentialExpression.predict",
            "DifferentialExpression.mean_log_fold_change",
            "DifferentialAbundance.predict",
        )
    },
}


def _pick(world: World, **names: str) -> dict[str, Any]:
    arrays = world.arrays()
    return {name: arrays[key] for name, key in names.items()}


OWNERS: dict[str, Callable[[World], Any]] = {
    "Predictor": lambda w: w.fitted(kompot.FunctionEstimator).predictor,
    "DensityPredictor": lambda w: w.fitted(kompot.DensityEstimator).predictor,
    "SampleVariancePredictor": lambda w: w.fitted(kompot.SampleVarianceEstimator).predictor,
    "RepresentationReport": lambda w: kompot.check_underrepresentation(
        w.adata, "condition", "cell_type", min_cells=1, warn=False
    ),
    "ResourcePlan": lambda _: kompot.ResourcePlan(),
    "RunInfo": lambda w: kompot.RunInfo(w.recorded),
}
"""The object whose method is called, where it is no estimator."""


def _bound(world: World, name: str) -> Any:
    """The function, class or bound method of a name."""
    kind, _, member = name.partition(".")
    item = getattr(kompot, kind, None) or getattr(kompot.datasets, kind)
    if not member:
        return item
    if inspect.ismethod(getattr(item, member)):  # of the class
        return getattr(item, member)
    if kind in OWNERS:
        return getattr(OWNERS[kind](world), member)
    return getattr(item() if member.startswith("fit") else world.fitted(item), member)


def _uses(name: str) -> str:
    if name in ("de", "da", "smooth_expression", "check_underrepresentation"):
        return "adata"
    return "recorded" if name.startswith(("Run", "run", "clean", "get_", "re", "extract", "update")) else ""


def signature_targets() -> Iterator[Target]:
    """Every parameter of every public callable that is in a signature."""
    for name, function in public_callables():
        if name in INTERNAL:
            continue
        base = BASE[name]

        def call(world: World, value: Any, *, name: str = name, base: Any = base, parameter: str) -> object:
            return _bound(world, name)(**{**base(world), parameter: value})

        for parameter in parameters_of(function):
            yield Target(name, parameter, partial(call, parameter=parameter), WORDS.get(parameter, ()), _uses(name))


_FUNCTIONS = {"de": kompot.de, "da": kompot.da, "smooth_expression": kompot.smooth_expression}


def settings_targets(*, calls: bool = True) -> Iterator[Target]:
    """Every field of every settings class at assignment, and in a call of every function that takes it."""
    for argument, kind in ARGUMENTS.items():
        for item in fields(kind):
            yield Target(f"{kind.__name__} assigned", item.name, partial(_assign, kind, item.name))
            for name, function in _FUNCTIONS.items():
                if calls and argument in inspect.signature(function).parameters:
                    call = partial(_call_with_setting, name, argument, item.name)
                    yield Target(f"{name}({argument})", item.name, call, _meant(item.name), "adata")


def _meant(name: str) -> tuple[str, ...]:
    """What errors call predictors and null genes by."""
    if name.startswith("null_mahalanobis"):
        return ("null distances",)
    if name.endswith(("predictor1", "predictor2")):
        return ("predictor",)
    if name == "cell_filter":
        return ("filter",)
    return ("sample_col",) if name == "allow_single_condition_variance" else ()


def _assign(kind: type[Any], name: str, world: World, value: Any) -> None:
    settings = kind()
    before = getattr(settings, name)
    try:
        setattr(settings, name, value)
    except Exception:
        assert getattr(settings, name) is before
        raise


def _call_with_setting(function: str, argument: str, name: str, world: World, value: Any) -> object:
    given = BASE[function](world)
    common = {"output": {"progress": False}, "fdr": {"null_genes": 5}, "filter": {"groups": "cell_type"}}
    if name.startswith("null_") and name != "null_genes":
        common["fdr"] = {}
    if argument == "model" and function == "de":
        given["fdr"] = kompot.FDRSettings(null_genes=0)
    given[argument] = ARGUMENTS[argument](**{**common.get(argument, {}), name: value})
    return _FUNCTIONS[function](**given)


def keyword_targets(*, calls: bool = True) -> Iterator[Target]:
    """Every keyword of the estimators, alone and in the functions that pass it on."""
    for kind in ESTIMATORS:
        for name in keywords_of(DensityParameters if kind in _DENSITIES else RegressionParameters):
            yield Target(kind.__name__, name, partial(_fit_with, kind, name), _kernel_words(name))
    by_function = {"de": RegressionParameters, "da": DensityParameters, "smooth_expression": RegressionParameters}
    for function, parameters in by_function.items() if calls else ():
        own = ("sync_parameters", "calibrate_offset") if function == "da" else ()
        for name in (*keywords_of(parameters), *own):
            call = partial(_call_with_keyword, function, name)
            yield Target(f"{function}(**)", name, call, _kernel_words(name), "adata")


def _kernel_words(name: str) -> tuple[str, ...]:
    return ("The kernel", *WORDS.get(name, ())) if name.startswith("cov_func") else WORDS.get(name, ())


def keywords_of(parameters: type[Any]) -> list[str]:
    """Names of the keyword arguments of an estimator, those without effect too."""
    named = [item.name for item in fields(parameters) if not item.metadata.get("internal")]
    return [*named, *parameters.without_effect]


def _fit_with(kind: type[Any], name: str, world: World, value: Any) -> object:
    return fit(kind, world.arrays(), **{name: value})


def _call_with_keyword(function: str, name: str, world: World, value: Any) -> object:
    return _FUNCTIONS[function](**BASE[function](world), **{name: value})


def targets() -> list[Target]:
    """Everything that is tried."""
    return [*signature_targets(), *settings_targets(), *keyword_targets()]


ALLOWED = (ValueError, TypeError, MemoryError, ImportError)
_FILES = ("path", "disk_storage_dir")
_NEEDED = re.compile(
    r"\bmust\b|\bneed|not found|does not exist|is not (a column|in adata)|has no\b|are not in adata|does not occur|"
    r"occurs in no column|names no values|there is no type|is empty|leaves? |has duplicates|was not written by|"
    r"no run of|cannot be|would leave"
)
_LONGEST_MESSAGE = 900


def files() -> list[Path]:
    """What lies where calls could leave something."""
    return [*Path().iterdir(), *Path(tempfile.gettempdir()).iterdir()]


def attempt(target: Target, junk: str, world: World) -> tuple[str, str]:
    """How a call with junk ends.

    Parameters
    ----------
    target
        Which parameter.
    junk
        Key of `JUNK`.
    world
        Objects to call with; those that a successful call changed are made anew.

    Returns
    -------
    tuple[str, str]
        "succeeded", "refused", or what is wrong; and the error's text.
    """
    value = JUNK[junk]()
    adata = getattr(world, target.uses) if target.uses else None
    before = None if adata is None else (snapshot(adata), files())
    outcome, text = "succeeded", ""
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(StringIO()):
        warnings.simplefilter("always")
        try:
            target.call(world, value)
        except Exception as error:  # noqa: BLE001  whatever comes out is what is looked at
            outcome, text = verdict(error, target), f"{type(error).__name__}: {error}"
    texts = [str(item.message) for item in caught if not issubclass(item.category, KompotWarning)]
    foreign = [text for text in texts if not text.startswith(OF_ANNDATA)]
    if foreign:
        return "foreign warning", foreign[0]
    if outcome == "succeeded":
        world.changed.add(target.uses)
    elif before is not None:
        assert_unchanged(adata, before[0])
        assert files() == before[1]
    return outcome, text


def verdict(error: Exception, target: Target) -> str:
    """Whether an error is one of the library's own that says what was needed of this parameter."""
    allowed = (*ALLOWED, OSError) if target.parameter in _FILES else ALLOWED
    last = traceback.extract_tb(error.__traceback__)[-1]
    if not isinstance(error, allowed) or not last.filename.startswith(PACKAGE):
        return f"raw traceback ({Path(last.filename).name}:{last.lineno})"
    text = str(error)
    named = any(re.search(rf"\b{re.escape(word)}", text) for word in (target.parameter, *target.words))
    if not named:
        return "does not name the parameter"
    if not _NEEDED.search(text) or (isinstance(error, TypeError) and "came " not in text):
        return "does not say what was needed and what came"
    return "refused" if len(text) <= _LONGEST_MESSAGE else "too long"


def main() -> None:
    """Try everything and print what came of it."""
    world, counts, chosen = World(), Counter(), sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "temporary").mkdir()
        (Path(folder) / "here").mkdir()
        tempfile.tempdir = str(Path(folder) / "temporary")
        os.chdir(Path(folder) / "here")
        for target in targets():
            if chosen and not any(word in str(target) for word in chosen):
                continue
            for junk in JUNK:
                try:
                    outcome, text = attempt(target, junk, world)
                except AssertionError as error:
                    outcome, text = "changed", str(error)[:200]
                    world.changed |= {"adata", "recorded"}
                counts[outcome.split(" (")[0]] += 1
                if outcome not in ("succeeded", "refused"):
                    print(f"{target} [{junk}] {outcome}: {text[:200]!r}", flush=True)  # noqa: T201
    print(f"{sum(counts.values())} tried: {dict(counts)}")  # noqa: T201


if __name__ == "__main__":
    main()
