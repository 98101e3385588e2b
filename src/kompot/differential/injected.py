"""The fold change between predictors that the user brings: any callable `p(X)` with `p.covariance(X, diag=...)`.

Nothing is known of such predictors but their values, so the distance is computed densely at m evaluation points::

    Sigma = cov_1 + cov_2 (+ variance between samples + diag(empirical variance)) + eps I,   D² = |L⁻¹ (f_2 - f_1)|²

with `Sigma = L Lᵀ`: O(m³ + m² n_genes) time, or O(m³) per gene where a variance differs between genes. The points are
the landmarks of the predictors, or the cells where they have none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kompot._callables import called
from kompot._checks import numeric_array
from kompot._memory import available_bytes
from kompot._typing import Bools, Float64, Ints
from kompot.differential.evaluate import LayerTarget
from kompot.differential.fitter import Track
from kompot.gp.centroids import evaluation_points
from kompot.gp.features import row_slices
from kompot.gp.linalg import add_to_diagonal, cholesky, column_sums_of_squares, product, solve_lower
from kompot.gp.moments import rows_per_chunk

_ADVICE = "Raise eps, or bring predictors whose covariance is positive semi-definite."


def call_predictor(predictor: Callable[..., Any], X: Float64, *, diag: bool) -> Any:
    """Call a variance predictor, with `diag` where it takes it."""
    try:
        parameters = inspect.signature(predictor).parameters.values()
        takes = any(p.name == "diag" or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    except (TypeError, ValueError):  # builtins have no signature
        takes = True
    named = {"diag": diag} if takes else {}
    return called("A variance predictor", "p(X, diag=...)", predictor, X, **named)


def checked(values: Any, shapes: list[tuple[int, ...]], owner: str) -> Float64:
    """What a predictor returned, as a finite array of one of the shapes allowed."""
    array = numeric_array(f"What {owner[0].lower()}{owner[1:]} returns", values).astype(np.float64, copy=False)
    if array.shape not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise ValueError(f"{owner} must return an array of shape {allowed}, came {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{owner} returned NaN or infinite values.")
    return array


@dataclass(frozen=True)
class ConditionPredictor:
    """Everything known of one condition."""

    name: str
    """For messages: "condition 1" or "condition 2"."""
    function: Callable[..., Any]
    """Expression at cell states: n x n_dims to n x n_genes, with a method `covariance`."""
    obs_variance: Callable[..., Any] | None
    """Empirical variance at cell states: n x n_genes."""
    between: Callable[..., Any] | None
    """Variance between samples: `(X, diag=True)` to n or n x n_genes, `diag=False` to n x n or n x n x n_genes."""
    n_genes: int
    """Number of columns of the function."""

    def mean(self, X: Float64) -> Float64:
        """Expression, n x n_genes."""
        values = np.asarray(self.function(X))
        values = values[:, None] if values.ndim == 1 and self.n_genes == 1 else values
        return checked(values, [(len(X), self.n_genes)], f"The function predictor of {self.name}")

    def variance(self, X: Float64) -> Float64:
        """All variances at cell states added up: n x 1, or n x n_genes where they differ between genes."""
        owner = f"The covariance of the function predictor of {self.name}"
        total = checked(self.function.covariance(X, diag=True), [(len(X),)], owner)[:, None]  # type: ignore[attr-defined]
        for part in (self.obs_variance, self.between):
            if part is not None:
                values = checked(
                    call_predictor(part, X, diag=True),
                    [(len(X),), (len(X), self.n_genes)],
                    f"A variance predictor of {self.name}",
                )
                total = total + (values[:, None] if values.ndim == 1 else values)
        return np.maximum(total, 0.0)

    def covariance(self, X: Float64) -> Float64:
        """Posterior covariance between cell states, n x n."""
        values = self.function.covariance(X, diag=False)  # type: ignore[attr-defined]
        return checked(values, [(len(X), len(X))], f"The covariance of the function predictor of {self.name}")

    def covariance_of_genes(self, X: Float64) -> tuple[Float64 | None, Float64 | None]:
        """What is added per gene: variances on the diagonal (n x n_genes) and covariances (n x n x 1 or n_genes)."""
        n = len(X)
        diagonal = covariance = None
        if self.obs_variance is not None:
            owner = f"The empirical variance predictor of {self.name}"
            values = checked(call_predictor(self.obs_variance, X, diag=True), [(n,), (n, self.n_genes)], owner)
            diagonal = np.broadcast_to(values[:, None] if values.ndim == 1 else values, (n, self.n_genes))
        if self.between is not None:
            owner = f"The variance predictor of {self.name}"
            values = checked(call_predictor(self.between, X, diag=False), [(n, n), (n, n, self.n_genes)], owner)
            covariance = values[:, :, None] if values.ndim == 2 else values
        return diagonal, covariance


@dataclass(frozen=True)
class InjectedComparison:
    """Some columns of two predictors."""

    conditions: tuple[ConditionPredictor, ConditionPredictor]
    """Condition 1 and 2."""
    X: Float64
    """Cell states of all cells, n_cells x n_dims."""
    evaluated: Bools
    """Cells that results are evaluated at, n_cells."""
    columns: Ints
    """Columns of the predictors that are the genes."""
    eps: float
    """Added to variances."""
    points: Float64 | None
    """Evaluation points of the distances, m x n_dims; None for the cells evaluated."""
    n_points: int | None = None
    """Most points at which the distance of a group is taken; None for no limit."""
    batch_size: int | None = None
    """Rows per chunk; None lets the engine choose."""

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.columns)

    @property
    def has_gene_variance(self) -> bool:
        """Whether standard deviations differ between genes."""
        parts = [part for c in self.conditions for part in (c.obs_variance, c.between) if part is not None]
        return any(np.ndim(call_predictor(part, self.X[:1], diag=True)) == 2 for part in parts)

    def _chunks(
        self, *, track: Track | None = None, target: LayerTarget | None = None
    ) -> Iterator[tuple[slice, Bools]]:
        size = rows_per_chunk(4 * self.conditions[0].n_genes, 1, 8, self.batch_size)
        for rows in row_slices(len(self.X), size if target is None else target.whole_chunks(size)):
            yield rows, self.evaluated[rows]
            if track is not None:
                track(rows.stop - rows.start)

    def _means_at(self, X: Float64) -> tuple[Float64, Float64]:
        first, second = (condition.mean(X)[:, self.columns] for condition in self.conditions)
        return first, second

    def means(self, weights: Float64) -> Float64:
        """Weighted sums of the fold change over cells: n_cells x k weights to k x n_genes."""
        sums = np.zeros((weights.shape[1], self.n_genes))
        for rows in row_slices(len(self.X), rows_per_chunk(4 * self.conditions[0].n_genes, 1, 8, self.batch_size)):
            needed = weights[rows].any(axis=1)
            if needed.any():
                first, second = self._means_at(self.X[rows][needed])
                sums += product(weights[rows][needed].T, second - first)
        return sums

    def distances(self) -> Float64:
        """Mahalanobis distances, n_genes."""
        return self._distances_at(self.X[self.evaluated] if self.points is None else self.points)

    def group_distances(self, mask: Bools) -> Float64:
        """Mahalanobis distances over the cells of a group (mask, n_cells): n_genes."""
        limit = self.n_points if self.points is None else len(self.points)
        return self._distances_at(evaluation_points(self.X[mask], limit))

    def _distances_at(self, X: Float64) -> Float64:
        _require_room(len(X), 4, "the distances of injected predictors")
        change = np.subtract(*reversed(self._means_at(X)))
        first, second = self.conditions
        Sigma = add_to_diagonal(first.covariance(X) + second.covariance(X), self.eps)
        parts = [condition.covariance_of_genes(X) for condition in self.conditions]
        diagonals = [diagonal[:, self.columns] for diagonal, _ in parts if diagonal is not None]
        covariances = [covariance for _, covariance in parts if covariance is not None]
        for covariance in [part for part in covariances if part.shape[2] == 1]:
            Sigma = Sigma + covariance[:, :, 0]
        by_gene = [part for part in covariances if part.shape[2] > 1]
        if not diagonals and not by_gene:
            L = cholesky(Sigma, "The covariance of the injected predictors", _ADVICE)
            return np.sqrt(column_sums_of_squares(solve_lower(L, np.asfortranarray(change))))
        squared = np.empty(self.n_genes)
        for gene, column in enumerate(self.columns):
            own = Sigma + sum(part[:, :, column] for part in by_gene)
            own[np.diag_indices(len(X))] += sum(part[:, gene] for part in diagonals)
            L = cholesky(own, "The covariance of the injected predictors", _ADVICE)
            squared[gene] = np.sum(solve_lower(L, change[:, [gene]]) ** 2)
        return np.sqrt(squared)

    def constant_genes(self) -> Bools | None:
        """Not known of predictors."""
        return None

    def stds(self) -> tuple[Float64, Float64]:
        """Standard deviations in condition 1 and 2 without what differs between genes, n_cells each."""
        stds = np.full((2, len(self.X)), np.nan)
        for rows, mask in self._chunks():
            if mask.any():
                for std, condition in zip(stds, self.conditions, strict=True):
                    std[rows.start + np.flatnonzero(mask)] = np.sqrt(
                        condition.variance(self.X[rows][mask])[:, 0] + self.eps
                    )
        return stds[0], stds[1]

    def fill(self, target: LayerTarget, track: Track | None = None) -> None:
        """Evaluate at the cells; see `kompot.differential.evaluate.fill_layers`."""
        for rows, mask in self._chunks(track=track, target=target):
            X = self.X[rows][mask]
            if len(X):
                first, second = self._means_at(X)
                variances = [self._variance_at(condition, X) for condition in self.conditions]
            else:
                first = second = np.empty((0, self.n_genes))
                variances = [np.empty((0, 1)), np.empty((0, 1))]
            change = second - first
            values = {
                "smoothed_1": first,
                "smoothed_2": second,
                "fold_change": change,
                "zscore": change / np.sqrt(variances[0] + variances[1] + self.eps),
                "std_1": np.broadcast_to(np.sqrt(variances[0] + self.eps), change.shape),
                "std_2": np.broadcast_to(np.sqrt(variances[1] + self.eps), change.shape),
            }
            for name in target.arrays:
                target.put(name, rows, mask, values[name].astype(target.dtype))

    def _variance_at(self, condition: ConditionPredictor, X: Float64) -> Float64:
        variance = condition.variance(X)
        return variance if variance.shape[1] == 1 else variance[:, self.columns]

    def covariance(self, mask: Bools) -> Float64:
        """Posterior covariance of the fold change between the cells of a mask, n x n."""
        X = self.X[mask]
        first, second = (condition.covariance(X) for condition in self.conditions)
        return first + second


def _require_room(n_points: int, n_matrices: int, what: str) -> None:
    needed, left = 8 * n_points**2 * n_matrices, available_bytes()
    if needed > left:
        raise MemoryError(
            f"{what[0].upper()}{what[1:]} need {needed / 1e9:.1f} GB for matrices of {n_points} x {n_points} points, "
            f"{left / 1e9:.1f} GB are available. Bring predictors with landmarks, or filter the cells."
        )
