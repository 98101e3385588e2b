"""Which cells a user means: columns, values, masks, indices and tables become masks over the cells of the object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot._typing import Bools
from kompot.anndata.extract import label_column, plain_label


def aligned(adata: AnnData, series: pd.Series[Any], argument: str) -> pd.Series[Any]:
    """A Series in the order of the cells: by its index where that names the cells, by position where it is a count.

    Parameters
    ----------
    adata
        The object.
    series
        One value per cell.
    argument
        Where it came from, for the message.

    Returns
    -------
    pd.Series
        n_cells, indexed by `adata.obs_names`.
    """
    if series.index.equals(adata.obs_names):
        return series
    counted = isinstance(series.index, pd.RangeIndex) or np.array_equal(series.index, np.arange(len(series)))
    if counted and len(series) == adata.n_obs:
        return series.set_axis(adata.obs_names)
    if series.index.is_unique and adata.obs_names.is_unique and adata.obs_names.isin(series.index).all():
        return series.reindex(adata.obs_names)
    raise ValueError(
        f"{argument} is a Series whose index does not name the cells: needed one value for each of the {adata.n_obs} "
        f"names in adata.obs_names, came {len(series)} values. Index it by adata.obs_names."
    )


def is_text(values: Any) -> bool:
    """Whether values are text, categories or a mixture (anything but numbers and booleans)."""
    dtype = values.dtype
    types = pd.api.types
    return isinstance(dtype, pd.CategoricalDtype) or types.is_object_dtype(dtype) or types.is_string_dtype(dtype)


def boolean_values(values: pd.Series[Any], argument: str) -> Bools:
    """True and False of a Series; missing values are False, text is an error."""
    plain = values.astype(values.dtype.categories.dtype) if isinstance(values.dtype, pd.CategoricalDtype) else values
    present = plain.dropna()
    if pd.api.types.is_bool_dtype(plain) or (
        len(present) and present.map(lambda v: isinstance(v, bool | np.bool_)).all()
    ):
        return np.asarray(plain.fillna(False), dtype=np.bool_)
    example = check.show(present.iloc[0]) if len(present) else "no value"
    raise ValueError(
        f"{argument} must be boolean, came {values.dtype} ({example}). Select values of such a column with a "
        f"dictionary, for example {{{values.name!r}: [...]}}."
    )


def cells_of(adata: AnnData, column: str, wanted: Any, argument: str) -> Bools:
    """Cells whose value in a column of `adata.obs` is one of those wanted.

    Parameters
    ----------
    adata
        The object.
    column
        Name of the column.
    wanted
        One value, or a list, tuple, set or array of them.
    argument
        Where they came from, for messages.

    Returns
    -------
    Bools
        n_cells. A value that does not occur is an error, because it is nearly always misspelt.
    """
    labels = label_column(adata, column, argument)
    many = isinstance(wanted, list | tuple | set | frozenset | np.ndarray | pd.Index | pd.Series)
    values = [plain_label(value) for value in (wanted if many else [wanted])]
    if not values:
        raise ValueError(f"{argument}[{column!r}] names no values.")
    present = [plain_label(value) for value in pd.unique(labels.dropna())]
    known = list(labels.cat.categories) if isinstance(labels.dtype, pd.CategoricalDtype) else present
    missing = [value for value in values if value not in known]
    if missing:
        raise ValueError(
            f"{argument}[{column!r}]: {check.listed(map(repr, missing))} does not occur in adata.obs[{column!r}]."
            f"{check.nearest(missing[0], present)} There is: {check.listed(map(repr, present))}."
        )
    return np.asarray(labels.isin(values), dtype=np.bool_)


def all_of(adata: AnnData, conditions: Mapping[str, Any], argument: str) -> Bools:
    """Cells that meet the conditions on all columns of a dictionary."""
    mask = np.ones(adata.n_obs, dtype=np.bool_)
    for column, wanted in conditions.items():
        mask &= cells_of(adata, column, wanted, argument)
    return mask


def is_boolean(values: Any) -> bool:
    """Whether an array, list or Series holds booleans only."""
    array = np.asarray(values)
    return array.dtype == np.bool_ or (
        array.dtype == object and array.size > 0 and all(isinstance(v, bool | np.bool_) for v in array.flat)
    )


def array_mask(adata: AnnData, values: Any, argument: str) -> Bools:
    """A mask from booleans (one per cell), from indices of cells, or from a Series of booleans.

    Parameters
    ----------
    adata
        The object.
    values
        Array, list or Series.
    argument
        Where it came from, for messages.

    Returns
    -------
    Bools
        n_cells.
    """
    if isinstance(values, pd.Series) and not pd.api.types.is_integer_dtype(values.dtype):
        return boolean_values(aligned(adata, values, argument), argument)
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{argument} must be one-dimensional, came {array.ndim} dimensions.")
    if is_boolean(array):
        if len(array) != adata.n_obs:
            raise ValueError(f"{argument} must have one value per cell: needed {adata.n_obs}, came {len(array)}.")
        return array.astype(np.bool_)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{argument} must hold booleans (one per cell) or indices of cells, came dtype {array.dtype}.")
    if len(array) and (array.min() < 0 or array.max() >= adata.n_obs):
        raise ValueError(
            f"{argument} has indices from {array.min()} to {array.max()}, but the object has {adata.n_obs} cells."
        )
    mask = np.zeros(adata.n_obs, dtype=np.bool_)
    mask[array] = True
    return mask


def is_array(value: Any) -> bool:
    """Whether a value is an array, list, tuple, Index or Series."""
    return isinstance(value, np.ndarray | list | tuple | pd.Series | pd.Index)
