"""Products features x chunk of expression, sparse as they are or made dense first; products beside factorisations.

The evidence for `kompot.gp.products.DENSE_FROM`: the density from which the dense route is faster.
"""

from __future__ import annotations

import numpy as np

from kompot.gp.linalg import cholesky, gram
from kompot.gp.products import ChunkBuffer, column_sums, feature_product

from .data import SEED, require_close, sparse_expression


class ChunkProduct:
    """One chunk of 4,096 cells x 3,000 genes: product and column sums, as in the pass over the cells."""

    params = ([0.01, 0.04, 0.08, 0.12, 0.2, 0.4], [60, 120, 300])
    param_names = ("density", "n_features")
    n_cells, n_genes = 4_096, 3_000

    def setup(self, density: float, n_features: int) -> None:
        self.chunk = sparse_expression(self.n_cells, self.n_genes, density)
        self.phi = np.random.default_rng(SEED).standard_normal((self.n_cells, n_features))
        self.buffer = ChunkBuffer()
        expected = self.phi.T @ self.chunk.toarray().astype(np.float64)
        for route in (self.time_sparse, self.time_dense):
            require_close(route.__name__, route(), expected, rtol=0, atol=1e-2)

    def time_sparse(self, *_: object) -> np.ndarray:
        column_sums(self.chunk)
        return feature_product(self.phi, self.chunk)

    def time_dense(self, *_: object) -> np.ndarray:
        dense = self.buffer.dense(self.chunk, self.chunk.dtype)
        column_sums(dense)
        return feature_product(self.phi, dense)


class OneLibrary:
    """A product and a factorisation in turns: on SciPy's BLAS alone, and with the product on NumPy's.

    The evidence for `kompot.gp.linalg.product`. Where both are the same library there is no difference.
    """

    params = ([140, 300, 1000],)
    param_names = ("n_features",)
    n_cells, n_turns = 5_000, 10

    def setup(self, n_features: int) -> None:
        self.phi = np.random.default_rng(SEED).standard_normal((self.n_cells, n_features))
        require_close("gram", gram(self.phi), self.phi.T @ self.phi, rtol=1e-9)

    def time_scipy_only(self, *_: object) -> None:
        for _ in range(self.n_turns):
            cholesky(gram(self.phi), "The matrix", "")

    def time_numpy_and_scipy(self, *_: object) -> None:
        for _ in range(self.n_turns):
            cholesky(self.phi.T @ self.phi, "The matrix", "")
