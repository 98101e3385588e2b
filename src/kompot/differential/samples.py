"""Biological samples of a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kompot._labels import labels
from kompot._typing import Bools, Float64, Ints
from kompot.differential.groups import CellGroups
from kompot.errors import SkippedSampleWarning, warn

_FEWEST_CELLS = 2
_FEWEST_SAMPLES = 2


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
    sample = np.asarray(samples, dtype=object)
    # By type as well: 1 and "1" have the same text, and a set its own order in each process.
    present = sorted(set(sample[used]), key=lambda label: (str(label), type(label).__name__))
    masks = {label: used & (sample == label) for label in present}
    skipped = [label for label, mask in masks.items() if len(np.unique(X[mask], axis=0)) < _FEWEST_CELLS]
    if skipped:
        warn(
            f"Samples with fewer than {_FEWEST_CELLS} cells (at different coordinates) are left out of the variance "
            f"between samples: {', '.join(map(str, skipped))}.",
            SkippedSampleWarning,
        )
    return SampleMasks({label: mask for label, mask in masks.items() if label not in skipped}, skipped)


def sample_groups(samples: Any, condition: Ints, X: Float64) -> tuple[list[SampleMasks], CellGroups]:
    """Which cells of two conditions are fitted together.

    Parameters
    ----------
    samples
        Sample of each cell, n_cells; None for no samples.
    condition
        0 or 1 for each cell; -1 for cells to leave out.
    X
        Cell states, n_cells x n_dims.

    Returns
    -------
    tuple[list[SampleMasks], CellGroups]
        Samples of condition 1 and 2, and the groups they make.
    """
    masks = [sample_masks(samples, condition == code, X) for code in (0, 1)]
    codes = [part.codes(condition == code) for code, part in enumerate(masks)]
    n_groups = (int(codes[0].max()) + 1, int(codes[1].max()) + 1)
    joined = np.where(condition == 1, codes[1] + n_groups[0], codes[0])
    return masks, CellGroups(joined, n_groups, (len(masks[0].valid), len(masks[1].valid)))


def require_both(n_samples: Sequence[int], *, borrow: bool) -> None:
    """Raise if a condition has too few samples for a variance between them.

    Parameters
    ----------
    n_samples
        Number of valid samples in condition 1 and 2.
    borrow
        Whether the variance of one condition may serve for both.
    """
    few = [count for count in n_samples if count < _FEWEST_SAMPLES]
    if len(few) == 2 or (few and not borrow):
        raise ValueError(
            f"The variance between samples needs at least {_FEWEST_SAMPLES} samples with {_FEWEST_CELLS} or more cells "
            f"in each condition, came {n_samples[0]} and {n_samples[1]} for condition 1 and 2. Leave sample_col out, "
            f"or, if one condition has enough, set OutputSettings(allow_single_condition_variance=True) to let it "
            f"serve for both."
        )


def joined_samples(samples1: Any, samples2: Any, sizes: tuple[int, int]) -> Any:
    """Samples of the cells of both conditions, one after the other; None where there are none."""
    if samples1 is None and samples2 is None:
        return None
    both = [
        None if samples is None else labels(f"samples{number}", samples, "labels")
        for number, samples in enumerate((samples1, samples2), start=1)
    ]
    came = tuple(None if samples is None else len(samples) for samples in both)
    if came != sizes:
        raise ValueError(
            f"samples1 and samples2 must name the sample of each cell of their condition: needed {sizes[0]} and "
            f"{sizes[1]}, came {came[0]} and {came[1]}."
        )
    return np.concatenate([np.asarray(samples, dtype=object) for samples in both])
