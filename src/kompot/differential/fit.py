"""Two conditions fitted on the same features, for any set of genes."""

from __future__ import annotations

from dataclasses import dataclass

from kompot._typing import Float64, Ints
from kompot.gp.features import Features
from kompot.gp.moments import Moment
from kompot.gp.regression import Posterior, fit_posterior
from kompot.stats.mahalanobis import mahalanobis_distances


@dataclass(frozen=True)
class TwoConditionFit:
    """Moments and posteriors of two conditions."""

    features: Features
    """The feature map of both."""
    moments: tuple[Moment, Moment]
    """Sums over the cells of condition 1 and of condition 2."""
    posteriors: tuple[Posterior, Posterior]
    """Posteriors of the coefficients in condition 1 and in condition 2."""

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.moments[0].n_genes

    @property
    def fold_change_coef(self) -> Float64:
        """Coefficients `z_2 - z_1` of the fold change, r x n_genes."""
        return self.posteriors[1].coef - self.posteriors[0].coef

    def mean_fold_change(self, feature_mean: Float64) -> Float64:
        """Mean fold change over cells whose mean feature is given: `mean(phi)·(z_2 - z_1)`, n_genes."""
        return feature_mean @ self.fold_change_coef

    def distances(self) -> Float64:
        """Mahalanobis distances of the fold changes, n_genes."""
        return mahalanobis_distances(*self.posteriors)

    def for_genes(self, genes: slice | Ints) -> TwoConditionFit:
        """The same fit of some of the genes."""
        (m1, m2), (p1, p2) = self.moments, self.posteriors
        return TwoConditionFit(
            self.features,
            (m1.for_genes(genes), m2.for_genes(genes)),
            (p1.for_genes(genes), p2.for_genes(genes)),
        )


def fit_two_conditions(
    features: Features, moments: tuple[Moment, Moment], *, sigma: float, mu: float
) -> TwoConditionFit:
    """Posteriors of both conditions.

    Parameters
    ----------
    features
        The feature map the moments were made with.
    moments
        Sums over the cells of condition 1 and of condition 2.
    sigma
        Noise standard deviation.
    mu
        Prior mean.

    Returns
    -------
    TwoConditionFit
        Of all genes of the moments.
    """
    first, second = (fit_posterior(moment, sigma=sigma, mu=mu) for moment in moments)
    return TwoConditionFit(features, moments, (first, second))
