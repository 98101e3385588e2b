"""Density of one condition with its uncertainty, fitted here or brought by the user."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from kompot._callables import called
from kompot._checks import numeric_array
from kompot._typing import Float64
from kompot.gp.density_estimator import DensityPredictor
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.linalg import product
from kompot.gp.regression import total_variance


@dataclass(frozen=True)
class DensityValues:
    """A density at cell states."""

    log_density: Float64
    """Normalised log density, n."""
    variance: Float64
    """Its posterior variance, n."""
    between: Float64 | None
    """Variance between samples, n, where there are at least two."""


class ConditionDensity(Protocol):
    """Anything that knows the density of a condition."""

    def log_density(self, X: Float64, tables: list[FeatureTable]) -> Float64:
        """Normalised log density at cell states X (n x n_dims), n; features are shared through `tables`."""

    def evaluate(self, X: Float64, tables: list[FeatureTable]) -> DensityValues:
        """Values at cell states X (n x n_dims); features are shared through `tables`."""


@dataclass(frozen=True)
class FittedDensity:
    """A density fitted here."""

    predictor: DensityPredictor
    """Of all cells of the condition."""
    samples: dict[Any, DensityPredictor]
    """Of the cells of each valid biological sample, on the same features."""

    def log_density(self, X: Float64, tables: list[FeatureTable]) -> Float64:
        """Normalised log density at cell states X (n x n_dims), n; features are shared through `tables`."""
        cells, posterior = table_of(self.predictor, X, tables), self.predictor.posterior
        values = np.empty(len(X))
        for rows in row_slices(len(X), cells.features.rows_per_chunk()):
            values[rows] = posterior.mean(cells.rows(rows))[:, 0]
        values -= np.log(self.predictor.n_cells)
        return values

    def evaluate(self, X: Float64, tables: list[FeatureTable]) -> DensityValues:
        """Values at cell states X (n x n_dims); features are shared through `tables`."""
        cells = table_of(self.predictor, X, tables)
        posterior, features = self.predictor.posterior, self.predictor.features
        coef = np.hstack([posterior.coef, *(sample.posterior.coef for sample in self.samples.values())])
        log_counts = np.log([self.predictor.n_cells, *(sample.n_cells for sample in self.samples.values())])
        values = np.empty((len(X), coef.shape[1]))
        variance = np.empty(len(X))
        for rows in row_slices(len(X), features.rows_per_chunk()):
            phi = cells.rows(rows)
            values[rows] = product(phi, coef) + posterior.mu - log_counts
            variance[rows] = total_variance(posterior, phi, features.residual(X[rows], phi))
        between = values[:, 1:].var(axis=1, ddof=1) if len(self.samples) > 1 else None
        return DensityValues(values[:, 0], variance, between)


def table_of(predictor: DensityPredictor, X: Float64, tables: list[FeatureTable]) -> FeatureTable:
    """The table of these features at `X`, made if there is none yet."""
    for table in tables:
        if table.features is predictor.features and table.X is X:
            return table
    tables.append(FeatureTable(predictor.features, X))
    return tables[-1]


@dataclass(frozen=True)
class InjectedDensity:
    """A density that the user brings: any callable `p(X)` with `p.covariance(X, diag=True)`.

    Where `p` takes `normalize` (as the predictors here and mellon's do) the normalised density is asked for; where it
    has a working `uncertainty` that is preferred to `covariance`.
    """

    predictor: Callable[..., Any]
    """Called with cell states, n x n_dims; returns log densities, n."""

    def log_density(self, X: Float64, tables: list[FeatureTable]) -> Float64:  # noqa: ARG002  as the protocol says
        """Normalised log density at cell states X (n x n_dims), n."""
        named = {"normalize": True} if takes_normalize(self.predictor) else {}
        return finite_vector(
            called("A density predictor", "p(X)", self.predictor, X, **named),
            len(X),
            "A density predictor",
            "log density",
        )

    def evaluate(self, X: Float64, tables: list[FeatureTable]) -> DensityValues:
        """Values at cell states X (n x n_dims)."""
        return DensityValues(self.log_density(X, tables), predictor_variance(self.predictor, X), None)


def takes_normalize(predictor: Callable[..., Any]) -> bool:
    """Whether a predictor can be called with `normalize=True`."""
    try:
        return "normalize" in inspect.signature(predictor).parameters
    except (TypeError, ValueError):  # builtins have no signature
        return False


def predictor_variance(predictor: Any, X: Float64) -> Float64:
    """Posterior variance of a predictor that the user brings: n."""
    failure: Exception | None = None
    for name in ("uncertainty", "covariance"):
        method = getattr(predictor, name, None)
        if method is None:
            continue
        try:
            values = method(X, diag=True)
        except (AttributeError, ValueError) as error:  # mellon's predictors can only do what they were fitted for
            failure = error
            continue
        return np.maximum(finite_vector(values, len(X), f"A density predictor's {name}", "variance"), 0.0)
    raise TypeError(
        f"A density predictor must have a method covariance(X, diag=True) (or uncertainty); that of "
        f"{type(predictor).__name__} is missing or failed. A mellon estimator needs predictor_with_uncertainty=True."
    ) from failure


def finite_vector(values: Any, n_cells: int, owner: str, what: str) -> Float64:
    """What a user's predictor returned: one finite number per cell, or a clear error."""
    vector = numeric_array(f"What {owner[0].lower()}{owner[1:]} returns", values).astype(np.float64, copy=False)
    if vector.shape != (n_cells,):
        raise ValueError(f"{owner} must return one {what} per cell: needed ({n_cells},), came {vector.shape}.")
    if not np.isfinite(vector).all():
        raise ValueError(f"{owner} returned NaN or infinite values for {(~np.isfinite(vector)).sum()} cells.")
    return vector
