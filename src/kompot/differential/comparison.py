"""What an analysis needs to know of a fold change, whether it was fitted here or comes from the user's predictors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from kompot._typing import Bools, Float64
from kompot.differential.evaluate import CellSummary, LayerTarget, fill_layers, summarise_cells
from kompot.differential.fit import TwoConditionFit
from kompot.differential.fitter import Track
from kompot.gp.centroids import evaluation_points
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.linalg import column_sums_of_squares, product, solve_lower
from kompot.gp.local import local_prior
from kompot.stats.mahalanobis import FoldChangeMetric


class Comparison(Protocol):
    """The fold change of some genes at the cells of an analysis."""

    @property
    def n_genes(self) -> int:
        """Number of genes."""

    @property
    def has_gene_variance(self) -> bool:
        """Whether standard deviations differ between genes."""

    def means(self, weights: Float64) -> Float64:
        """Weighted sums of the fold change over cells: n_cells x k weights to k x n_genes."""

    def distances(self) -> Float64:
        """Mahalanobis distances, n_genes."""

    def group_distances(self, mask: Bools) -> Float64:
        """Mahalanobis distances over the cells of a group (mask, n_cells): n_genes."""

    def constant_genes(self) -> Bools | None:
        """Genes with one value in all cells compared, n_genes; None where it is not known."""

    def stds(self) -> tuple[Float64, Float64]:
        """Standard deviations in condition 1 and 2 without what differs between genes, n_cells each."""

    def fill(self, target: LayerTarget, track: Track | None = None) -> None:
        """Evaluate at the cells; see `kompot.differential.evaluate.fill_layers`."""

    def covariance(self, mask: Bools) -> Float64:
        """Posterior covariance of the fold change between the cells of a mask, n x n."""


@dataclass
class Landscape:
    """The cells of an analysis and what is computed of them once for all genes."""

    cells: FeatureTable
    """All cells with their features."""
    evaluated: Bools
    """Cells that results are evaluated at, n_cells."""
    eps: float
    """Added to variances."""
    n_points: int | None = None
    """Evaluation points of distances with empirical variance in a group; None for all its cells."""
    seed: int = 0
    """Of those points."""
    batch_size: int | None = None
    """Rows per chunk; None lets the engine choose."""
    _groups: dict[bytes, tuple[FoldChangeMetric, Float64 | None]] = field(default_factory=dict)

    def weighted_features(self, weights: Float64) -> Float64:
        """Weighted sums of features over cells: n_cells x k weights to k x r."""
        sums = np.zeros((weights.shape[1], self.cells.features.rank))
        for rows in row_slices(len(weights), self.cells.features.rows_per_chunk()):
            needed = np.asarray(weights[rows].any(axis=1))
            sums += product(weights[rows][needed].T, self.cells.selected(rows, needed))
        return sums

    def points_of(self, mask: Bools) -> Float64:
        """At most `n_points` points spread as some of the cells are, m x n_dims."""
        return evaluation_points(self.cells.X[mask], self.n_points, seed=self.seed)

    def group(self, mask: Bools, metric: FoldChangeMetric, *, noisy: bool) -> tuple[FoldChangeMetric, Float64 | None]:
        """Metric and evaluation points (features, with empirical variance only) of a group; computed once."""
        key = np.packbits(mask).tobytes()
        if key not in self._groups:
            if noisy:
                self._groups[key] = metric, self.cells.features(self.points_of(mask))
            else:
                R, F = local_prior(self.cells, mask, residual=0.5 * self.eps, seed=self.seed)
                self._groups[key] = metric.at_group(R, F, self.eps), None
        return self._groups[key]


@dataclass(frozen=True)
class FittedComparison:
    """Genes fitted in both conditions on the same features."""

    fit: TwoConditionFit
    """Of the genes."""
    landscape: Landscape
    """Shared by all genes of an analysis."""
    points: Float64 | None = None
    """Features of the evaluation points of the distances, with empirical variance only."""

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.fit.n_genes

    @property
    def has_gene_variance(self) -> bool:
        """Whether standard deviations differ between genes."""
        return self.fit.has_gene_variance

    @cached_property
    def summary(self) -> CellSummary:
        """Posterior variances at the cells."""
        return summarise_cells(self.fit, self.landscape.cells, self.landscape.evaluated)

    def means(self, weights: Float64) -> Float64:
        """Weighted sums of the fold change over cells: n_cells x k weights to k x n_genes."""
        return self.means_of(self.landscape.weighted_features(weights), weights.sum(axis=0))

    def means_of(self, feature_sums: Float64, totals: Float64) -> Float64:
        """The same from weighted sums of features (k x r) and the sums of the weights (k)."""
        mu_1, mu_2 = (posterior.mu for posterior in self.fit.posteriors)
        return product(feature_sums, self.fit.fold_change_coef) + (mu_2 - mu_1) * totals[:, None]

    def distances(self) -> Float64:
        """Mahalanobis distances, n_genes."""
        return self.fit.distances(self.points)

    def group_distances(self, mask: Bools) -> Float64:
        """Mahalanobis distances over the cells of a group (mask, n_cells): n_genes."""
        metric, points = self.landscape.group(mask, self.fit.metric, noisy=self.fit.has_empirical_variance)
        return self.fit.distances(points, metric)

    def constant_genes(self) -> Bools | None:
        """Genes with one value in all cells compared, n_genes; None where it is not known."""
        return self.fit.constant_genes()

    def stds(self) -> tuple[Float64, Float64]:
        """Standard deviations in condition 1 and 2 without what differs between genes, n_cells each."""
        return self.summary.stds(self.landscape.eps)

    def fill(self, target: LayerTarget, track: Track | None = None) -> None:
        """Evaluate at the cells; see `kompot.differential.evaluate.fill_layers`."""
        place = self.landscape
        fill_layers(
            self.fit,
            place.cells,
            target,
            self.summary,
            eps=place.eps,
            evaluated=place.evaluated,
            batch_size=place.batch_size,
            track=track,
        )

    def covariance(self, mask: Bools) -> Float64:
        """Posterior covariance of the fold change between the cells of a mask, n x n.

        What the features miss counts once per condition, as in the variances.
        """
        cells = self.landscape.cells
        X, features = cells.X[mask], cells.features
        phi = features(X)
        covariance = features.kernel(X, X)
        covariance -= product(phi, phi.T)
        covariance *= 2.0
        for posterior in self.fit.posteriors:
            half = solve_lower(posterior.factor, phi.T)
            covariance += product(half.T, half)
        # The diagonal exactly as the variances have it.
        np.fill_diagonal(
            covariance,
            2.0 * features.residual(X, phi)
            + sum(column_sums_of_squares(solve_lower(posterior.factor, phi.T)) for posterior in self.fit.posteriors),
        )
        return covariance
