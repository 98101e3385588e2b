"""`kompot.de`: differential expression between two conditions of an AnnData object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.arguments import settings_of
from kompot.anndata.compute import DEOutcome, compute
from kompot.anndata.deliver import deliver, writes_results
from kompot.anndata.kept_values import KeptValues, kept_values
from kompot.anndata.layer_storage import (
    LayerPlan,
    layer_arrays,
    plan_layers,
    require_memory_for_covariance,
    require_memory_for_null_genes,
)
from kompot.anndata.locks import object_locked
from kompot.anndata.overwrite import overwrite_check
from kompot.anndata.record import de_record, record_before
from kompot.anndata.request import DERequest, DESettings, build_request
from kompot.anndata.results import field_changes, gene_table, result_dict
from kompot.anndata.store import Change
from kompot.anndata.summary import tell_de
from kompot.anndata.uns import landmark_entry, record_changes
from kompot.differential.evaluate import layer_names
from kompot.settings import (
    FDRSettings,
    FilterSettings,
    GPSettings,
    ModelSettings,
    OutputSettings,
    StorageSettings,
)


def de(
    adata: AnnData,
    groupby: str,
    condition1: Any,
    condition2: Any,
    obsm_key: str = "DM_EigenVectors",
    layer: str | None = None,
    genes: Sequence[str] | None = None,
    sample_col: str | None = None,
    gp: GPSettings | None = None,
    fdr: FDRSettings | None = None,
    filter: FilterSettings | None = None,  # noqa: A002  the name users were promised
    storage: StorageSettings | None = None,
    output: OutputSettings | None = None,
    model: ModelSettings | None = None,
    dry_run: bool = False,
    **function_kwargs: Any,
) -> Any:
    """Differential expression between two conditions, over the landscape of cell states.

    For every gene: the Mahalanobis distance of its fold change under Gaussian-process posteriors, the mean log fold
    change and the local false discovery rate; for every cell and gene: smoothed expression and fold change. With
    coefficients `z_c` and posterior precisions `B_c` of condition c on shared features phi::

        fold change at x:  phi(x)·(z_2 - z_1)
        D² = dzᵀ (B_1⁻¹ + B_2⁻¹)⁻¹ dz,    dz = z_2 - z_1

    where `B_c = I + Phi_cᵀ Phi_c / sigma²` (Rasmussen and Williams 2006, equation 2.8; Mahalanobis 1936, *Proc. Natl.
    Inst. Sci. India* 2, 49). D is called *distance* below.

    Parameters
    ----------
    adata
        Cells of both conditions, n_cells x n_genes, log-normalised; in memory, backed or lazy.
    groupby
        Column of `adata.obs` with the condition of each cell.
    condition1, condition2
        Labels of the two conditions (text, categories, booleans or numbers). Fold changes are of 2 over 1.
    obsm_key
        Coordinates of the cell states in `adata.obsm`, n_cells x n_dims.
    layer
        Layer with expression; None for `adata.X`.
    genes
        Names of genes to analyse, in any iterable; None for all.
    sample_col
        Column with biological replicates (donors). Each is fitted on its own, and the variance between them counts in
        standard deviations, z-scores and distances; the names of what it changes end in `_sample_var`. Needs two
        replicates of two cells in each condition. No null genes are made then unless asked for.
    gp, fdr, filter, storage, output, model
        Settings objects; None for all defaults. `filter` selects the cells used and the groups that results are
        reported for as well, `model` brings fitted models, `storage` says what is kept and where.
    dry_run
        Print and return a `ResourcePlan` (time, memory, disk, fields) instead of running; nothing is changed.
    **function_kwargs
        Further parameters of `kompot.FunctionEstimator`, for example `cov_func` or `mu`.

    Returns
    -------
    None, dict, AnnData or tuple
        None by default: results are in `adata`. A dictionary (`model`, `table`, `landmarks`, `field_names`,
        `underrepresentation`, `groups`, `fdr_summary`, `null`) with `return_full_results` or `return_null_data`, and
        with `inplace=False`; a new AnnData object with `copy`; the tuple of both with `copy` and
        `return_full_results`. With `dry_run`, the `ResourcePlan`.

    Raises
    ------
    ValueError, TypeError
        For input that cannot be analysed, before any computation. `adata` is only changed after everything has been
        computed.
    MemoryError
        Where neither memory nor disk has room for the layers, before any computation.

    Notes
    -----
    Writes, with K the result key ("kompot_de"), A and B the conditions: `var[K_A_to_B_mahalanobis]` (no unit),
    `var[K_A_to_B_mean_lfc]`, `var[K_A_to_B_mahalanobis_local_fdr]` and `var[K_A_to_B_is_de]`; `layers[K_A_smoothed]`,
    `layers[K_B_smoothed]` and `layers[K_A_to_B_fold_change]` (units of expression, float32); `obs[K_A_std]` and
    `obs[K_B_std]` (units of expression); the record of the run in `uns["kompot_de"]`. With replicates or empirical
    variance the standard deviations differ between genes and are layers. With groups, `varm[K_A_to_B_mean_lfc_groups]`,
    `varm[K_A_to_B_mahalanobis_groups]`, `..._local_fdr_groups` and `..._is_de_groups`: genes x groups. Where an earlier
    `kompot.da` compared the same conditions, `var[K_A_to_B_weighted_mean_lfc]`: cells weighted by
    `exp(|log fold change of their density|)`.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=300, n_genes=60, seed=1)
    >>> kompot.de(adata, "condition", "Young", "Old", fdr=kompot.FDRSettings(null_genes=50))
    >>> adata.var["kompot_de_Young_to_Old_mahalanobis"].idxmax() in adata.var_names[adata.var["true_de"]]
    True
    """
    check.boolean("dry_run", dry_run)
    settings = DESettings(**settings_of(gp=gp, fdr=fdr, filter=filter, storage=storage, output=output, model=model))
    writes, kept, check_again = not dry_run and writes_results(settings.output), KeptValues(), None
    with object_locked(adata):
        request = build_request(
            adata, groupby, (condition1, condition2), obsm_key, layer, genes, sample_col, settings, function_kwargs
        )
        if writes:
            others = adata.n_vars - len(request.columns)
            kept = kept_values(adata, request.fields, record_before(request), n_others=others)
            check_again = overwrite_check(adata, request.fields.values(), settings.storage.overwrite, kept)
    if dry_run:
        # Only dry runs need these: importing kompot stays cheap.
        from kompot.anndata.planning.plans import plan_de
        from kompot.anndata.planning.report import shown

        return shown(plan_de(adata, request, *planned_layers(request)))
    plan = layer_plan(request, wanted=writes)
    covariance = "posterior_covariance_key" in request.fields
    if covariance:
        require_memory_for_covariance(len(request.X))
    if settings.output.return_full_results:
        require_memory_for_null_genes(len(request.X), request.n_null)
    with layer_arrays(plan) as (target, keep):
        outcome = compute(request, target, kept, covariance=covariance)
        table = gene_table(request, outcome)
        delivered = deliver(
            adata,
            settings.output,
            check_again,
            lambda target: changes_of(target, request, outcome, table),
            lambda: result_dict(request, outcome, table),
            keep,
        )
    tell_de(request, outcome)
    return delivered


def layer_plan(request: DERequest, *, wanted: bool) -> LayerPlan:
    """Which layers a run evaluates, and where they go."""
    storage, n_genes = request.settings.storage, len(request.all_genes)
    wanted = wanted and storage.store_layers
    names = layer_names(zscores=storage.store_additional_stats, stds=request.has_gene_variance) if wanted else []
    columns = request.columns if len(request.columns) < n_genes else None
    return plan_layers(
        storage, names, (len(request.X), n_genes), columns, all_cells=bool(request.cells.evaluated.all())
    )


def planned_layers(request: DERequest) -> tuple[LayerPlan | None, str | None]:
    """Where layers will go, or why they cannot go anywhere."""
    try:
        return layer_plan(request, wanted=writes_results(request.settings.output)), None
    except (MemoryError, ImportError) as problem:
        return None, str(problem)


def changes_of(adata: AnnData, request: DERequest, outcome: DEOutcome, table: pd.DataFrame) -> list[Change]:
    """Everything a run writes: fields, landmarks and its record."""
    keep, used = request.settings.storage.store_landmarks, outcome.analysis.landmarks
    landmarks = {} if used is None else landmark_entry(used, request.parameters, request.obsm_key, keep=keep)
    return [
        *field_changes(request, outcome, table),
        *record_changes(adata, "de", request.result_key, de_record(request, outcome), landmarks),
    ]
