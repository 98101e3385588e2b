"""What the user asked for as null distribution, checked before any work."""

from __future__ import annotations

from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._typing import Float64, Ints
from kompot.errors import NullDistributionWarning, warn
from kompot.gp.function_estimator import expression_matrix
from kompot.settings import FDRSettings, OutputSettings

AUTO_NULL_GENES = 2000


def has_external_null(fdr: FDRSettings) -> bool:
    """Whether the user brings null distances or null expression."""
    return fdr.null_mahalanobis is not None or fdr.null_expression is not None


def null_counts(
    fdr: FDRSettings, output: OutputSettings, n_genes: int, *, auto: int = AUTO_NULL_GENES
) -> tuple[int, Ints]:
    """Number of genes to shuffle, and the columns that already are null features.

    Parameters
    ----------
    fdr
        The user's settings.
    output
        Without distances no genes are shuffled; declared null features are left out of the results all the same.
    n_genes
        Number of genes in the data.
    auto
        What "auto" means: with biological samples and with injected predictors none.

    Returns
    -------
    tuple[int, Ints]
        At most one of the two is not empty.
    """
    none = np.empty(0, dtype=np.int64)
    if isinstance(fdr.null_genes, list):
        columns = np.sort(np.asarray(fdr.null_genes, dtype=np.int64))
        if columns[-1] >= n_genes:
            raise ValueError(
                f"FDRSettings.null_genes names column {columns[-1]}, but the data have {n_genes} genes (0 to "
                f"{n_genes - 1})."
            )
        return 0, columns
    if not output.compute_mahalanobis:
        return 0, none
    if fdr.combine_with_internal and not fdr.null_genes:
        warn("combine_with_internal has no effect with null_genes=0.", NullDistributionWarning)
    if has_external_null(fdr) and not fdr.combine_with_internal:
        return 0, none
    if fdr.null_genes == "auto":
        return auto, none
    return int(fdr.null_genes or 0), none


def check_external_null(fdr: FDRSettings, condition: Ints) -> None:
    """Raise if external null expression does not have one finite row per cell, or does not vary in any column."""
    if fdr.null_expression is None:
        return
    for code, Y in enumerate(fdr.null_expression):
        n_cells = int((condition == code).sum())
        if np.shape(Y)[0] != n_cells:
            raise ValueError(
                f"null_expression[{code}] must have one row per cell of condition{code + 1}: needed {n_cells}, came "
                f"{np.shape(Y)[0]}."
            )
        expression_matrix(f"null_expression[{code}]", Y, n_cells)
    lows, highs = zip(*map(_extremes, fdr.null_expression), strict=True)
    if (np.minimum(*lows) == np.maximum(*highs)).all():
        raise ValueError(
            f"All {len(lows[0])} null genes of null_expression are constant over the cells compared, so every gene "
            f"that varies would be called differential. Give null genes that vary as those tested do."
        )


def _extremes(Y: Any) -> tuple[Float64, Float64]:
    """Smallest and largest value of each column."""
    if check.is_sparse(Y):
        by_column = Y.tocsc(copy=True)  # extremes of an entry stored in parts add the parts up in place
        return by_column.min(axis=0).toarray().ravel(), by_column.max(axis=0).toarray().ravel()
    values = np.asarray(Y)
    return values.min(axis=0), values.max(axis=0)
