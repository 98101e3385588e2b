"""Whether each condition has enough cells in each group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kompot._typing import Bools

Counts = dict[str, dict[Any, int]]


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


def description(found: Mapping[str, list[Any]], counts: Counts) -> str:
    """One phrase per group for messages."""
    return "; ".join(
        f"{name} ({', '.join(f'{condition}: {counts[name][condition]} cells' for condition in conditions)})"
        for name, conditions in found.items()
    )
