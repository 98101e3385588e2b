"""Plans of `kompot.de`, `kompot.da` and `kompot.smooth_expression` from their checked requests."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from anndata import AnnData

from kompot import _checks as check
from kompot._typing import Bools
from kompot.anndata.da_request import DARequest
from kompot.anndata.deliver import writes_results
from kompot.anndata.extract import is_in_memory
from kompot.anndata.layer_storage import LayerPlan, covariance_bytes
from kompot.anndata.layers import layer_names
from kompot.anndata.lazy import table_in_memory
from kompot.anndata.planning import density_stages, stages
from kompot.anndata.planning.build_plan import (
    NO_LAYERS,
    add_fields,
    add_landmarks,
    expected_landscape,
    finish,
    sample_sizes,
)
from kompot.anndata.planning.machine import measure_speed
from kompot.anndata.planning.resource_plan import ResourcePlan, Stage
from kompot.anndata.planning.stages import Fit, Work
from kompot.anndata.planning.workload import Landscape, expression_of
from kompot.anndata.request import DERequest
from kompot.anndata.smooth_request import SmoothRequest
from kompot.gp.moments import rows_per_chunk

_SINGLE, _DOUBLE = 4, 8


def plan_de(adata: AnnData, request: DERequest, layers: LayerPlan | None, problem: str | None) -> ResourcePlan:
    """Plan of a run of `kompot.de`.

    Parameters
    ----------
    adata
        Not changed.
    request
        Checked.
    layers
        Where layers will go; None if that could not be decided.
    problem
        Why it could not.

    Returns
    -------
    ResourcePlan
        Complete.
    """
    condition, n_null = request.condition, _n_null(request)
    plan = ResourcePlan(n_genes=len(request.columns), n_null_genes=n_null)
    masks = [condition == code for code in (0, 1)]
    names = [str(label) for label in request.conditions]
    plan.n_cells = {name: int(mask.sum()) for name, mask in zip(names, masks, strict=True)}
    plan.n_cells["evaluated"] = int(request.cells.evaluated.sum())
    if problem is not None:
        plan.errors.append(problem)
        plan.advice.append(NO_LAYERS)
    writes = writes_results(request.settings.output)
    on_disk = layers is not None and layers.directory is not None
    if writes:
        add_fields(plan, adata, request.fields.values(), n_groups=len(request.cells.groups), layers_on_disk=on_disk)
    if on_disk:
        plan.info.append("The layers will be kept on disk and read lazily.")
    shared = request.injection.shared if request.injection is not None else None
    known = None if shared is None else shared.features
    land = expected_landscape(plan, request.parameters, request.X, masks, request.cells.evaluated, known)
    storage, here = request.settings.storage, is_in_memory(request.matrix)
    if writes:
        add_landmarks(plan, land.n_dims, request.result_key, storage)
    if request.injection is not None and shared is None:
        plan.warnings.append("How long the predictors given take is not known; memory is that of dense covariances.")
        return finish(plan, [_dense(request, land, n_null), *_last(adata, plan, request, 0)], storage, in_memory=here)
    parts = _de_stages(request, land, n_null, n_layers=_n_layers(plan), on_disk=on_disk)
    kept = parts[-1].peak_bytes
    return finish(plan, [*parts, *_last(adata, plan, request, kept)], storage, in_memory=here)


def _n_layers(plan: ResourcePlan) -> int:
    return len(plan.output_fields.get("adata.layers", []))


def _n_null(request: DERequest) -> int:
    if not request.with_fdr:
        return 0
    external = request.settings.fdr.null_expression
    return request.n_null + len(request.prebaked) + (0 if external is None else int(np.shape(external[0])[1]))


def _de_stages(request: DERequest, land: Landscape, n_null: int, *, n_layers: int, on_disk: bool) -> list[Stage]:
    """The stages of a run that fits both conditions on shared features."""
    work = Work(measure_speed())
    data = expression_of(request.matrix, len(request.columns))
    samples = sample_sizes(request.samples, request.condition >= 0)
    empirical = request.settings.gp.use_empirical_variance
    main = Fit(land, len(request.columns), max(2, len(samples)), len(samples), empirical)
    null = replace(main, n_genes=n_null)
    converted = int(data.stored * data.stored_bytes) if data.converted else 0
    n_points = min(land.n_used, request.parameters.n_landmarks or land.n_used)
    refits = request.injection is None
    parts = []
    if refits:
        if request.parameters.ls is None and request.parameters.cov_func is None:
            parts.append(stages.neighbors(work, land))
        parts += [stages.feature_choice(work, land), stages.moments(work, data, main, "fit of the genes")]
        if empirical:
            parts.append(stages.variance_pass(work, data, replace(main, n_genes=main.n_genes + n_null)))
    kept = main.kept
    if n_null and refits:
        if request.n_null:
            parts.append(stages.shuffling(work, data, request.n_null, kept, land))
        shuffled = replace(data, read_seconds=0.0)
        stage = stages.moments(work, shuffled, null, "fit of the null genes")
        columns = data.share * land.n_used * n_null * data.stored_bytes
        parts.append(replace(stage, peak_bytes=int(stage.peak_bytes + kept + columns)))
    kept += null.kept
    if request.settings.output.compute_mahalanobis:
        both = replace(main, n_genes=main.n_genes + n_null)
        parts.append(stages.distances(work, both, n_points, kept))
        cells = request.cells
        sizes = [int(mask.sum()) for name, mask in cells.groups.items() if name not in cells.skipped]
        if request.with_fdr:
            parts.append(stages.false_discoveries(work, land, main.n_genes, n_null, len(sizes), kept))
        if sizes:
            parts.append(
                _noisy_groups(work, both, sizes, n_points, kept)
                if empirical
                else stages.groups(work, sizes, both, kept)
            )
    if not request.has_gene_variance or n_layers:
        parts.append(stages.variances(work, land, kept))
    if n_layers:
        size = n_layers * _SINGLE * land.n_cells * data.n_columns
        parts.append(stages.layers(work, main, n_layers, size, kept, on_disk=on_disk))
    else:
        parts.append(Stage("results", 0.0, int(stages.OVERHEAD + land.table + kept)))
    return [replace(stage, peak_bytes=stage.peak_bytes + converted) for stage in parts]


def _noisy_groups(work: Work, fit: Fit, sizes: list[int], n_points: int, kept: int) -> Stage:
    """With empirical variance the distance of each group is taken at points of its own."""
    each = [stages.distances(work, fit, min(n_points, size), kept) for size in sizes]
    return Stage("groups", sum(stage.seconds for stage in each), max(stage.peak_bytes for stage in each))


def _last(adata: AnnData, plan: ResourcePlan, request: Any, kept: int) -> list[Stage]:
    """What happens after the fit where it was asked for: covariance, null layers, a copy of the object."""
    settings, parts, n_cells = request.settings, [], len(request.X)
    if "adata.obsp" in plan.output_fields:
        parts.append(Stage("posterior covariance", math.nan, kept + covariance_bytes(n_cells)))
    if settings.output.return_full_results and plan.n_null_genes:
        parts.append(Stage("null genes at all cells", math.nan, kept + 8 * _SINGLE * n_cells * plan.n_null_genes))
    if settings.output.copy:
        parts.append(Stage("copy of the object", 0.0, kept + object_bytes(adata)))
    # Their time is that of memory used for the first time.
    return [replace(stage, seconds=stage.peak_bytes / 5e8 if math.isnan(stage.seconds) else 0.0) for stage in parts]


def object_bytes(adata: AnnData) -> int:
    """Size of the arrays of an object in memory; those on disk as they would be in memory."""
    layers = [adata.layers[name] for name in layer_names(adata)]
    matrices = [adata.X, *layers, *adata.obsm.values(), *adata.obsp.values()]
    return int(sum(map(_bytes, [*matrices, adata.obs, adata.var])))


def _bytes(part: Any) -> float:
    """Size of a matrix or table in memory; of one on disk as it would be."""
    if hasattr(part, "columns"):
        return float(table_in_memory(part).memory_usage(deep=True).sum())
    if check.is_sparse(part):
        arrays = [getattr(part, name, None) for name in ("data", "indices", "indptr")]
        return float(sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)))
    if (hasattr(part, "compute") or hasattr(part, "to_memory")) and len(part.shape) == 2:
        # Neither Dask arrays of sparse chunks nor sparse matrices on disk say how much they hold.
        data = expression_of(part, part.shape[1])
        return data.stored * data.stored_bytes
    return float(getattr(part, "nbytes", 0))


def _dense(request: DERequest, land: Landscape, n_null: int) -> Stage:
    """The dense path of injected predictors: covariances at their landmarks, or at the cells."""
    brought = request.injection.brought if request.injection is not None else ()
    points = [getattr(part.function, "landmarks", None) for part in brought]
    size = next((len(value) for value in points if value is not None), land.n_used)
    n_genes = len(request.columns) + n_null
    peak = 6 * _DOUBLE * size**2 + 4 * _DOUBLE * size * n_genes
    return Stage("predictors given", math.nan, int(stages.OVERHEAD + peak))


def plan_smooth(adata: AnnData, request: SmoothRequest) -> ResourcePlan:
    """Plan of a run of `kompot.smooth_expression`."""
    settings = request.settings
    plan = ResourcePlan(analysis_type="smooth", n_genes=len(request.columns))
    name = "all" if request.condition is None else str(request.condition)
    plan.n_cells = {name: int(request.used.sum()), "evaluated": len(request.X)}
    if writes_results(settings.output):
        add_fields(plan, adata, request.fields.values())
    model = settings.model.model1
    known = None if model is None else model.predictor.features
    everyone: Bools = np.ones(len(request.X), dtype=np.bool_)
    land = expected_landscape(plan, request.parameters, request.X, [request.used], everyone, known)
    if writes_results(settings.output):
        add_landmarks(plan, land.n_dims, request.result_key, settings.storage)
    work, data = Work(measure_speed()), expression_of(request.matrix, len(request.columns))
    samples = sample_sizes(request.samples, request.used)
    empirical = settings.gp.use_empirical_variance
    # One condition: its moment and coefficients instead of two.
    fit = Fit(land, len(request.columns), max(1, len(samples)), len(samples), empirical)
    parts = []
    if model is None:
        if request.parameters.ls is None and request.parameters.cov_func is None:
            parts.append(stages.neighbors(work, land))
        parts += [stages.feature_choice(work, land), stages.moments(work, data, fit, "fit of the genes")]
        if empirical:
            parts.append(stages.variance_pass(work, data, fit))
    n_layers = _n_layers(plan)
    size = n_layers * _SINGLE * land.n_cells * data.n_columns
    parts.append(_smooth_layers(work, fit, n_layers, size))
    parts += _last(adata, plan, request, parts[-1].peak_bytes)
    return finish(plan, parts, settings.storage, in_memory=is_in_memory(request.matrix))


def _smooth_layers(work: Work, fit: Fit, n_layers: int, size: int) -> Stage:
    """Chunks hold the values, their variances and copies in double precision."""
    stage = stages.layers(work, fit, n_layers, size, fit.kept, on_disk=False)
    entries = float(fit.land.n_evaluated * fit.n_genes)
    seconds = stage.seconds / 2 + work.plain(2e-9 * entries) + work.double(3.0 * entries / max(fit.n_genes, 1))
    rows = min(fit.land.n_cells, rows_per_chunk(fit.n_genes, fit.land.rank, _DOUBLE))
    return replace(stage, seconds=seconds, peak_bytes=stage.peak_bytes + 2 * _SINGLE * rows * fit.n_genes)


def plan_da(adata: AnnData, request: DARequest) -> ResourcePlan:
    """Plan of a run of `kompot.da`."""
    settings = request.settings
    plan = ResourcePlan(analysis_type="da")
    masks = [request.condition == code for code in (0, 1)]
    names = [str(label) for label in request.conditions]
    plan.n_cells = {name: int(mask.sum()) for name, mask in zip(names, masks, strict=True)}
    plan.n_cells["evaluated"] = len(request.X)
    if writes_results(settings.output):
        add_fields(plan, adata, request.fields.values())
    everyone: Bools = np.ones(len(request.X), dtype=np.bool_)
    land = expected_landscape(plan, request.parameters, request.X, masks, everyone)
    if writes_results(settings.output):
        add_landmarks(plan, land.n_dims, request.result_key, settings.storage)
    given = [p for p in (settings.model.density_predictor1, settings.model.density_predictor2) if p is not None]
    if given:
        plan.warnings.append("How long the density predictors given take is not known.")
    work = Work(measure_speed())
    samples = [size for mask in masks for size in sample_sizes(request.samples, mask)]
    sizes = [int(mask.sum()) for mask in masks][len(given) :] + samples
    parts = [stages.neighbors(work, land)] if request.parameters.nn_distances is None else []
    if request.parameters.d is None:
        parts.append(density_stages.dimension(work, land))
    if sizes:
        parts += [stages.feature_choice(work, land), density_stages.densities(work, land, sizes)]
    parts.append(density_stages.changes(work, land, len(sizes)))
    parts += _last(adata, plan, request, parts[-1].peak_bytes)
    return finish(plan, parts, settings.storage, in_memory=True)
