"""From an AnnData object to checked arrays. Nothing is changed and nothing expensive is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot._labels import label as label_of
from kompot._labels import plain_value
from kompot._typing import Bools, Ints, Matrix
from kompot.anndata.gene_names import missing_genes
from kompot.anndata.layers import layer_names
from kompot.anndata.lazy import column_of
from kompot.gp.rows import RowSource, has_invalid, invalid_columns, invalid_values, row_source


def label_column(adata: AnnData, column: str, argument: str) -> pd.Series[Any]:
    """A column of `adata.obs` by name."""
    label_of(argument, column, "the name of a column of adata.obs")
    if column not in adata.obs.columns:
        raise ValueError(
            f"{argument}={check.brief(column)} is not a column of adata.obs.{check.nearest(column, adata.obs.columns)} "
            f"There is: {check.listed(adata.obs.columns)}."
        )
    if list(adata.obs.columns).count(column) > 1:
        raise ValueError(f"adata.obs has more than one column named {column!r}; rename them.")
    series: pd.Series[Any] = column_of(adata.obs, column)
    _require_labels(series, column)
    return series


def _require_labels(series: pd.Series[Any], column: str) -> None:
    """Raise for a column of lists or other things that cannot be told apart as labels."""
    try:
        pd.unique(series)
    except TypeError as error:
        raise TypeError(
            f"adata.obs[{column!r}] must hold labels or numbers, came values that are none ({error})."
        ) from error


def plain_label(label: Any) -> Any:
    """A condition label as a plain Python value, dates and durations as those of pandas."""
    return plain_value(label)


def different_labels(labels: pd.Series[Any]) -> list[Any]:
    """Labels of a column as plain Python values, each once, in order of appearance; missing ones left out."""
    known = labels.dropna()
    # pandas 2 takes texts for equal that differ behind a NUL, and all with half a surrogate pair for one.
    is_any = known.dtype == object or isinstance(known.dtype, pd.StringDtype)
    return [plain_label(label) for label in (dict.fromkeys(known) if is_any else pd.unique(known))]


def condition_label(argument: str, label: Any) -> Any:
    """The label of a condition as a plain Python value; what can be none is refused."""
    return label_of(argument, label, "the label of a condition")


def cells_with(labels: pd.Series[Any], label: Any, argument: str) -> Bools:
    """Which cells carry a label; an error lists the labels there are.

    Parameters
    ----------
    labels
        Column of condition labels: text, categories, booleans or numbers; may have missing values.
    label
        The one wanted, of the column's type.
    argument
        Name of the argument, for the message.

    Returns
    -------
    Bools
        n_cells, at least one True.
    """
    present = different_labels(labels)
    # 1 == True in Python, but a condition named True is not the condition named 1.
    same = [value for value in present if value == label and isinstance(value, bool) == isinstance(label, bool)]
    if not same:
        by_text = [value for value in present if check.as_text(value) == check.as_text(label)]
        hint = (
            f" The column holds {check.brief(by_text[0])} ({type(by_text[0]).__name__}): pass it as that type."
            if by_text
            else check.nearest(label, present)
        )
        raise ValueError(
            f"{argument}={check.brief(label)} does not occur in adata.obs[{labels.name!r}].{hint} "
            f"There is: {check.listed(sorted(map(check.brief, present)))}."
        )
    return np.asarray(labels.eq(same[0]).fillna(False), dtype=np.bool_)


def condition_codes(adata: AnnData, groupby: str, condition1: Any, condition2: Any) -> Ints:
    """Condition of each cell.

    Parameters
    ----------
    adata
        The object.
    groupby
        Column of `adata.obs`.
    condition1, condition2
        Two different labels of that column, with at least two cells each.

    Returns
    -------
    Ints
        0 for cells of condition 1, 1 for condition 2, -1 for others: n_cells.
    """
    labels = label_column(adata, groupby, "groupby")
    conditions = [condition_label(f"condition{i}", label) for i, label in enumerate((condition1, condition2), start=1)]
    if conditions[0] == conditions[1]:
        raise ValueError(f"condition1 and condition2 must differ, both are {check.brief(conditions[0])}.")
    codes = np.full(adata.n_obs, -1, dtype=np.int64)
    for code, condition in enumerate(conditions):
        cells = cells_with(labels, condition, f"condition{code + 1}")
        if cells.sum() < 2:
            raise ValueError(
                f"condition{code + 1}={condition!r} has {cells.sum()} cell in adata.obs[{groupby!r}]; at least 2 are "
                f"needed to compare."
            )
        codes[cells] = code
    if str(conditions[0]) == str(conditions[1]):
        raise ValueError(
            f"condition1 and condition2 are different labels with the same text, {check.brief(conditions[0])} and "
            f"{check.brief(conditions[1])}; make them differ."
        )
    return codes


def expression(adata: AnnData, layer: str | None) -> Matrix:
    """The expression matrix, wherever it lives.

    Parameters
    ----------
    adata
        The object.
    layer
        Name of a layer; None for `adata.X`.

    Returns
    -------
    Matrix
        n_cells x n_genes: dense, sparse, backed or lazy, of a numeric type.
    """
    if adata.n_vars == 0:
        raise ValueError(
            "adata has no genes (n_vars is 0), so there is no expression to analyse. Read the file that holds the "
            "expression matrix; for the abundance of cells use kompot.da, which needs no genes."
        )
    if layer is not None and check.text("layer", layer, "the name of a layer or None") not in adata.layers:
        raise ValueError(
            f"layer={check.brief(layer)} is not in adata.layers.{check.nearest(layer, layer_names(adata))} "
            f"There is: {check.listed(layer_names(adata))}; None uses adata.X."
        )
    matrix = check.unmasked(adata.X if layer is None else adata.layers[layer])
    if matrix is None:
        raise ValueError(f"adata.X is empty; pass layer=... There is: {check.listed(layer_names(adata))}.")
    if np.dtype(matrix.dtype).kind not in "fiub":
        raise TypeError(
            f"{_source_name(layer)} must hold real numbers, came dtype {matrix.dtype}. Convert it, for example "
            f"with .astype('float32')."
        )
    if isinstance(matrix, pd.DataFrame):
        return matrix.to_numpy()
    return _rows_of_columns(matrix)


def _rows_of_columns(matrix: Matrix) -> Matrix:
    """A compressed-column matrix on disk by rows, in memory: its rows cannot be read one chunk at a time."""
    if getattr(matrix, "format", None) == "csc" and hasattr(matrix, "to_memory"):
        return matrix.to_memory().tocsr()
    # What the chunks of a Dask array are shows in `_meta`.
    if getattr(getattr(matrix, "_meta", None), "format", None) == "csc":
        return matrix.compute().tocsr()
    return matrix


def _source_name(layer: str | None) -> str:
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def gene_names(genes: Any) -> list[Any] | None:
    """Names of genes as the user gave them, read once: from any iterable of names, or one name alone; None for all."""
    if genes is None or isinstance(genes, str):
        return None if genes is None else [genes]
    names = check.items("genes", genes, "names")
    for i, name in enumerate(names):
        if not isinstance(name, str):
            label_of(f"genes[{i}]", name, "the name of a gene")
    return names


def gene_columns(adata: AnnData, genes: Sequence[str] | None) -> Ints:
    """Columns of the genes to analyse, in the order of `adata.var_names`.

    Parameters
    ----------
    adata
        The object; its var_names must be unique.
    genes
        Names, each once; None for all.

    Returns
    -------
    Ints
        Sorted columns.
    """
    if not adata.var_names.is_unique:
        repeated = adata.var_names[adata.var_names.duplicated()].unique()
        raise ValueError(
            f"adata.var_names are not unique ({check.listed(repeated, 3)}), so results cannot be told apart. Call "
            f"adata.var_names_make_unique() first."
        )
    if genes is None:
        return np.arange(adata.n_vars)
    names = pd.Index(genes)
    if not len(names):
        raise ValueError("genes is empty: needed at least one name of adata.var_names, or None for all genes.")
    if not names.is_unique:
        raise ValueError(f"genes has duplicates: {check.listed(names[names.duplicated()].unique())}. Name each once.")
    columns = adata.var_names.get_indexer(names)
    missing = names[columns < 0]
    if len(missing):
        raise ValueError(missing_genes(adata, names, missing))
    return np.sort(columns)


def require_finite(matrix: Matrix, rows: Bools, columns: Ints, gene_names: pd.Index[str], layer: str | None) -> None:
    """Raise if expression held in memory has NaN, infinite or huge values where it will be used.

    Parameters
    ----------
    matrix
        Expression, n_cells x n_genes; matrices on disk or lazy ones are left to the reading pass.
    rows, columns
        Cells (mask) and genes used.
    gene_names
        Names of all genes.
    layer
        Where the matrix comes from, for the message.
    """
    if not is_in_memory(matrix) or not has_invalid(matrix):
        return
    used = _used(matrix, rows)
    bad = np.intersect1d(np.flatnonzero(invalid_columns(used)), columns)
    if len(bad):
        raise ValueError(invalid_expression(invalid_values(used[:, bad]), gene_names[bad], layer))


def _used(matrix: Matrix, rows: Bools) -> Matrix:
    return matrix.tocsr()[np.flatnonzero(rows)] if check.is_sparse(matrix) else matrix[rows]


def invalid_expression(what: str, genes: pd.Index[str], layer: str | None) -> str:
    """Message about genes that have invalid values."""
    return (
        f"{_source_name(layer)} has {what} in {len(genes)} of the genes used: {check.listed(genes)}. "
        f"Replace these values, or leave the genes out of the object (null genes are drawn from all its genes)."
    )


@dataclass(frozen=True)
class CheckedRows:
    """Rows of a matrix that is not in memory, checked for NaN, infinite and huge values as they are read."""

    source: RowSource
    """Where the rows come from."""
    used: Bools
    """Cells whose values matter, n_cells."""
    gene_names: pd.Index[str]
    """Name of each column."""
    layer: str | None
    """For the message."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.source.dtype

    def rows(self, rows: slice) -> Matrix:
        """The rows as a dense array or a CSR matrix; a ValueError names genes with invalid values."""
        chunk = self.source.rows(rows)
        if has_invalid(chunk):
            used = chunk[np.flatnonzero(self.used[rows])]
            bad = np.flatnonzero(invalid_columns(used))
            if len(bad):
                raise ValueError(invalid_expression(invalid_values(used[:, bad]), self.gene_names[bad], self.layer))
        return chunk


def expression_rows(
    matrix: Matrix, used: Bools, columns: Ints, gene_names: pd.Index[str], layer: str | None
) -> RowSource:
    """Rows of some genes, checked while reading where they could not be checked before.

    Parameters
    ----------
    matrix
        Expression of all genes, n_cells x n_genes.
    used
        Cells whose values matter, n_cells.
    columns
        Genes to read, sorted.
    gene_names
        Names of all genes.
    layer
        Where the matrix comes from, for messages.

    Returns
    -------
    RowSource
        n_cells x len(columns).
    """
    every = len(columns) == matrix.shape[1]
    source = row_source(matrix, None if every else columns)
    return source if is_in_memory(matrix) else CheckedRows(source, used, gene_names[columns], layer)


def is_in_memory(matrix: Matrix) -> bool:
    """Whether a matrix is a NumPy array or a SciPy sparse matrix."""
    return isinstance(matrix, np.ndarray) or check.is_sparse(matrix)


def sample_labels(adata: AnnData, sample_col: str, used: Bools) -> np.ndarray[Any, Any]:
    """Biological sample of each cell.

    Parameters
    ----------
    adata
        The object.
    sample_col
        Column of `adata.obs`.
    used
        Cells that need a label, n_cells.

    Returns
    -------
    np.ndarray
        n_cells, of objects; missing values only where they are not needed.
    """
    labels = label_column(adata, sample_col, "sample_col")
    missing = int(labels.isna().to_numpy()[used].sum())
    if missing:
        raise ValueError(
            f"adata.obs[{sample_col!r}] has no label for {missing} of the {int(used.sum())} cells compared. Label "
            f"them, or leave these cells out."
        )
    return labels.to_numpy(dtype=object)
