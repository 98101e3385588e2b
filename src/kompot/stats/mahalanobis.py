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

The covariance of one gene may hold more than C. With `a = A dz`, where `Aᵀ A = C⁻¹`:

- variance between samples `V Vᵀ`, of low rank S: with `U = A V`, by the Woodbury identity::

      D² = aᵀ (I + U Uᵀ)⁻¹ a = min_u |a - U u|² + |u|²,

  a sum of squares at `u = (I + Uᵀ U)⁻¹ Uᵀ a`. Cost O(r² S) per gene, no r x r matrix.
- noise of variance v at m evaluation points (empirical variance): with the features there in units of the metric,
  `Q = P A⁻¹`, and `T = Qᵀ diag(1/v) Q`::

      D² = aᵀ (I + T⁻¹)⁻¹ a = yᵀ T y + |T y|²,    (I + T) y = a,

  again a sum of squares, and right where T is singular. Cost O(r² m + r³) per gene.

Both together are the first with `T (I + T)⁻¹` in the place of I.

At the cells of a group the covariance is `cov_1 + cov_2 + eps I` with `cov_c = k - Phi Phiᵀ + Phi B_c⁻¹ Phiᵀ`. In few
cells many directions have little variance, so what the features miss of the prior, k - Phi Phiᵀ, is not negligible
beside eps as it is in the whole landscape: it is taken from features chosen for the group (`kompot.gp.local`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from kompot._typing import Float64
from kompot.gp.linalg import (
    add_to_diagonal,
    cholesky,
    column_sums_of_squares,
    gram,
    product,
    solve_lower,
    solve_lower_transposed,
)
from kompot.gp.regression import Posterior

_BLOCK_BYTES = 64_000_000


@dataclass(frozen=True)
class FoldChangeMetric:
    """The inverse covariance `C⁻¹` of the fold change's coefficients, factored once for any number of genes."""

    transform: Float64
    """`A = R⁻¹ L_1ᵀ`, r x r, with `Aᵀ A = C⁻¹` (in a group q x r, with `Aᵀ A` the weight of coefficients there)."""

    def squared_distance(self, dz: Float64, deviations: Sequence[Float64] = ()) -> Float64:
        """Squared distances.

        Parameters
        ----------
        dz
            Coefficients of the fold change, r x n_genes.
        deviations
            Columns of V: each r x n_genes, one per sample.

        Returns
        -------
        Float64
            `dzᵀ (C + V Vᵀ)⁻¹ dz`, n_genes.
        """
        if not deviations:
            return column_sums_of_squares(product(self.transform, dz))
        squared = np.empty(dz.shape[1])
        for genes in _gene_blocks(dz.shape[1], 8 * len(dz) * (len(deviations) + 1)):
            a, U = self._in_units(dz, deviations, genes)
            u = _ridge(U, a)
            squared[genes] = _squares(a - np.einsum("grs,gs->gr", U, u)) + _squares(u)
        return squared

    def _in_units(self, dz: Float64, deviations: Sequence[Float64], genes: slice) -> tuple[Float64, Float64]:
        """`a` (n_genes x r) and `U` (n_genes x r x S) of some genes."""
        a = np.ascontiguousarray(product(self.transform, dz[:, genes]).T)
        parts = [product(self.transform, part[:, genes]).T for part in deviations]
        return a, np.stack(parts, axis=2) if parts else np.empty((*a.shape, 0))

    def noisy_squared_distance(
        self, dz: Float64, deviations: Sequence[Float64], phi: Float64, noise: Float64
    ) -> Float64:
        """Squared distances at evaluation points with a noise of their own.

        Parameters
        ----------
        dz
            Coefficients of the fold change, r x n_genes.
        deviations
            Columns of V: each r x n_genes, one per sample; may be none.
        phi
            Features P of the evaluation points, m x r.
        noise
            Variance v at the points, m x n_genes, positive.

        Returns
        -------
        Float64
            `(P dz)ᵀ (P (C + V Vᵀ) Pᵀ + diag(v))⁻¹ P dz`, n_genes.
        """
        # Q = P A⁻¹, from Aᵀ Qᵀ = Pᵀ; A is a product of triangular factors and well conditioned where C is.
        Q: Float64 = linalg.solve(self.transform.T, phi.T, check_finite=False).T
        squared = np.empty(dz.shape[1])
        for genes in _gene_blocks(dz.shape[1], 8 * len(dz) * (len(deviations) + 1)):
            a, U = self._in_units(dz, deviations, genes)
            roots = 1.0 / np.sqrt(noise[:, genes].T)
            squared[genes] = [_noisy_square(Q * gene[0][:, None], *gene[1:]) for gene in zip(roots, a, U, strict=True)]
        return squared

    def at_group(self, R: Float64, F: Float64, eps: float) -> FoldChangeMetric:
        """The metric of the fold change at the cells of a group, on an orthonormal basis of q functions there.

        Parameters
        ----------
        R
            The prior covariance at the cells is `Q R Rᵀ Qᵀ`, with the basis Q: q x q.
        F
            The features of the cells are `Q F`: q x r.
        eps
            Variance added in every direction.

        Returns
        -------
        FoldChangeMetric
            Its `squared_distance` takes the coefficients as they are.
        """
        # What the features miss of the prior counts once per condition; rounding can make it negative.
        values, vectors = linalg.eigh(product(R, R.T) - product(F, F.T), check_finite=False)
        missed = vectors * np.sqrt(2.0 * np.maximum(values, 0.0))
        # C = A⁻¹ A⁻ᵀ, so F C Fᵀ = B Bᵀ with B = F A⁻¹.
        B: Float64 = linalg.solve(self.transform.T, F.T, check_finite=False).T
        covariance = add_to_diagonal(product(missed, missed.T) + product(B, B.T), eps)
        L = cholesky(covariance, "The covariance of the fold change in a group", "Raise eps.")
        # Only products of the transform with itself are needed: of its q rows the triangular factor is enough.
        transform = linalg.qr(solve_lower(L, np.asfortranarray(F)), mode="r", check_finite=False)[0]
        return FoldChangeMetric(np.asarray(transform[: F.shape[1]], dtype=np.float64))


def _gene_blocks(n_genes: int, bytes_per_gene: int) -> Iterator[slice]:
    size = max(1, _BLOCK_BYTES // max(bytes_per_gene, 1))
    return (slice(start, min(start + size, n_genes)) for start in range(0, n_genes, size))


def _squares(A: Float64) -> Float64:
    """Sum of squares of each row."""
    sums: Float64 = np.einsum("gr,gr->g", A, A)
    return sums


def _ridge(U: Float64, a: Float64) -> Float64:
    """`(I + Uᵀ U)⁻¹ Uᵀ a` for each gene: n_genes x r x S and n_genes x r to n_genes x S."""
    Ut = np.ascontiguousarray(U.transpose(0, 2, 1))
    M = Ut @ U + np.eye(U.shape[2])
    return np.asarray(np.linalg.solve(M, Ut @ a[:, :, None])[:, :, 0], dtype=np.float64)


def _noisy_square(Q: Float64, a: Float64, U: Float64) -> float:
    """`aᵀ (E⁻¹ + U Uᵀ)⁻¹ a` with `E = T (I + T)⁻¹` and `T = Qᵀ Q`: m x r, r and r x S to a number."""
    precision: Float64 = linalg.blas.dsyrk(1.0, Q, trans=1, lower=1)  # the lower triangle is all that is factored
    L = cholesky(add_to_diagonal(precision, 1.0), "The covariance with empirical variance", "Check the expression.")
    Y = solve_lower_transposed(L, solve_lower(L, np.column_stack([a, U])))
    u: Float64 = np.zeros(0)
    y: Float64 = Y[:, 0]
    if U.shape[1]:
        EU = product(Q.T, product(Q, Y[:, 1:]))
        u = np.asarray(np.linalg.solve(np.eye(U.shape[1]) + product(U.T, EU), product(EU.T, a)), dtype=np.float64)
        y = y - product(Y[:, 1:], u)
    Qy = product(Q, y)
    return float(np.sum(Qy**2) + np.sum(product(Q.T, Qy) ** 2) + np.sum(u**2))


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
        add_to_diagonal(gram(W), 1.0),
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
