"""What the user asked `kompot.da` for, checked as a whole before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from anndata import AnnData

from kompot._checks import boolean
from kompot._typing import Float64, Ints
from kompot.anndata import extract
from kompot.anndata.arguments import (
    check_containers,
    estimator_parameters,
    require_anndata,
    require_writable,
    warn_of_unused,
)
from kompot.anndata.condition_names import condition_names
from kompot.anndata.embedding import cell_states
from kompot.anndata.fields import DA_FIELDS, NamedField, named_fields
from kompot.anndata.history import storage_key
from kompot.anndata.landmark_store import stored_landmarks
from kompot.gp.parameters import DensityParameters
from kompot.settings import DAThresholdSettings, GPSettings, ModelSettings, OutputSettings, StorageSettings

_GP_NAMES = ("ls", "ls_factor", "n_landmarks", "landmarks", "batch_size", "random_state")
SWITCHES = ("sync_parameters", "calibrate_offset")
_UNUSED: dict[str, tuple[str, ...]] = {
    "gp": ("sigma", "use_empirical_variance", "jit_compile"),
    "storage": (
        "store_posterior_covariance",
        "store_additional_stats",
        "store_arrays_on_disk",
        "disk_storage_dir",
        "max_memory_ratio",
        "store_layers",
    ),
    "output": ("return_null_data", "compute_mahalanobis"),
    "model": (
        "model1",
        "model2",
        "function_predictor1",
        "function_predictor2",
        "obs_variance_predictor1",
        "obs_variance_predictor2",
    ),
}


@dataclass(frozen=True)
class DASettings:
    """All settings of a run; defaults where the user gave none."""

    gp: GPSettings
    """Gaussian process."""
    threshold: DAThresholdSettings
    """Thresholds of the directions."""
    storage: StorageSettings
    """Storage."""
    output: OutputSettings
    """Return values."""
    model: ModelSettings
    """Injected predictors."""


@dataclass(frozen=True)
class DARequest:
    """A checked call of `kompot.da`."""

    groupby: str
    """Column of conditions."""
    conditions: tuple[Any, Any]
    """Labels of condition 1 and 2."""
    names: tuple[str, ...]
    """What stands for them in names of fields."""
    obsm_key: str
    """Key of the cell states."""
    sample_col: str | None
    """Column of biological samples."""
    settings: DASettings
    """All settings."""
    extra: Mapping[str, Any]
    """Keyword arguments for the estimator."""
    parameters: DensityParameters
    """Parameters of the densities."""
    X: Float64
    """Cell states of all cells, n_cells x n_dims."""
    condition: Ints
    """0, 1, or -1 for cells of other conditions, n_cells."""
    samples: np.ndarray[Any, Any] | None
    """Biological sample of each cell, n_cells."""

    @property
    def result_key(self) -> str:
        """Prefix of all names."""
        return self.settings.storage.result_key or storage_key("da")

    @property
    def fields(self) -> dict[str, NamedField]:
        """Names of the fields that will be written, by key."""
        return named_fields(DA_FIELDS, self.result_key, *self.names, samples=self.sample_col is not None)

    @property
    def switches(self) -> dict[str, bool]:
        """`sync_parameters` and `calibrate_offset`, True where not given."""
        return {name: bool(self.extra.get(name, True)) for name in SWITCHES}


def build_da_request(
    adata: AnnData,
    groupby: str,
    conditions: tuple[Any, Any],
    obsm_key: str,
    sample_col: str | None,
    settings: DASettings,
    extra: Mapping[str, Any],
) -> DARequest:
    """Check a call of `kompot.da` against the object.

    Parameters
    ----------
    adata
        Not changed.
    groupby, conditions, obsm_key, sample_col
        As the user gave them.
    settings
        Checked on their own already.
    extra
        Keyword arguments for the estimator.

    Returns
    -------
    DARequest
        Everything the computation needs.
    """
    require_anndata(adata)
    require_writable(adata, settings.output)
    conditions = (extract.plain_label(conditions[0]), extract.plain_label(conditions[1]))
    condition = extract.condition_codes(adata, groupby, *conditions)
    X = cell_states(adata, obsm_key)
    result_key = settings.storage.result_key or storage_key("da")
    check_containers(adata, "da", result_key)
    given = [getattr(settings.model, f"density_predictor{number}") is not None for number in (1, 2)]
    unused = dict(_UNUSED)
    if all(given):
        unused["gp"] += ("ls", "ls_factor", "n_landmarks", "landmarks", "random_state")
        unused["storage"] += ("store_landmarks",)
    if sample_col is None:
        unused["output"] += ("allow_single_condition_variance",)
    density = {name: value for name, value in extra.items() if name not in SWITCHES}
    warn_of_unused(vars(settings), unused, "kompot.da", density)
    for name in SWITCHES:
        boolean(name, extra.get(name, True))
    parameters = estimator_parameters(DensityParameters, settings.gp, _GP_NAMES, density, "kompot.da", X.shape[1])
    stored = (
        None if parameters.landmarks is not None else stored_landmarks(adata, "da", result_key, obsm_key, X.shape[1])
    )
    return DARequest(
        groupby=groupby,
        conditions=conditions,
        names=condition_names(adata, groupby, *conditions),
        obsm_key=obsm_key,
        sample_col=sample_col,
        settings=settings,
        extra=dict(extra),
        parameters=replace(parameters, stored_landmarks=stored),
        X=X,
        condition=condition,
        samples=None if sample_col is None else extract.sample_labels(adata, sample_col, condition >= 0),
    )
