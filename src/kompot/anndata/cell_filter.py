"""`FilterSettings.cell_filter`: which cells an analysis uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from kompot import _checks as check
from kompot._typing import Bools
from kompot.anndata.cell_vectors import array_mask
from kompot.anndata.extract import label_column
from kompot.anndata.groups import parse_groups
from kompot.anndata.selectors import all_of, boolean_values, is_array, plain_array

_ARGUMENT = "cell_filter"
REPORT_KEY = "__underrepresentation_data"
"""Marks the result of `check_underrepresentation`."""


def filtered_cells(adata: AnnData, cell_filter: Any) -> Bools:
    """Cells to include.

    Parameters
    ----------
    adata
        The object.
    cell_filter
        None for all cells; the name of a boolean column of `adata.obs`; a dictionary of column to value or values, all
        of which must hold; a mask (booleans or 0 and 1), indices or a Series (aligned by its index); or a list of names
        or dictionaries, of which any must hold. The result of `check_underrepresentation` leaves out the groups it
        found: their cells by name, or else, where the names of the cells are others, by the column of the groups.

    Returns
    -------
    Bools
        n_cells, at least one True.

    Raises
    ------
    TypeError, ValueError
        For forms that cannot be understood, unknown columns and values, and filters that leave no cell.
    """
    mask = _mask(adata, cell_filter)
    if not mask.any():
        raise ValueError(f"cell_filter={check.show(cell_filter)} leaves no cell of {adata.n_obs}.")
    return mask


def _mask(adata: AnnData, cell_filter: Any) -> Bools:
    if cell_filter is None:
        return np.ones(adata.n_obs, dtype=np.bool_)
    if isinstance(cell_filter, str):
        return boolean_values(label_column(adata, cell_filter, _ARGUMENT), f"cell_filter={cell_filter!r}")
    if isinstance(cell_filter, Mapping):
        if REPORT_KEY in cell_filter:
            return _without_reported(adata, cell_filter)
        if not cell_filter:
            raise ValueError("cell_filter is an empty dictionary; leave it out to use all cells.")
        return all_of(adata, cell_filter, _ARGUMENT)
    if isinstance(cell_filter, list | tuple) and any(isinstance(part, str | Mapping) for part in cell_filter):
        if not all(isinstance(part, str | Mapping) for part in cell_filter):
            raise TypeError("A list as cell_filter must hold names of boolean columns, dictionaries, or indices only.")
        masks: list[Bools] = [_mask(adata, part) for part in cell_filter]
        return np.asarray(np.any(masks, axis=0))
    if is_array(cell_filter):
        if not len(cell_filter):
            raise ValueError("cell_filter is empty; leave it out to use all cells.")
        plain_array(cell_filter, _ARGUMENT)
        return array_mask(adata, cell_filter, _ARGUMENT)
    raise TypeError(
        f"cell_filter must be the name of a boolean column, a dictionary of column to values, a mask, indices, a "
        f"Series, or a list of names or dictionaries; came {check.show(cell_filter)}."
    )


def _without_reported(adata: AnnData, report: Mapping[str, Any]) -> Bools:
    """All cells but those of the groups that `check_underrepresentation` found."""
    groups = _reported_groups(adata, report)
    left_out = np.zeros(adata.n_obs, dtype=np.bool_)
    for group in report[REPORT_KEY]:
        if str(group) not in groups:
            raise ValueError(
                f"cell_filter is a report of check_underrepresentation that does not say which cells its group "
                f"{group!r} has in this object, neither by name (adata.obs_names, each once) nor as a label in a "
                f"column of adata.obs. Call check_underrepresentation on this object and pass what it returns, not a "
                f"copy of its items."
            )
        left_out |= groups[str(group)]
    return ~left_out


def _reported_groups(adata: AnnData, report: Mapping[str, Any]) -> dict[str, Bools]:
    """Cells of each group of a report; empty where it does not tell."""
    masks_in = getattr(report, "masks_in", None)
    if masks_in is not None:
        masks: dict[str, Bools] = masks_in(adata)
        return masks
    # A plain copy of the items, such as that in the record of a run, has the name of the column as its other key.
    columns = [key for key in report if key != REPORT_KEY and key in adata.obs.columns]
    return parse_groups(adata, columns[0]) if columns else {}
