"""Biological samples of a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kompot._typing import Bools, Float64, Ints
from kompot.errors import SkippedSampleWarning, warn

_FEWEST_CELLS = 2


@dataclass(frozen=True)
class SampleMasks:
    """Cells of each biological sample of a condition."""

    valid: dict[Any, Bools]
    """Masks of the samples with enough cells."""
    skipped: list[Any]
    """Names of those with too few."""

    def codes(self, used: Bools) -> Ints:
        """Sample of each cell as a number: valid ones first, skipped ones together last, -1 for cells not used."""
        codes = np.where(used, len(self.valid), -1)
        for code, mask in enumerate(self.valid.values()):
            codes[mask] = code
        return codes


def sample_masks(samples: Any, used: Bools, X: Float64) -> SampleMasks:
    """Split the cells of a condition into its biological samples.

    Parameters
    ----------
    samples
        Sample of each cell, n_cells; None for no samples.
    used
        Mask of the condition, n_cells.
    X
        Cell states, n_cells x n_dims.

    Returns
    -------
    SampleMasks
        Samples with fewer than 2 different cell states are skipped, with a warning.
    """
    if samples is None:
        return SampleMasks({}, [])
    labels = np.asarray(samples, dtype=object)
    masks = {label: used & (labels == label) for label in sorted(set(labels[used]), key=str)}
    skipped = [label for label, mask in masks.items() if len(np.unique(X[mask], axis=0)) < _FEWEST_CELLS]
    if skipped:
        warn(
            f"Samples with fewer than {_FEWEST_CELLS} cells (at different coordinates) are left out of the variance "
            f"between samples: {', '.join(map(str, skipped))}.",
            SkippedSampleWarning,
        )
    return SampleMasks({label: mask for label, mask in masks.items() if label not in skipped}, skipped)
