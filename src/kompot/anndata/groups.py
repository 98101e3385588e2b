"""`FilterSettings.groups` and the `groups` of `check_underrepresentation`: named groups of cells, in many forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.extensions import ExtensionArray

from kompot import _checks as check
from kompot._file_names import numbered
from kompot._typing import Bools
from kompot.anndata.cell_vectors import array_mask, meaning
from kompot.anndata.extract import different_labels, label_column
from kompot.anndata.lazy import column_of
from kompot.anndata.selectors import (
    aligned,
    all_of,
    boolean_values,
    cells_of,
    counted_text,
    is_array,
    is_boolean,
    is_collection,
    is_text,
    labelled,
    plain_array,
)

_ARGUMENT = "groups"


def parse_groups(adata: AnnData, groups: Any) -> dict[str, Bools]:
    """Named masks of cells; groups may overlap.

    Parameters
    ----------
    adata
        The object.
    groups
        - the name of a column of text, categories (one group each, in their order) or booleans (one group, "True");
        - a dictionary of name to mask, indices or Series; of column to value or values (one group, all must hold, named
          `column=a+b_AND_other=c`); of name to such a dictionary; or of name to a value found in any column. Whole
          numbers that could be indices of cells and, under the name of a column that has all of them, values are an
          error;
        - a list of such dictionaries, or of masks, indices or label arrays (`subset1`, `subset2`, ...);
        - an array of labels, a mask or indices (group "True"), or a matrix of masks (one group per row). Which of
          these a vector of whole numbers is: see `kompot.anndata.cell_vectors`;
        - a Series of labels (aligned by its index), like a column, but of numbers too: 0 and 1 are two groups.

    Returns
    -------
    dict[str, Bools]
        n_cells each, in the order given; empty for an empty dictionary or list.

    Raises
    ------
    TypeError, ValueError
        For anything else, unknown columns and values, masks of the wrong length, indices out of range or given twice,
        whole numbers that could be either, and a different number for each cell as labels.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=200, n_genes=10, seed=0)
    >>> {name: int(mask.sum()) for name, mask in parse_groups(adata, {"some": [0, 5, 7]}).items()}
    {'some': 3}
    """
    if isinstance(groups, str):
        return _by_label(label_column(adata, groups, _ARGUMENT), f"adata.obs[{groups!r}]")
    if isinstance(groups, Mapping):
        return _from_dict(adata, groups)
    if isinstance(groups, pd.Series):
        series = aligned(adata, groups, _ARGUMENT)
        return _by_label(series, _ARGUMENT, numbers=True)
    if isinstance(groups, np.ndarray | pd.Index | ExtensionArray):
        return _from_array(adata, groups, "True")
    if isinstance(groups, list | tuple):
        return _from_list(adata, list(groups))
    raise TypeError(
        f"groups must be the name of a column, a dictionary, a list of dictionaries or arrays, a Series or an array; "
        f"came {check.show(groups)}."
    )


def _by_label(labels: pd.Series[Any], source: str, *, numbers: bool = False) -> dict[str, Bools]:
    """One group per label that occurs: categories in their order, other values in order of appearance."""
    if isinstance(labels.dtype, pd.CategoricalDtype):
        used = set(labels.dropna())
        values = [value for value in labels.cat.categories if value in used]
    elif pd.api.types.is_bool_dtype(labels):
        return {"True": boolean_values(labels, source)}
    elif is_text(labels):
        values = different_labels(labels)
    elif numbers:
        values = _different_numbers(labels, source)
    else:
        raise ValueError(
            f"{source} is numeric ({labels.dtype}), so it names no groups. Convert it, for example with "
            f".astype(str).astype('category') or pandas.cut."
        )
    names = [str(value) for value in values]
    if len(set(names)) < len(names):
        raise ValueError(f"{source} has different labels with the same text; make them differ.")
    return {name: labelled(labels, value) for name, value in zip(names, values, strict=True)}


def _different_numbers(labels: pd.Series[Any], source: str) -> list[Any]:
    """Numbers that serve as labels, sorted; a different one for each cell is a measurement or a name."""
    known = labels.dropna()
    values = sorted(different_labels(known))
    if len(values) == len(known) > 1:
        raise ValueError(
            f"{source}: each of the {counted_text(len(known), 'cell')} has a number of its own, and would be a group "
            f"of its own. Give each cell the label of its group, for example with pandas.cut."
        )
    return values


def _from_dict(adata: AnnData, groups: Mapping[Any, Any]) -> dict[str, Bools]:
    groups = {key: _ordered(value) for key, value in groups.items()}
    if len(set(map(str, groups))) < len(groups):
        raise ValueError(f"groups has different names with the same text: {check.listed(map(check.brief, groups))}.")
    for key, value in groups.items():
        if is_array(value):
            plain_array(value, f"groups[{check.brief(key)}]")
    if groups and all(isinstance(value, Mapping) for value in groups.values()):
        return {str(name): _all_of(adata, value) for name, value in groups.items()}
    columns = [key in adata.obs.columns and _names_values(adata, value) for key, value in groups.items()]
    if groups and all(columns):
        return {_name_of(groups): _all_of(adata, groups)}
    return {str(name): _named(adata, name, value) for name, value in groups.items()}


def _names_values(adata: AnnData, value: Any) -> bool:
    """Whether a dictionary's value means values of a column, not cells."""
    if isinstance(value, str | bool | np.bool_):
        return True
    if isinstance(value, pd.Series) or not is_array(value) or not len(value):
        return False
    array = np.asarray(value)
    # A boolean per cell is a mask; whole numbers are indices; text is values.
    is_mask = is_boolean(value) and len(value) == adata.n_obs
    return array.ndim == 1 and not is_mask and array.dtype.kind not in "iu"


def _ordered(value: Any) -> Any:
    """A set as a list in the order of its texts, because its own order differs from process to process."""
    return sorted(value, key=str) if isinstance(value, set | frozenset) else value


def _all_of(adata: AnnData, conditions: Mapping[str, Any]) -> Bools:
    for column, value in conditions.items():
        if value is None or not (is_collection(value) or pd.api.types.is_scalar(value)):
            raise TypeError(
                f"groups: the value of {column!r} must be a label or a list of labels, came {check.show(value)}."
            )
    return all_of(adata, conditions, _ARGUMENT)


def _name_of(conditions: Mapping[str, Any]) -> str:
    """`column=a+b_AND_other=c`."""
    parts = [
        f"{column}={'+'.join(map(str, _ordered(value))) if is_collection(value) else value}"
        for column, value in conditions.items()
    ]
    return "_AND_".join(parts)


def _named(adata: AnnData, name: Any, value: Any) -> Bools:
    """One entry of a dictionary of name to cells."""
    argument = f"groups[{name!r}]"
    if isinstance(value, Mapping):
        return _all_of(adata, value)
    if name in adata.obs.columns and _names_values(adata, value):
        return cells_of(adata, name, value, _ARGUMENT)
    if isinstance(value, str):
        return _in_any_column(adata, value, argument)
    if not is_array(value) or not len(value):
        raise ValueError(f"{argument} must be a mask, indices, a Series or a label, came {check.show(value)}.")
    if name in adata.obs.columns:
        _require_unambiguous(adata, name, value)
    return array_mask(adata, value, argument)


def _require_unambiguous(adata: AnnData, column: str, value: Any) -> None:
    """Raise if whole numbers under the name of a column are values of that column: they could be cells too."""
    numbers = np.asarray(value)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        return
    labels = label_column(adata, column, _ARGUMENT)
    known = labels.cat.categories if isinstance(labels.dtype, pd.CategoricalDtype) else pd.unique(labels.dropna())
    # True equals 1, but a flag is no number.
    if is_boolean(known) or not pd.Series(np.unique(numbers)).isin(known).all():
        return
    given = f"[{check.listed(numbers.tolist(), 3)}]"
    raise ValueError(
        f"groups={{{column!r}: {given}}} could mean values of adata.obs[{column!r}], which has them, or indices of "
        f"cells. Write {{'name': {{{column!r}: {given}}}}} for cells with these values, or another name than that of a "
        f"column for these indices: {{'name': {given}}}."
    )


def _in_any_column(adata: AnnData, label: str, argument: str) -> Bools:
    columns = (column_of(adata.obs, name) for name in adata.obs)
    masks = [labelled(column, label) for column in columns if is_text(column)]
    found = np.logical_or.reduce(masks) if masks else np.zeros(adata.n_obs, dtype=np.bool_)
    if not found.any():
        raise ValueError(f"{argument}={label!r} occurs in no column of adata.obs.")
    return found


def _from_list(adata: AnnData, groups: list[Any]) -> dict[str, Bools]:
    if all(isinstance(part, Mapping) for part in groups):
        return _told_apart(
            (_name_of(part) if part else f"filter{i}", _all_of(adata, part)) for i, part in enumerate(groups, start=1)
        )
    if not all(is_array(part) for part in groups):
        raise ValueError(
            "A list as groups must hold dictionaries only, or masks, indices and label arrays only. For a single mask "
            "or list of indices pass an array; for values of a column pass {column: [values]}."
        )
    named: dict[str, Bools] = {}
    for i, part in enumerate(groups, start=1):
        if not len(part):
            raise ValueError(f"groups[{i - 1}] is empty.")
        named |= _from_array(adata, part, f"subset{i}", prefix=f"subset{i}_")
    return named


def _told_apart(named: Iterable[tuple[str, Bools]]) -> dict[str, Bools]:
    """Groups by name; the same cells under the same name are one group, other cells get a number behind the name."""
    groups: dict[str, Bools] = {}
    for name, mask in named:
        if name not in groups or not np.array_equal(groups[name], mask):
            groups[numbered(name, groups)] = mask
    return groups


def _from_array(adata: AnnData, values: Any, name: str, prefix: str = "") -> dict[str, Bools]:
    """Groups of one array: rows of a matrix, a mask, indices, or labels."""
    array = plain_array(values, f"groups ({name})")
    if array.ndim == 2:
        if array.shape[1] != adata.n_obs or not (array.dtype == np.bool_ or np.isin(array, (0, 1)).all()):
            raise ValueError(f"A matrix as groups must hold one mask per row: needed k x {adata.n_obs} booleans.")
        return {f"{prefix or 'subset'}{i}": row.astype(np.bool_) for i, row in enumerate(array, start=1)}
    if array.ndim != 1:
        raise ValueError(f"groups ({name}) must have one or two dimensions, came {array.ndim}.")
    # Categories are labels even where they are whole numbers.
    categories = isinstance(getattr(values, "dtype", None), pd.CategoricalDtype) and not is_boolean(array)
    if not categories and meaning(adata, values) != "labels":
        return {name: array_mask(adata, values, f"groups ({name})")}
    if len(array) != adata.n_obs:
        raise ValueError(f"groups: labels must name every cell: needed {adata.n_obs}, came {len(array)}.")
    plain = values if isinstance(values, ExtensionArray) else array  # a Categorical keeps its order
    series = aligned(adata, values, _ARGUMENT) if isinstance(values, pd.Series) else pd.Series(plain)
    labels = _by_label(series, _ARGUMENT, numbers=True)
    in_order = bool(prefix) or isinstance(values, ExtensionArray) or array.dtype.kind in "iuf"
    return {prefix + label: labels[label] for label in (labels if in_order else sorted(labels))}
