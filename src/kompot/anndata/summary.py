"""The line at the end of a run: what was compared, and what was called at which threshold."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd

from kompot import _checks as check
from kompot._typing import Bools, Float64
from kompot.anndata.compute import DEOutcome
from kompot.anndata.da_request import DARequest
from kompot.anndata.landmark_store import note_unused
from kompot.anndata.progress import tell
from kompot.anndata.request import DERequest
from kompot.anndata.run_facts import shortened
from kompot.anndata.smooth_request import SmoothRequest

_LOGGER = logging.getLogger(__name__)
_LONGEST_LABEL = 40
_MOST_GROUPS = 3
_FEWEST_CELLS = 2  # of a sample that counts


def tell_de(request: DERequest, outcome: DEOutcome) -> None:
    """Say what a run of `kompot.de` found."""
    compared = _compared(request.conditions, request.condition, request.samples)
    genes = _count(len(request.columns), "gene")
    line = f"kompot.de: {compared}, {genes}{_called(request, outcome)}{_groups(request)}."
    note_unused(request.parameters, outcome.analysis.landmarks)
    tell(_LOGGER, line, shown=request.settings.output.progress)


def tell_da(request: DARequest, landmarks: Float64 | None, table: pd.DataFrame) -> None:
    """Say what a run of `kompot.da` found."""
    up, down = ((table["direction"] == name).sum() for name in ("up", "down"))
    threshold = request.settings.threshold
    line = (
        f"kompot.da: {_compared(request.conditions, request.condition, request.samples)}: {up:,} of "
        f"{_count(len(table), 'cell')} up, {down:,} down (|log fold change| > {threshold.lfc_threshold:g}, tail "
        f"probability < {threshold.ptp_threshold:g})."
    )
    note_unused(request.parameters, landmarks)
    tell(_LOGGER, line, shown=request.settings.output.progress)


def tell_smooth(request: SmoothRequest) -> None:
    """Say what a run of `kompot.smooth_expression` did."""
    label = "all" if request.condition is None else request.condition
    given = request.settings.model.model1 is not None
    source = "the model given" if given else _condition(label, request.used, request.samples)
    genes, cells = _count(len(request.columns), "gene"), _count(len(request.X), "cell")
    line = f"kompot.smooth_expression: {genes} smoothed at {cells}, from {source}."
    tell(_LOGGER, line, shown=request.settings.output.progress)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _compared(conditions: tuple[Any, Any], codes: Any, samples: Any) -> str:
    first, second = (_condition(label, codes == code, samples) for code, label in enumerate(conditions))
    return f"{first} to {second}"


def _condition(label: Any, mask: Bools, samples: np.ndarray[Any, Any] | None) -> str:
    """A condition with its cells, and with the samples that are large enough to count."""
    counts = [_count(int(mask.sum()), "cell")]
    if samples is not None:
        counts.append(_count(int((pd.Series(samples[mask]).value_counts() >= _FEWEST_CELLS).sum()), "sample"))
    return f"{shortened(str(label), _LONGEST_LABEL)} ({', '.join(counts)})"


def _called(request: DERequest, outcome: DEOutcome) -> str:
    """How many genes were called, or why none can be."""
    if outcome.fdr is None:
        return f"; no false discovery rate: {_why_no_fdr(request)}"
    n_null = sum(map(len, outcome.null_distances))
    kind = "null distance" if request.settings.fdr.null_mahalanobis is not None else "null gene"
    called, threshold = int(outcome.fdr.is_de.sum()), outcome.fdr.threshold
    return f": {called:,} differentially expressed (local FDR < {threshold:g}, {_count(n_null, kind)})"


def _why_no_fdr(request: DERequest) -> str:
    fdr = request.settings.fdr
    if not request.settings.output.compute_mahalanobis:
        return "compute_mahalanobis=False leaves the distances out"
    if fdr.null_genes != "auto":
        return f"null_genes is {fdr.null_genes}"
    if request.injection is not None:
        return "models or predictors given have null genes only where null_genes names their columns"
    return "sample_col turns it off unless null_genes is set"


def _groups(request: DERequest) -> str:
    groups, skipped = request.cells.groups, request.cells.skipped
    if not groups:
        return ""
    if not skipped:
        return f"; {_count(len(groups), 'group')}"
    names = check.listed((shortened(name, _LONGEST_LABEL) for name in skipped), _MOST_GROUPS)
    return f"; {_count(len(groups), 'group')} ({len(skipped):,} skipped: {names})"
