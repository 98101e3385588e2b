"""Two conditions fitted on the same features, for any set of genes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kompot._typing import Bools, Float64, Floats, Ints
from kompot.gp.features import Features
from kompot.gp.linalg import product
from kompot.gp.moments import Moment
from kompot.gp.regression import Posterior
from kompot.stats.empirical_variance import EmpiricalVariance
from kompot.stats.mahalanobis import FoldChangeMetric, fold_change_metric
from kompot.stats.sample_variance import BetweenSamples

Track = Callable[[int], object]
# Sums over cells of values in single precision.
_ROUNDING_OF_SUMS = 5e-6


@dataclass(frozen=True)
class ConditionFit:
    """One condition."""

    posterior: Posterior
    """Posterior of the coefficients, from all cells of the condition."""
    moments: tuple[Moment, ...] = ()
    """Sums over the cells: one per biological sample (cells of skipped ones together last), or one; none if unknown."""
    between: BetweenSamples | None = None
    """Variance between samples, where there are any."""
    empirical: EmpiricalVariance | None = None
    """Noise variance, where it was asked for."""

    @property
    def n_cells(self) -> int | None:
        """Number of cells fitted, if known."""
        return sum(moment.count for moment in self.moments) if self.moments else None

    @property
    def has_gene_variance(self) -> bool:
        """Whether standard deviations differ between genes."""
        return self.between is not None or self.empirical is not None

    def gene_variance(self, phi: Floats) -> Floats | None:
        """What is added to the posterior variance at cells with features `phi` (n x r): n x n_genes, or None."""
        parts = [part.variance(phi) for part in (self.between, self.empirical) if part is not None]
        return sum(parts[1:], start=parts[0]) if parts else None

    def for_genes(self, genes: slice | Ints) -> ConditionFit:
        """The same fit of some of the genes."""
        return ConditionFit(
            self.posterior.for_genes(genes),
            tuple(moment.for_genes(genes) for moment in self.moments),
            self.between and BetweenSamples(self.between.deviations[:, :, genes]),
            self.empirical and replace(self.empirical, coef=self.empirical.coef[:, genes]),
        )

    def with_genes(self, others: Sequence[ConditionFit]) -> ConditionFit:
        """The same cells with the genes of other fits appended."""
        fits = [self, *others]
        betweens = [fit.between for fit in fits if fit.between is not None]
        empiricals = [fit.empirical for fit in fits if fit.empirical is not None]
        moments = [first.with_genes(*rest) for first, *rest in zip(*(fit.moments for fit in fits), strict=True)]
        return ConditionFit(
            replace(self.posterior, coef=np.hstack([fit.posterior.coef for fit in fits])),
            tuple(moments),
            BetweenSamples(np.concatenate([part.deviations for part in betweens], axis=2)) if betweens else None,
            replace(empiricals[0], coef=np.hstack([part.coef for part in empiricals])) if empiricals else None,
        )


@dataclass(frozen=True)
class TwoConditionFit:
    """Two conditions on the same features."""

    features: Features
    """The feature map of both."""
    conditions: tuple[ConditionFit, ConditionFit]
    """Condition 1 and 2."""
    borrow: bool = False
    """Whether the variance between samples of one condition serves for both where the other has none."""

    @property
    def posteriors(self) -> tuple[Posterior, Posterior]:
        """Posteriors of the coefficients in condition 1 and in condition 2."""
        return self.conditions[0].posterior, self.conditions[1].posterior

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.posteriors[0].coef.shape[1])

    @property
    def fold_change_coef(self) -> Float64:
        """Coefficients `z_2 - z_1` of the fold change, r x n_genes."""
        return self.posteriors[1].coef - self.posteriors[0].coef

    @property
    def metric(self) -> FoldChangeMetric:
        """Inverse covariance of the fold change's coefficients, without what differs between genes."""
        return fold_change_metric(*self.posteriors)

    @property
    def has_gene_variance(self) -> bool:
        """Whether standard deviations differ between genes."""
        return any(condition.has_gene_variance for condition in self.conditions)

    @property
    def has_empirical_variance(self) -> bool:
        """Whether there is a noise variance of its own for each gene and cell state."""
        return any(condition.empirical is not None for condition in self.conditions)

    def constant_genes(self) -> Bools | None:
        """Genes with one value in all cells fitted, to rounding: n_genes; None where the cells are not known."""
        moments = [moment for condition in self.conditions for moment in condition.moments]
        if not moments:
            return None
        sums = np.sum([moment.target_sum for moment in moments], axis=0)
        squares = np.sum([moment.target_sum_of_squares for moment in moments], axis=0)
        spread = squares - sums**2 / sum(moment.count for moment in moments)
        return np.asarray(spread <= _ROUNDING_OF_SUMS * squares)

    def lending(self) -> tuple[ConditionFit, ConditionFit]:
        """Both conditions, the one without samples with the variance between samples of the other if that may serve."""
        first, second = self.conditions
        if not self.borrow:
            return first, second
        between = first.between or second.between
        return replace(first, between=first.between or between), replace(second, between=second.between or between)

    def deviations(self) -> list[Float64]:
        """Columns of the variance between samples of the fold change, each r x n_genes."""
        betweens = [condition.between for condition in self.lending()]
        return [part for between in betweens if between is not None for part in between.deviations]

    def mean_fold_change(self, feature_mean: Float64) -> Float64:
        """Mean fold change over cells whose mean feature is given: `mean(phi)·(z_2 - z_1)`, n_genes."""
        mu_1, mu_2 = (posterior.mu for posterior in self.posteriors)
        return product(self.fold_change_coef.T, feature_mean) + (mu_2 - mu_1)

    def distances(self, points: Float64 | None = None, metric: FoldChangeMetric | None = None) -> Float64:
        """Mahalanobis distances of the fold changes.

        Parameters
        ----------
        points
            Features of the evaluation points, m x r; needed with empirical variance, and without effect otherwise.
        metric
            Inverse covariance; that of the whole landscape if not given.

        Returns
        -------
        Float64
            n_genes.
        """
        metric = metric or self.metric
        dz, deviations = self.fold_change_coef, self.deviations()
        if not self.has_empirical_variance:
            return np.sqrt(metric.squared_distance(dz, deviations))
        if points is None:
            raise ValueError("With empirical variance the distance needs evaluation points.")
        return np.sqrt(metric.noisy_squared_distance(dz, deviations, points, self._noise(points)))

    def _noise(self, phi: Float64) -> Float64:
        parts = [condition.empirical.variance(phi) for condition in self.conditions if condition.empirical is not None]
        noise: Float64 = np.sum(parts, axis=0)
        return noise

    def for_genes(self, genes: slice | Ints) -> TwoConditionFit:
        """The same fit of some of the genes."""
        first, second = self.conditions
        return replace(self, conditions=(first.for_genes(genes), second.for_genes(genes)))

    def with_genes(self, others: Sequence[TwoConditionFit]) -> TwoConditionFit:
        """The same cells with the genes of other fits appended."""
        first, second = (
            fit.with_genes([other.conditions[code] for other in others]) for code, fit in enumerate(self.conditions)
        )
        return replace(self, conditions=(first, second))
