"""Whether each condition has enough cells in each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kompot._typing import Bools
from kompot.anndata.selectors import counted_text

Counts = dict[str, dict[Any, int]]


@dataclass(frozen=True)
class Representation:
    """Groups with too few cells of a condition, and what the other groups have without them."""

    found: dict[str, list[Any]]
    """Conditions with too few cells, by group."""
    groups: dict[str, Bools]
    """Cells of the groups that stay, n_cells each."""
    left_out: Bools
    """Cells that are left out, n_cells."""
    steps: tuple[str, ...]
    """What was found at first, and then in each step without the groups found before, for messages."""


def count_cells(groups: Mapping[str, Bools], conditions: Mapping[Any, Bools]) -> Counts:
    """Number of cells of each condition in each group."""
    return {
        name: {condition: int((mask & cells).sum()) for condition, cells in conditions.items()}
        for name, mask in groups.items()
    }


def underrepresented(
    groups: Mapping[str, Bools], counts: Counts, *, min_cells: int, min_percentage: float | None
) -> dict[str, list[Any]]:
    """Conditions with too few cells in a group.

    Parameters
    ----------
    groups
        Masks of the groups.
    counts
        From `count_cells`.
    min_cells
        Fewest cells of each condition in a group.
    min_percentage
        Smallest percentage of a group's cells that each condition must have; None for no such rule.

    Returns
    -------
    dict[str, list]
        Conditions by group, for groups with a problem only; empty groups have none.
    """
    found: dict[str, list[Any]] = {}
    for name, mask in groups.items():
        size = int(mask.sum())
        few = [
            condition
            for condition, count in counts[name].items()
            if count < min_cells or (min_percentage is not None and 100.0 * count < min_percentage * size)
        ]
        if few and size:
            found[name] = few
    return found


def look(
    groups: Mapping[str, Bools],
    conditions: Mapping[Any, Bools],
    *,
    min_cells: int,
    min_percentage: float | None,
    remove: bool,
) -> Representation:
    """Find groups with too few cells of a condition and, if asked to, leave all their cells out.

    Groups may overlap, so that leaving out one can leave too few cells in another, which then is left out too, until
    every group that stays has enough. A group that loses all its cells lacks all conditions.

    Parameters
    ----------
    groups, conditions
        Masks, n_cells each.
    min_cells, min_percentage
        As in `underrepresented`.
    remove
        Whether to leave cells out; otherwise all groups stay.

    Returns
    -------
    Representation
        With as many rounds of counting as it takes, mostly one or two.
    """
    left_out = np.zeros(len(next(iter(conditions.values()))), dtype=np.bool_)
    found: dict[str, list[Any]] = {}
    steps: list[str] = []
    staying = dict(groups)
    while True:
        counts = count_cells(staying, conditions)
        emptied = {name: list(conditions) for name, mask in staying.items() if not mask.any() and groups[name].any()}
        few = underrepresented(staying, counts, min_cells=min_cells, min_percentage=min_percentage) | emptied
        if not few:
            break
        found |= few
        steps.append(description(few, counts))
        if not remove:
            break
        left_out = np.any([left_out, *(groups[name] for name in few)], axis=0)
        staying = {name: mask & ~left_out for name, mask in staying.items() if name not in few}
    return Representation(found, staying, left_out, tuple(steps))


def description(found: Mapping[str, list[Any]], counts: Counts) -> str:
    """One phrase per group for messages."""

    def phrase(name: str) -> str:
        numbers = [f"{label}: {counted_text(counts[name][label], 'cell')}" for label in found[name]]
        return f"{name} ({', '.join(numbers)})"

    return "; ".join(map(phrase, found))
