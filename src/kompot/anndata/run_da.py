"""`kompot.da`: differential abundance between two conditions of an AnnData object."""

from __future__ import annotations

from typing import Any

import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.arguments import settings_of
from kompot.anndata.da_record import da_record
from kompot.anndata.da_request import DARequest, DASettings, build_da_request
from kompot.anndata.deliver import deliver, writes_results
from kompot.anndata.fields import DIRECTION_COLORS
from kompot.anndata.locks import object_locked
from kompot.anndata.overwrite import overwrite_check
from kompot.anndata.progress import progress_bar
from kompot.anndata.reported_names import da_names
from kompot.anndata.store import Change
from kompot.anndata.summary import tell_da
from kompot.anndata.uns import landmark_entry, record_changes
from kompot.differential.abundance import DifferentialAbundance
from kompot.differential.fitter import Track
from kompot.differential.result import AbundanceChange
from kompot.settings import DAThresholdSettings, GPSettings, ModelSettings, OutputSettings, StorageSettings
from kompot.stats.abundance import DIRECTIONS, direction_codes


def da(
    adata: AnnData,
    groupby: str,
    condition1: Any,
    condition2: Any,
    obsm_key: str = "DM_EigenVectors",
    sample_col: str | None = None,
    gp: GPSettings | None = None,
    threshold: DAThresholdSettings | None = None,
    storage: StorageSettings | None = None,
    output: OutputSettings | None = None,
    model: ModelSettings | None = None,
    *,
    dry_run: bool = False,
    **density_kwargs: Any,
) -> Any:
    """Differential abundance between two conditions, over the landscape of cell states.

    For every cell: the log density of each condition at its state, their log fold change with its uncertainty, and
    whether cells at this state became more or less frequent. Densities are Gaussian processes under the
    nearest-neighbour likelihood of Mellon (Otto et al. 2024, *Nature Methods* 21, 1185), with `d`, `mu` and the length
    scale shared by both conditions, and the constant by which unequal cell numbers put them off removed.

    Parameters
    ----------
    adata
        Cells of both conditions; expression is not needed.
    groupby
        Column of `adata.obs` with the condition of each cell.
    condition1, condition2
        Labels of the two conditions. Fold changes are of 2 over 1.
    obsm_key
        Coordinates of the cell states in `adata.obsm`, n_cells x n_dims.
    sample_col
        Column with biological replicates: the variance between their densities then counts as uncertainty.
    gp
        `ls`, `ls_factor`, `n_landmarks`, `landmarks`, `batch_size`, `eps` and `random_state` are used.
    threshold
        Thresholds of the directions.
    storage, output
        Where results are stored and what is returned.
    model
        `density_predictor1/2` and `variance_predictor1/2` are used instead of fitting.
    dry_run
        Print and return a `ResourcePlan` (time, memory, fields) instead of running; nothing is changed.
    **density_kwargs
        Further parameters of `kompot.DensityEstimator` (`d`, `mu`, `d_method`, `cov_func`, ...), and
        `sync_parameters=True` and `calibrate_offset=True` of `kompot.DifferentialAbundance`.

    Returns
    -------
    None, dict, AnnData or tuple
        None by default: results are in `adata`. A dictionary (`table`, `model`, `field_names`, `landmarks`) with
        `return_full_results` and with `inplace=False`; a new AnnData object with `copy`; the tuple of both with both.

    Raises
    ------
    ValueError, TypeError
        For input that cannot be analysed, before any computation. `adata` is only changed after everything has been
        computed.

    Notes
    -----
    Writes, with K the result key ("kompot_da"), A and B the conditions, into obs: `K_A_to_B_lfc`,
    `K_A_to_B_lfc_zscore`, `K_A_to_B_neg_log10_lfc_ptp`, `K_A_to_B_lfc_direction` (categories up, neutral, down, with
    colours in `uns`), `K_A_log_density` and `K_B_log_density` (natural logarithms); and the record of the run into
    `uns["kompot_da"]`.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=1000, n_genes=200, seed=1)
    >>> kompot.da(adata, "condition", "Young", "Old")
    >>> float(adata.obs["kompot_da_Young_to_Old_lfc"].corr(adata.obs["true_log_odds"])) > 0.5
    True
    """
    check.boolean("dry_run", dry_run)
    settings = DASettings(**settings_of(gp=gp, threshold=threshold, storage=storage, output=output, model=model))
    writes = not dry_run and writes_results(settings.output)
    with object_locked(adata):
        request = build_da_request(
            adata, groupby, (condition1, condition2), obsm_key, sample_col, settings, density_kwargs
        )
        fields = request.fields.values()
        check_again = overwrite_check(adata, fields, settings.storage.overwrite) if writes else None
    if dry_run:
        # Only dry runs need these: importing kompot stays cheap.
        from kompot.anndata.planning.plans import plan_da
        from kompot.anndata.planning.report import shown

        return shown(plan_da(adata, request))
    analysis, change = compute(request)
    table = cell_table(adata.obs_names, change, settings.threshold)
    delivered = deliver(
        adata,
        settings.output,
        check_again,
        lambda target: changes_of(target, request, analysis, change, table),
        lambda: result_dict(request, analysis, table),
    )
    tell_da(request, analysis.landmarks, table)
    return delivered


def compute(request: DARequest) -> tuple[DifferentialAbundance, AbundanceChange]:
    """Fit, and evaluate at all cells."""
    model, n_cells = request.settings.model, len(request.X)
    given = (model.density_predictor1, model.density_predictor2)
    fitted = sum(int((request.condition == code).sum()) for code in (0, 1) if given[code] is None)
    with progress_bar("kompot.da", n_cells, fitted + n_cells, shown=request.settings.output.progress) as track:
        analysis = fit(request, track.stage("densities"))
        track.stage("fold changes")
        change = analysis.predict(request.X)
        track(n_cells)
    return analysis, change


def fit(request: DARequest, track: Track | None = None) -> DifferentialAbundance:
    """The fitted analysis."""
    model, eps = request.settings.model, request.settings.gp.eps
    analysis = DifferentialAbundance.from_parameters(request.parameters, eps=eps, **request.switches)
    return analysis.fit_cells(
        request.X,
        request.condition,
        request.samples,
        predictors=(model.density_predictor1, model.density_predictor2),
        variance_predictors=(model.variance_predictor1, model.variance_predictor2),
        allow_single_condition_variance=request.settings.output.allow_single_condition_variance,
        track=track,
    )


def cell_table(cells: pd.Index[str], change: AbundanceChange, threshold: DAThresholdSettings) -> pd.DataFrame:
    """Results per cell: `lfc`, `lfc_zscore`, `neg_log10_ptp`, `direction`."""
    codes = direction_codes(change.lfc, change.neg_log10_ptp, threshold.lfc_threshold, threshold.ptp_threshold)
    return pd.DataFrame(
        {
            "lfc": change.lfc,
            "lfc_zscore": change.zscore,
            "neg_log10_ptp": change.neg_log10_ptp,
            "direction": pd.Categorical.from_codes(codes.tolist(), categories=pd.Index(DIRECTIONS)),
        },
        index=cells,
    )


def changes_of(
    adata: AnnData, request: DARequest, analysis: DifferentialAbundance, change: AbundanceChange, table: pd.DataFrame
) -> list[Change]:
    """Everything a run writes: fields, colours, landmarks and its record."""
    values: dict[str, Any] = {
        "lfc_key": table["lfc"].to_numpy(),
        "zscore_key": table["lfc_zscore"].to_numpy(),
        "ptp_key": table["neg_log10_ptp"].to_numpy(),
        "direction_key": pd.Categorical(table["direction"]),
        "density_key_1": change.log_density_1,
        "density_key_2": change.log_density_2,
        "colors_key": list(DIRECTION_COLORS),
    }
    return [
        *(Change(item.field.place, item.name, values[key]) for key, item in request.fields.items()),
        *record_changes(
            adata, "da", request.result_key, da_record(request, analysis, table), _landmarks(request, analysis)
        ),
    ]


def _landmarks(request: DARequest, analysis: DifferentialAbundance) -> dict[str, Any]:
    landmarks = analysis.landmarks
    if landmarks is None:
        return {}
    keep = request.settings.storage.store_landmarks
    entry = landmark_entry(landmarks, request.parameters, request.obsm_key, keep=keep)
    # Readers of `kompot.de` know a text, those of `kompot.da` a list.
    entry["landmarks_info"]["shape"] = list(landmarks.shape)
    return entry


def result_dict(request: DARequest, analysis: DifferentialAbundance, table: pd.DataFrame) -> dict[str, Any]:
    """The dictionary that `return_full_results` promises."""
    return {
        "table": table,
        "model": analysis,
        "field_names": da_names(request),
        "landmarks": analysis.landmarks,
    }
