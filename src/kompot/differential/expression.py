"""Differential expression between two conditions on plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._typing import Float64, Ints, Matrix
from kompot.differential.evaluate import fold_change_at, summarise_cells
from kompot.differential.expression_model import ExpressionModel
from kompot.differential.fit import TwoConditionFit, fit_two_conditions
from kompot.differential.result import FoldChange
from kompot.gp.features import FeatureTable
from kompot.gp.function_estimator import expression_matrix
from kompot.gp.landmarks import canonical_order
from kompot.gp.moments import Moment, accumulate
from kompot.gp.parameters import RegressionParameters, regression_parameters
from kompot.gp.predictor import Predictor
from kompot.gp.prepare import prepare_features, prepare_kernel
from kompot.gp.rows import RowSource, StackedRows, row_source
from kompot.gp.selection import Approximation
from kompot.stats.null import NullDraw, draw_null_genes, shuffled_blocks

Track = Callable[[int], object]


class DifferentialExpression:
    """Compares the expression of two conditions over the landscape of cell states.

    Each gene's expression is a Gaussian-process regression per condition on shared features. Its distance is the
    Mahalanobis distance of the fold change under the summed posterior covariances (`kompot.stats.mahalanobis`).

    Parameters
    ----------
    eps
        Added to variances before roots are taken.
    **parameters
        Those of `kompot.FunctionEstimator`; `ls_factor` is 10 if not given.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X1, X2 = rng.normal(size=(2, 150, 2))
    >>> Y1, Y2 = rng.normal(size=(2, 150, 3))
    >>> Y2[:, 0] += 2 + X2[:, 0]
    >>> de = DifferentialExpression().fit(X1, Y1, X2, Y2)
    >>> int(np.argmax(de.mahalanobis_distances()))
    0
    >>> de.predict(X1[:4]).fold_change.shape
    (4, 3)
    """

    def __init__(self, *, eps: float = 1e-8, **parameters: Any) -> None:
        self.eps = check.positive_float("eps", eps)
        self.parameters = regression_parameters({"ls_factor": 10.0, **parameters}, "DifferentialExpression")
        self._fit: TwoConditionFit | None = None
        self._approximation: Approximation | None = None
        self._cells: FeatureTable | None = None
        self._condition: Ints | None = None

    @classmethod
    def from_parameters(cls, parameters: RegressionParameters, *, eps: float) -> DifferentialExpression:
        """An analysis with parameters that are checked already."""
        analysis = cls(eps=eps)
        analysis.parameters = parameters
        return analysis

    def fit(self, X1: Any, Y1: Any, X2: Any, Y2: Any) -> DifferentialExpression:
        """Fit both conditions.

        Parameters
        ----------
        X1, X2
            Cell states of condition 1 and 2, n_cells x n_dims, at least two cells each.
        Y1, Y2
            Their expression, n_cells x n_genes, dense or sparse.

        Returns
        -------
        DifferentialExpression
            Itself, fitted.
        """
        X1 = check.coordinates("X1", X1)
        X2 = check.coordinates("X2", X2, X1.shape[1])
        Y1, Y2 = expression_matrix("Y1", Y1, len(X1))[0], expression_matrix("Y2", Y2, len(X2))[0]
        if Y1.shape[1] != Y2.shape[1]:
            raise ValueError(f"Y1 and Y2 must have the same genes: came {Y1.shape[1]} and {Y2.shape[1]} columns.")
        if min(len(X1), len(X2)) < 2:
            raise ValueError(f"Each condition needs at least 2 cells, came {len(X1)} and {len(X2)}.")
        condition = np.repeat([0, 1], [len(X1), len(X2)])
        return self.fit_cells(np.vstack([X1, X2]), StackedRows((row_source(Y1), row_source(Y2))), condition)

    def fit_cells(
        self, X: Float64, Y: RowSource, condition: Ints, *, track: Track | None = None
    ) -> DifferentialExpression:
        """Fit cells of both conditions that lie in one matrix in any order.

        Parameters
        ----------
        X
            Cell states, n_cells x n_dims.
        Y
            Their expression, n_cells x n_genes.
        condition
            0 or 1 for each cell; -1 for cells to leave out.
        track
            Called with the number of cells done after each chunk.

        Returns
        -------
        DifferentialExpression
            Itself, fitted.
        """
        groups = [X[condition == c] for c in (0, 1)]
        kernel = prepare_kernel(self.parameters, groups)
        self._cells, self._approximation = prepare_features(self.parameters, kernel, X, condition >= 0)
        self._condition = condition
        self._fit = self._fitted(*self._accumulate(Y, track=track))
        return self

    def fit_more(self, Y: RowSource) -> TwoConditionFit:
        """Fit other genes of the cells fitted: expression of all of them, n_cells x n_genes."""
        return self._fitted(*self._accumulate(Y, like=self.result.moments))

    def _accumulate(
        self, Y: RowSource, *, like: tuple[Moment, Moment] | None = None, track: Track | None = None
    ) -> list[Moment]:
        batch_size = self.parameters.batch_size
        return accumulate(self.cells, Y, self.condition, 2, like=like, batch_size=batch_size, track=track)

    def fit_null(
        self, Y: Matrix, n_null: int, seed: int | None = 42, *, asked: bool = True
    ) -> tuple[TwoConditionFit, NullDraw]:
        """Fit shuffled genes with the features and cells of the last fit.

        Parameters
        ----------
        Y
            Expression of all genes for the cells fitted, n_cells x n_genes.
        n_null
            Number of null genes.
        seed
            Of their choice and shuffling; None is a fixed seed.
        asked
            Whether to warn if there are fewer genes than null genes wanted (they are then drawn with replacement).

        Returns
        -------
        tuple[TwoConditionFit, NullDraw]
            The fit of the null genes, and which genes were shuffled.
        """
        if Y.shape[0] != len(self.cells.X):
            raise ValueError(
                f"Y must have one row per cell fitted: needed {len(self.cells.X)} rows, came {Y.shape[0]}."
            )
        draw = draw_null_genes(Y.shape[1], n_null, seed, asked=asked)
        used = np.flatnonzero(self.condition >= 0)
        order = used[canonical_order(self.cells.X[used])]
        blocks = (self._accumulate(block, like=self.result.moments) for block in shuffled_blocks(Y, draw, order))
        (first, *rest_1), (second, *rest_2) = zip(*blocks, strict=True)
        return self._fitted(first.with_genes(*rest_1), second.with_genes(*rest_2)), draw

    def fit_external(self, Y1: Any, Y2: Any) -> TwoConditionFit:
        """Fit other genes of the same cells, condition by condition.

        Parameters
        ----------
        Y1, Y2
            Expression of the cells of condition 1 and 2 in the order they were fitted in, n_cells x n_genes.

        Returns
        -------
        TwoConditionFit
            Of these genes.
        """
        features, batch_size = self.result.features, self.parameters.batch_size
        moments: list[Moment] = []
        for c, Y in enumerate((Y1, Y2)):
            X = self.cells.X[self.condition == c]
            matrix, _ = expression_matrix(f"expression of condition {c + 1}", Y, len(X))
            everyone = np.zeros(len(X), dtype=np.int64)
            moments += accumulate(
                FeatureTable(features, X, keep_bytes=0), row_source(matrix), everyone, 1, batch_size=batch_size
            )
        if moments[0].n_genes != moments[1].n_genes:
            raise ValueError(
                f"Both conditions must have the same genes: came {moments[0].n_genes} and {moments[1].n_genes} columns."
            )
        return self._fitted(*moments)

    def _fitted(self, first: Moment, second: Moment) -> TwoConditionFit:
        features, sigma, mu = self.cells.features, self.parameters.sigma, self.parameters.mu
        return fit_two_conditions(features, (first, second), sigma=sigma, mu=mu)

    @property
    def result(self) -> TwoConditionFit:
        """Moments and posteriors of both conditions."""
        if self._fit is None:
            raise ValueError("Not fitted yet; call fit(X1, Y1, X2, Y2) first.")
        return self._fit

    @property
    def cells(self) -> FeatureTable:
        """Cells fitted, with their features."""
        if self._cells is None:
            raise ValueError("Not fitted yet; call fit(X1, Y1, X2, Y2) first.")
        return self._cells

    @property
    def condition(self) -> Ints:
        """Condition of each cell: 0, 1, or -1 for left out; n_cells."""
        if self._condition is None:
            raise ValueError("Not fitted yet; call fit(X1, Y1, X2, Y2) first.")
        return self._condition

    @property
    def approximation(self) -> Approximation:
        """How well the features represent the kernel on the fitted cells."""
        if self._approximation is None:
            raise ValueError("Not fitted yet; call fit(X1, Y1, X2, Y2) first.")
        return self._approximation

    @property
    def landmarks(self) -> Float64:
        """Inducing points, m x n_dims."""
        return self.result.features.landmarks

    @property
    def model1(self) -> ExpressionModel:
        """Model of condition 1."""
        return self._model(0)

    @property
    def model2(self) -> ExpressionModel:
        """Model of condition 2."""
        return self._model(1)

    def _model(self, condition: int) -> ExpressionModel:
        predictor = Predictor(self.result.features, self.result.posteriors[condition])
        return ExpressionModel.from_predictor(predictor, eps=self.eps)

    def mahalanobis_distances(self) -> Float64:
        """Mahalanobis distance of each gene's fold change from zero, n_genes."""
        return self.result.distances()

    def mean_log_fold_change(self, X: Any) -> Float64:
        """Mean fold change of each gene over cell states X (n_cells x n_dims): n_genes."""
        X = check.coordinates("X", X, self.result.features.n_dims)
        cells = FeatureTable(self.result.features, X, keep_bytes=0)
        return self.result.mean_fold_change(summarise_cells(self.result, cells).feature_mean)

    def predict(self, X: Any, *, zscores: bool = True) -> FoldChange:
        """Expression of both conditions and their difference at cell states.

        Parameters
        ----------
        X
            n_cells x n_dims.
        zscores
            Whether z-scores are wanted.

        Returns
        -------
        FoldChange
            In double precision.
        """
        X = check.coordinates("X", X, self.result.features.n_dims)
        return fold_change_at(self.result, X, eps=self.eps, zscores=zscores)
