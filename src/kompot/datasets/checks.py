"""Checks of the arguments of `simulate`, all made before anything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kompot import _checks as check
from kompot.datasets.cells import condition_sizes
from kompot.datasets.settings import SimulationSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

_MIN_CELLS_PER_DONOR = 4
_MIN_GENES = 10
_LARGEST = 10**12
_MIN_COMPONENTS = 3  # the constant one and two for the picture


def check_integers(**values: object) -> None:
    """Raise for the first value that is no integer, or so large that nothing could be made of it."""
    for name, value in values.items():
        if abs(check.integer(name, value)) > _LARGEST:
            raise ValueError(f"{name} must be at most {_LARGEST:g}; came {check.brief(value)}.")


def check_settings(settings: object) -> SimulationSettings:
    """Raise TypeError unless the settings are of their class."""
    if not isinstance(settings, SimulationSettings):
        raise TypeError(
            f"settings must be kompot.datasets.SimulationSettings(...) or None, came {check.show(settings)}."
        )
    return settings


def check_positive(**values: int) -> None:
    """Raise ValueError for the first value below 1."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} must be 1 or more; came {check.brief(value)}.")


def check_seed(seed: int) -> None:
    """Raise ValueError for a negative seed."""
    if seed < 0:
        raise ValueError(f"seed must be 0 or more; came {check.brief(seed)}.")


def check_conditions(conditions: Sequence[object]) -> None:
    """Raise ValueError unless there are two different names."""
    listed = (
        isinstance(conditions, list | tuple | np.ndarray | pd.Index | pd.Series) and getattr(conditions, "ndim", 1) == 1
    )
    names = list(conditions) if listed else []
    if len(names) != 2 or not all(isinstance(name, str) and name for name in names) or names[0] == names[1]:
        raise ValueError(
            f'conditions must be two different names, such as ("Young", "Old"), came {check.brief(conditions)}.'
        )


def check_cells(n_cells: int, n_donors: int, n_components: int, settings: SimulationSettings) -> None:
    """Raise ValueError if a donor would get too few cells, or the cells cannot carry the components."""
    smallest = min(condition_sizes(n_cells, settings.fraction_condition2)) // n_donors
    if smallest < _MIN_CELLS_PER_DONOR:
        raise ValueError(
            f"every donor needs at least {_MIN_CELLS_PER_DONOR} cells; n_cells={n_cells}, "
            f"n_donors={n_donors} per condition and fraction_condition2={settings.fraction_condition2} "
            f"leave {max(smallest, 0)}. "
            "Raise n_cells or lower n_donors."
        )
    most = min(50, n_cells // 2)
    if not _MIN_COMPONENTS <= n_components <= most:
        raise ValueError(
            f"n_components must be from {_MIN_COMPONENTS} to {most} (at most 50 and half of n_cells); "
            f"came {n_components}."
        )


def check_genes(n_genes: int, settings: SimulationSettings) -> None:
    """Raise ValueError if there are too few genes, or fewer than the DE genes asked for."""
    if n_genes < _MIN_GENES:
        raise ValueError(f"n_genes must be at least {_MIN_GENES}; came {n_genes}.")
    n_global, n_branch = settings.de_counts(n_genes)
    if n_global + n_branch > n_genes:
        raise ValueError(
            f"n_de_global + n_de_branch must not exceed n_genes; came {n_global} + {n_branch} > {n_genes}. "
            "Lower them in SimulationSettings or raise n_genes."
        )
