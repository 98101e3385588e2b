"""What every plan has in common: the features expected, the fields to be written, conflicts, and advice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot._typing import Bools, Float64
from kompot.anndata.all_records import Records
from kompot.anndata.fields import NamedField, by_place
from kompot.anndata.planning.machine import availability, memory_in_use
from kompot.anndata.planning.report import human_readable_size
from kompot.anndata.planning.resource_plan import ResourcePlan, Stage
from kompot.anndata.planning.workload import Landscape
from kompot.gp.expected import expected_features, expected_kernel
from kompot.gp.features import Features
from kompot.gp.parameters import GPParameters
from kompot.settings import StorageSettings

_SINGLE, _DOUBLE = 4, 8
_LAYERS_TO_DISK = "keep the layers on disk: StorageSettings(store_arrays_on_disk=True, disk_storage_dir=...)"
NO_LAYERS = "leave the layers out: StorageSettings(store_layers=False); results per gene are complete all the same"
"""Advice."""
# Shares: of what is available from which advice is given; of what is needed from which a saving is worth naming.
_TIGHT, _WORTH = 0.8, 0.1
_OF_STAGE = {
    ("null genes", "false discovery"): "ask for fewer null genes, for example FDRSettings(null_genes=500)",
    ("choice of features", "deviations", "densities", "groups", "fold changes"): "have fewer features: a larger "
    "GPSettings(ls_factor=...), or a smaller n_landmarks (then the run says what is lost)",
    ("fit of the genes", "noise variances", "distances", "results"): "analyse fewer genes at a time: genes=[...]",
    ("copy of the object",): "write into the object: OutputSettings(copy=False)",
    ("predictors given",): "bring predictors with fewer landmarks",
}


def expected_landscape(
    plan: ResourcePlan,
    parameters: GPParameters,
    X: Float64,
    groups: Sequence[Bools],
    evaluated: Bools,
    known: Features | None = None,
) -> Landscape:
    """Features that will be chosen, measured on a sample; noted in the plan.

    Parameters
    ----------
    plan
        Gets the numbers, and a warning if the landmarks allowed will not do.
    parameters
        Of the regression or density.
    X
        Cell states, n_cells x n_dims.
    groups
        Cells of each condition, n_cells each.
    evaluated
        Cells that results are evaluated at, n_cells.
    known
        Features of a model that was given.

    Returns
    -------
    Landscape
        For the stages.
    """
    used = np.logical_or.reduce(list(groups))
    if known is not None:
        kernel, n_landmarks, rank, n_attempts = known.kernel, len(known.landmarks), known.rank, 1
    else:
        kernel = expected_kernel(parameters, [X[mask] for mask in groups])
        expected = expected_features(parameters, kernel, X[used])
        n_landmarks, rank, n_attempts = expected.n_landmarks, expected.rank, expected.n_attempts
        if expected.capped:
            plan.warnings.append(
                f"The {n_landmarks:,} landmarks allowed will not reach the tolerance. Raise "
                f"GPSettings(n_landmarks=...), or ls_factor for a smoother function."
            )
    plan.n_landmarks, plan.n_features = n_landmarks, rank
    plan.length_scale = getattr(kernel, "length_scale", None)
    return Landscape(len(X), int(used.sum()), int(evaluated.sum()), X.shape[1], n_landmarks, rank, n_attempts)


def sample_sizes(samples: np.ndarray[Any, Any] | None, used: Bools) -> list[int]:
    """Number of cells of each biological sample with enough cells to be fitted."""
    if samples is None:
        return []
    counts = pd.Series(samples[used]).value_counts()
    return [int(count) for count in counts if count >= 2]


def field_bytes(item: NamedField, n_cells: int, n_vars: int, n_groups: int) -> tuple[int, tuple[int, ...]]:
    """Size and shape of a field."""
    place, kind = item.field.place, item.field.kind
    if place == "layers":
        return _SINGLE * n_cells * n_vars, (n_cells, n_vars)
    if place == "obsp":
        return _DOUBLE * n_cells**2, (n_cells, n_cells)
    value = 1 if kind in ("is_de", "direction") else _DOUBLE
    if place == "varm":
        return value * n_vars * n_groups, (n_vars, n_groups)
    if place == "uns":
        return 200, ()
    length = n_cells if place == "obs" else n_vars
    return value * length, (length,)


def add_landmarks(plan: ResourcePlan, n_dims: int, result_key: str, storage: StorageSettings) -> None:
    """List the landmarks, if they will be kept."""
    if storage.store_landmarks and plan.n_landmarks:
        shape = (plan.n_landmarks, n_dims)
        plan.add_requirement(f"{result_key} (landmarks)", _DOUBLE * shape[0] * shape[1], "memory", shape, "adata.uns")


def add_fields(
    plan: ResourcePlan,
    adata: AnnData,
    fields: Iterable[NamedField],
    *,
    n_groups: int = 0,
    layers_on_disk: bool = False,
) -> None:
    """List the fields that will be written with their sizes, and those that they replace."""
    items = list(fields)
    owners = Records.of(adata).owners
    plan.output_fields = {f"adata.{place}": names for place, names in by_place(items).items()}
    for item in items:
        place = item.field.place
        size, shape = field_bytes(item, adata.n_obs, adata.n_vars, n_groups)
        exists = item.name in getattr(adata, place)
        if exists:
            owner = owners.get((place, item.name))
            plan.overwritten[f"adata.{place}:{item.name}"] = "what is there" if owner is None else f"that of {owner}"
        plan.add_requirement(
            item.name,
            size,
            "disk" if place == "layers" and layers_on_disk else "memory",
            shape or None,
            f"adata.{place}",
            exists,
        )


def finish(plan: ResourcePlan, stages: Sequence[Stage], storage: StorageSettings, *, in_memory: bool) -> ResourcePlan:
    """Put stages, totals, conflicts and advice together; `in_memory` tells whether expression is."""
    plan.stages = list(stages)
    peak = max(stages, key=lambda stage: stage.peak_bytes)
    working = peak.peak_bytes - plan.total_memory_required
    plan.add_requirement(f"working memory at the highest point ({peak.name})", max(working, 0), "memory")
    plan.memory_in_use = memory_in_use()
    plan.availability = availability(storage.disk_storage_dir)
    _note_conflicts(plan, storage)
    plan.check_availability()
    plan.advice += _advice(plan, peak, in_memory=in_memory)
    return plan


def _note_conflicts(plan: ResourcePlan, storage: StorageSettings) -> None:
    count = len(plan.overwritten)
    if not count:
        return
    owners = dict.fromkeys(owner.removeprefix("that of ") for owner in plan.overwritten.values())
    text = f"{count} {'field exists' if count == 1 else 'fields exist'} already ({', '.join(owners)})"
    if storage.overwrite is False:
        plan.errors.append(f"{text}, and StorageSettings(overwrite=False) forbids to replace them.")
        plan.advice.append("name another StorageSettings(result_key=...), or allow overwrite=True")
    else:
        plan.warnings.append(f"{text} and will be replaced.")


def _advice(plan: ResourcePlan, peak: Stage, *, in_memory: bool) -> list[str]:
    """What to change where memory or disk is short: what takes most, and only where it helps."""
    short = [kind for kind, ratio in (("memory", plan.memory_ratio), ("disk", plan.disk_ratio)) if ratio > _TIGHT]
    advice = _disk_advice(plan) if "disk" in short else []
    if "memory" not in short:
        return advice
    worth = _WORTH * plan.total_memory_required
    layers, obsp = (
        sum(item.size_bytes for item in plan.requirements if item.resource_type == "memory" and item.field_name == name)
        for name in ("adata.layers", "adata.obsp")
    )
    if layers > worth:
        saves = human_readable_size(layers)
        advice += [f"{_LAYERS_TO_DISK}; saves {saves} of memory"] if plan.analysis_type == "de" else []
        advice.append(f"{NO_LAYERS}; saves {saves}")
    if obsp > worth:
        advice.append(f"store_posterior_covariance=False saves {human_readable_size(2 * obsp)}; or select fewer cells")
    advice += [text for words, text in _OF_STAGE.items() if any(word in peak.name for word in words)]
    if in_memory and plan.analysis_type != "da" and plan.memory_in_use > worth:
        advice.append("read the data from disk as they are needed: anndata.read_h5ad(..., backed='r')")
    return advice or ["analyse fewer genes (genes=[...]) or cells, or use a machine with more memory"]


def _disk_advice(plan: ResourcePlan) -> list[str]:
    saves = human_readable_size(plan.total_disk_required)
    return [
        f"{NO_LAYERS}; saves {saves} of disk",
        "name a disk with more room: StorageSettings(disk_storage_dir=...)",
    ]
