"""A fitted function that can be evaluated anywhere, saved to one file and loaded again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._paths import path as path_of
from kompot._typing import Float64
from kompot.gp.archive import DamagedFileError
from kompot.gp.features import Features, row_slices
from kompot.gp.linalg import product
from kompot.gp.regression import Posterior, total_variance
from kompot.gp.storage import load_posterior, recorded_setting, save_posterior, saying_which_file


@dataclass(frozen=True)
class Predictor:
    """Posterior of one or more functions of the cell state.

    Callable as `predictor(X)`; `predictor.covariance(X)` gives its uncertainty.

    Examples
    --------
    >>> import numpy as np
    >>> from kompot import FunctionEstimator
    >>> X = np.linspace(0, 1, 20)[:, None]
    >>> predictor = FunctionEstimator(ls=0.5, sigma=0.1).fit(X, np.sin(6 * X[:, 0])).predictor
    >>> bool(abs(predictor(np.array([[0.5]]))[0] - np.sin(3)) < 0.05)
    True
    """

    features: Features
    """Feature map."""
    posterior: Posterior
    """Posterior of the coefficients, one column per function."""
    squeeze: bool = False
    """Whether one function was fitted from a vector, so that vectors are returned."""

    @property
    def landmarks(self) -> Float64:
        """Inducing points, m x n_dims."""
        return self.features.landmarks

    def __call__(self, X: Any) -> Float64:
        """Posterior means at cell states.

        Parameters
        ----------
        X
            n x n_dims.

        Returns
        -------
        Float64
            n x n_genes, or n where the function was fitted from a vector; in the units of expression.
        """
        X = self._checked(X)
        mean = np.empty((len(X), self.posterior.coef.shape[1]))
        for rows in row_slices(len(X), self.features.rows_per_chunk()):
            mean[rows] = self.posterior.mean(self.features(X[rows]))
        return mean[:, 0] if self.squeeze else mean

    def covariance(self, X: Any, diag: bool = True) -> Float64:
        """Posterior covariance of a function between cell states; the same for every function.

        Parameters
        ----------
        X
            n x n_dims.
        diag
            Whether to return only the variances.

        Returns
        -------
        Float64
            n variances, or the n x n matrix; in squared units of expression.
        """
        X = self._checked(X)
        if check.boolean("diag", diag):
            return np.concatenate([self._variance(X[rows]) for rows in self._chunks(len(X))] or [np.empty(0)])
        phi = self.features(X)
        missed = self.features.kernel(X, X) - product(phi, phi.T)
        return missed + self.posterior.covariance(phi, phi)

    def uncertainty(self, X: Any, diag: bool = True) -> Float64:
        """The same as `covariance`: noise in the data is already part of the posterior of a regression."""
        return self.covariance(X, diag=diag)

    def save(self, path: str | Path) -> None:
        """Write the predictor to one file (NumPy's npz format, no pickle).

        Parameters
        ----------
        path
            File to write, used literally. One that is there is replaced when the new one is complete; if that fails,
            it stays as it is.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        save_posterior(path_of("path", path), self.features, self.posterior, "Predictor", {"squeeze": self.squeeze})

    @classmethod
    def load(cls, path: str | Path) -> Predictor:
        """The predictor that `save` wrote.

        Parameters
        ----------
        path
            File to read.

        Returns
        -------
        Predictor
            Predicts the same numbers.

        Raises
        ------
        ValueError
            If the file is something else, damaged, of another class or of a newer version; nothing in it is executed,
            and nothing is unpacked that the memory would not hold.
        OSError
            If there is no such file, or it cannot be read.
        """
        path = path_of("path", path)
        features, posterior, settings = load_posterior(path, "Predictor")
        with saying_which_file(path, "Predictor"):
            squeeze = recorded_setting(settings, "squeeze", check.boolean)
            if squeeze and posterior.coef.shape[1] != 1:
                raise DamagedFileError(f"holds {posterior.coef.shape[1]} functions where its settings say one")
        return cls(features, posterior, squeeze)

    def _checked(self, X: Any) -> Float64:
        return check.coordinates("X", X, self.features.n_dims)

    def _chunks(self, n_rows: int) -> list[slice]:
        return list(row_slices(n_rows, self.features.rows_per_chunk()))

    def _variance(self, X: Float64) -> Float64:
        phi = self.features(X)
        return total_variance(self.posterior, phi, self.features.residual(X, phi))
