"""What a vector of values means for the cells of an object: a mask, labels, or indices.

==================================================  =========
one boolean, or one 0 or 1, per cell                mask
other values, one per cell                          labels
fewer whole numbers than cells, each once           indices
the index of every cell once, in any order          indices
==================================================  =========

Anything else is an error. A Series that is indexed by the names of the cells has one value per cell, so that its whole
numbers are no indices.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.extensions import ExtensionArray

from kompot._typing import Bools
from kompot.anndata.selectors import aligned, boolean_values, counted_text, is_boolean, positions

Meaning = Literal["mask", "labels", "indices"]


def meaning(adata: AnnData, values: Any) -> Meaning:
    """What the values of a vector mean.

    Parameters
    ----------
    adata
        The object.
    values
        Array, list or Series of booleans or numbers.

    Returns
    -------
    "mask", "labels" or "indices"
        "indices" for any whole numbers that are not one per cell; whether they are is for `array_mask` to check.
    """
    array = np.asarray(values)
    if is_boolean(values):
        return "mask"
    if len(array) != adata.n_obs:
        return "indices" if array.dtype.kind in "iu" else "labels"
    if array.dtype.kind in "iuf" and np.isin(array, (0, 1)).all():
        return "mask"
    # What np.flatnonzero gives for a mask of all cells.
    every_cell = array.dtype.kind in "iu" and np.array_equal(np.sort(array), np.arange(len(array)))
    return "indices" if every_cell and not _is_named(adata, values) else "labels"


def _is_named(adata: AnnData, values: Any) -> bool:
    return isinstance(values, pd.Series) and positions(adata, values.index) is not None


def array_mask(adata: AnnData, values: Any, argument: str) -> Bools:
    """A mask from booleans (one per cell), from indices of cells, or from a Series of booleans.

    Parameters
    ----------
    adata
        The object.
    values
        Array (also of pandas), list or Series.
    argument
        Where it came from, for messages.

    Returns
    -------
    Bools
        n_cells. Labels are an error, because they do not say which cells are meant.
    """
    if isinstance(values, pd.Series):
        types = pd.api.types
        if types.is_bool_dtype(values.dtype) or not types.is_numeric_dtype(values.dtype):
            return boolean_values(aligned(adata, values, argument), argument)
        if _is_named(adata, values):
            values = aligned(adata, values, argument)
        elif len(values) == adata.n_obs:
            values = aligned(adata, values, argument).array
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{argument} must be one-dimensional, came {array.ndim} dimensions.")
    if is_boolean(values):
        _require_one_per_cell(adata, len(array), argument)
        return boolean_values(pd.Series(values), argument) if isinstance(values, ExtensionArray) else array.astype(bool)
    what = meaning(adata, values)
    if what == "mask":
        return array.astype(np.bool_)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{argument} must hold booleans (one per cell) or indices of cells, came dtype {array.dtype}.")
    if what == "labels":
        raise ValueError(
            f"{argument} has a whole number for each of the {counted_text(len(array), 'cell')}, so these are labels, "
            f"which do not say which cells are meant. Pass a mask, for example values == {array[0].item()!r}."
        )
    return _at_indices(adata, array, argument)


def _at_indices(adata: AnnData, array: np.ndarray[Any, Any], argument: str) -> Bools:
    """The mask of the cells with some indices, each given once."""
    if len(array) and (array.min() < 0 or array.max() >= adata.n_obs):
        raise ValueError(
            f"{argument} has indices from {array.min()} to {array.max()}, but the object has "
            f"{counted_text(adata.n_obs, 'cell')}."
        )
    mask = np.zeros(adata.n_obs, dtype=np.bool_)
    mask[array] = True
    if mask.sum() < len(array):
        raise ValueError(
            f"{argument} has {counted_text(len(array), 'whole number')}, of which only {int(mask.sum()):,} differ: "
            f"as indices they would name cells twice. If they are labels or a mask of 0 and 1, give one value for each "
            f"of the {counted_text(adata.n_obs, 'cell')}."
        )
    return mask


def _require_one_per_cell(adata: AnnData, length: int, argument: str) -> None:
    if length != adata.n_obs:
        raise ValueError(f"{argument} must have one value per cell: needed {adata.n_obs}, came {length}.")
