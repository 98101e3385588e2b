"""What the user asked `kompot.de` for, checked as a whole before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot._file_names import COLUMNS_TAKEN, distinct_names
from kompot._typing import Float64, Ints, Matrix
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
from kompot.anndata.fields import DE_FIELDS, NamedField, de_fields, named_fields
from kompot.anndata.history import storage_key
from kompot.anndata.landmark_store import stored_landmarks
from kompot.anndata.model_request import Brought, Injection, brought_by, check_nulls, injection, width_of
from kompot.anndata.null_request import AUTO_NULL_GENES, check_external_null, has_external_null, null_counts
from kompot.anndata.selected_cells import SelectedCells, select_cells
from kompot.anndata.weights import AbundanceWeights, abundance_weights
from kompot.differential.samples import require_both
from kompot.errors import StorageWarning, warn
from kompot.gp.parameters import RegressionParameters
from kompot.gp.predictor import Predictor
from kompot.settings import (
    FDRSettings,
    FilterSettings,
    GPSettings,
    ModelSettings,
    OutputSettings,
    StorageSettings,
)

_GP_NAMES = ("sigma", "ls", "ls_factor", "n_landmarks", "landmarks", "batch_size", "random_state")
_FEWEST_CELLS = 2


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
    names: tuple[str, ...]
    """What stands for them in names of fields."""
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
    cells: SelectedCells
    """Which cells are compared and evaluated, in which groups."""
    matrix: Matrix
    """Expression of all genes, n_cells x n_genes."""
    all_cells: pd.Index[str]
    """Names of all cells in the data."""
    all_genes: pd.Index[str]
    """Names of all genes in the data."""
    columns: Ints
    """Columns of the genes to report, sorted."""
    prebaked: Ints
    """Columns that the user declared to be null features."""
    n_null: int
    """Number of genes to shuffle."""
    sample_col: str | None
    """Column of biological samples."""
    samples: np.ndarray[Any, Any] | None
    """Biological sample of each cell, n_cells, if asked for."""
    injection: Injection | None
    """Models and predictors that the user brings."""
    inputs: Mapping[str, Any]
    """Hashes of the cells used, for the record."""
    abundance: AbundanceWeights | None
    """Weights of the cells in the weighted mean fold change, from an earlier `kompot.da`; None if there is none."""

    @property
    def condition(self) -> Ints:
        """0, 1, or -1 for cells that are not compared, n_cells."""
        return self.cells.condition

    @property
    def weights(self) -> Float64 | None:
        """Weight of each cell in the weighted mean fold change, n_cells, if known."""
        return None if self.abundance is None else self.abundance.values

    @property
    def has_gene_variance(self) -> bool:
        """Whether standard deviations will differ between genes."""
        brought = self.injection.brought if self.injection else ()
        if any(part.obs_variance is not None for part in brought) or self.with_samples:
            return True
        fits_nothing = self.injection is not None and self.injection.fits_nothing
        return self.settings.gp.use_empirical_variance and not fits_nothing

    @property
    def with_samples(self) -> bool:
        """Whether the variance between samples counts, from `sample_col` or brought by the user."""
        brought = self.injection.brought if self.injection else ()
        return self.samples is not None or any(part.between is not None for part in brought)

    @property
    def fields(self) -> dict[str, NamedField]:
        """Names of the fields that will be written, by key."""
        return de_fields(
            self.result_key,
            self.names,
            self.settings.storage,
            distances=self.settings.output.compute_mahalanobis,
            fdr=self.with_fdr,
            group_fdr=self.with_group_fdr,
            samples=self.with_samples,
            gene_variance=self.has_gene_variance,
            groups=bool(self.cells.groups),
            weighted=self.abundance is not None,
        )

    @property
    def field_names(self) -> dict[str, str]:
        """Names of all fields of this type of run, written or not, by key."""
        named = named_fields(DE_FIELDS, self.result_key, *self.names, samples=self.with_samples)
        return {key: item.name for key, item in named.items()}

    @property
    def group_columns(self) -> dict[str, str]:
        """Column of each group in the tables in varm: its name, or what files can hold of it."""
        index = self.all_genes.name
        return distinct_names(self.cells.groups, COLUMNS_TAKEN | ({index} if isinstance(index, str) else set()))

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
        return self.with_group_fdr or (
            self.settings.output.compute_mahalanobis and has_external_null(self.settings.fdr)
        )

    @property
    def with_group_fdr(self) -> bool:
        """Whether there are null genes, which can be evaluated in groups."""
        fdr = self.settings.fdr
        columns = len(self.prebaked) and (fdr.combine_with_internal or not has_external_null(fdr))
        genes = self.n_null or columns or fdr.null_expression is not None
        return self.settings.output.compute_mahalanobis and bool(genes)


def build_request(
    adata: AnnData,
    groupby: str,
    conditions: tuple[Any, Any],
    obsm_key: str,
    layer: str | None,
    genes: Sequence[str] | None,
    sample_col: str | None,
    settings: DESettings,
    extra: Mapping[str, Any],
) -> DERequest:
    """Check a call of `kompot.de` against the object.

    Parameters
    ----------
    adata
        Not changed.
    groupby, conditions, obsm_key, layer, genes, sample_col
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
    require_writable(adata, settings.output)
    conditions = (extract.plain_label(conditions[0]), extract.plain_label(conditions[1]))
    X = cell_states(adata, obsm_key)
    matrix = extract.expression(adata, layer)
    columns = extract.gene_columns(adata, extract.gene_names(genes))
    cells = select_cells(adata, groupby, conditions, settings.filter)
    result_key = settings.storage.result_key or storage_key("de")
    check_containers(adata, "de", result_key)
    n_null, prebaked, brought = _null_and_models(settings, sample_col, X, adata.n_vars, columns)
    warn_of_unused(vars(settings), unused_settings(settings, sample_col, brought), "kompot.de", extra)
    if brought is None or brought.width == adata.n_vars:
        columns = np.setdiff1d(columns, prebaked)
    if not len(columns):
        raise ValueError("No genes are left to analyse: all of them are named in FDRSettings.null_genes.")
    check_external_null(settings.fdr, cells.condition)
    samples = _samples(adata, sample_col, cells.condition, brought, settings)
    parameters = _parameters(adata, settings, extra, result_key, obsm_key, X.shape[1])
    used = np.arange(adata.n_vars) if n_null else np.union1d(columns, prebaked[prebaked < adata.n_vars])
    if brought is None or not brought.fits_nothing:
        extract.require_finite(matrix, cells.condition >= 0, used, adata.var_names, layer)
    request = DERequest(
        groupby=groupby,
        conditions=conditions,
        names=condition_names(adata, groupby, *conditions),
        obsm_key=obsm_key,
        layer=layer,
        genes=None if genes is None else list(adata.var_names[columns]),
        settings=settings,
        extra=dict(extra),
        parameters=parameters,
        X=X,
        cells=cells,
        matrix=matrix,
        all_cells=adata.obs_names,
        all_genes=adata.var_names,
        columns=columns,
        prebaked=prebaked,
        n_null=n_null,
        sample_col=sample_col,
        samples=samples,
        injection=brought,
        inputs=input_record(
            X, cells.condition, cells.evaluated, samples, cells.groups, parameters.landmark_matrix(X.shape[1])
        ),
        abundance=abundance_weights(adata, groupby, conditions, obsm_key, cells.evaluated),
    )
    if settings.storage.store_posterior_covariance and request.with_samples:
        warn(
            "The posterior covariance is not stored with replicates, because it differs between genes.",
            StorageWarning,
        )
    return request


def _parameters(
    adata: AnnData, settings: DESettings, extra: Mapping[str, Any], result_key: str, obsm_key: str, n_dims: int
) -> RegressionParameters:
    """Parameters of the regression, with landmarks of an earlier run where the user gives none."""
    parameters = estimator_parameters(RegressionParameters, settings.gp, _GP_NAMES, extra, "kompot.de", n_dims)
    if parameters.landmarks is not None:
        return parameters
    return replace(parameters, stored_landmarks=stored_landmarks(adata, "de", result_key, obsm_key, n_dims))


def _null_and_models(
    settings: DESettings, sample_col: str | None, X: Float64, n_genes: int, columns: Ints
) -> tuple[int, Ints, Injection | None]:
    """Number of genes to shuffle, columns of null features, and what the user brings."""
    brought = (brought_by(settings.model, 1), brought_by(settings.model, 2))
    given = any(part.anything for part in brought)
    if given:
        check_nulls(settings.fdr)
    width = (width_of(brought, X) if given else 0) or n_genes
    auto = 0 if given or sample_col is not None else AUTO_NULL_GENES
    n_null, prebaked = null_counts(settings.fdr, settings.output, width, auto=auto)
    return n_null, prebaked, injection(brought, width, n_genes, columns, prebaked) if given else None


def _samples(
    adata: AnnData,
    sample_col: str | None,
    condition: Ints,
    brought: Injection | None,
    settings: DESettings,
) -> np.ndarray[Any, Any] | None:
    """Biological samples, of which each condition has enough."""
    if sample_col is None:
        return None
    labels = extract.sample_labels(adata, sample_col, condition >= 0)
    counts: list[int] = []
    missing: list[int] = []
    for code in (0, 1):
        part = brought.brought[code] if brought else None
        counts.append(_n_samples(labels[condition == code], part))
        if part is not None and part.function is not None and not counts[code]:
            missing.append(code)
    if len(missing) == 2 or (missing and not settings.output.allow_single_condition_variance):
        raise ValueError(_without_samples(missing[0] + 1, brought))
    require_both(counts, borrow=settings.output.allow_single_condition_variance)
    return labels


def _n_samples(labels: np.ndarray[Any, Any], part: Brought | None) -> int:
    """Samples that the variance between them can come from; enough where it is brought, none where it is not."""
    if part is not None and part.between is not None:
        return _FEWEST_CELLS
    if part is not None and part.function is not None:
        return 0
    return int((pd.Series(labels).value_counts() >= _FEWEST_CELLS).sum())


def _without_samples(number: int, brought: Injection | None) -> str:
    part = None if brought is None else brought.brought[number - 1]
    what = f"sample_col needs the variance between samples of condition {number}, whose "
    if part is not None and part.model is not None and isinstance(part.function, Predictor):
        return (
            f"{what}model or predictor is given without it: fit kompot.ExpressionModel with samples, or pass "
            f"function_predictor{number} and variance_predictor{number} instead of model{number}, or leave sample_col "
            f"out."
        )
    return (
        f"{what}function predictor is given: pass ModelSettings(variance_predictor{number}=...) too (for example a "
        f"fitted kompot.SampleVarianceEstimator), or leave sample_col out."
    )


def unused_settings(
    settings: DESettings, sample_col: str | None, brought: Injection | None
) -> dict[str, tuple[str, ...]]:
    """Settings that this call cannot use, by group; see `warn_of_unused`."""
    gp, output, storage = ["jit_compile"], [], []
    model = ["density_predictor1", "density_predictor2"]
    fdr = [] if has_external_null(settings.fdr) else ["combine_with_internal"]
    if not settings.output.compute_mahalanobis:
        # Declared null features are left out of the results all the same.
        shuffled = settings.fdr.null_genes and not isinstance(settings.fdr.null_genes, list)
        fdr = ["null_mahalanobis", "null_expression", *(["null_genes"] if shuffled else [])]
    counted = settings.filter.groups is not None and settings.filter.check_representation is not False
    between = brought is not None and any(part.between is not None for part in brought.brought)
    if sample_col is None and not between:
        output.append("allow_single_condition_variance")
    for number in (1, 2):
        if getattr(settings.model, f"model{number}") is not None:
            parts = ("function_predictor", "obs_variance_predictor", "variance_predictor")
            model += [f"{part}{number}" for part in parts]
    if brought is not None and brought.fits_nothing:
        gp += ["sigma", "ls", "ls_factor", "use_empirical_variance", "random_state"]
        storage += [] if brought.shared is not None else ["store_landmarks"]
    return {
        "gp": tuple(gp),
        "fdr": tuple(fdr),
        "filter": () if counted else ("min_cells", "min_percentage"),
        "storage": tuple(storage),
        "output": tuple(output),
        "model": tuple(model),
    }
