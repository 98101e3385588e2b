"""How fast this machine is right now, and how much memory and disk it has."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil

from kompot._memory import available_bytes, total_bytes
from kompot.anndata.layer_storage import existing_parent
from kompot.anndata.planning.resource_plan import ResourceAvailability

_ROWS, _FEATURES, _GENES = 1024, 256, 1024
_VALUES = 200_000
_REPEATS = 7


@dataclass(frozen=True)
class Speed:
    """Speed of the kinds of work that an analysis consists of."""

    single: float
    """Floating-point operations per second of a product in single precision."""
    double: float
    """The same in double precision."""
    elementwise: float
    """Exponentials per second on one core."""


def measure_speed() -> Speed:
    """Measure this machine, in a tenth of a second."""
    flops = 2.0 * _ROWS * _FEATURES * _GENES
    return Speed(flops / _product(np.float32), flops / _product(np.float64), _VALUES / _elementwise())


def _product(dtype: type[np.float32 | np.float64]) -> float:
    A, B = np.ones((_ROWS, _FEATURES), dtype=dtype), np.ones((_ROWS, _GENES), dtype=dtype)
    out = np.empty((_FEATURES, _GENES), dtype=dtype)
    return _median_seconds(lambda: np.matmul(A.T, B, out=out))


def _elementwise() -> float:
    x = np.linspace(0.0, 1.0, _VALUES)
    out = np.empty_like(x)
    return _median_seconds(lambda: np.exp(x, out=out))


def _median_seconds(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_REPEATS):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return max(statistics.median(times), 1e-7)


def availability(disk_storage_dir: str | None) -> ResourceAvailability:
    """Memory and disk, the limits of a container respected.

    Parameters
    ----------
    disk_storage_dir
        Where arrays on disk will go; the default for temporary files if None. Need not exist.
    """
    place = Path(disk_storage_dir or tempfile.gettempdir())
    disk = shutil.disk_usage(existing_parent(place))
    return ResourceAvailability(total_bytes(), available_bytes(), str(place), disk.total, disk.free)


def memory_in_use() -> int:
    """Resident memory of this process: bytes."""
    return int(psutil.Process().memory_info().rss)
