"""Differential expression between two conditions on plain arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._typing import Float64, Ints, Matrix
from kompot.differential.evaluate import fold_change_at, summarise_cells
from kompot.differential.expression_model import ExpressionModel
from kompot.differential.fit import TwoConditionFit
from kompot.differential.fitter import Fitter, Track, share_of
from kompot.differential.groups import CellGroups
from kompot.differential.result import FoldChange
from kompot.differential.samples import joined_samples, require_both, sample_groups
from kompot.gp.centroids import evaluation_points
from kompot.gp.features import FeatureTable
from kompot.gp.function_estimator import expression_matrix
from kompot.gp.parameters import RegressionParameters, regression_parameters
from kompot.gp.prepare import prepare_features, prepare_kernel
from kompot.gp.refit import all_or_nothing
from kompot.gp.rows import RowSource, StackedRows, row_source
from kompot.gp.selection import Approximation
from kompot.stats.null import NullDraw, draw_null_genes, shuffled_blocks, shuffling_order

_NOT_FITTED = "Not fitted yet; call fit(X1, Y1, X2, Y2) first."


class DifferentialExpression:
    """Compares the expression of two conditions over the landscape of cell states.

    Each gene's expression is a Gaussian-process regression per condition on shared features. Its distance is the
    Mahalanobis distance of the fold change under the summed posterior covariances (`kompot.stats.mahalanobis`), to
    which the variance between biological samples and the empirical variance are added where they are wanted.

    Parameters
    ----------
    use_empirical_variance
        Estimate the noise variance of each gene and cell state from the residuals (`kompot.stats.empirical_variance`).
        Its distances are taken at `n_landmarks` points: k-means centroids of the cells, or the landmarks given.
    allow_single_condition_variance
        Let one condition's variance between samples serve for both where the other has fewer than two samples.
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

    def __init__(
        self,
        *,
        use_empirical_variance: bool = False,
        allow_single_condition_variance: bool = False,
        eps: float = 1e-8,
        **parameters: Any,
    ) -> None:
        self.use_empirical_variance = check.boolean("use_empirical_variance", use_empirical_variance)
        self.allow_single_condition_variance = check.boolean(
            "allow_single_condition_variance", allow_single_condition_variance
        )
        self.eps = check.positive_float("eps", eps)
        self.parameters = regression_parameters(
            {"ls_factor": 10.0, **parameters},
            "DifferentialExpression",
            ("use_empirical_variance", "allow_single_condition_variance", "eps"),
        )
        self.skipped_samples: list[Any] = []
        self._fit: TwoConditionFit | None = None
        self._approximation: Approximation | None = None
        self._fitter: Fitter | None = None
        self._points: Float64 | None = None
        self._models: tuple[ExpressionModel, ExpressionModel] | None = None

    @classmethod
    def from_parameters(
        cls,
        parameters: RegressionParameters,
        *,
        eps: float,
        use_empirical_variance: bool = False,
        allow_single_condition_variance: bool = False,
    ) -> DifferentialExpression:
        """An analysis with parameters that are checked already."""
        analysis = cls(
            eps=eps,
            use_empirical_variance=use_empirical_variance,
            allow_single_condition_variance=allow_single_condition_variance,
        )
        analysis.parameters = parameters
        return analysis

    @classmethod
    def of_models(
        cls,
        models: tuple[ExpressionModel, ExpressionModel],
        fit: TwoConditionFit,
        approximation: Approximation,
        points: Float64 | None,
        *,
        eps: float,
    ) -> DifferentialExpression:
        """An analysis of two models that are fitted already, on the same features.

        Parameters
        ----------
        models
            Of condition 1 and 2.
        fit
            What they hold, of the genes compared.
        approximation
            How well the features represent the kernel.
        points
            Evaluation points of the distances, m x n_dims, with empirical variance only.
        eps
            Added to variances before roots are taken.

        Returns
        -------
        DifferentialExpression
            Fitted; further genes cannot be fitted with it.
        """
        analysis = cls(eps=eps, use_empirical_variance=points is not None, allow_single_condition_variance=fit.borrow)
        analysis._models, analysis._fit, analysis._approximation = models, fit, approximation
        analysis._points = points
        return analysis

    def fit(
        self, X1: Any, Y1: Any, X2: Any, Y2: Any, samples1: Any = None, samples2: Any = None
    ) -> DifferentialExpression:
        """Fit both conditions.

        Parameters
        ----------
        X1, X2
            Cell states of condition 1 and 2, n_cells x n_dims, at least two cells each.
        Y1, Y2
            Their expression, n_cells x n_genes, dense or sparse.
        samples1, samples2
            Biological sample of each cell, n_cells; with them the variance between samples counts.

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
        samples = joined_samples(samples1, samples2, (len(X1), len(X2)))
        return self.fit_cells(np.vstack([X1, X2]), StackedRows((row_source(Y1), row_source(Y2))), condition, samples)

    @all_or_nothing
    def fit_cells(
        self, X: Float64, Y: RowSource, condition: Ints, samples: Any = None, *, track: Track | None = None
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
        samples
            Biological sample of each cell, n_cells, if the variance between samples shall count.
        track
            Called with the number of cells done after each chunk.

        Returns
        -------
        DifferentialExpression
            Itself, fitted.
        """
        masks, groups = sample_groups(samples, condition, X)
        if samples is not None:
            require_both([len(part.valid) for part in masks], borrow=self.allow_single_condition_variance)
        self.skipped_samples = [label for part in masks for label in part.skipped]
        kernel = prepare_kernel(self.parameters, [X[condition == c] for c in (0, 1)])
        cells, self._approximation = prepare_features(self.parameters, kernel, X, condition >= 0)
        self._fitter = self._fitter_of(cells, groups)
        self._points = self._models = None
        self._fit = self._fitter.fit(Y, track=track)
        return self

    def _fitter_of(self, cells: FeatureTable, groups: CellGroups) -> Fitter:
        return Fitter(
            cells,
            groups,
            self.parameters.sigma,
            self.parameters.mu,
            self.eps,
            self.use_empirical_variance,
            self.allow_single_condition_variance,
            self.parameters.batch_size,
        )

    def fit_more(self, Y: RowSource, *, track: Track | None = None) -> TwoConditionFit:
        """Fit other genes of the cells fitted: expression of all of them, n_cells x n_genes."""
        return self.fitter.fit(Y, like=self.result, track=track)

    def fit_null(
        self, Y: Matrix, n_null: int, seed: int | None = 42, *, asked: bool = True, track: Track | None = None
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
        track
            Called with the number of cells done after each chunk, in proportion where the genes are fitted in blocks.

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
        order = shuffling_order(self.cells.X, Y, self.fitter.groups.codes)
        first, *rest = (
            self.fit_more(block, track=share_of(track, block.shape[1] / n_null))
            for block in shuffled_blocks(Y, draw, order)
        )
        return first.with_genes(rest), draw

    def fit_external(self, Y1: Any, Y2: Any, *, track: Track | None = None) -> TwoConditionFit:
        """Fit other genes of the same cells, condition by condition.

        Parameters
        ----------
        Y1, Y2
            Expression of the cells of condition 1 and 2 in the order they were fitted in, n_cells x n_genes.
        track
            Called with the number of cells done after each chunk.

        Returns
        -------
        TwoConditionFit
            Of these genes.
        """
        cells = [np.flatnonzero(self.condition == c) for c in (0, 1)]
        sources = [
            row_source(expression_matrix(f"expression of condition {c + 1}", Y, len(cells[c]))[0])
            for c, Y in enumerate((Y1, Y2))
        ]
        if sources[0].shape[1] != sources[1].shape[1]:
            raise ValueError(
                f"Both conditions must have the same genes: came {sources[0].shape[1]} and {sources[1].shape[1]} "
                f"columns."
            )
        order = np.concatenate(cells)
        groups = replace(self.fitter.groups, codes=self.fitter.groups.codes[order])
        table = FeatureTable(self.result.features, self.cells.X[order], keep_bytes=0)
        return self._fitter_of(table, groups).fit(StackedRows(tuple(sources)), like=self.result, track=track)

    @property
    def result(self) -> TwoConditionFit:
        """Posteriors of both conditions, and what they were computed from."""
        if self._fit is None:
            raise ValueError(_NOT_FITTED)
        return self._fit

    @property
    def fitter(self) -> Fitter:
        """What fits further genes."""
        if self._fitter is None:
            raise ValueError(_NOT_FITTED)
        return self._fitter

    @property
    def cells(self) -> FeatureTable:
        """Cells fitted, with their features."""
        return self.fitter.cells

    @property
    def condition(self) -> Ints:
        """Condition of each cell: 0, 1, or -1 for left out; n_cells."""
        groups = self.fitter.groups
        return np.where(groups.codes < 0, -1, (groups.codes >= groups.n_groups[0]).astype(np.int64))

    @property
    def points(self) -> Float64 | None:
        """Evaluation points of the distances, m x n_dims, where they depend on them: with empirical variance."""
        if not self.use_empirical_variance:
            return None
        if self._points is None:
            given = self.parameters.landmark_matrix(self.result.features.n_dims)
            self._points = self.points_of(self.condition >= 0) if given is None else given
        return self._points

    def points_of(self, mask: Any) -> Float64:
        """At most `n_landmarks` points spread as some of the cells are: m x n_dims."""
        return evaluation_points(self.cells.X[mask], self.parameters.n_landmarks, seed=self.parameters.seed)

    def distances(self, fit: TwoConditionFit) -> Float64:
        """Mahalanobis distances of genes fitted on the same cells, n_genes."""
        return fit.distances(None if self.points is None else fit.features(self.points))

    @property
    def approximation(self) -> Approximation:
        """How well the features represent the kernel on the fitted cells."""
        if self._approximation is None:
            raise ValueError(_NOT_FITTED)
        return self._approximation

    @property
    def landmarks(self) -> Float64:
        """Inducing points, m x n_dims."""
        return self.result.features.landmarks

    @property
    def model1(self) -> ExpressionModel:
        """Model of condition 1, the same object each time."""
        return self.models[0]

    @property
    def model2(self) -> ExpressionModel:
        """Model of condition 2, the same object each time."""
        return self.models[1]

    @property
    def models(self) -> tuple[ExpressionModel, ExpressionModel]:
        """Models of condition 1 and 2."""
        if self._models is None:
            features, (fit1, fit2) = self.result.features, self.result.conditions
            self._models = (
                ExpressionModel.of_condition(features, fit1, eps=self.eps),
                ExpressionModel.of_condition(features, fit2, eps=self.eps),
            )
        return self._models

    def mahalanobis_distances(self) -> Float64:
        """Mahalanobis distance of each gene's fold change from zero, n_genes."""
        return self.distances(self.result)

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
        check.boolean("zscores", zscores)
        return fold_change_at(self.result, X, eps=self.eps, zscores=zscores)
