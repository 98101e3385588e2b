"""What the package exports, and that it is documented."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kompot

PACKAGES = ("kompot", "kompot.anndata", "kompot.datasets", "kompot.differential")
DOCS = Path(__file__).parents[1] / "docs" / "api.md"
README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", PACKAGES)
def test_all_lists_what_exists_and_is_documented(name):
    package = importlib.import_module(name)
    for item in package.__all__:
        value = getattr(package, item)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, item
    public = {key for key, value in vars(package).items() if not key.startswith("_") and not inspect.ismodule(value)}
    assert public - {"annotations"} <= set(package.__all__)


def test_every_export_is_in_the_reference():
    text = DOCS.read_text()
    for name in kompot.__all__:
        if name in ("__version__", "anndata", "datasets"):
            continue
        assert f"kompot.{name}" in text, name


SIGNATURES = {
    "de": (
        "adata groupby condition1 condition2 obsm_key layer genes sample_col gp fdr filter storage output model "
        "dry_run function_kwargs"
    ),
    "da": (
        "adata groupby condition1 condition2 obsm_key sample_col gp threshold storage output model dry_run "
        "density_kwargs"
    ),
    "smooth_expression": (
        "adata groupby condition obsm_key layer genes sample_col gp storage output model dry_run function_kwargs"
    ),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_those_promised(name):
    parameters = inspect.signature(getattr(kompot, name)).parameters
    assert " ".join(parameters) == SIGNATURES[name]
    *_, last = parameters.values()
    assert last.kind is inspect.Parameter.VAR_KEYWORD
    optional = {key: item.default for key, item in parameters.items() if item.default is not inspect.Parameter.empty}
    assert optional.pop("obsm_key") == "DM_EigenVectors"
    assert optional.pop("dry_run", False) is False
    assert set(optional.values()) == {None}


def run_python(code):
    return subprocess.run(  # noqa: S603  our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_is_cheap_and_changes_nothing():
    code = """
import logging, sys, warnings
import anndata
before = set(sys.modules), list(warnings.filters), list(logging.getLogger().handlers)
import kompot
heavy = [m for m in ("sklearn", "scipy.stats", "scipy.optimize", "matplotlib", "dask", "zarr")
         if m in sys.modules and m not in before[0]]
assert not heavy, heavy
assert before[1] == list(warnings.filters)
assert before[2] == list(logging.getLogger().handlers)
assert not logging.getLogger("kompot").handlers
print("fine")
"""
    assert run_python(code) == "fine\n"


def run_module(*arguments):
    return subprocess.run(  # noqa: S603  our own interpreter and module
        [sys.executable, "-W", "error", "-m", "kompot", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_the_module(flag):
    shown = run_module(flag)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("usage: python -m kompot")
    assert "simulate a data set" in shown.stdout
    assert "Simulating" not in shown.stdout


def test_version_of_the_module():
    assert run_module("--version").stdout == f"kompot {kompot.__version__}\n"


@pytest.mark.parametrize("arguments", [["--zzz"], ["de", "cells.h5ad"]])
def test_arguments_that_the_module_does_not_know(arguments):
    shown = run_module(*arguments)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "unrecognized arguments" in shown.stderr


def test_the_demonstration_runs():
    shown = run_module().stdout
    for part in ("distance", "mean LFC", "local FDR", "Time:", "global"):
        assert part in shown


def test_the_readme_says_which_calls_of_the_published_package_run():
    section = README.read_text().split("## Scripts written for kompot 0.8.0")[1].split("\n## ")[0]
    there, *_, missing = section.split("\n- ")[1:]
    assert there.startswith("Run unchanged")
    assert missing.startswith("Not there yet")
    exists = [name for name in re.findall(r"`kompot\.(\w+)`", there) if hasattr(kompot, name)]
    assert exists == re.findall(r"`kompot\.(\w+)`", there)
    assert set(SIGNATURES) < set(exists)
    assert [name for name in re.findall(r"`kompot\.(\w+)`", missing) if hasattr(kompot, name)] == []
    known = re.findall(r"`(RunInfo|RunComparison|get_run_history|layer_names)`", missing)
    assert sorted(known) == kompot.anndata.utils.__all__
