"""The computation behind `kompot.de`: from a checked request to arrays; the AnnData object is not touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from kompot._typing import Bools, Float64, Floats
from kompot.anndata.build import Analysis, NullGenes, build_analysis, fitting_work
from kompot.anndata.kept_values import KeptValues
from kompot.anndata.layer_storage import attachable
from kompot.anndata.progress import progress_bar
from kompot.anndata.request import DERequest
from kompot.differential.comparison import Comparison
from kompot.differential.evaluate import LayerTarget, empty_layers
from kompot.differential.fitter import Track, share_of
from kompot.stats.fdr import FDRResult, false_discovery_rates
from kompot.stats.null_check import check_null_distances

LAYER_ARRAYS = {
    "smoothed_key_1": "smoothed_1",
    "smoothed_key_2": "smoothed_2",
    "fold_change_key": "fold_change",
    "fold_change_zscores_key": "zscore",
    "std_key_1": "std_1",
    "std_key_2": "std_2",
}
"""Array of `kompot.differential.evaluate.fill_layers` that each layer holds, by key of the field."""


@dataclass(frozen=True)
class GroupOutcome:
    """Results of one group of cells, n_genes each; NaN (not differential) where the group is skipped."""

    mean_lfc: Float64
    """Mean log fold change."""
    weighted_mean_lfc: Float64 | None
    """The same weighted by the change of the density, where that is known."""
    distances: Float64 | None
    """Mahalanobis distances, if asked for."""
    local_fdr: Float64 | None
    """Local false discovery rates, where there are null genes."""
    is_de: Bools | None
    """Whether those are below the threshold."""


@dataclass(frozen=True)
class DEOutcome:
    """Everything computed in a run."""

    analysis: Analysis
    """Models and fits."""
    mean_lfc: Float64
    """Mean log fold change over the cells evaluated, n_genes."""
    weighted_mean_lfc: Float64 | None
    """The same weighted by the change of the density, where that is known."""
    distances: Float64 | None
    """Mahalanobis distances, n_genes, if asked for."""
    null_distances: list[Float64]
    """Distances of each part of the null distribution."""
    null_mean_lfc: list[Float64 | None]
    """Mean log fold change of each part; None for distances that the user brought."""
    null_layers: dict[str, Floats]
    """Expression of the null genes at all cells, if asked for: n_cells x n_null each."""
    fdr: FDRResult | None
    """False discovery rates, where there is a null distribution."""
    groups: dict[str, GroupOutcome]
    """By name."""
    stds: tuple[Float64, Float64] | None
    """Standard deviations in condition 1 and 2, n_cells, where they are the same for every gene."""
    layers: Mapping[str, Any]
    """Layers in the shape of the object; empty if not stored."""
    covariance: Float64 | None
    """Posterior covariance of the fold change, n_cells x n_cells, if asked for."""
    kept: KeptValues
    """Values of an earlier run for genes that are not analysed."""

    @property
    def approximation(self) -> dict[str, Any]:
        """What was estimated of the features, for the record."""
        known = self.analysis.approximation
        return {} if known is None else asdict(known)


def compute(request: DERequest, target: LayerTarget, kept: KeptValues, *, covariance: bool) -> DEOutcome:
    """Run the analysis.

    Parameters
    ----------
    request
        Checked.
    target
        Where to write the layers; none are evaluated where it has no arrays.
    kept
        Values of an earlier run for genes that are not analysed; looked at once more here.
    covariance
        Whether to compute the posterior covariance between cells.

    Returns
    -------
    DEOutcome
        In the order of the request's columns.
    """
    settings, wants_layers, n_cells = request.settings, bool(target.arrays), len(request.X)
    work = work_of(request, layers=wants_layers, covariance=covariance)
    with progress_bar("kompot.de", n_cells, work, shown=settings.output.progress) as track:
        analysis = build_analysis(request, track.stage("fitting"))
        main, null = analysis.comparison, analysis.null
        track.stage("distances")
        means = mean_fold_changes(request, main)
        distances = main.distances() if settings.output.compute_mahalanobis else None
        null_distances = [part.distances() for part in null]
        fdr = None
        if distances is not None and null:
            _check_null(analysis, distances, null_distances)
            fdr = false_discovery_rates(distances, np.concatenate(null_distances), settings.fdr.threshold)
        track(n_cells)
        track.stage("groups")
        groups = {name: group_outcome(request, analysis, name, means, track) for name in request.cells.groups}
        track.stage("layers")
        whole = _landscape_weight(request)
        null_means = [None if part.comparison is None else part.comparison.means(whole)[0] for part in null]
        wants_null = settings.output.return_full_results
        kept = kept.confirmed(earlier_means(kept, request), means["mean"])
        stds = None if request.has_gene_variance else main.stds()
        track(n_cells)
        if wants_layers:
            before = {LAYER_ARRAYS[key]: values for key, values in kept.values.items() if key in LAYER_ARRAYS}
            main.fill(replace(target, before=before), track)
        return DEOutcome(
            analysis,
            means["mean"],
            means.get("weighted"),
            distances,
            null_distances,
            null_means,
            null_layers(request, null, track) if wants_null else {},
            fdr,
            groups,
            stds,
            attachable(target.arrays),
            cell_covariance(main, request.cells.evaluated, track.stage("covariance")) if covariance else None,
            kept,
        )


def earlier_means(kept: KeptValues, request: DERequest) -> Float64 | None:
    """Mean fold changes of the genes analysed as an earlier run left them, if it did."""
    column = kept.values.get("mean_lfc_key")
    return None if column is None else np.asarray(column, dtype=np.float64)[request.columns]


def _check_null(analysis: Analysis, distances: Float64, null_distances: list[Float64]) -> None:
    """Raise or warn where null genes are constant; distances that the user brought show it by being 0."""
    known = [None if part.comparison is None else part.comparison.constant_genes() for part in analysis.null]
    constant = [zero == 0 if part is None else part for part, zero in zip(known, null_distances, strict=True)]
    fitted = any(part is not None for part in known)
    check_null_distances(
        np.concatenate(null_distances),
        distances,
        np.concatenate(constant) if fitted else None,
        analysis.comparison.constant_genes(),
    )


def work_of(request: DERequest, *, layers: bool, covariance: bool) -> int:
    """Cells in all passes of a run, for the progress bar; distances and the covariance count as one pass each."""
    groups = sum(int(mask.sum()) for name, mask in request.cells.groups.items() if name not in request.cells.skipped)
    passes = 2 + layers + request.settings.output.return_full_results + covariance
    return fitting_work(request) + groups + len(request.X) * passes


def _landscape_weight(request: DERequest) -> Float64:
    evaluated = request.cells.evaluated
    weight: Float64 = (evaluated / evaluated.sum())[:, None]
    return weight


def mean_fold_changes(request: DERequest, main: Comparison) -> dict[Any, Float64]:
    """Mean fold changes over all cells and over each group, plain and weighted: by "mean", "weighted" and group."""
    columns: dict[Any, Float64] = {"mean": _landscape_weight(request)[:, 0]}
    if request.weights is not None:
        columns["weighted"] = request.weights
    for name, mask in request.cells.groups.items():
        if name not in request.cells.skipped:
            columns["mean", name] = mask / mask.sum()
            if request.weights is not None:
                columns["weighted", name] = mask * request.weights / (mask * request.weights).sum()
    means = main.means(np.stack(list(columns.values()), axis=1))
    return dict(zip(columns, means, strict=True))


def group_outcome(
    request: DERequest, analysis: Analysis, name: str, means: Mapping[Any, Float64], track: Track
) -> GroupOutcome:
    """Results of one group."""
    mask, n_genes = request.cells.groups[name], analysis.comparison.n_genes
    nothing = np.full(n_genes, np.nan)
    weighted = None if request.weights is None else means.get(("weighted", name), nothing)
    mean = means.get(("mean", name), nothing)
    distances = local_fdr = is_de = None
    skipped = name in request.cells.skipped
    if request.settings.output.compute_mahalanobis:
        distances = nothing if skipped else analysis.comparison.group_distances(mask)
    if request.with_group_fdr and distances is not None:
        local_fdr, is_de = nothing, np.zeros(n_genes, dtype=np.bool_)
        if not skipped:
            fitted = [part.comparison for part in analysis.null if part.comparison is not None]
            null = np.concatenate([part.group_distances(mask) for part in fitted])
            fdr = false_discovery_rates(distances, null, request.settings.fdr.threshold)
            local_fdr, is_de = fdr.local_fdr, fdr.is_de
    if not skipped:
        track(int(mask.sum()))
    return GroupOutcome(mean, weighted, distances, local_fdr, is_de)


def null_layers(request: DERequest, null: list[NullGenes], track: Track) -> dict[str, Floats]:
    """Expression of the null genes at all cells, each n_cells x n_null, single precision."""
    names = {
        "smoothed_1": "condition1_smoothed",
        "smoothed_2": "condition2_smoothed",
        "fold_change": "fold_change",
        "zscore": "fold_change_zscores",
        "std_1": "condition1_std",
        "std_2": "condition2_std",
    }
    parts: list[dict[str, Floats]] = []
    fitted = [part.comparison for part in null if part.comparison is not None]
    for comparison in fitted:
        shape = (len(request.X), comparison.n_genes)
        stds, partial = comparison.has_gene_variance, not request.cells.evaluated.all()
        arrays = empty_layers(*shape, zscores=True, stds=stds, partial=partial)
        comparison.fill(LayerTarget(arrays), share_of(track, 1 / len(fitted)))
        parts.append(arrays)
    if not parts:
        track(len(request.X))
        return {}
    return {names[key]: np.concatenate([arrays[key] for arrays in parts], axis=1) for key in parts[0]}


def cell_covariance(main: Comparison, evaluated: Bools, track: Track) -> Float64:
    """Posterior covariance between all cells, zero for those not evaluated."""
    inner = main.covariance(evaluated)
    track(len(evaluated))
    if evaluated.all():
        return inner
    covariance = np.zeros((len(evaluated), len(evaluated)))
    covariance[np.ix_(evaluated, evaluated)] = inner
    return covariance
