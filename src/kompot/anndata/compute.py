"""The computation behind `kompot.de`: from a checked request to arrays; the AnnData object is not touched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kompot._typing import Float64, Floats
from kompot.anndata.extract import expression_rows, invalid_expression
from kompot.anndata.progress import progress_bar
from kompot.anndata.request import DERequest, has_external_null
from kompot.differential.evaluate import CellSummary, empty_layers, fill_layers, summarise_cells
from kompot.differential.expression import DifferentialExpression, Track
from kompot.differential.fit import TwoConditionFit
from kompot.stats.fdr import FDRResult, false_discovery_rates


@dataclass(frozen=True)
class NullGenes:
    """A part of the null distribution."""

    distances: Float64
    """Mahalanobis distances, n_null."""
    names: list[str]
    """Name of each null gene; empty for distances that the user brought."""
    gene_indices: list[int]
    """Column of the data that each null gene comes from; empty for external ones."""
    fit: TwoConditionFit | None
    """Fit of the null genes; None for distances that the user brought."""
    source: str
    """"internal" or "external"."""


@dataclass(frozen=True)
class DEOutcome:
    """Everything computed in a run."""

    model: DifferentialExpression
    """Fitted to the genes reported."""
    summary: CellSummary
    """Over all cells of the object."""
    mean_lfc: Float64
    """Mean log fold change over all cells, n_genes."""
    distances: Float64 | None
    """Mahalanobis distances, n_genes, if asked for."""
    null: list[NullGenes]
    """Parts of the null distribution."""
    fdr: FDRResult | None
    """False discovery rates, where there is a null distribution."""
    layers: dict[str, Floats]
    """Layers in the shape of the object, by the names of `empty_layers`; empty if not stored."""


def compute(request: DERequest, *, layers: bool) -> DEOutcome:
    """Run the analysis.

    Parameters
    ----------
    request
        Checked.
    layers
        Whether to evaluate the n_cells x n_genes layers.

    Returns
    -------
    DEOutcome
        In the order of the request's columns.
    """
    settings = request.settings
    n_cells = len(request.X)
    with progress_bar(n_cells * (1 + layers), shown=settings.output.progress) as track:
        model = DifferentialExpression.from_parameters(request.parameters, eps=settings.gp.eps)
        source = expression_rows(
            request.matrix, request.condition >= 0, request.columns, request.all_genes, request.layer
        )
        model.fit_cells(request.X, source, request.condition, track=track)
        summary = summarise_cells(model.result, model.cells)
        distances = model.mahalanobis_distances() if settings.output.compute_mahalanobis else None
        null = null_genes(model, request)
        fdr = None
        if distances is not None and null:
            null_distances = np.concatenate([part.distances for part in null])
            fdr = false_discovery_rates(distances, null_distances, settings.fdr.threshold)
        arrays = evaluate_layers(model, request, summary, track) if layers else {}
    mean_lfc = model.result.mean_fold_change(summary.feature_mean)
    return DEOutcome(model, summary, mean_lfc, distances, null, fdr, arrays)


def null_genes(model: DifferentialExpression, request: DERequest) -> list[NullGenes]:
    """All parts of the null distribution that were asked for."""
    if not request.with_fdr:
        return []
    parts = []
    if request.n_null:
        parts.append(_shuffled(model, request))
    external = has_external_null(request.settings.fdr)
    if len(request.prebaked) and (not external or request.settings.fdr.combine_with_internal):
        parts.append(_prebaked(model, request))
    if external:
        parts.append(_external(model, request))
    return parts


def _shuffled(model: DifferentialExpression, request: DERequest) -> NullGenes:
    settings = request.settings.fdr
    asked = settings.null_genes != "auto"
    fit, draw = model.fit_null(request.matrix, request.n_null, settings.null_seed, asked=asked)
    distances = fit.distances()
    bad = draw.genes[np.isnan(distances)]
    if len(bad):
        # Only possible for genes on disk that are not among those analysed, which were checked while being read.
        raise ValueError(invalid_expression(request.all_genes[np.unique(bad)], request.layer))
    names = [f"NULL_{i}_{request.all_genes[gene]}" for i, gene in enumerate(draw.genes)]
    return NullGenes(distances, names, draw.genes.tolist(), fit, "internal")


def _prebaked(model: DifferentialExpression, request: DERequest) -> NullGenes:
    used = request.condition >= 0
    source = expression_rows(request.matrix, used, request.prebaked, request.all_genes, request.layer)
    fit = model.fit_more(source)
    names = [f"NULL_{i}_{request.all_genes[gene]}" for i, gene in enumerate(request.prebaked)]
    return NullGenes(fit.distances(), names, request.prebaked.tolist(), fit, "internal")


def _external(model: DifferentialExpression, request: DERequest) -> NullGenes:
    settings = request.settings.fdr
    if settings.null_expression is None:
        return NullGenes(np.asarray(settings.null_mahalanobis, dtype=np.float64), [], [], None, "external")
    fit = model.fit_external(*settings.null_expression)
    names = [f"NULL_EXT_{i}" for i in range(fit.n_genes)]
    return NullGenes(fit.distances(), names, [], fit, "external")


def evaluate_layers(
    model: DifferentialExpression, request: DERequest, summary: CellSummary, track: Track
) -> dict[str, Floats]:
    """Layers for all cells of the object; genes that were not analysed are NaN."""
    n_all = len(request.all_genes)
    partial = len(request.columns) < n_all
    arrays = empty_layers(
        len(request.X), n_all, zscores=request.settings.storage.store_additional_stats, partial=partial
    )
    fill_layers(
        model.result,
        model.cells,
        arrays,
        columns=request.columns if partial else None,
        zscore_std=summary.fold_change_std(request.settings.gp.eps),
        batch_size=request.parameters.batch_size,
        track=track,
    )
    return arrays
