r"""Diffusion components of the expression, fitted on a sample of cells and extended to all.

1. Principal components of the variation within donors, most variable genes of the anchors, in float64.
2. A Gaussian kernel over the k nearest anchors with the bandwidth adapted to the local density,

       k(x, y) = exp(−|x − y|² / (h(x) h(y))) · (1 − |x − y|²/r(x)²),

   h the distance to the neighbour of rank k/3 and r that to the last one: the second factor takes the kernel
   to zero at the edge of the neighbourhood, so that the extension is continuous.
3. The eigenvectors ψ of the row-normalised, symmetrised kernel P: ψ_0 constant, then by falling eigenvalue λ.
4. Nyström extension, for anchors and other cells alike: ψ(x) = Σ_j P(x, j) ψ(j), without the usual 1/λ, since
   the columns are scaled to unit length in the end.

Costs O(n_anchors²) time once and O(n_anchors) per cell after; nothing depends on the truth or on the chunks.

References
----------
Coifman R. R., Lafon S. (2006). Diffusion maps. Applied and Computational Harmonic Analysis 21, 5-30.
Haghverdi L., Buettner F., Theis F. J. (2015). Diffusion maps for high-dimensional single-cell analysis of
differentiation data. Bioinformatics 31, 2989-2998.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_matrix, diags_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

_N_VARIABLE = 1000
_N_PRINCIPAL = 12
_N_NEIGHBORS = 30
_MIN_DISTANCE = 1e-9  # identical cells would give 0/0
_DENSE_LIMIT = 400  # anchors up to which a dense eigendecomposition is the quick and safe one


@dataclass(frozen=True)
class PrincipalComponents:
    """A linear map from log-normalised expression to principal components."""

    loadings: NDArray[np.float64]
    """Shape (n_genes, n_dims); zero for genes that were not selected."""

    offset: NDArray[np.float64]
    """Shape (n_dims,): the image of the mean cell."""

    def transform(self, X: csr_matrix[np.float32]) -> NDArray[np.float64]:
        """Return the components of each cell, shape (n_cells, n_dims)."""
        return np.asarray(X @ self.loadings) - self.offset


@dataclass(frozen=True)
class Embedding:
    """Diffusion components that any cell's expression can be mapped to."""

    components: PrincipalComponents
    """From expression to principal components."""

    neighbors: Any
    """Index of the anchors' principal components (scikit-learn)."""

    bandwidth: NDArray[np.float64]
    """Shape (n_anchors,): h of each anchor."""

    eigenvectors: NDArray[np.float64]
    """Shape (n_anchors, n_components): ψ, the first one constant."""

    def transform(self, X: csr_matrix[np.float32]) -> NDArray[np.float64]:
        """Return the diffusion components, shape (n_cells, n_components), columns not of unit length."""
        kernel, _ = _kernel_rows(self.components.transform(X), self.neighbors, self.bandwidth)
        weights = diags_array(1.0 / np.asarray(kernel.sum(axis=1)).ravel()) @ kernel
        return np.asarray(weights @ self.eigenvectors)


def fit_embedding(X: csr_matrix[np.float32], donor: NDArray[np.int64], n_components: int) -> Embedding:
    """Fit the diffusion components on the expression of the anchors, shape (n_anchors, n_genes)."""
    from sklearn.neighbors import NearestNeighbors

    components = fit_principal_components(X, donor)
    points = components.transform(X)
    n_neighbors = min(_N_NEIGHBORS, points.shape[0])
    neighbors = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute").fit(points)
    kernel, bandwidth = _kernel_rows(points, neighbors, None)
    eigenvectors = _diffusion_components(_symmetrise(kernel), n_components)
    return Embedding(components, neighbors, bandwidth, eigenvectors)


def fit_principal_components(X: csr_matrix[np.float32], donor: NDArray[np.int64]) -> PrincipalComponents:
    """Fit principal components of the variation within donors to the most variable genes of X.

    Each donor's mean is taken out before the covariance is formed: what sets donors or conditions apart in
    all their cells then gets no component of its own, and cells in the same state stay neighbours. The
    components are applied to the expression as it is, so that differences in composition remain.
    """
    n_cells, n_genes = X.shape
    mean = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel()
    variance = np.asarray(X.power(2).mean(axis=0, dtype=np.float64)).ravel() - mean**2
    genes = np.sort(np.argsort(-variance, kind="stable")[:_N_VARIABLE])
    within = _subtract_donor_means(X[:, genes].toarray().astype(np.float64), donor)
    n_dims = min(_N_PRINCIPAL, genes.size, n_cells - 1)
    top = (genes.size - n_dims, genes.size - 1)
    _, vectors = eigh(within.T @ within, subset_by_index=top)
    loadings = np.zeros((n_genes, n_dims))
    loadings[genes] = fix_signs(vectors[:, ::-1])
    return PrincipalComponents(loadings, mean @ loadings)


def _subtract_donor_means(values: NDArray[np.float64], donor: NDArray[np.int64]) -> NDArray[np.float64]:
    """Subtract from each row the mean of its donor's rows."""
    codes, row_of_cell = np.unique(donor, return_inverse=True)
    member = np.eye(codes.size)[row_of_cell]
    means = (member.T @ values) / member.sum(axis=0)[:, None]
    return np.asarray(values - means[row_of_cell])


def fix_signs(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make the entry of largest size in each column positive: eigenvectors come with arbitrary signs."""
    largest = np.argmax(np.abs(vectors), axis=0)
    return np.asarray(vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])]))


def _kernel_rows(
    points: NDArray[np.float64], neighbors: Any, anchor_bandwidth: NDArray[np.float64] | None
) -> tuple[csr_matrix[np.float64], NDArray[np.float64]]:
    """Return the kernel of each point to its nearest anchors, and the bandwidth of each point.

    Without `anchor_bandwidth` the points are the anchors themselves.
    """
    distance, index = neighbors.kneighbors(points)
    n_points, n_neighbors = index.shape
    edge = np.maximum(distance[:, -1:], _MIN_DISTANCE)
    bandwidth = np.maximum(distance[:, n_neighbors // 3], _MIN_DISTANCE)
    of_anchors = bandwidth if anchor_bandwidth is None else anchor_bandwidth
    scale = bandwidth[:, None] * of_anchors[index]
    weight = np.exp(-(distance**2) / scale) * (1.0 - (distance / edge) ** 2)
    starts = np.arange(0, n_points * n_neighbors + 1, n_neighbors)
    shape = (n_points, of_anchors.shape[0])
    return csr_matrix((weight.ravel(), index.ravel(), starts), shape=shape), bandwidth


def _symmetrise(kernel: csr_matrix[np.float64]) -> csr_matrix[np.float64]:
    total: Any = kernel + kernel.T  # the stubs list every sparse format here
    return csr_matrix(total / 2)


def _diffusion_components(kernel: csr_matrix[np.float64], n_components: int) -> NDArray[np.float64]:
    """Return the leading right eigenvectors of the row-normalised kernel, by falling eigenvalue.

    They come from the symmetric D^{-1/2} K D^{-1/2}, which has the same eigenvalues.
    """
    root = np.sqrt(np.asarray(kernel.sum(axis=1)).ravel())
    scaling = diags_array(1.0 / root)
    values, vectors = _leading_eigenpairs(csr_matrix(scaling @ kernel @ scaling), n_components, root)
    order = np.argsort(-values, kind="stable")
    return fix_signs(vectors[:, order] / root[:, None])


def _leading_eigenpairs(
    matrix: csr_matrix[np.float64], n_components: int, start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the algebraically largest eigenpairs of a symmetric matrix, from a fixed start."""
    from scipy.sparse.linalg import eigsh

    n = matrix.shape[0]
    if n <= _DENSE_LIMIT:
        values, vectors = eigh(matrix.toarray(), subset_by_index=(n - n_components, n - 1))
    else:
        # A fixed start makes Lanczos deterministic; the ramp keeps it from being the first eigenvector itself.
        values, vectors = eigsh(matrix, k=n_components, which="LA", v0=start * np.linspace(0.5, 1.5, n))
    return np.asarray(values), np.asarray(vectors)
