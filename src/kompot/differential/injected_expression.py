"""Differential expression between predictors that the user brings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._typing import Float64
from kompot.differential.evaluate import LayerTarget, empty_layers
from kompot.differential.expression import DifferentialExpression
from kompot.differential.fit import TwoConditionFit
from kompot.differential.injected import InjectedComparison
from kompot.differential.result import FoldChange


class InjectedExpression(DifferentialExpression):
    """Compares two conditions by predictors of any kind; nothing is fitted.

    Parameters
    ----------
    comparison
        Predictors of both conditions, and the cells and genes compared.
    models
        What the user brought for condition 1 and 2, or the model that was fitted for a condition without.
    skipped_samples
        Biological samples with too few cells.
    """

    def __init__(self, comparison: InjectedComparison, models: tuple[Any, Any], skipped_samples: list[Any]) -> None:
        super().__init__(eps=comparison.eps)
        self.comparison = comparison
        self.skipped_samples = skipped_samples
        self._models = models

    @property
    def result(self) -> TwoConditionFit:
        """Not known of predictors of any kind: a ValueError."""
        raise ValueError(
            "Predictors of any kind have no coefficients on shared features. Bring two kompot.ExpressionModel fitted "
            "with the same landmarks, or fit with DifferentialExpression().fit(X1, Y1, X2, Y2)."
        )

    @property
    def landmarks(self) -> Float64:
        """Points at which the distances are taken, m x n_dims."""
        compared = self.comparison
        return compared.X[compared.evaluated] if compared.points is None else compared.points

    def mahalanobis_distances(self) -> Float64:
        """Mahalanobis distance of each gene's fold change from zero, n_genes."""
        return self.comparison.distances()

    def mean_log_fold_change(self, X: Any) -> Float64:
        """Mean fold change of each gene over cell states X (n_cells x n_dims): n_genes."""
        compared = self._at(X)
        means: Float64 = compared.means(np.full((len(compared.X), 1), 1.0 / len(compared.X)))[0]
        return means

    def predict(self, X: Any, *, zscores: bool = True) -> FoldChange:
        """Expression of both conditions and their difference at cell states; see `DifferentialExpression.predict`."""
        compared = self._at(X)
        stds = compared.has_gene_variance
        arrays = empty_layers(len(compared.X), compared.n_genes, zscores=zscores, stds=stds, dtype=np.float64)
        compared.fill(LayerTarget(arrays))
        std_1, std_2 = (arrays["std_1"], arrays["std_2"]) if stds else compared.stds()
        return FoldChange(
            arrays["smoothed_1"], arrays["smoothed_2"], arrays["fold_change"], arrays.get("zscore"), std_1, std_2
        )

    def _at(self, X: Any) -> InjectedComparison:
        X = check.coordinates("X", X, self.comparison.X.shape[1])
        return replace(self.comparison, X=X, evaluated=np.ones(len(X), dtype=np.bool_))
