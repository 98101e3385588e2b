"""Regression of functions of the cell state on plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._typing import Float64, Matrix
from kompot.gp.moments import accumulate
from kompot.gp.parameters import regression_parameters
from kompot.gp.predictor import Predictor
from kompot.gp.prepare import prepare_features, prepare_kernel
from kompot.gp.refit import all_or_nothing
from kompot.gp.regression import fit_posterior
from kompot.gp.rows import has_invalid, invalid_values, row_source
from kompot.gp.selection import Approximation


def expression_matrix(name: str, Y: Any, n_cells: int) -> tuple[Matrix, bool]:
    """Expression as a matrix with one row per cell, and whether it came as a vector."""
    Y = _compressed(Y) if check.is_sparse(Y) else check.numeric_array(name, Y)
    if Y.ndim not in (1, 2) or Y.shape[0] != n_cells:
        raise ValueError(
            f"{name} must have one row per cell: needed {n_cells} rows and one column per gene, came shape {Y.shape}."
        )
    if Y.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, came dtype {Y.dtype}.")
    if has_invalid(Y):
        raise ValueError(f"{name} has {invalid_values(Y)}. Remove or replace them first.")
    return (Y[:, None], True) if Y.ndim == 1 else (Y, False)


def _compressed(Y: Matrix) -> Matrix:
    return Y if Y.format == "csc" else Y.tocsr()


class FunctionEstimator:
    """Gaussian-process regression of one or many functions of the cell state.

    With features `phi` of the cell states (design of the library: docs, page *Notation*), the posterior mean is
    `f(x) = mu + phi(x)·z` (Rasmussen and Williams 2006, *Gaussian Processes for Machine Learning*, equation 2.8).

    Parameters
    ----------
    **parameters
        Those of `kompot.gp.parameters.RegressionParameters`: `sigma` (noise standard deviation, default 1), `ls`
        (length scale, estimated if None), `ls_factor` (default 1), `cov_func` or `cov_func_curry` (default
        Matérn-5/2), `n_landmarks` (most features, default 5000), `landmarks`, `mu` (prior mean, default 0),
        `jitter`, `nn_distances`, `random_state`, `batch_size` and `tolerance`. Other names of mellon's estimator
        are accepted with a warning that they have no effect.

    Raises
    ------
    TypeError
        For an unknown name or a value of the wrong kind.
    ValueError
        For values out of range, and in `fit` for NaN, infinite values or shapes that do not match.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(200, 2))
    >>> Y = np.column_stack([np.sin(5 * X[:, 0]), X.sum(axis=1)])
    >>> estimator = FunctionEstimator(ls=0.5, sigma=0.1).fit(X, Y)
    >>> estimator.predict(X[:3]).shape
    (3, 2)
    >>> bool(np.abs(estimator.predict(X) - Y).max() < 0.05)
    True
    """

    def __init__(self, **parameters: Any) -> None:
        self.parameters = regression_parameters(parameters)
        self._predictor: Predictor | None = None
        self._approximation: Approximation | None = None

    @all_or_nothing
    def fit(self, X: Any, Y: Any) -> FunctionEstimator:
        """Fit the functions.

        Parameters
        ----------
        X
            Cell states, n_cells x n_dims.
        Y
            Expression: n_cells, or n_cells x n_genes (dense or sparse).

        Returns
        -------
        FunctionEstimator
            Itself, fitted.
        """
        X = check.coordinates("X", X, some=True)
        matrix, squeeze = expression_matrix("Y", Y, len(X))
        kernel = prepare_kernel(self.parameters, [X])
        cells, self._approximation = prepare_features(self.parameters, kernel, X)
        everyone = np.zeros(len(X), dtype=np.int64)
        (moment,) = accumulate(cells, row_source(matrix), everyone, 1, batch_size=self.parameters.batch_size)
        posterior = fit_posterior(moment, sigma=self.parameters.sigma, mu=self.parameters.mu)
        self._predictor = Predictor(cells.features, posterior, squeeze)
        return self

    @property
    def predictor(self) -> Predictor:
        """The fitted function."""
        if self._predictor is None:
            raise ValueError("The estimator is not fitted; call fit(X, Y) first.")
        return self._predictor

    @property
    def predict(self) -> Predictor:
        """The fitted function, so that `estimator.predict(X)` evaluates it."""
        return self.predictor

    @property
    def approximation(self) -> Approximation:
        """How well the features represent the kernel on the fitted cells."""
        if self._approximation is None:
            raise ValueError("The estimator is not fitted; call fit(X, Y) first.")
        return self._approximation

    def fit_predict(self, X: Any, Y: Any) -> Float64:
        """Fit, and evaluate at the same cells: n_cells x n_genes (or n_cells)."""
        return self.fit(X, Y).predictor(X)

    def covariance(self, X: Any, diag: bool = True) -> Float64:
        """Posterior covariance of a function between cell states; see `Predictor.covariance`."""
        return self.predictor.covariance(X, diag=diag)

    def uncertainty(self, X: Any, diag: bool = True) -> Float64:
        """Posterior variance of a function at cell states; see `Predictor.uncertainty`."""
        return self.predictor.uncertainty(X, diag=diag)
