"""Seeded toy data, and slow but obvious versions of what the library computes."""

from typing import NamedTuple

import numpy as np
from hypothesis import settings
from scipy import linalg, sparse

LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=15)
"""For every law under hypothesis: the same examples on every run, and no files written."""


class Toy(NamedTuple):
    """Cell states and expression of two conditions."""

    X1: np.ndarray
    Y1: np.ndarray
    X2: np.ndarray
    Y2: np.ndarray

    @property
    def X(self):  # noqa: N802  the textbook's name
        return np.vstack([self.X1, self.X2])

    @property
    def Y(self):  # noqa: N802  the textbook's name
        return np.vstack([self.Y1, self.Y2])


def manifold(n_cells, n_dims, *, intrinsic=2, seed=0):
    """Cell states on a smooth curve (intrinsic=1) or surface (2) in `n_dims` dimensions, with a little noise.

    The surface depends on `n_dims` and `intrinsic` only, so that two seeds give two samples of the same landscape.
    """
    shape = np.random.default_rng(7)
    directions, phases = shape.normal(size=(intrinsic, n_dims)), shape.uniform(0, 2 * np.pi, size=n_dims)
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1.5, 1.5, size=(n_cells, intrinsic))
    return np.sin(t @ directions + phases) + 0.02 * rng.normal(size=(n_cells, n_dims))


def smooth(X, n_genes, *, seed=0):
    """Smooth functions of the cell state: n_cells x n_genes."""
    rng = np.random.default_rng(seed)
    return np.sin(X @ rng.normal(size=(X.shape[1], n_genes)) + rng.uniform(0, 2 * np.pi, size=n_genes))


def two_conditions(n_1=60, n_2=45, n_dims=3, n_genes=4, *, intrinsic=2, seed=0):
    """Two samples of one landscape; gene 0 differs by a smooth function, the others only by noise."""
    rng = np.random.default_rng(seed + 100)
    X1, X2 = (manifold(n, n_dims, intrinsic=intrinsic, seed=seed + i) for i, n in enumerate((n_1, n_2)))
    Y1, Y2 = (smooth(X, n_genes, seed=seed) + 0.3 * rng.normal(size=(len(X), n_genes)) for X in (X1, X2))
    Y2[:, 0] += 1.0 + X2[:, 0]
    return Toy(X1, Y1, X2, Y2)


def counts(n_cells, n_genes, *, mean=0.5, seed=0):
    """Counts with many zeros, as a CSR array of float64."""
    rng = np.random.default_rng(seed)
    rates = mean * rng.gamma(0.5, 2.0, size=n_genes)
    return sparse.csr_array(rng.poisson(rates, size=(n_cells, n_genes)).astype(np.float64))


def matern52(length_scale):
    """The Matérn-5/2 kernel from its formula, with all differences written out."""

    def kernel(X, Y):
        s = np.sqrt(5.0) * np.linalg.norm(X[:, None, :] - Y[None, :, :], axis=2) / length_scale
        return (1.0 + s + s**2 / 3.0) * np.exp(-s)

    return kernel


def low_rank(kernel, landmarks):
    """The kernel `k(x, U) k(U, U)⁻¹ k(U, y)` that features of the landmarks U stand for, by plain algebra."""

    def approximate(X, Y):
        return kernel(X, landmarks) @ linalg.solve(kernel(landmarks, landmarks), kernel(landmarks, Y))

    return approximate


def dense_posterior(kernel, X, Y, X_new, sigma, mu=0.0):
    """Mean (n_new x n_genes) and covariance (n_new x n_new) by n x n matrices, prior covariance `kernel`."""
    K = kernel(X, X) + sigma**2 * np.eye(len(X))
    across = kernel(X_new, X)
    mean = mu + across @ np.linalg.solve(K, Y - mu)
    return mean, kernel(X_new, X_new) - across @ np.linalg.solve(K, across.T)


def dense_mahalanobis(kernel, toy, points, sigma, mu=0.0, jitter=1e-10):
    """Distance of the fold change at `points` under the summed covariances written out, one per gene."""
    mean_1, cov_1 = dense_posterior(kernel, toy.X1, toy.Y1, points, sigma, mu)
    mean_2, cov_2 = dense_posterior(kernel, toy.X2, toy.Y2, points, sigma, mu)
    L = np.linalg.cholesky(cov_1 + cov_2 + jitter * np.eye(len(points)))
    return np.linalg.norm(linalg.solve_triangular(L, mean_2 - mean_1, lower=True), axis=0)


def dense_degrees(kernel, X, sigma):
    """Degrees of freedom `sum_i l_i / (l_i + sigma²)` of a smoother from the eigenvalues l of its kernel matrix."""
    values = np.linalg.eigvalsh(kernel(X, X)).clip(min=0.0)
    return float((values / (values + sigma**2)).sum())


def stored_twice(Y, make=sparse.csr_array):
    """A sparse matrix equal to a dense one in which every value is stored as two unequal parts."""
    Y = np.asarray(Y)
    first = sparse.coo_array(Y)
    # A quarter and three quarters of a float are exact.
    parts = [first.data * Y.dtype.type(0.25), first.data * Y.dtype.type(0.75)]
    order = np.lexsort((np.tile(first.col, 2), np.tile(first.row, 2)))
    rows, columns = (np.tile(part, 2)[order] for part in (first.row, first.col))
    data = np.concatenate(parts)[order]
    if make in (sparse.csc_array, sparse.csc_matrix):
        order = np.lexsort((rows, columns))
        rows, columns, data = columns[order], rows[order], data[order]
    n_rows = Y.shape[1] if make in (sparse.csc_array, sparse.csc_matrix) else Y.shape[0]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
    return make((data, columns, indptr), shape=Y.shape)
