"""Smooth expression of one condition."""

from __future__ import annotations

from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._typing import Float64
from kompot.differential.result import Smoothed
from kompot.gp.function_estimator import FunctionEstimator
from kompot.gp.predictor import Predictor


class ExpressionModel:
    """Gaussian-process model of the expression of many genes over cell states.

    Parameters
    ----------
    eps
        Added to variances before roots are taken.
    **parameters
        Those of `kompot.FunctionEstimator`; `ls_factor` is 10 if not given, as in `kompot.de`.

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

    def __init__(self, *, eps: float = 1e-8, **parameters: Any) -> None:
        self.eps = check.positive_float("eps", eps)
        self._estimator = FunctionEstimator(**{"ls_factor": 10.0, **parameters})
        self._predictor: Predictor | None = None

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
            Fitted.
        """
        model = cls(eps=eps)
        model._predictor = predictor
        return model

    def fit(self, X: Any, Y: Any) -> ExpressionModel:
        """Fit the model.

        Parameters
        ----------
        X
            Cell states, n_cells x n_dims.
        Y
            Expression, n_cells x n_genes, dense or sparse.

        Returns
        -------
        ExpressionModel
            Itself, fitted.
        """
        self._predictor = self._estimator.fit(X, Y).predictor
        return self

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

    def predict(self, X: Any) -> Smoothed:
        """Smoothed expression and its standard deviation at cell states.

        Parameters
        ----------
        X
            n_cells x n_dims.

        Returns
        -------
        Smoothed
            Means, and standard deviations `sqrt(variance + eps)` that are the same for every gene.
        """
        return Smoothed(self.predictor(X), self.std(X))

    def variance(self, X: Any) -> Float64:
        """Posterior variance at cell states: n_cells, in squared units of expression."""
        return self.predictor.covariance(X, diag=True)

    def std(self, X: Any) -> Float64:
        """Posterior standard deviation `sqrt(variance + eps)`: n_cells, in units of expression."""
        return np.sqrt(self.variance(X) + self.eps)
