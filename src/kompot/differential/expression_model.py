"""Smooth expression of one condition."""

from __future__ import annotations

from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._labels import labels
from kompot._typing import Bools, Float64, Floats
from kompot.differential.fit import ConditionFit
from kompot.differential.result import Smoothed
from kompot.differential.samples import SampleMasks, sample_masks
from kompot.gp.features import Features, FeatureTable
from kompot.gp.function_estimator import expression_matrix
from kompot.gp.moments import Moment, accumulate, total
from kompot.gp.parameters import RegressionParameters, regression_parameters
from kompot.gp.predictor import Predictor
from kompot.gp.prepare import prepare_features, prepare_kernel
from kompot.gp.refit import all_or_nothing
from kompot.gp.regression import fit_posterior
from kompot.gp.rows import RowSource, row_source
from kompot.gp.selection import Approximation
from kompot.stats.empirical_variance import EmpiricalVariance, fit_empirical_variances
from kompot.stats.sample_variance import BetweenSamples, between_samples, require_samples


class ExpressionModel:
    """Gaussian-process model of the expression of many genes over cell states.

    Parameters
    ----------
    use_empirical_variance
        Estimate the noise variance of each gene and cell state from the residuals (`kompot.stats.empirical_variance`).
    eps
        Smallest variance, and added to variances before roots are taken.
    **parameters
        Those of `kompot.FunctionEstimator`; `ls_factor` is 10 if not given.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 2))
    >>> Y = X @ rng.normal(size=(2, 3))
    >>> smoothed = ExpressionModel(ls=2.0).fit(X, Y).predict(X[:5])
    >>> smoothed.mean.shape, smoothed.std.shape
    ((5, 3), (5,))
    """

    def __init__(self, *, use_empirical_variance: bool = False, eps: float = 1e-8, **parameters: Any) -> None:
        self.use_empirical_variance = check.boolean("use_empirical_variance", use_empirical_variance)
        self.eps = check.positive_float("eps", eps)
        self.parameters = regression_parameters(
            {"ls_factor": 10.0, **parameters}, "ExpressionModel", ("use_empirical_variance", "eps")
        )
        self.empirical: EmpiricalVariance | None = None
        self.between: BetweenSamples | None = None
        self.skipped_samples: list[Any] = []
        self.approximation: Approximation | None = None
        self._predictor: Predictor | None = None

    @classmethod
    def from_parameters(
        cls, parameters: RegressionParameters, *, use_empirical_variance: bool, eps: float
    ) -> ExpressionModel:
        """A model with parameters that are checked already."""
        model = cls(use_empirical_variance=use_empirical_variance, eps=eps)
        model.parameters = parameters
        return model

    @classmethod
    def from_predictor(cls, predictor: Predictor, *, eps: float = 1e-8) -> ExpressionModel:
        """A model around a predictor that is already fitted.

        Parameters
        ----------
        predictor
            For example of `FunctionEstimator`, or loaded from a file.
        eps
            Added to variances before roots are taken.

        Returns
        -------
        ExpressionModel
            Fitted, without empirical variance and variance between samples.
        """
        if not isinstance(predictor, Predictor):
            raise TypeError(f"predictor must be a kompot.Predictor, came {check.show(predictor)}.")
        model = cls(eps=eps)
        model._predictor = predictor
        return model

    @classmethod
    def of_condition(cls, features: Features, fit: ConditionFit, *, eps: float) -> ExpressionModel:
        """The model of one of two conditions fitted together.

        Parameters
        ----------
        features
            The feature map.
        fit
            Of the condition.
        eps
            Added to variances before roots are taken.

        Returns
        -------
        ExpressionModel
            With the variances that the fit has.
        """
        model = cls.from_predictor(Predictor(features, fit.posterior), eps=eps)
        model.between, model.empirical = fit.between, fit.empirical
        model.use_empirical_variance = fit.empirical is not None
        return model

    def fit(self, X: Any, Y: Any, samples: Any = None) -> ExpressionModel:
        """Fit the model.

        Parameters
        ----------
        X
            Cell states, n_cells x n_dims.
        Y
            Expression, n_cells x n_genes, dense or sparse.
        samples
            Biological sample of each cell, n_cells, for the variance between samples.

        Returns
        -------
        ExpressionModel
            Itself, fitted.
        """
        X = check.coordinates("X", X, some=True)
        matrix, _ = expression_matrix("Y", Y, len(X))
        samples = None if samples is None else labels("samples", samples, "labels", len(X))
        self.fit_cells(X, row_source(matrix), np.ones(len(X), dtype=np.bool_), samples)
        return self

    @all_or_nothing
    def fit_cells(
        self, X: Float64, Y: RowSource, used: Bools, samples: Any = None, *, track: Any = None
    ) -> FeatureTable:
        """Fit some of the cells of a matrix.

        Parameters
        ----------
        X
            Cell states, n_cells x n_dims.
        Y
            Their expression, n_cells x n_genes.
        used
            Mask of the cells to fit, n_cells.
        samples
            Biological sample of each cell, n_cells.
        track
            Called with the number of cells done after each chunk.

        Returns
        -------
        FeatureTable
            All cells with their features.
        """
        masks = sample_masks(samples, used, X)
        if samples is not None:
            require_samples(len(masks.valid))
        kernel = prepare_kernel(self.parameters, [X[used]])
        cells, self.approximation = prepare_features(self.parameters, kernel, X, used)
        self._fit_moments(cells, Y, used, masks, track)
        return cells

    def _fit_moments(self, cells: FeatureTable, Y: RowSource, used: Bools, masks: SampleMasks, track: Any) -> None:
        sigma, mu, batch_size = self.parameters.sigma, self.parameters.mu, self.parameters.batch_size
        groups = masks.codes(used)
        moments: list[Moment] = accumulate(cells, Y, groups, int(groups.max()) + 1, batch_size=batch_size, track=track)
        pooled = fit_posterior(total(moments), sigma=sigma, mu=mu)
        self._predictor = Predictor(cells.features, pooled)
        parts = [fit_posterior(moment, sigma=sigma, mu=mu) for moment in moments[: len(masks.valid)]]
        self.between = between_samples(parts) if masks.valid else None
        # Cells of a skipped sample have no fit of their own that could predict them: the pooled one does.
        parts += [pooled] * (len(moments) - len(parts))
        self.skipped_samples = masks.skipped
        if self.use_empirical_variance:
            (self.empirical,) = fit_empirical_variances(
                [pooled], [parts], cells, Y, groups, eps=self.eps, batch_size=batch_size, track=track
            )

    @property
    def predictor(self) -> Predictor:
        """The fitted functions."""
        if self._predictor is None:
            raise ValueError("The model is not fitted; call fit(X, Y) first.")
        return self._predictor

    @property
    def landmarks(self) -> Float64:
        """Inducing points, m x n_dims."""
        return self.predictor.landmarks

    @property
    def has_gene_variance(self) -> bool:
        """Whether standard deviations differ between genes."""
        return self.empirical is not None or self.between is not None

    def predict(self, X: Any) -> Smoothed:
        """Smoothed expression and its standard deviation at cell states X (n_cells x n_dims)."""
        return Smoothed(self.predictor(X), self.std(X))

    def variance(self, X: Any) -> Float64:
        """Posterior variance at cell states: n_cells, in squared units of expression."""
        return self.predictor.covariance(X, diag=True)

    def empirical_variance(self, X: Any) -> Floats | None:
        """Noise variance at cell states, n_cells x n_genes; None unless asked for at construction."""
        X = check.coordinates("X", X, self.predictor.features.n_dims)
        return None if self.empirical is None else self.empirical.variance(self.predictor.features(X))

    def sample_variance(self, X: Any) -> Floats | None:
        """Variance between samples at cell states, n_cells x n_genes; None unless samples were given to `fit`."""
        X = check.coordinates("X", X, self.predictor.features.n_dims)
        return None if self.between is None else self.between.variance(self.predictor.features(X))

    def std(self, X: Any) -> Float64:
        """Standard deviation `sqrt(variance + eps)` at cell states, all parts of the variance added.

        Parameters
        ----------
        X
            n_cells x n_dims.

        Returns
        -------
        Float64
            n_cells, or n_cells x n_genes with empirical variance or samples; in units of expression.
        """
        variance = self.variance(X)
        for part in (self.empirical_variance(X), self.sample_variance(X)):
            if part is not None:
                variance = part + (variance[:, None] if variance.ndim == 1 else variance)
        return np.sqrt(variance + self.eps)
