from __future__ import annotations

from typing import Any

import pytest

from kompot.datasets import SimulationSettings, simulate, stream

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "few cells": ({"n_cells": 23}, r"every donor needs at least 4 cells; n_cells=23, .* leave 3"),
    "many donors": ({"n_cells": 100, "n_donors": 20}, "Raise n_cells or lower n_donors"),
    "no donor": ({"n_donors": 0}, "n_donors must be 1 or more; came 0"),
    "few genes": ({"n_genes": 9}, "n_genes must be at least 10; came 9"),
    "equal conditions": ({"conditions": ("a", "a")}, "conditions must be two different names"),
    "one string": ({"conditions": "ab"}, "conditions must be two different names"),
    "three conditions": ({"conditions": ("a", "b", "c")}, "conditions must be two different names"),
    "components": ({"n_cells": 40, "n_components": 30}, "n_components must be from 3 to 20 .* came 30"),
    "one component": ({"n_components": 1}, "n_components must be from 3 to 50"),
    "negative seed": ({"seed": -1}, "seed must be 0 or more; came -1"),
    "chunk size": ({"chunk_size": 0}, "chunk_size must be 1 or more; came 0"),
    "suffix": ({"path": "data.csv"}, "path must end in .h5ad or .zarr; came 'data.csv'"),
    "too many DE genes": (
        {"n_genes": 20, "settings": SimulationSettings(n_de_global=15, n_de_branch=6)},
        r"must not exceed n_genes; came 15 \+ 6 > 20",
    ),
}


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise AssertionError("computed before all arguments were checked")

    monkeypatch.setattr(stream, "draw_counts", fail)


@pytest.mark.parametrize(("arguments", "message"), CASES.values(), ids=CASES.keys())
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(**arguments)


@pytest.mark.parametrize("name", ["n_cells", "n_genes", "n_donors", "n_components", "seed", "chunk_size"])
def test_numbers_must_be_integers(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name} must be an integer, came 2.5 \(float\)"):
        simulate(**{name: 2.5})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("effect_size", -1.0, "0 or more"),
        ("donor_sd", float("nan"), "a number"),
        ("dispersion", float("inf"), "0 or more"),
        ("abundance_log_odds", float("nan"), "a number"),
        ("fraction_condition2", 1.0, "between 0 and 1"),
        ("depth", 0.0, "None or above 0"),
        ("n_de_global", -2, "None or a number of genes"),
    ],
)
def test_bad_settings(name: str, value: float, needed: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be {needed}"):
        SimulationSettings(**{name: value})  # type: ignore[arg-type]
