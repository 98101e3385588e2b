"""What the user asked `kompot.smooth_expression` for, checked as a whole before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot._typing import Bools, Float64, Ints, Matrix
from kompot.anndata import extract
from kompot.anndata.arguments import (
    check_containers,
    estimator_parameters,
    require_anndata,
    require_writable,
    warn_of_unused,
)
from kompot.anndata.condition_names import condition_names
from kompot.anndata.dependencies import input_record
from kompot.anndata.embedding import cell_states
from kompot.anndata.fields import SMOOTH_FIELDS, NamedField, named_fields
from kompot.anndata.history import storage_key
from kompot.differential.expression_model import ExpressionModel
from kompot.gp.parameters import RegressionParameters
from kompot.settings import GPSettings, ModelSettings, OutputSettings, StorageSettings

_GP_NAMES = ("sigma", "ls", "ls_factor", "n_landmarks", "landmarks", "batch_size", "random_state")
_FITTING = ("sigma", "ls", "ls_factor", "n_landmarks", "landmarks", "use_empirical_variance", "random_state")
_UNUSED: dict[str, tuple[str, ...]] = {
    "gp": ("jit_compile",),
    "storage": (
        "store_posterior_covariance",
        "store_additional_stats",
        "store_arrays_on_disk",
        "disk_storage_dir",
        "max_memory_ratio",
    ),
    "output": ("return_null_data", "compute_mahalanobis", "allow_single_condition_variance"),
    "model": tuple(name for name in ModelSettings.__dataclass_fields__ if name != "model1"),
}


@dataclass(frozen=True)
class SmoothSettings:
    """All settings of a run; defaults where the user gave none."""

    gp: GPSettings
    """Gaussian process."""
    storage: StorageSettings
    """Storage."""
    output: OutputSettings
    """Return values."""
    model: ModelSettings
    """Injected model."""


@dataclass(frozen=True)
class SmoothRequest:
    """A checked call of `kompot.smooth_expression`."""

    groupby: str | None
    """Column of conditions."""
    condition: Any
    """Label of the condition; None for all cells."""
    name: str
    """What stands for it in names of fields."""
    obsm_key: str
    """Key of the cell states."""
    layer: str | None
    """Layer of expression, None for X."""
    genes: list[str] | None
    """Names as asked for and in that order, None for all."""
    sample_col: str | None
    """Column of biological samples."""
    settings: SmoothSettings
    """All settings."""
    extra: Mapping[str, Any]
    """Keyword arguments for the estimator."""
    parameters: RegressionParameters
    """Parameters of the regression."""
    X: Float64
    """Cell states of all cells, n_cells x n_dims."""
    used: Bools
    """Cells of the condition, n_cells."""
    samples: np.ndarray[Any, Any] | None
    """Biological sample of each cell, n_cells."""
    matrix: Matrix
    """Expression of all genes, n_cells x n_genes."""
    all_genes: pd.Index[str]
    """Names of all genes in the data."""
    columns: Ints
    """Columns of the genes to smooth, sorted."""
    inputs: Mapping[str, Any]
    """Hashes of the cells used, for the record."""

    @property
    def result_key(self) -> str:
        """Prefix of all names."""
        return self.settings.storage.result_key or storage_key("smooth")

    @property
    def fields(self) -> dict[str, NamedField]:
        """Names of the fields that will be written, by key."""
        named = named_fields(SMOOTH_FIELDS, self.result_key, self.name, self.name)
        model = self.settings.model.model1
        empirical = self.settings.gp.use_empirical_variance if model is None else model.empirical is not None
        between = self.sample_col is not None if model is None else model.between is not None
        wanted = {"obs_variance_key": empirical, "sample_variance_key": between}
        if not self.settings.storage.store_layers:
            return {}
        return {key: item for key, item in named.items() if wanted.get(key, True)}


def build_smooth_request(
    adata: AnnData,
    groupby: str | None,
    condition: Any,
    obsm_key: str,
    layer: str | None,
    genes: Sequence[str] | None,
    sample_col: str | None,
    settings: SmoothSettings,
    extra: Mapping[str, Any],
) -> SmoothRequest:
    """Check a call of `kompot.smooth_expression` against the object.

    Parameters
    ----------
    adata
        Not changed.
    groupby, condition, obsm_key, layer, genes, sample_col
        As the user gave them.
    settings
        Checked on their own already.
    extra
        Keyword arguments for the estimator.

    Returns
    -------
    SmoothRequest
        Everything the computation needs.
    """
    require_anndata(adata)
    require_writable(adata, settings.output)
    condition = extract.plain_label(condition)
    used = condition_cells(adata, groupby, condition)
    X = cell_states(adata, obsm_key)
    matrix = extract.expression(adata, layer)
    names = extract.gene_names(genes)
    columns = extract.gene_columns(adata, names)
    check_containers(adata, "smooth", settings.storage.result_key or storage_key("smooth"))
    check_model(settings.model.model1, X.shape[1], len(columns))
    if settings.model.model1 is None:
        extract.require_finite(matrix, used, columns, adata.var_names, layer)
    unused = _UNUSED
    if settings.model.model1 is not None:
        unused = {**_UNUSED, "gp": ("jit_compile", *_FITTING)}
        if sample_col is not None and settings.model.model1.between is None:
            raise ValueError(
                "sample_col needs the variance between samples, but ModelSettings.model1 was fitted without samples. "
                "Fit kompot.ExpressionModel with samples, or leave sample_col out."
            )
    warn_of_unused(vars(settings), unused, "kompot.smooth_expression", extra)
    owner, n_dims = "kompot.smooth_expression", X.shape[1]
    parameters = estimator_parameters(RegressionParameters, settings.gp, _GP_NAMES, extra, owner, n_dims)
    samples = None if sample_col is None else extract.sample_labels(adata, sample_col, used)
    return SmoothRequest(
        groupby=groupby,
        condition=condition,
        name="all" if groupby is None else condition_names(adata, groupby, condition)[0],
        obsm_key=obsm_key,
        layer=layer,
        genes=None if names is None else list(map(str, names)),
        sample_col=sample_col,
        settings=settings,
        extra=dict(extra),
        parameters=parameters,
        X=X,
        used=used,
        samples=samples,
        matrix=matrix,
        all_genes=adata.var_names,
        columns=columns,
        inputs=input_record(
            X,
            np.where(used, 0, -1),
            np.ones(adata.n_obs, dtype=np.bool_),
            samples,
            {},
            parameters.landmark_matrix(n_dims),
        ),
    )


def condition_cells(adata: AnnData, groupby: str | None, condition: Any) -> Bools:
    """Cells to fit: those of the condition, or all where neither it nor its column is given."""
    if groupby is None and condition is None:
        return np.ones(adata.n_obs, dtype=np.bool_)
    if groupby is None:
        raise ValueError(f"condition={check.brief(condition)} needs groupby, the column of adata.obs that holds it.")
    labels = extract.label_column(adata, groupby, "groupby")
    if condition is None:
        raise ValueError(
            f"groupby={groupby!r} needs condition, the label of the cells to smooth; leave both out to use all cells."
        )
    cells = extract.cells_with(labels, extract.condition_label("condition", condition), "condition")
    if cells.sum() < 2:
        raise ValueError(f"condition={condition!r} has {cells.sum()} cell; at least 2 are needed.")
    return cells


def check_model(model: Any, n_dims: int, n_genes: int) -> None:
    """Raise unless an injected model is fitted and fits the data."""
    if model is None:
        return
    if not isinstance(model, ExpressionModel):
        raise TypeError(f"ModelSettings.model1 must be a kompot.ExpressionModel, came {check.show(model)}.")
    came = (model.predictor.features.n_dims, model.predictor.posterior.coef.shape[1])
    if came != (n_dims, n_genes):
        raise ValueError(
            f"ModelSettings.model1 was fitted to {came[0]} dimensions and {came[1]} genes; needed {n_dims} and "
            f"{n_genes}, as in the embedding and the genes asked for."
        )
