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
from kompot.anndata.representation import Counts, Representation, count_cells, look
from kompot.anndata.selectors import counted_text
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
    skipped: tuple[str, ...]
    """Those of them that have too few cells for results, which are NaN."""
    counts: Counts
    """Cells of each condition in each group that was asked for; only cells evaluated, so none of groups left out."""
    underrepresented: dict[str, list[Any]]
    """Conditions with too few cells, by group."""
    auto_filtered: bool
    """Whether cells were left out because of that."""


def select_cells(adata: AnnData, groupby: str, conditions: tuple[Any, Any], settings: FilterSettings) -> SelectedCells:
    """Apply the filter, parse the groups and look at their representation.

    What happens to a group depends on `check_representation`:

    - None: a group with too few cells of a condition (`min_cells`, `min_percentage`) is reported. Without any cell of
      one of the conditions it is skipped as well, because its results would be guesses from cells elsewhere.
    - True: it is left out with all its cells, and so is a group that has too few cells without these.
    - False: nobody looks. Only groups of fewer than two cells are skipped.

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
    groups = {name: mask & evaluated for name, mask in groups.items()}
    masks = {condition: (everyone == code) & evaluated for code, condition in enumerate(conditions)}
    seen = _look(groups, masks, settings)
    kept = evaluated & ~seen.left_out
    counts = count_cells({name: mask & kept for name, mask in groups.items()}, masks)
    skipped = _skipped(seen.groups, counts, settings)
    _report(seen, skipped, settings)
    condition = np.where(kept, everyone, -1)
    auto = bool(settings.check_representation and seen.found)
    _require_cells(condition, conditions, auto=auto)
    return SelectedCells(condition, kept, seen.groups, skipped, counts, seen.found, auto)


def _look(groups: dict[str, Bools], masks: dict[Any, Bools], settings: FilterSettings) -> Representation:
    if settings.check_representation is False:
        nobody = np.zeros(len(next(iter(masks.values()))), dtype=np.bool_)
        return Representation({}, groups, nobody, ())
    return look(
        groups,
        masks,
        min_cells=settings.min_cells,
        min_percentage=settings.min_percentage,
        remove=bool(settings.check_representation),
    )


def _skipped(groups: dict[str, Bools], counts: Counts, settings: FilterSettings) -> tuple[str, ...]:
    """Groups whose results would be guesses: a condition has no cell there. If nobody looks, groups hardly of any."""
    if settings.check_representation is False:
        return tuple(name for name, mask in groups.items() if mask.sum() < _FEWEST_CELLS)
    return tuple(name for name in groups if not all(counts[name].values()))


def _report(seen: Representation, skipped: tuple[str, ...], settings: FilterSettings) -> None:
    """Warn of groups with too few cells of a condition, and of others that are skipped."""
    if seen.found:
        text = f"Groups with too few cells of a condition: {seen.steps[0]}."
        text += _removal(seen) if settings.check_representation else _consequences(seen, skipped)
        warn(text, RepresentationWarning)
    others = [name for name in skipped if name not in seen.found]
    if others:
        what = "without any cell of a condition"
        if settings.check_representation is False:
            what = f"with fewer than {_FEWEST_CELLS} cells"
        warn(f"Groups {what} are skipped (NaN in the results): {check.listed(others)}.", RepresentationWarning)


def _removal(seen: Representation) -> str:
    """What leaving out the groups found has led to."""
    also = [f" Without their cells also: {step}." for step in seen.steps[1:]]
    cells = counted_text(int(seen.left_out.sum()), "cell")
    return f"{''.join(also)} {'It was' if len(seen.found) == 1 else 'They were'} left out: {cells} in all."


def _consequences(seen: Representation, skipped: tuple[str, ...]) -> str:
    """What becomes of the results of the groups found, and what the user can do."""
    empty = [name for name in seen.found if name in skipped]
    text = ""
    if empty:
        text = f" Skipped (NaN in the results), because a condition has no cell there: {check.listed(empty)}."
    if len(empty) < len(seen.found):
        text += f" {'Results of the others' if empty else 'Their results'} rest on what surrounds them."
    return (
        f"{text} FilterSettings(check_representation=True) leaves them out; False does not look, and computes "
        f"all groups of at least {_FEWEST_CELLS} cells."
    )


def _require_cells(condition: Ints, conditions: tuple[Any, Any], *, auto: bool) -> None:
    for code, label in enumerate(conditions):
        count = int((condition == code).sum())
        if count < _FEWEST_CELLS:
            what = "Leaving out groups with too few cells of a condition" if auto else "The filter"
            raise ValueError(
                f"{what} leaves {counted_text(count, 'cell')} of condition{code + 1}={label!r}; at least "
                f"{_FEWEST_CELLS} are needed to compare."
            )
