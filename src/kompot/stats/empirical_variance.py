"""Noise variance of each gene at each cell state, from the residuals of the fit.

A fitted cell pulls the fit towards itself; its leave-one-out residual is `e / (1 - h)` with the residual
`e = y - f(x)` and the leverage `h = phi(x)ᵀ B⁻¹ phi(x) / sigma²` (Rasmussen and Williams 2006, section 5.4.2, in the
features' space). The squares are smoothed by the same regression, which gives a variance that varies smoothly over
the cell states::

    v_g(x) = max(phi(x)·w_g, eps),     w = B⁻¹ Phiᵀ (e / (1 - h))² / sigma²

With samples, residuals and leverages are those of each sample's own fit. One more pass over the cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kompot._checks import is_sparse
from kompot._typing import Float64, Floats, Ints, Matrix
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.linalg import product, solve_positive
from kompot.gp.moments import rows_per_chunk
from kompot.gp.regression import Posterior
from kompot.gp.rows import RowSource

# A leverage of 1 means that nothing but the cell itself was fitted: there is no residual to scale up.
_LARGEST_LEVERAGE = 1.0 - 1e-6


@dataclass(frozen=True)
class EmpiricalVariance:
    """Smooth noise variance of every gene."""

    coef: Float64
    """Coefficients w, r x n_genes."""
    eps: float
    """Smallest variance."""

    def variance(self, phi: Floats) -> Floats:
        """Noise variances at cells with features `phi` (n x r): n x n_genes, at least eps."""
        coef = self.coef if phi.dtype == np.float64 else self.coef.astype(np.float32)
        smooth = product(phi, coef)
        return np.maximum(smooth, smooth.dtype.type(self.eps), out=smooth)


def squared_loo_residuals(posterior: Posterior, phi: Float64, Y: Matrix) -> Float64:
    """Squared leave-one-out residuals of fitted cells.

    Parameters
    ----------
    posterior
        Fit that the cells were part of.
    phi
        Their features, n x r.
    Y
        Their expression, n x n_genes.

    Returns
    -------
    Float64
        n x n_genes: what the residuals would be had each cell been left out in turn, squared.
    """
    dense = Y.toarray() if is_sparse(Y) else Y
    residuals = dense - posterior.mean(phi)
    residuals /= (1.0 - np.minimum(posterior.leverage(phi), _LARGEST_LEVERAGE))[:, None]
    residuals *= residuals
    squared: Float64 = residuals
    return squared


def fit_empirical_variances(
    pooled: Sequence[Posterior],
    parts: Sequence[Sequence[Posterior]],
    cells: FeatureTable,
    Y: RowSource,
    groups: Ints,
    *,
    eps: float,
    batch_size: int | None = None,
    track: Callable[[int], object] | None = None,
) -> list[EmpiricalVariance]:
    """Noise variance of each condition from the residuals, in one pass over the cells.

    Parameters
    ----------
    pooled
        Fit of all cells of each condition; its precision smooths the squares.
    parts
        For each condition the fits that residuals are taken from: one per sample, or that of all cells alone.
    cells
        Features of all cells.
    Y
        Expression of all cells, n_cells x n_genes.
    groups
        Group of each cell, an index of the parts of all conditions one after the other; -1 for cells to leave out.
    eps
        Smallest variance.
    batch_size
        Rows per chunk; None lets the engine choose.
    track
        Called with the number of rows done after each chunk.

    Returns
    -------
    list[EmpiricalVariance]
        Of every gene, one per condition.
    """
    n_cells, n_genes = Y.shape
    rank = pooled[0].rank
    owners = [(code, part) for code, mine in enumerate(parts) for part in mine]
    crosses = np.zeros((len(pooled), rank, n_genes))
    for rows in row_slices(n_cells, rows_per_chunk(n_genes, rank, 8, batch_size)):
        present = np.unique(groups[rows][groups[rows] >= 0])
        if len(present):
            chunk, phi = Y.rows(rows), cells.rows(rows)
            for group in present:
                code, part = owners[group]
                mine = np.flatnonzero(groups[rows] == group)
                crosses[code] += product(phi[mine].T, squared_loo_residuals(part, phi[mine], chunk[mine]))
        if track is not None:
            track(rows.stop - rows.start)
    return [
        EmpiricalVariance(solve_positive(fit.factor, cross / fit.sigma**2), eps)
        for fit, cross in zip(pooled, crosses, strict=True)
    ]
