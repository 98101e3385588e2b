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
from kompot._paths import existing_parent
from kompot._typing import Floats
from kompot.anndata.planning.resource_plan import ResourceAvailability
from kompot.gp.kernels import Matern52
from kompot.gp.linalg import product

_ROWS, _FEATURES, _GENES = 1024, 256, 1024
_VALUES, _DIMS = 100_000, 10
_REPEATS = 7


@dataclass(frozen=True)
class Speed:
    """Speed of the kinds of work that an analysis consists of."""

    single: float
    """Floating-point operations per second of a product in single precision."""
    double: float
    """The same in double precision."""
    kernel: float
    """Kernel values per second, one core."""
    scattered: float
    """Values per second that are gathered from random places, one core: what sorting, trees and sparse matrices do."""


def measure_speed() -> Speed:
    """Measure this machine, in a tenth of a second."""
    flops = 2.0 * _ROWS * _FEATURES * _GENES
    left, right = (_FEATURES, _ROWS), (_ROWS, _GENES)
    return Speed(
        flops / _product(np.ones(left, dtype=np.float32), np.ones(right, dtype=np.float32)),
        flops / _product(np.ones(left), np.ones(right)),
        _ROWS * _FEATURES / _kernel(),
        _VALUES / _scattered(),
    )


def _product(A: Floats, B: Floats) -> float:
    return _median_seconds(lambda: product(A, B))


def _kernel() -> float:
    X = np.random.default_rng(0).normal(size=(_ROWS, _DIMS))
    return _median_seconds(lambda: Matern52(1.0)(X, X[:_FEATURES]))


def _scattered() -> float:
    rng, values = np.random.default_rng(0), np.linspace(0.0, 1.0, _VALUES)
    return _median_seconds(lambda: values[rng.permutation(_VALUES)])


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
