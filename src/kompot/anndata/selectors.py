"""Which cells a user means: names and values of columns become masks over the cells of the object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.extensions import ExtensionArray

from kompot import _checks as check
from kompot._typing import Bools, Ints
from kompot.anndata.extract import different_labels, label_column, plain_label


def positions(adata: AnnData, names: pd.Index[Any]) -> Ints | None:
    """Where each cell of the object is among names of cells.

    Parameters
    ----------
    adata
        The object.
    names
        Names of cells, in another order or of more cells than the object has.

    Returns
    -------
    Ints or None
        n_cells; None where the names do not tell, because they repeat or one is missing.
    """
    if names.equals(adata.obs_names):
        return np.arange(adata.n_obs)
    if not (names.is_unique and adata.obs_names.is_unique):
        return None
    found: Ints = names.get_indexer(adata.obs_names)
    return None if (found < 0).any() else found


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
    order = positions(adata, series.index)
    if order is not None:
        return series.iloc[order]
    counted = isinstance(series.index, pd.RangeIndex) or np.array_equal(series.index, np.arange(len(series)))
    if counted and len(series) == adata.n_obs:
        return series.set_axis(adata.obs_names)
    raise ValueError(
        f"{argument} is a Series whose index does not name the cells: needed one value for each of the {adata.n_obs} "
        f"names in adata.obs_names, came {counted_text(len(series), 'value')}. Index it by adata.obs_names."
    )


def counted_text(number: int, noun: str) -> str:
    """A number with its noun, for messages.

    Examples
    --------
    >>> counted_text(1, "cell"), counted_text(2000, "cell")
    ('1 cell', '2,000 cells')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def is_text(values: Any) -> bool:
    """Whether values are text, categories or a mixture (anything but numbers and booleans)."""
    dtype = values.dtype
    types = pd.api.types
    return isinstance(dtype, pd.CategoricalDtype) or types.is_object_dtype(dtype) or types.is_string_dtype(dtype)


def boolean_values(values: pd.Series[Any], argument: str) -> Bools:
    """True and False of a Series; missing values are False, text is an error."""
    plain = values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values
    present = plain.dropna()
    if pd.api.types.is_bool_dtype(plain) or (
        len(present) and present.map(lambda v: isinstance(v, bool | np.bool_)).all()
    ):
        return plain.astype("boolean").to_numpy(dtype=np.bool_, na_value=False)
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
        One value, or a list, tuple, set, Series, Categorical or other one-dimensional array of them.
    argument
        Where they came from, for messages.

    Returns
    -------
    Bools
        n_cells. A value that does not occur is an error, because it is nearly always misspelt.
    """
    labels = label_column(adata, column, argument)
    if isinstance(wanted, np.ndarray) and wanted.ndim != 1:
        raise ValueError(f"{argument}[{column!r}] must be a value or a flat list of values, came {check.show(wanted)}.")
    values = [plain_label(value) for value in (wanted if is_collection(wanted) else [wanted])]
    if not values:
        raise ValueError(f"{argument}[{column!r}] names no values.")
    present = different_labels(labels)
    known = list(labels.cat.categories) if isinstance(labels.dtype, pd.CategoricalDtype) else present
    missing = [value for value in values if value is pd.NA or value not in known]
    if missing:
        raise ValueError(
            f"{argument}[{column!r}]: {check.listed(map(repr, missing))} does not occur in adata.obs[{column!r}]."
            f"{check.nearest(missing[0], present)} There is: {check.listed(map(repr, present))}."
        )
    return np.asarray(labels.isin(values), dtype=np.bool_)


def labelled(labels: pd.Series[Any], label: Any) -> Bools:
    """Cells that carry a label, n_cells; missing labels are no label."""
    return np.asarray(labels.eq(label).fillna(False), dtype=np.bool_)


def all_of(adata: AnnData, conditions: Mapping[str, Any], argument: str) -> Bools:
    """Cells that meet the conditions on all columns of a dictionary."""
    mask = np.ones(adata.n_obs, dtype=np.bool_)
    for column, wanted in conditions.items():
        mask &= cells_of(adata, column, wanted, argument)
    return mask


def is_boolean(values: Any) -> bool:
    """Whether an array, list or Series holds booleans only (of a nullable type: beside missing values)."""
    if hasattr(values, "dtype") and pd.api.types.is_bool_dtype(values):
        return True
    array = np.asarray(values)
    return array.dtype == np.bool_ or (
        array.dtype == object and array.size > 0 and all(isinstance(v, bool | np.bool_) for v in array.flat)
    )


def is_array(value: Any) -> bool:
    """Whether a value is an array (of NumPy or pandas, such as a Categorical), list, tuple, Index or Series."""
    is_scalar = getattr(value, "ndim", 1) == 0  # an array without dimensions holds one value
    return isinstance(value, np.ndarray | list | tuple | pd.Series | pd.Index | ExtensionArray) and not is_scalar


def plain_array(values: Any, argument: str) -> np.ndarray[Any, Any]:
    """Values as an array; lists of different lengths in one list are an error."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{argument} must be an array or a flat list, came {check.show(values)}: {error}") from error


def is_collection(value: Any) -> bool:
    """Whether a value holds several others: an array as above, or a set."""
    return is_array(value) or isinstance(value, set | frozenset)
