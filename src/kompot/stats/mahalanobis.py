"""Mahalanobis distance between two posterior functions.

The distance of the fold change at evaluation points, under the sum of the two posterior covariances. With features
P at the points (square and invertible when they are the landmarks), coefficients `z_1`, `z_2` and precisions `B_1`
and `B_2`::

    fold change at the points    P dz,                       dz = z_2 - z_1
    its covariance               P C Pᵀ,                     C = B_1⁻¹ + B_2⁻¹
    D²                           (P dz)ᵀ (P C Pᵀ)⁻¹ (P dz) = dzᵀ C⁻¹ dz          (P cancels)

and with `B_1 = L_1 L_1ᵀ`, `W = L_2⁻¹ L_1` and the Cholesky factor R of `I + Wᵀ W`::

    C = L_1⁻ᵀ L_1⁻¹ + L_2⁻ᵀ L_2⁻¹ = L_1⁻ᵀ (I + Wᵀ W) L_1⁻¹       (because L_2⁻ᵀ L_2⁻¹ = L_1⁻ᵀ Wᵀ W L_1⁻¹)
    D² = |R⁻¹ L_1ᵀ dz|²,

a sum of squares, never negative. Cost O(r³ + r² n_genes) time, O(r n_genes) memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kompot._typing import Float64
from kompot.gp.linalg import add_to_diagonal, cholesky, column_sums_of_squares, solve_lower
from kompot.gp.regression import Posterior


@dataclass(frozen=True)
class FoldChangeMetric:
    """The inverse covariance `C⁻¹` of the fold change's coefficients, factored once for any number of genes."""

    transform: Float64
    """`A = R⁻¹ L_1ᵀ`, r x r, with `Aᵀ A = C⁻¹`."""

    def squared_distance(self, dz: Float64) -> Float64:
        """`dzᵀ C⁻¹ dz` of each column: r x n_genes to n_genes."""
        return column_sums_of_squares(self.transform @ dz)


def fold_change_metric(first: Posterior, second: Posterior) -> FoldChangeMetric:
    """Metric of the fold change between two conditions.

    Parameters
    ----------
    first, second
        Posteriors on the same features.

    Returns
    -------
    FoldChangeMetric
        Symmetric in the two.
    """
    W = solve_lower(second.factor, first.factor)
    R = cholesky(
        add_to_diagonal(W.T @ W, 1.0),
        "The covariance of the fold change",
        "Increase sigma, or check that the embedding has no extreme outliers.",
    )
    return FoldChangeMetric(solve_lower(R, np.ascontiguousarray(first.factor.T)))


def mahalanobis_distances(first: Posterior, second: Posterior) -> Float64:
    """Distance of each gene's fold change from zero under its posterior uncertainty.

    Parameters
    ----------
    first, second
        Posteriors of the two conditions on the same features, r x n_genes coefficients each.

    Returns
    -------
    Float64
        n_genes, without unit; grows with the number of cells. Zero where the conditions agree everywhere.

    Examples
    --------
    One feature, two cells in each condition, `B = 3` and `z = 2 sum(y) / (2 * 3)`:

    >>> import numpy as np
    >>> from kompot.gp.moments import moment_of
    >>> from kompot.gp.regression import fit_posterior
    >>> phi = np.ones((2, 1))
    >>> a = fit_posterior(moment_of(phi, np.zeros((2, 1))), sigma=1.0)
    >>> b = fit_posterior(moment_of(phi, np.ones((2, 1))), sigma=1.0)
    >>> mahalanobis_distances(a, b)  # (2/3) / sqrt(1/3 + 1/3)
    array([0.81649658])
    """
    return np.sqrt(fold_change_metric(first, second).squared_distance(second.coef - first.coef))
