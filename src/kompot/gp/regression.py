"""Gaussian-process regression in the space of the features.

With expression `y = mu + phi(x)·z + noise`, prior `z ~ N(0, I)` and noise variance `sigma²`, the posterior of the
coefficients has precision `B` and mean `z` (Rasmussen and Williams 2006, equations 2.7 and 2.8)::

    B = I + Phiᵀ Phi / sigma²,    z = B⁻¹ Phiᵀ (Y - mu) / sigma².

B is factored once; everything asked afterwards is a product or a triangular solve. Cost O(r³ + r² n_genes) for the
fit, O(r²) for the variance at a cell and O(r n_genes) for its means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kompot._typing import Float64, Ints
from kompot.gp.linalg import add_to_diagonal, cholesky, column_sums_of_squares, product, solve_lower, solve_positive
from kompot.gp.moments import Moment


@dataclass(frozen=True)
class Posterior:
    """Posterior of the coefficients of all genes; they share one covariance.

    Examples
    --------
    >>> import numpy as np
    >>> from kompot.gp.moments import moment_of
    >>> phi, Y = np.ones((3, 1)), np.array([[1.0], [2.0], [3.0]])
    >>> posterior = fit_posterior(moment_of(phi, Y), sigma=1.0)
    >>> float(posterior.mean(phi[:1])[0, 0]), float(posterior.variance(phi[:1])[0])
    (1.5, 0.25)
    """

    coef: Float64
    """Posterior means z, r x n_genes."""
    factor: Float64
    """Lower Cholesky factor of the precision B, r x r."""
    sigma: float
    """Noise standard deviation, in the units of expression."""
    mu: float = 0.0
    """Prior mean, in the units of expression."""

    @property
    def rank(self) -> int:
        """Number of features r."""
        return len(self.factor)

    def mean(self, phi: Float64) -> Float64:
        """Posterior means `mu + phi(x)·z`: n x r features to n x n_genes."""
        return product(phi, self.coef) + self.mu

    def variance(self, phi: Float64) -> Float64:
        """Variances `phi(x)ᵀ B⁻¹ phi(x)` of the function's part in the features' span: n x r to n."""
        return column_sums_of_squares(solve_lower(self.factor, phi.T))

    def covariance(self, phi: Float64, other: Float64) -> Float64:
        """Covariances `phi(x)ᵀ B⁻¹ phi(x')`: n x r and m x r to n x m."""
        return product(solve_lower(self.factor, phi.T).T, solve_lower(self.factor, other.T))

    def leverage(self, phi: Float64) -> Float64:
        """Weight `phi(x)ᵀ B⁻¹ phi(x) / sigma²` of a fitted cell in its own fit: n x r to n, between 0 and 1."""
        return self.variance(phi) / self.sigma**2

    def for_genes(self, genes: slice | Ints) -> Posterior:
        """The same posterior of some of the genes."""
        return Posterior(self.coef[:, genes], self.factor, self.sigma, self.mu)


def fit_posterior(moment: Moment, *, sigma: float, mu: float = 0.0) -> Posterior:
    """Posterior of the coefficients given the moment of the cells.

    Parameters
    ----------
    moment
        Sums over the cells fitted.
    sigma
        Noise standard deviation, in the units of expression.
    mu
        Prior mean, in the units of expression.

    Returns
    -------
    Posterior
        Holds the factored precision.
    """
    scaled_gram = moment.gram / sigma**2
    factor = cholesky(
        add_to_diagonal(scaled_gram, 1.0),
        "The precision of the coefficients",
        "Increase sigma or check cov_func.",
    )
    residual_cross = moment.cross - mu * moment.feature_sum[:, None] if mu else moment.cross
    return Posterior(solve_positive(factor, residual_cross / sigma**2), factor, sigma, mu)


def total_variance(posterior: Posterior, phi: Float64, residual: Float64) -> Float64:
    """Posterior variance at cells: what the features miss plus the posterior within their span.

    Parameters
    ----------
    posterior
        Of one condition.
    phi
        Features of the cells, n x r.
    residual
        `k(x, x) - |phi(x)|²`, n.

    Returns
    -------
    Float64
        n, in squared units of expression, never negative.
    """
    return np.maximum(residual, 0.0) + posterior.variance(phi)
