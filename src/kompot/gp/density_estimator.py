"""Density of cell states on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._paths import path as path_of
from kompot._typing import Bools, Float64
from kompot.errors import DuplicateCellsWarning, warn
from kompot.gp.archive import DamagedFileError
from kompot.gp.density import DensityFit, fit_density, log_ball_volume
from kompot.gp.dimension import fractal_dimension
from kompot.gp.features import Features, FeatureTable
from kompot.gp.length_scale import given_distances
from kompot.gp.neighbors import nearest_distances
from kompot.gp.parameters import DensityParameters, density_parameters
from kompot.gp.predictor import Predictor
from kompot.gp.prepare import prepare_features, prepare_kernel
from kompot.gp.refit import all_or_nothing
from kompot.gp.regression import Posterior
from kompot.gp.selection import Approximation
from kompot.gp.storage import load_posterior, recorded_setting, save_posterior, saying_which_file

_MU_QUANTILE = 0.01
_MU_MARGIN = 10.0


@dataclass(frozen=True)
class DensityPredictor:
    """Posterior of a log density; callable as `predictor(X)`, with `covariance` and `uncertainty`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(300, 1))
    >>> predictor = DensityEstimator(d=1).fit(X).predictor
    >>> densities = predictor(np.array([[0.0], [3.0]]))
    >>> bool(densities[0] > densities[1] + 2)
    True
    """

    function: Predictor
    """The log density as a function."""
    n_cells: int
    """Number of cells fitted."""
    d: float
    """Intrinsic dimension of the cell states."""

    @property
    def features(self) -> Features:
        """Feature map."""
        return self.function.features

    @property
    def posterior(self) -> Posterior:
        """Laplace approximation of the posterior of the coefficients."""
        return self.function.posterior

    @property
    def landmarks(self) -> Float64:
        """Inducing points, m x n_dims."""
        return self.function.landmarks

    def __call__(self, X: Any, normalize: bool = False) -> Float64:
        """Log density at cell states.

        Parameters
        ----------
        X
            n x n_dims.
        normalize
            Subtract the logarithm of the number of cells fitted, so that densities of data sets of different size
            can be compared.

        Returns
        -------
        Float64
            n: natural logarithm of cells (or, normalised, of the share of cells) per unit of d-dimensional volume.
        """
        check.boolean("normalize", normalize)
        log_density = self.function(X)
        return log_density - np.log(self.n_cells) if normalize else log_density

    def covariance(self, X: Any, diag: bool = True) -> Float64:
        """Posterior covariance of the log density between cell states: n variances, or the n x n matrix."""
        return self.function.covariance(X, diag=diag)

    def uncertainty(self, X: Any, diag: bool = True) -> Float64:
        """The same as `covariance`: the Laplace approximation holds all uncertainty there is."""
        return self.covariance(X, diag=diag)

    def save(self, path: str | Path) -> None:
        """Write the predictor to one file (NumPy's npz format, no pickle), named literally `path`."""
        extra = {"n_cells": self.n_cells, "d": self.d}
        save_posterior(path_of("path", path), self.features, self.posterior, "DensityPredictor", extra)

    @classmethod
    def load(cls, path: str | Path) -> DensityPredictor:
        """The predictor that `save` wrote to `path`; a file of anything else is a ValueError, see `Predictor.load`."""
        path = path_of("path", path)
        features, posterior, settings = load_posterior(path, "DensityPredictor")
        with saying_which_file(path, "DensityPredictor"):
            n_cells = recorded_setting(settings, "n_cells", check.non_negative_int)
            d = recorded_setting(settings, "d", check.positive_float)
            if posterior.coef.shape[1] != 1 or not n_cells:
                raise DamagedFileError(f"holds {posterior.coef.shape[1]} functions of {n_cells} cells")
        return cls(Predictor(features, posterior, squeeze=True), n_cells, d)


def positive_distances(nn_distances: Float64) -> Float64:
    """Distances to the nearest neighbour with those of identical cells replaced by the smallest positive one.

    Parameters
    ----------
    nn_distances
        n_cells, zero for cells that occur more than once.

    Returns
    -------
    Float64
        n_cells, all positive; a warning says how many were replaced.
    """
    zero = nn_distances <= 0
    if not zero.any():
        return nn_distances
    if zero.all():
        raise ValueError(
            "All cells have an identical neighbour, so no density can be estimated: needed cells at positive "
            "distances. Check the embedding, or remove duplicated cells."
        )
    floor = nn_distances[~zero].min()
    warn(
        f"{zero.sum()} of {len(zero)} cells have the same coordinates as another cell; their distance to the nearest "
        f"neighbour is taken to be the smallest positive one ({floor:.2e}). Remove duplicated cells if they are not "
        f"real.",
        DuplicateCellsWarning,
    )
    return np.where(zero, floor, nn_distances)


def resolve_dimension(parameters: DensityParameters, X: Float64) -> float:
    """Intrinsic dimension: given, the number of columns, or estimated from the cell states."""
    if parameters.d is not None:
        return parameters.d
    if parameters.d_method == "embedding":
        return float(X.shape[1])
    return fractal_dimension(X, seed=parameters.seed)


def resolve_mu(parameters: DensityParameters, nn_distances: Float64, d: float) -> float:
    """Prior mean of the log density: given, or the 1 % quantile of the naive log densities `-V` minus 10."""
    if parameters.mu is not None:
        return parameters.mu
    return float(np.quantile(-log_ball_volume(nn_distances, d), _MU_QUANTILE)) - _MU_MARGIN


def density_of(cells: FeatureTable, used: Bools, nn_distances: Float64, *, d: float, mu: float) -> DensityPredictor:
    """Density of one group of cells; see `kompot.gp.density.fit_density`."""
    fit: DensityFit = fit_density(cells, used, nn_distances, d=d, mu=mu)
    return DensityPredictor(Predictor(cells.features, fit.posterior, squeeze=True), int(used.sum()), d)


class DensityEstimator:
    """Log density of cell states from nearest-neighbour distances (Mellon, Otto et al. 2024).

    Parameters
    ----------
    **parameters
        Those of `kompot.gp.parameters.DensityParameters`: `d` (intrinsic dimension) or `d_method` ("fractal", the
        default, or "embedding"), `mu` (prior mean), `ls`, `ls_factor` (default 1), `cov_func`, `cov_func_curry`,
        `n_landmarks`, `landmarks`, `jitter`, `nn_distances`, `random_state` and `tolerance`. Other names of mellon's
        estimator are accepted with a warning that they have no effect.

    Raises
    ------
    TypeError, ValueError
        For unknown names and values out of range, and in `fit` for NaN, infinite values or fewer than 2 cells.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(size=(500, 2))
    >>> estimator = DensityEstimator(d=2).fit(X)
    >>> inside = estimator.predict(np.array([[0.5, 0.5]]), normalize=True)
    >>> bool(abs(inside[0]) < 0.5)  # log of the uniform density, 0
    True
    """

    def __init__(self, **parameters: Any) -> None:
        self.parameters = density_parameters(parameters)
        self._predictor: DensityPredictor | None = None
        self._approximation: Approximation | None = None

    @all_or_nothing
    def fit(self, X: Any) -> DensityEstimator:
        """Fit the density of cell states X (n_cells x n_dims, at least 2 cells); returns itself."""
        X = check.coordinates("X", X)
        if len(X) < 2:
            raise ValueError(f"A density needs at least 2 cells, came {len(X)}.")
        given = self.parameters.nn_distances
        distances = positive_distances(nearest_distances(X) if given is None else given_distances(given, len(X)))
        parameters = replace(self.parameters, nn_distances=distances)
        d = resolve_dimension(parameters, X)
        mu = resolve_mu(parameters, distances, d)
        kernel = prepare_kernel(parameters, [X])
        cells, self._approximation = prepare_features(parameters, kernel, X)
        self._predictor = density_of(cells, np.ones(len(X), dtype=np.bool_), distances, d=d, mu=mu)
        return self

    @property
    def predictor(self) -> DensityPredictor:
        """The fitted log density."""
        if self._predictor is None:
            raise ValueError("The estimator is not fitted; call fit(X) first.")
        return self._predictor

    @property
    def predict(self) -> DensityPredictor:
        """The fitted log density, so that `estimator.predict(X)` evaluates it."""
        return self.predictor

    @property
    def approximation(self) -> Approximation:
        """How well the features represent the kernel on the fitted cells."""
        if self._approximation is None:
            raise ValueError("The estimator is not fitted; call fit(X) first.")
        return self._approximation

    def fit_predict(self, X: Any, normalize: bool = False) -> Float64:
        """Fit, and evaluate at the same cells: n_cells."""
        check.boolean("normalize", normalize)
        return self.fit(X).predictor(X, normalize=normalize)

    def covariance(self, X: Any, diag: bool = True) -> Float64:
        """Posterior covariance of the log density; see `DensityPredictor.covariance`."""
        return self.predictor.covariance(X, diag=diag)

    def uncertainty(self, X: Any, diag: bool = True) -> Float64:
        """Posterior variance of the log density; see `DensityPredictor.uncertainty`."""
        return self.predictor.uncertainty(X, diag=diag)
