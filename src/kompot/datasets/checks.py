"""Checks of the arguments of `simulate`, all made before anything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kompot.datasets.cells import condition_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kompot.datasets.settings import SimulationSettings

_MIN_CELLS_PER_DONOR = 4
_MIN_GENES = 10
_MIN_COMPONENTS = 3  # the constant one and two for the picture


def check_integers(**values: object) -> None:
    """Raise TypeError for the first value that is no integer."""
    for name, value in values.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer; got {value!r} ({type(value).__name__}).")


def check_positive(**values: int) -> None:
    """Raise ValueError for the first value below 1."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} must be 1 or more; got {value}.")


def check_seed(seed: int) -> None:
    """Raise ValueError for a negative seed."""
    if seed < 0:
        raise ValueError(f"seed must be 0 or more; got {seed}.")


def check_conditions(conditions: Sequence[object]) -> None:
    """Raise ValueError unless there are two different names."""
    pair = not isinstance(conditions, str) and len(conditions) == 2
    if not pair or not all(isinstance(name, str) and name for name in conditions) or len(set(conditions)) != 2:
        raise ValueError(f'conditions must be two different names, such as ("Young", "Old"); got {conditions!r}.')


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
            f"got {n_components}."
        )


def check_genes(n_genes: int, settings: SimulationSettings) -> None:
    """Raise ValueError if there are too few genes, or fewer than the DE genes asked for."""
    if n_genes < _MIN_GENES:
        raise ValueError(f"n_genes must be at least {_MIN_GENES}; got {n_genes}.")
    n_global, n_branch = settings.de_counts(n_genes)
    if n_global + n_branch > n_genes:
        raise ValueError(
            f"n_de_global + n_de_branch must not exceed n_genes; got {n_global} + {n_branch} > {n_genes}. "
            "Lower them in SimulationSettings or raise n_genes."
        )
