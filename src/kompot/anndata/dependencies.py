"""What the values of a field depend on, as a run's record holds it, so that two runs can be compared.

A field names its dependencies (`Field.depends`):

- "fit": the cells with their states and conditions, the expression, and the parameters of the Gaussian process;
- "variance": what standard deviations and distances depend on besides;
- "weights": the run of `kompot.da` that weights come from;
- "groups": the cells of each group;
- "null": the null distribution, which belongs to the genes of one run as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kompot._typing import Bools, Float64, Ints
from kompot.anndata.record_values import encodable, is_placeholder
from kompot.anndata.uns import landmark_digest, text_hashes
from kompot.gp.rows import Hashes, row_hashes

_FIT = ("groupby", "condition1", "condition2", "condition", "obsm_key", "layer", "extra_kwargs")
_FIT_GP = ("sigma", "ls", "ls_factor", "n_landmarks", "random_state")
_VARIANCE_GP = ("use_empirical_variance", "eps")


def input_record(
    X: Float64,
    condition: Ints,
    evaluated: Bools,
    samples: np.ndarray[Any, Any] | None,
    groups: Mapping[str, Bools],
    landmarks: Float64 | None,
) -> dict[str, Any]:
    """Short hashes of the cells that a run used, for its record; the order of the cells makes no difference.

    Parameters
    ----------
    X
        Cell states, n_cells x n_dims.
    condition
        Condition of each cell, n_cells; -1 for cells that were not fitted.
    evaluated
        Cells that results were evaluated at, n_cells.
    samples
        Biological sample of each cell, n_cells, if there are any.
    groups
        Cells of each group.
    landmarks
        Those that the user gave, m x n_dims.

    Returns
    -------
    dict[str, Any]
        `cells`, `samples`, `groups` and `landmarks`.
    """
    cells = row_hashes(np.column_stack([X, condition, evaluated]), np.arange(len(X)))
    labels = None
    if samples is not None:
        fitted = condition >= 0
        labels = _digest(cells[fitted] * (text_hashes(samples[fitted]) | np.uint64(1)))
    return {
        "cells": _digest(cells),
        "samples": labels,
        "groups": {name: _digest(cells[mask]) for name, mask in groups.items()},
        "landmarks": None if landmarks is None else landmark_digest(landmarks),
    }


def _digest(hashes: Hashes) -> str:
    # A sum does not depend on the order.
    return f"{len(hashes)}:{int(hashes.sum(dtype=np.uint64)):016x}"


def dependencies(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a run's values depend on.

    Parameters
    ----------
    run
        Its record: `params`, `inputs` and `abundance_weights` are looked at.

    Returns
    -------
    dict[str, dict[str, Any]]
        For each dependency the values by name, as JSON holds them.
    """
    params, inputs = _mapping(run.get("params")), _mapping(run.get("inputs"))
    gp, output = _mapping(params.get("gp")), _mapping(params.get("output"))
    fit = {name: params.get(name) for name in _FIT} | {f"gp.{name}": gp.get(name) for name in _FIT_GP}
    fit |= {"cells": inputs.get("cells", "<object not recorded>"), "gp.landmarks": inputs.get("landmarks")}
    if params.get("model"):
        fit["model"] = "<object of the user>"
    variance = {f"gp.{name}": gp.get(name) for name in _VARIANCE_GP} | {
        "sample_col": params.get("sample_col"),
        "samples": inputs.get("samples"),
        "output.allow_single_condition_variance": output.get("allow_single_condition_variance"),
    }
    found = {
        "fit": fit,
        "variance": variance,
        "weights": {"abundance_weights": run.get("abundance_weights")},
        "groups": _mapping(inputs.get("groups")),
    }
    return {kind: encodable(values) for kind, values in found.items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def differences(first: Mapping[str, dict[str, Any]], second: Mapping[str, dict[str, Any]], kind: str) -> list[str]:
    """Names of what differs between the dependencies of two runs.

    Parameters
    ----------
    first, second
        From `dependencies`.
    kind
        One of the dependencies; of the null distribution no two runs have the same.

    Returns
    -------
    list[str]
        Empty where the runs agree. What is recorded as a note only (a kernel, a fitted model) counts as different.
    """
    if kind == "null":
        return ["null distribution"]
    theirs = second[kind]
    return [name for name, value in first[kind].items() if value != theirs.get(name) or _is_note(value)]


def _is_note(value: Any) -> bool:
    return is_placeholder(value) or (isinstance(value, Mapping) and any(map(_is_note, value.values())))
