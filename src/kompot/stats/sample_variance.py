"""Variance between biological samples of a smoothed function.

Each sample s is fitted on its own, on the same features, giving coefficients `z_s`. The covariance between samples of
gene g at points with features P is::

    P Z_g Z_gᵀ Pᵀ / (S - 1),      columns of Z_g: z_s - mean_s(z_s) for gene g

(the unbiased sample covariance of the S functions at the points). It has rank S - 1 at most and is never formed unless
asked for. Cost O(n r n_genes S) time for the variances at n cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kompot._typing import Float64, Floats
from kompot.gp.linalg import product
from kompot.gp.regression import Posterior

_FEWEST_SAMPLES = 2


@dataclass(frozen=True)
class BetweenSamples:
    """Coefficients of the samples of one condition, centred and scaled.

    Examples
    --------
    >>> import numpy as np
    >>> between = BetweenSamples(np.array([[[1.0]], [[-1.0]]]) / np.sqrt(2 - 1))
    >>> between.variance(np.array([[2.0]]))
    array([[8.]])
    """

    deviations: Float64
    """`(z_s - mean) / sqrt(S - 1)`, n_samples x r x n_genes."""

    @property
    def n_samples(self) -> int:
        """Number of samples S."""
        return len(self.deviations)

    def variance(self, phi: Floats) -> Floats:
        """Variance between samples at cells with features `phi` (n x r): n x n_genes."""
        total = np.zeros((len(phi), self.deviations.shape[2]), dtype=phi.dtype)
        for deviation in self.deviations:
            part = product(phi, deviation.astype(phi.dtype, copy=False))
            part *= part
            total += part
        return total

    def covariance(self, phi: Float64) -> Float64:
        """Covariance between samples at points with features `phi` (m x r): m x m x n_genes."""
        functions = np.einsum("mr,srg->smg", phi, self.deviations)
        covariance: Float64 = np.einsum("smg,sng->mng", functions, functions)
        return covariance


def require_samples(n_samples: int) -> None:
    """Raise if there are too few samples for a variance between them."""
    if n_samples < _FEWEST_SAMPLES:
        raise ValueError(
            f"The variance between samples needs at least {_FEWEST_SAMPLES} samples with 2 or more cells each, came "
            f"{n_samples}. Leave the samples out, or name the column of biological replicates."
        )


def between_samples(posteriors: Sequence[Posterior]) -> BetweenSamples:
    """Variance between the fits of biological samples.

    Parameters
    ----------
    posteriors
        One per sample, on the same features and of the same genes; at least 2.

    Returns
    -------
    BetweenSamples
        Unbiased (divided by S - 1).
    """
    require_samples(len(posteriors))
    coefs = np.stack([posterior.coef for posterior in posteriors])
    coefs -= coefs.mean(axis=0)
    return BetweenSamples(coefs / np.sqrt(len(posteriors) - 1))
