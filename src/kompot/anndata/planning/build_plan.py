"""What every plan has in common: the features expected, the fields to be written, conflicts, and advice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot._typing import Bools, Float64
from kompot.anndata.fields import NamedField, by_place
from kompot.anndata.history import get_field_owners
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
_NO_LAYERS = "leave the layers out: StorageSettings(store_layers=False); results per gene are complete all the same"


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
        kernel, n_landmarks, rank = known.kernel, len(known.landmarks), known.rank
    else:
        kernel = expected_kernel(parameters, [X[mask] for mask in groups])
        expected = expected_features(parameters, kernel, X[used])
        n_landmarks, rank = expected.n_landmarks, expected.rank
        if expected.capped:
            plan.warnings.append(
                f"The {n_landmarks:,} landmarks allowed will not reach the tolerance. Raise "
                f"GPSettings(n_landmarks=...), or ls_factor for a smoother function."
            )
    plan.n_landmarks, plan.n_features = n_landmarks, rank
    plan.length_scale = getattr(kernel, "length_scale", None)
    return Landscape(len(X), int(used.sum()), int(evaluated.sum()), X.shape[1], n_landmarks, rank)


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
    owners = get_field_owners(adata, plan.analysis_type)
    plan.output_fields = {f"adata.{place}": names for place, names in by_place(items).items()}
    for item in items:
        place = item.field.place
        size, shape = field_bytes(item, adata.n_obs, adata.n_vars, n_groups)
        exists = item.name in getattr(adata, place)
        if exists:
            plan.overwritten[f"adata.{place}:{item.name}"] = owners.get(place, {}).get(item.name)
        plan.add_requirement(
            item.name,
            size,
            "disk" if place == "layers" and layers_on_disk else "memory",
            shape or None,
            f"adata.{place}",
            exists,
        )


def finish(plan: ResourcePlan, stages: Sequence[Stage], storage: StorageSettings) -> ResourcePlan:
    """Put stages, totals, conflicts and advice together."""
    plan.stages = list(stages)
    peak = max(stages, key=lambda stage: stage.peak_bytes)
    working = peak.peak_bytes - plan.total_memory_required
    plan.add_requirement(f"working memory at the highest point ({peak.name})", max(working, 0), "memory")
    plan.memory_in_use = memory_in_use()
    plan.availability = availability(storage.disk_storage_dir)
    _note_conflicts(plan, storage)
    plan.check_availability()
    if plan.memory_ratio > 0.8 or plan.disk_ratio > 0.9 or plan.errors:
        plan.advice += _advice(plan, peak)
    return plan


def _note_conflicts(plan: ResourcePlan, storage: StorageSettings) -> None:
    if not plan.overwritten:
        return
    runs = sorted({owner for owner in plan.overwritten.values() if owner is not None})
    of_runs = f" of run {', '.join(map(str, runs))}" if runs else ""
    text = f"{len(plan.overwritten)} fields{of_runs} exist already"
    if storage.overwrite is False:
        plan.errors.append(f"{text}, and StorageSettings(overwrite=False) forbids to replace them.")
        plan.advice.append("name another StorageSettings(result_key=...), or allow overwrite=True")
    else:
        plan.warnings.append(f"{text} and will be replaced.")


def _advice(plan: ResourcePlan, peak: Stage) -> list[str]:
    """What to change where memory or disk is short."""
    in_memory = [item for item in plan.requirements if item.resource_type == "memory"]
    layers = sum(item.size_bytes for item in in_memory if item.field_name == "adata.layers")
    obsp = sum(item.size_bytes for item in in_memory if item.field_name == "adata.obsp")
    advice = []
    if layers:
        advice.append(f"{_LAYERS_TO_DISK}; saves {human_readable_size(layers)} of memory")
        advice.append(f"{_NO_LAYERS}; saves {human_readable_size(layers)}")
    if plan.total_disk_required:
        advice.append(f"{_NO_LAYERS}; saves {human_readable_size(plan.total_disk_required)} of disk")
        advice.append("name a disk with more room: StorageSettings(disk_storage_dir=...)")
    if obsp:
        advice.append(f"store_posterior_covariance=False saves {human_readable_size(3 * obsp)}; or select fewer cells")
    if "null" in peak.name:
        advice.append("ask for fewer null genes, for example FDRSettings(null_genes=500)")
    if peak.name == "copy of the object":
        advice.append("write into the object: OutputSettings(copy=False)")
    advice.append("read the data from disk as they are needed: anndata.read_h5ad(..., backed='r')")
    return advice
