"""Where the layers of a run are kept: in memory, or on disk as Zarr arrays that are attached lazily.

Decided before anything is computed: on disk if the user says so (or names a directory), in memory if they say so,
and otherwise on disk where the layers would take more than `max_memory_ratio` of the memory available.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kompot._memory import available_bytes
from kompot._paths import existing_parent, require_writable_directory
from kompot._typing import Floats, Ints
from kompot.anndata.disk_layers import LayerFolder
from kompot.differential.evaluate import LayerTarget, empty_layers
from kompot.errors import StorageWarning, warn
from kompot.settings import StorageSettings

_DTYPE = np.dtype(np.float32)
_GB = 1e9
# The covariance, one product at a time, and a little more.
_COVARIANCE_ARRAYS = 2.1
# Smoothed in both conditions, fold changes and z-scores.
_NULL_LAYERS = 4


@dataclass(frozen=True)
class LayerPlan:
    """Layers of a run and where they go."""

    names: Sequence[str]
    """From `kompot.differential.evaluate.layer_names`; empty for none."""
    shape: tuple[int, int]
    """n_cells x n_genes of the object."""
    columns: Ints | None
    """Columns that are analysed; None for all."""
    all_cells: bool
    """Whether every cell is evaluated."""
    directory: Path | None
    """Where to write them; None for memory."""

    @property
    def n_bytes(self) -> int:
        """Size of all layers."""
        return layer_bytes(len(self.names), self.shape)


def layer_bytes(n_layers: int, shape: tuple[int, int]) -> int:
    """Size of layers, single precision."""
    return n_layers * shape[0] * shape[1] * _DTYPE.itemsize


def plan_layers(
    settings: StorageSettings, names: Sequence[str], shape: tuple[int, int], columns: Ints | None, *, all_cells: bool
) -> LayerPlan:
    """Decide where layers go.

    Parameters
    ----------
    settings
        The user's.
    names
        Layers wanted.
    shape
        n_cells x n_genes.
    columns
        Columns that are analysed; None for all.
    all_cells
        Whether every cell is evaluated.

    Returns
    -------
    LayerPlan
        Checked: there is room.

    Raises
    ------
    MemoryError
        If neither memory nor disk has room; nothing has been computed then.
    ImportError
        If disk is needed and Dask or Zarr are not installed.
    """
    needed = layer_bytes(len(names), shape)
    directory = _directory(settings, needed) if names else None
    return LayerPlan(names, shape, columns, all_cells, directory)


def _directory(settings: StorageSettings, needed: int) -> Path | None:
    if settings.store_arrays_on_disk is False and settings.disk_storage_dir:
        warn("disk_storage_dir has no effect with store_arrays_on_disk=False.", StorageWarning)
    available = available_bytes()
    allowed = int(settings.max_memory_ratio * available)
    asked = settings.store_arrays_on_disk or (settings.store_arrays_on_disk is None and settings.disk_storage_dir)
    if not asked and needed <= allowed:
        return None
    place = Path(settings.disk_storage_dir or tempfile.gettempdir())
    require_writable_directory("disk_storage_dir", place)
    if settings.store_arrays_on_disk is False:
        raise MemoryError(
            f"The layers need {needed / _GB:.1f} GB; {available / _GB:.1f} GB of memory are available, of which "
            f"max_memory_ratio={settings.max_memory_ratio} may be used. Let them go to disk "
            f"(store_arrays_on_disk=None or True), leave them out (store_layers=False), or name fewer genes."
        )
    free = free_bytes(place)
    if needed > free:
        raise MemoryError(
            f"The layers need {needed / _GB:.1f} GB: neither memory ({available / _GB:.1f} GB available, "
            f"max_memory_ratio={settings.max_memory_ratio}) nor disk ({free / _GB:.1f} GB free where "
            f"disk_storage_dir or the default for temporary files is) has room. Name another disk_storage_dir, leave "
            f"the layers out (store_layers=False), or name fewer genes."
            if not asked
            else f"The layers need {needed / _GB:.1f} GB of disk, {free / _GB:.1f} GB are free. Name another "
            f"disk_storage_dir, leave the layers out (store_layers=False), or name fewer genes."
        )
    missing = [name for name in ("dask", "zarr") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"Layers on disk ({'asked for' if asked else f'needed, they take {needed / _GB:.1f} GB'}) need "
            f"{' and '.join(missing)}: pip install 'kompot[lazy]'. Or leave them out: store_layers=False."
        )
    if not asked:
        warn(
            f"The layers need {needed / _GB:.1f} GB, more than max_memory_ratio={settings.max_memory_ratio} of the "
            f"{available / _GB:.1f} GB of memory available: they are kept on disk in {str(place)!r} and read lazily. "
            f"Keep that folder with the object, or name one: disk_storage_dir=...",
            StorageWarning,
        )
    return place


def covariance_bytes(n_cells: int) -> int:
    """Highest memory while the posterior covariance between all cells is computed."""
    return int(_COVARIANCE_ARRAYS * 8 * n_cells**2)


def require_memory_for_covariance(n_cells: int) -> None:
    """Raise if the posterior covariance between all cells does not fit in memory."""
    needed = covariance_bytes(n_cells)
    _require_memory(
        f"The posterior covariance of {n_cells} cells needs",
        needed,
        "Set store_posterior_covariance=False, or select fewer",
    )


def require_memory_for_layers(n_layers: int, shape: tuple[int, int]) -> None:
    """Raise if layers that can only be kept in memory do not fit there."""
    _require_memory("The layers need", layer_bytes(n_layers, shape), "Name fewer genes (genes=[...]), or analyse fewer")


def require_memory_for_null_genes(n_cells: int, n_null: int) -> None:
    """Raise if the expression of the null genes at all cells, for `return_full_results`, does not fit in memory."""
    needed = layer_bytes(_NULL_LAYERS, (n_cells, n_null))
    _require_memory(
        "The null genes at all cells need",
        needed,
        "Set return_full_results=False, ask for fewer null genes, or analyse fewer",
    )


def _require_memory(what: str, needed: int, advice: str) -> None:
    available = available_bytes()
    if needed > available:
        raise MemoryError(f"{what} {needed / _GB:.1f} GB, {available / _GB:.1f} GB are available. {advice} cells.")


def free_bytes(place: Path) -> int:
    """Free space where a directory is or will be made."""
    return shutil.disk_usage(existing_parent(place)).free


@contextmanager
def layer_arrays(plan: LayerPlan) -> Iterator[tuple[LayerTarget, Callable[[], None]]]:
    """Arrays to write the layers to; those on disk are removed again when the block ends, unless they are kept.

    Parameters
    ----------
    plan
        From `plan_layers`.

    Yields
    ------
    tuple[LayerTarget, Callable[[], None]]
        Empty arrays (see `attachable` for what to put into the object), and what to call once an object has them.
    """
    if plan.directory is None:
        yield LayerTarget(_arrays_in_memory(plan), plan.columns if plan.names else None), lambda: None
        return
    folder = LayerFolder(plan.directory, plan.n_bytes)
    try:
        yield LayerTarget(folder.arrays(plan.names, plan.shape, _DTYPE), plan.columns), folder.keep
    finally:
        folder.discard()


def _arrays_in_memory(plan: LayerPlan) -> dict[str, Floats]:
    if not plan.names:
        return {}
    partial = plan.columns is not None or not plan.all_cells
    return empty_layers(*plan.shape, zscores="zscore" in plan.names, stds="std_1" in plan.names, partial=partial)


def attachable(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Layers as they go into the object: arrays in memory as they are, arrays on disk as Dask arrays."""
    if all(isinstance(array, np.ndarray) for array in arrays.values()):
        return dict(arrays)
    import dask.array

    from_array: Callable[..., Any] = dask.array.from_array
    return {name: from_array(array.stored(), chunks=array.chunks) for name, array in arrays.items()}
