"""Variance between biological samples as a predictor of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._typing import Float64
from kompot.differential.expression_model import ExpressionModel
from kompot.gp.features import Features
from kompot.stats.sample_variance import BetweenSamples


@dataclass(frozen=True)
class SampleVariancePredictor:
    """Variance between samples at cell states: callable as `predictor(X, diag=True)`."""

    features: Features
    """Feature map."""
    between: BetweenSamples
    """Variance between samples of the coefficients."""

    def __call__(self, X: Any, diag: bool = True) -> Float64:
        """Variance between samples.

        Parameters
        ----------
        X
            Cell states, n x n_dims.
        diag
            Variances only, or covariances between the cell states.

        Returns
        -------
        Float64
            n x n_genes, or n x n x n_genes: in squared units of expression.
        """
        check.boolean("diag", diag)
        phi = self.features(check.coordinates("X", X, self.features.n_dims))
        return np.asarray(self.between.variance(phi) if diag else self.between.covariance(phi), dtype=np.float64)


class SampleVarianceEstimator:
    """Variance of smoothed expression between biological samples (`kompot.stats.sample_variance`).

    Each sample is fitted on its own, on features they share; the variance between the fits (ddof 1) is a function of
    the cell state. A fitted estimator serves as `variance_predictor1` or `variance_predictor2` of
    `kompot.ModelSettings`.

    Parameters
    ----------
    **parameters
        Those of `kompot.FunctionEstimator`; `ls_factor` is 10 if not given.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, samples = rng.normal(size=(200, 2)), np.repeat(["a", "b", "c", "d"], 50)
    >>> Y = np.repeat([0.0, 1.0, 2.0, 3.0], 50)[:, None] + rng.normal(scale=0.1, size=(200, 1))
    >>> estimator = SampleVarianceEstimator(ls=2.0, sigma=0.1).fit(X, Y, samples)
    >>> variance = estimator.predict(np.zeros((1, 2)))  # of the means 0, 1, 2 and 3
    >>> bool(abs(variance[0, 0] - 5 / 3) < 0.1)
    True
    """

    def __init__(self, **parameters: Any) -> None:
        self._model = ExpressionModel(**parameters)

    def fit(self, X: Any, Y: Any, samples: Any) -> SampleVarianceEstimator:
        """Fit each sample.

        Parameters
        ----------
        X
            Cell states, n_cells x n_dims.
        Y
            Expression, n_cells x n_genes, dense or sparse.
        samples
            Biological sample of each cell, n_cells; at least two samples with two cells each.

        Returns
        -------
        SampleVarianceEstimator
            Itself, fitted.
        """
        if samples is None:
            raise ValueError("samples must name the biological sample of each cell, came None.")
        self._model.fit(X, Y, samples)
        return self

    @property
    def predictor(self) -> SampleVariancePredictor:
        """The fitted variance."""
        between = self._model.between
        if between is None:
            raise ValueError("The estimator is not fitted; call fit(X, Y, samples) first.")
        return SampleVariancePredictor(self._model.predictor.features, between)

    def predict(self, X: Any, diag: bool = True) -> Float64:
        """Variance between samples at cell states; see `SampleVariancePredictor`."""
        return self.predictor(X, diag=diag)

    def __call__(self, X: Any, diag: bool = True) -> Float64:
        """The same as `predict`."""
        return self.predict(X, diag=diag)
