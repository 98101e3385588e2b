"""Objects opened with `anndata.experimental.read_lazy`: their tables stay on disk, and columns are read where needed.

Their expression is a Dask array, which the engine reads in chunks like any other. Nothing can be written into them.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from anndata import AnnData


def is_lazy(adata: AnnData) -> bool:
    """Whether the tables of an object are on disk."""
    return not (isinstance(adata.obs, pd.DataFrame) and isinstance(adata.var, pd.DataFrame))


def table_in_memory(table: Any) -> pd.DataFrame:
    """`obs`, `var` or a table in `obsm`, read as a whole if it is lazy."""
    return table if isinstance(table, pd.DataFrame) else table.to_memory()


def column_of(table: Any, name: str) -> pd.Series[Any]:
    """One column of `obs` or `var`; of a lazy table only this one is read."""
    column: pd.Series[Any] = (table if isinstance(table, pd.DataFrame) else table[[name]].to_memory())[name]
    return column


def require_tables_in_memory(adata: AnnData, advice: str) -> None:
    """Raise for an object that is lazy, with what to do instead of writing into it."""
    if is_lazy(adata):
        raise ValueError(
            f"adata was opened with anndata.experimental.read_lazy, so that nothing can be written into it. {advice}, "
            f"or pass adata.to_memory()."
        )
