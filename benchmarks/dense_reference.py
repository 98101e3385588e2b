"""The statistics of `kompot.de` by dense algebra on k-means landmarks: what `de` is measured against.

A sparse Gaussian process in its usual form. With landmarks U (m centroids of the pooled cells), `K = k(U, U)` plus
jitter, `L Lᵀ = K`, `A_c = L⁻¹ k(U, X_c)` for the cells of condition c, and noise sigma:

    B_c = I + A_c A_cᵀ / sigma²,    z_c = B_c⁻¹ A_c Y_c / sigma²         mean at U:  L z_c
    Sigma_c = L B_c⁻¹ Lᵀ                                                 covariance at U
    D² = |R⁻¹ L (z_2 - z_1)|²,      R Rᵀ = Sigma_1 + Sigma_2 + eps I

(Rasmussen and Williams 2006, section 8.3.) Everything is double precision and held whole: O(n m² + m³) for the
model, O(n m G) for G columns of expression, of which the null genes are permuted dense columns. Whole-matrix NumPy
and BLAS calls throughout; the false discovery rates are kompot's, so that only the Gaussian process differs.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from kompot.stats.fdr import FDRResult, false_discovery_rates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass
class DenseResult:
    """All results of a run."""

    length_scale: float = 0.0
    """Of the kernel."""
    distances: Array = field(default_factory=lambda: np.empty(0))
    """Mahalanobis distances, n_genes."""
    null_distances: Array = field(default_factory=lambda: np.empty(0))
    """The same of the null genes."""
    mean_lfc: Array = field(default_factory=lambda: np.empty(0))
    """Mean fold change over the cells, n_genes."""
    std: list[Array] = field(default_factory=list)
    """Posterior standard deviation per condition, n_cells each."""
    fdr: FDRResult | None = None
    """False discovery rates."""
    layers: dict[str, Array] = field(default_factory=dict)
    """Smoothed expression and fold change, n_cells x n_genes, single precision, if asked for."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time of each stage."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


def dense_differential_expression(
    X: Array,
    Y: Any,
    condition: Array,
    *,
    n_landmarks: int = 1000,
    null_genes: int = 2000,
    sigma: float = 1.0,
    ls: float | None = None,
    ls_factor: float = 10.0,
    jitter: float = 1e-6,
    eps: float = 1e-8,
    layers: bool = False,
    seed: int = 0,
) -> DenseResult:
    """Differential expression by dense algebra.

    Parameters
    ----------
    X
        Cell states, n_cells x n_dims.
    Y
        Expression, n_cells x n_genes, sparse or dense.
    condition
        0 or 1 per cell.
    n_landmarks, null_genes, sigma, ls, ls_factor, jitter, eps, seed
        As in the formulas above; `ls` None estimates it.
    layers
        Whether the n_cells x n_genes layers are evaluated.

    Returns
    -------
    DenseResult
        Statistics and the time of each stage.
    """
    result = DenseResult()
    rng = np.random.default_rng(seed)
    n_genes = Y.shape[1]
    with result.stage("length scale"):
        result.length_scale = ls or length_scale(X, condition, ls_factor)
    with result.stage("k-means landmarks"):
        U = centroids(X, n_landmarks, seed)
    with result.stage("features"):
        L = linalg.cholesky(matern52(U, U, result.length_scale) + jitter * np.eye(len(U)), lower=True)
        A = linalg.solve_triangular(L, matern52(U, X, result.length_scale), lower=True)
    with result.stage("null genes"):
        expression = with_null_genes(Y, null_genes, rng)
    with result.stage("posteriors"):
        posteriors = [posterior(A[:, condition == c], expression[condition == c], sigma) for c in (0, 1)]
    with result.stage("distances"):
        (L1, z1), (L2, z2) = posteriors
        R = fold_change_factor(L, L1, L2, eps)
        distances = np.sqrt((linalg.solve_triangular(R, L @ (z2 - z1), lower=True) ** 2).sum(axis=0))
        result.distances, result.null_distances = distances[:n_genes], distances[n_genes:]
    with result.stage("mean fold change, standard deviations"):
        result.mean_lfc = A.mean(axis=1) @ (z2 - z1)[:, :n_genes]
        result.std = [posterior_std(A, L_c, eps) for L_c in (L1, L2)]
    with result.stage("false discovery rates"):
        result.fdr = false_discovery_rates(result.distances, result.null_distances) if null_genes else None
    if layers:
        with result.stage("layers"):
            smoothed = [(A.T @ z[:, :n_genes]).astype(np.float32) for z in (z1, z2)]
            result.layers = {"smoothed_1": smoothed[0], "smoothed_2": smoothed[1]}
            result.layers["fold_change"] = smoothed[1] - smoothed[0]
    return result


def length_scale(X: Array, condition: Array, factor: float) -> float:
    """`factor · exp(mean(log d) + 3)`, d the distance to the nearest other cell of the same condition."""
    groups = [X[condition == c] for c in (0, 1)]
    nearest = np.concatenate([cKDTree(group).query(group, k=2, workers=-1)[0][:, 1] for group in groups])
    return float(factor * np.exp(np.log(nearest[nearest > 0]).mean() + 3.0))


def centroids(X: Array, n_landmarks: int, seed: int) -> Array:
    """k-means centroids of the cells; the cells themselves where there are no more than landmarks."""
    if len(X) <= n_landmarks:
        return X
    found: Array = KMeans(n_landmarks, n_init=1, random_state=seed).fit(X).cluster_centers_
    return found


def matern52(X: Array, Y: Array, ls: float) -> Array:
    """`(1 + s + s²/3) exp(-s)`, `s = sqrt(5) |x - y| / ls`."""
    s = cdist(X, Y)
    s *= np.sqrt(5.0) / ls
    return (1.0 + s + s * s / 3.0) * np.exp(-s)


def with_null_genes(Y: Any, n_null: int, rng: np.random.Generator) -> Array:
    """Expression as a dense double-precision matrix with permuted columns appended."""
    dense = np.asarray(Y.toarray() if hasattr(Y, "toarray") else Y, dtype=np.float64)
    chosen = rng.choice(dense.shape[1], size=n_null, replace=n_null > dense.shape[1])
    return np.hstack([dense, rng.permuted(dense[:, chosen], axis=0)])


def posterior(A: Array, Y: Array, sigma: float) -> tuple[Array, Array]:
    """Lower factor of `B = I + A Aᵀ / sigma²` and `z = B⁻¹ A Y / sigma²`."""
    factor = linalg.cholesky(np.eye(len(A)) + A @ A.T / sigma**2, lower=True)
    return factor, linalg.cho_solve((factor, True), A @ Y / sigma**2)


def fold_change_factor(L: Array, L1: Array, L2: Array, eps: float) -> Array:
    """Lower factor of the summed covariances at the landmarks, `L B_1⁻¹ Lᵀ + L B_2⁻¹ Lᵀ + eps I`."""
    halves = [linalg.solve_triangular(factor, L.T, lower=True) for factor in (L1, L2)]
    total = sum((half.T @ half for half in halves), start=eps * np.eye(len(L)))
    factor: Array = linalg.cholesky(total, lower=True)
    return factor


def posterior_std(A: Array, factor: Array, eps: float) -> Array:
    """`sqrt(k(x, x) - |phi|² + phiᵀ B⁻¹ phi + eps)` at all cells."""
    missed = np.maximum(1.0 - (A**2).sum(axis=0), 0.0)
    return np.sqrt(missed + (linalg.solve_triangular(factor, A, lower=True) ** 2).sum(axis=0) + eps)
