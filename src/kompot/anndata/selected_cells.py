"""Which cells of an object a run compares and evaluates, and in which groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData

from kompot import _checks as check
from kompot._typing import Bools, Ints
from kompot.anndata import extract
from kompot.anndata.cell_filter import filtered_cells
from kompot.anndata.groups import parse_groups
from kompot.anndata.representation import Counts, count_cells, description, underrepresented
from kompot.errors import RepresentationWarning, warn
from kompot.settings import FilterSettings

_FEWEST_CELLS = 2


@dataclass(frozen=True)
class SelectedCells:
    """Cells of a run."""

    condition: Ints
    """0, 1, or -1 for cells that are not compared, n_cells."""
    evaluated: Bools
    """Cells that results are evaluated at: all that pass the filter, of other conditions too."""
    groups: dict[str, Bools]
    """Groups that results are reported for; only cells evaluated."""
    counts: Counts
    """Cells of each condition in each group."""
    underrepresented: dict[str, list[Any]]
    """Conditions with too few cells, by group."""
    auto_filtered: bool
    """Whether cells were left out because of that."""


def select_cells(adata: AnnData, groupby: str, conditions: tuple[Any, Any], settings: FilterSettings) -> SelectedCells:
    """Apply the filter, parse the groups and look at their representation.

    Parameters
    ----------
    adata, groupby, conditions
        As in `kompot.de`.
    settings
        The user's.

    Returns
    -------
    SelectedCells
        With at least two cells per condition.
    """
    everyone = extract.condition_codes(adata, groupby, *conditions)
    evaluated = filtered_cells(adata, settings.cell_filter)
    groups = {} if settings.groups is None else parse_groups(adata, settings.groups)
    if settings.check_representation and not groups:
        raise ValueError("FilterSettings(check_representation=True) needs groups to look at; pass groups=....")
    masks = {condition: (everyone == code) & evaluated for code, condition in enumerate(conditions)}
    groups = {name: mask & evaluated for name, mask in groups.items()}
    counts = count_cells(groups, masks)
    found: dict[str, list[Any]] = {}
    if groups and settings.check_representation is not False:
        found = underrepresented(groups, counts, min_cells=settings.min_cells, min_percentage=settings.min_percentage)
    auto = bool(settings.check_representation and found)
    if found:
        evaluated = _report(groups, found, counts, evaluated, remove=auto)
    if auto:
        groups = {name: mask & evaluated for name, mask in groups.items() if name not in found}
    small = [name for name, mask in groups.items() if mask.sum() < _FEWEST_CELLS]
    if small:
        warn(
            f"Groups with fewer than {_FEWEST_CELLS} cells are skipped (NaN in the results): {check.listed(small)}.",
            RepresentationWarning,
        )
    condition = np.where(evaluated, everyone, -1)
    _require_cells(condition, conditions)
    return SelectedCells(condition, evaluated, groups, counts, found, auto)


def _report(
    groups: dict[str, Bools], found: dict[str, list[Any]], counts: Counts, evaluated: Bools, *, remove: bool
) -> Bools:
    """Say which groups have too few cells of a condition, and leave those out if asked for."""
    what = f"Groups with too few cells of a condition: {description(found, counts)}."
    poor: Bools = np.any([groups[name] for name in found], axis=0)
    kept: Bools = evaluated & ~poor
    if remove:
        warn(f"{what} They were left out with all their {(evaluated & ~kept).sum()} cells.", RepresentationWarning)
        return kept
    warn(
        f"{what} Their results rest on what surrounds them; FilterSettings(check_representation=True) leaves them out, "
        f"False silences this.",
        RepresentationWarning,
    )
    return evaluated


def _require_cells(condition: Ints, conditions: tuple[Any, Any]) -> None:
    for code, label in enumerate(conditions):
        count = int((condition == code).sum())
        if count < _FEWEST_CELLS:
            raise ValueError(
                f"The filter leaves {count} cells of condition{code + 1}={label!r}; at least {_FEWEST_CELLS} are "
                f"needed to compare."
            )
