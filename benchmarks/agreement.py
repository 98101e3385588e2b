"""How far two results on the same genes agree: the rows that both comparison scripts print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Arrays = Mapping[str, Any]


def agreement_rows(reference: Arrays, ours: Arrays) -> Iterator[tuple[str, str]]:
    """Name and value of each measure; both have `mahalanobis`, `mean_lfc` and `is_de`."""
    relative = relative_difference(reference["mahalanobis"], ours["mahalanobis"])
    difference = np.abs(ours["mean_lfc"] - reference["mean_lfc"])
    both = int((reference["is_de"] & ours["is_de"]).sum())
    yield "distance, relative difference, median", f"{np.median(relative):.1e}"
    yield "distance, relative difference, largest", f"{relative.max():.1e}"
    yield "distance, rank correlation", f"{spearmanr(reference['mahalanobis'], ours['mahalanobis'])[0]:.6f}"
    yield "mean fold change, largest absolute difference", f"{difference.max():.1e}"
    called = f"{reference['is_de'].sum()}, {ours['is_de'].sum()}, {both}"
    yield "genes called (each with null genes of its own): reference, this package, both", called


def relative_difference(reference: Any, values: Any) -> Any:
    """`|value / reference - 1|` where the reference is not 0; there, both must be 0 (genes without expression)."""
    absent = reference == 0
    if np.any(values[absent]):
        raise ValueError(f"{np.count_nonzero(values[absent])} distances are 0 in the reference but not here.")
    return np.abs(values[~absent] / reference[~absent] - 1.0)
