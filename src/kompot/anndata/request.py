"""What the user asked `kompot.de` for, checked as a whole before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot._typing import Float64, Ints, Matrix
from kompot.anndata import extract
from kompot.anndata.arguments import check_containers, estimator_parameters, require_anndata, warn_of_unused
from kompot.anndata.fields import DE_FIELDS, EXTRA_KEYS, FDR_KEYS, NamedField, named_fields
from kompot.anndata.history import storage_key
from kompot.errors import NullDistributionWarning, warn
from kompot.gp.parameters import RegressionParameters
from kompot.settings import (
    FDRSettings,
    FilterSettings,
    GPSettings,
    ModelSettings,
    OutputSettings,
    StorageSettings,
)

AUTO_NULL_GENES = 2000
_GP_NAMES = ("sigma", "ls", "ls_factor", "n_landmarks", "landmarks", "batch_size", "random_state")


@dataclass(frozen=True)
class DESettings:
    """All settings of a run; defaults where the user gave none."""

    gp: GPSettings
    """Gaussian process."""
    fdr: FDRSettings
    """False discovery rate."""
    filter: FilterSettings
    """Cells and groups."""
    storage: StorageSettings
    """Storage."""
    output: OutputSettings
    """Return values."""
    model: ModelSettings
    """Injected models."""


@dataclass(frozen=True)
class DERequest:
    """A checked call of `kompot.de`."""

    groupby: str
    """Column of conditions."""
    conditions: tuple[Any, Any]
    """Labels of condition 1 and 2."""
    obsm_key: str
    """Key of the cell states."""
    layer: str | None
    """Layer of expression, None for X."""
    genes: Sequence[str] | None
    """Names as asked for, None for all."""
    settings: DESettings
    """All settings."""
    extra: Mapping[str, Any]
    """Keyword arguments for the estimator."""
    parameters: RegressionParameters
    """Parameters of the regression."""
    X: Float64
    """Cell states of all cells, n_cells x n_dims."""
    condition: Ints
    """0, 1, or -1 for cells of other conditions, n_cells."""
    matrix: Matrix
    """Expression of all genes, n_cells x n_genes."""
    all_genes: pd.Index[str]
    """Names of all genes in the data."""
    columns: Ints
    """Columns of the genes to report, sorted."""
    prebaked: Ints
    """Columns that the user declared to be null features."""
    n_null: int
    """Number of genes to shuffle."""

    @property
    def fields(self) -> dict[str, NamedField]:
        """Names of the fields that will be written, by key."""
        return written_fields(self.settings, self.result_key, self.conditions, fdr=self.with_fdr)

    @property
    def field_names(self) -> dict[str, str]:
        """Names of all fields of this type of run, written or not, by key."""
        return {key: item.name for key, item in named_fields(DE_FIELDS, self.result_key, *self.conditions).items()}

    @property
    def gene_names(self) -> pd.Index[str]:
        """Names of the genes to report."""
        return self.all_genes[self.columns]

    @property
    def result_key(self) -> str:
        """Prefix of all names."""
        return self.settings.storage.result_key or storage_key("de")

    @property
    def with_fdr(self) -> bool:
        """Whether there is a null distribution."""
        return self.settings.output.compute_mahalanobis and bool(
            self.n_null or len(self.prebaked) or has_external_null(self.settings.fdr)
        )


def has_external_null(fdr: FDRSettings) -> bool:
    """Whether the user brings null distances or null expression."""
    return fdr.null_mahalanobis is not None or fdr.null_expression is not None


def refuse_unfinished(settings: DESettings, *, sample_col: str | None, dry_run: bool) -> None:
    """Raise for parts of the interface that this version does not compute; nothing is silently ignored."""
    unfinished = {"sample_col": sample_col is not None, "dry_run": dry_run}
    for group, names in {
        "gp": ("use_empirical_variance",),
        "filter": ("cell_filter", "groups", "min_cells", "min_percentage", "check_representation"),
        "storage": (
            "store_posterior_covariance",
            "store_arrays_on_disk",
            "disk_storage_dir",
            "max_memory_ratio",
        ),
        "output": ("allow_single_condition_variance",),
        "model": tuple(ModelSettings.__dataclass_fields__),
    }.items():
        unfinished |= {f"{group}.{name}": not getattr(settings, group).is_default(name) for name in names}
    wanted = [name for name, is_wanted in unfinished.items() if is_wanted]
    if wanted:
        raise NotImplementedError(f"kompot.de does not support {', '.join(wanted)} yet; leave it at its default.")


def null_counts(fdr: FDRSettings, output: OutputSettings, n_genes: int) -> tuple[int, Ints]:
    """Number of genes to shuffle, and the columns that already are null features.

    Parameters
    ----------
    fdr
        The user's settings.
    output
        Without distances no genes are shuffled; declared null features are left out of the results all the same.
    n_genes
        Number of genes in the data.

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
        return AUTO_NULL_GENES, none
    return int(fdr.null_genes or 0), none


def check_external_null(fdr: FDRSettings, condition: Ints) -> None:
    """Raise if external null expression does not have one finite row per cell."""
    if fdr.null_expression is None:
        return
    for code, Y in enumerate(fdr.null_expression):
        n_cells = int((condition == code).sum())
        if np.shape(Y)[0] != n_cells:
            raise ValueError(
                f"null_expression[{code}] must have one row per cell of condition{code + 1}: needed {n_cells}, came "
                f"{np.shape(Y)[0]}."
            )
        values = Y.data if hasattr(Y, "tocsr") else np.asarray(Y)
        if values.dtype.kind not in "fiub":
            raise TypeError(f"null_expression[{code}] must hold real numbers, came dtype {values.dtype}.")
        if not np.isfinite(values).all():
            raise ValueError(f"null_expression[{code}] has NaN or infinite values.")


def written_fields(
    settings: DESettings, result_key: str, conditions: tuple[Any, Any], *, fdr: bool
) -> dict[str, NamedField]:
    """Names of the fields a run writes."""
    named = named_fields(DE_FIELDS, result_key, *conditions)
    left_out: set[str] = set()
    if not settings.storage.store_additional_stats:
        left_out |= set(EXTRA_KEYS)
    if not fdr:
        left_out |= set(FDR_KEYS)
    if not settings.output.compute_mahalanobis:
        left_out |= {"mahalanobis_key", "ptp_key"}
    if not settings.storage.store_layers:
        left_out |= {key for key, item in named.items() if item.field.place == "layers"}
    return {key: item for key, item in named.items() if key not in left_out}


def build_request(
    adata: AnnData,
    groupby: str,
    conditions: tuple[Any, Any],
    obsm_key: str,
    layer: str | None,
    genes: Sequence[str] | None,
    settings: DESettings,
    extra: Mapping[str, Any],
) -> DERequest:
    """Check a call of `kompot.de` against the object.

    Parameters
    ----------
    adata
        Not changed.
    groupby, conditions, obsm_key, layer, genes
        As the user gave them.
    settings
        Checked on their own already.
    extra
        Keyword arguments for the estimator.

    Returns
    -------
    DERequest
        Everything the computation needs.
    """
    require_anndata(adata)
    conditions = (extract.plain_label(conditions[0]), extract.plain_label(conditions[1]))
    condition = extract.condition_codes(adata, groupby, *conditions)
    X = extract.cell_states(adata, obsm_key)
    matrix = extract.expression(adata, layer)
    columns = extract.gene_columns(adata, genes)
    n_null, prebaked = null_counts(settings.fdr, settings.output, adata.n_vars)
    columns = np.setdiff1d(columns, prebaked)
    if not len(columns):
        raise ValueError("No genes are left to analyse: all of them are named in FDRSettings.null_genes.")
    check_external_null(settings.fdr, condition)
    check_containers(adata, "de", settings.storage.result_key or storage_key("de"))
    warn_of_unused({"gp": settings.gp}, {"gp": ("jit_compile",)}, "kompot.de")
    used = np.arange(adata.n_vars) if n_null else np.union1d(columns, prebaked)
    extract.require_finite(matrix, condition >= 0, used, adata.var_names, layer)
    return DERequest(
        groupby=groupby,
        conditions=conditions,
        obsm_key=obsm_key,
        layer=layer,
        genes=None if genes is None else list(adata.var_names[columns]),
        settings=settings,
        extra=dict(extra),
        parameters=estimator_parameters(RegressionParameters, settings.gp, _GP_NAMES, extra, "kompot.de", X.shape[1]),
        X=X,
        condition=condition,
        matrix=matrix,
        all_genes=adata.var_names,
        columns=columns,
        prebaked=prebaked,
        n_null=n_null,
    )
