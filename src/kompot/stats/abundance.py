"""Statistics of a change in density, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from kompot._typing import Float64, Ints

DIRECTIONS = ("up", "neutral", "down")
"""Names of the classes, in the order of their codes."""


@dataclass(frozen=True)
class ChangeStatistics:
    """Of each cell state."""

    zscore: Float64
    """Log fold change in posterior standard deviations, n."""
    neg_log10_ptp: Float64
    """`-log10` of the posterior tail probability `Phi(-|z|)`, n."""


def change_statistics(lfc: Float64, variance: Float64, eps: float) -> ChangeStatistics:
    """Z-scores and posterior tail probabilities of log fold changes.

    Parameters
    ----------
    lfc
        Log fold changes, n.
    variance
        Their posterior variances, n.
    eps
        Added to variances.

    Returns
    -------
    ChangeStatistics
        In log space, so that no probability is rounded to 0.

    Examples
    --------
    >>> import numpy as np
    >>> result = change_statistics(np.array([0.0, 50.0]), np.ones(2), 1e-12)
    >>> result.neg_log10_ptp.round(3).tolist()
    [0.301, 544.966]
    """
    zscore = lfc / np.sqrt(variance + eps)
    log_tail: Float64 = log_ndtr(-np.abs(zscore))
    return ChangeStatistics(zscore, -log_tail / np.log(10.0))


def direction_codes(lfc: Float64, neg_log10_ptp: Float64, lfc_threshold: float, ptp_threshold: float) -> Ints:
    """Class of each cell state: 0 up, 1 neutral, 2 down (`DIRECTIONS`).

    Parameters
    ----------
    lfc, neg_log10_ptp
        Log fold changes and tail probabilities, n.
    lfc_threshold
        A change must be larger than this.
    ptp_threshold
        Its tail probability must be smaller than this.

    Returns
    -------
    Ints
        n.

    Examples
    --------
    >>> import numpy as np
    >>> direction_codes(np.array([2.0, -2.0, 2.0]), np.array([3.0, 3.0, 0.5]), 1.0, 0.05).tolist()
    [0, 2, 1]
    """
    changed = (np.abs(lfc) > lfc_threshold) & (neg_log10_ptp > -np.log10(ptp_threshold))
    return np.where(changed, np.where(lfc > 0, 0, 2), 1).astype(np.int64)
