"""What to say of genes that an object does not have: other names of the same genes, or a slip."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.lazy import table_in_memory

# Ensembl (human ENSG..., mouse ENSMUSG..., others ENS...G...), FlyBase and WormBase, with or without a version.
_IDENTIFIER = re.compile(r"(ENS[A-Z]{0,6}G\d{6,}|FBgn\d{5,}|WBGene\d{5,})(\.\d+)?")
# So many names tell of what kind they are.
_MOST_NAMES = 1000


def missing_genes(adata: AnnData, names: pd.Index[str], missing: pd.Index[str]) -> str:
    """Message about genes that are not among `adata.var_names`.

    Parameters
    ----------
    adata
        The object.
    names
        Genes asked for.
    missing
        Those of them that it does not have, at least one.

    Returns
    -------
    str
        Which, and how they can be found where they have other names there.
    """
    message = f"{len(missing)} of {len(names)} genes are not in adata.var_names: {check.listed(missing)}."
    other = _other_names(adata, missing)
    return f"{message}{other or check.nearest(missing[0], adata.var_names)}"


def _other_names(adata: AnnData, missing: pd.Index[str]) -> str:
    """That genes are named in another way; empty where they are not."""
    column = _column_with(adata, missing)
    kinds = _are_identifiers(missing), _are_identifiers(adata.var_names)
    if kinds == (True, True):
        return _versions(adata.var_names, missing)
    text = ""
    if kinds[0] != kinds[1]:
        words = ["Ensembl identifiers" if kind else "gene symbols" for kind in kinds]
        text = f" These look like {words[0]}, adata.var_names ({adata.var_names[0]!r}, ...) like {words[1]}."
    if column is not None:
        return f"{text} adata.var[{column!r}] has them: pass adata.var_names[adata.var[{column!r}].isin(genes)]."
    return text and f"{text} Pass the names that adata.var_names holds; no column of adata.var has these."


def _are_identifiers(names: pd.Index[str]) -> bool:
    """Whether most names are identifiers of a gene database rather than symbols."""
    some = [str(name) for name in names[:_MOST_NAMES]]
    return 2 * sum(_IDENTIFIER.fullmatch(name) is not None for name in some) > len(some)


def _versions(var_names: pd.Index[str], missing: pd.Index[str]) -> str:
    """That identifiers differ in the version after the dot only, where that is so."""
    known = {str(name).split(".")[0]: name for name in var_names}
    same = [(name, known[part]) for name in missing if (part := str(name).split(".")[0]) in known]
    if not same:
        return ""
    return (
        f" {len(same)} of them differ in the version after the dot only ({same[0][0]!r} is {same[0][1]!r} there): "
        f'compare without it, as adata.var_names.str.split(".").str[0] is.'
    )


def _column_with(adata: AnnData, missing: pd.Index[str]) -> Any:
    """The column of `adata.var` that holds most of the names, if it holds at least half of them."""
    table = table_in_memory(adata.var)
    texts = [name for name, dtype in table.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    if table.columns.has_duplicates or not texts:
        return None
    found = {name: int(missing.isin(table[name].astype(str)).sum()) for name in texts}
    best = max(found, key=lambda name: found[name])
    return best if 2 * found[best] >= len(missing) else None
