"""Parts of the engine: choice of landmarks, moments, distances."""

from __future__ import annotations

import numpy as np

from kompot.gp.features import FeatureTable
from kompot.gp.kernels import Matern52
from kompot.gp.moments import accumulate
from kompot.gp.regression import fit_posterior
from kompot.gp.rows import row_source
from kompot.gp.selection import select_features
from kompot.stats.mahalanobis import mahalanobis_distances

from .data import SEED, cell_states, require_close, sparse_expression


class Landmarks:
    """Choice of landmarks; a smaller length scale needs more of them."""

    params = ([5_000, 20_000, 80_000], [20.0, 10.0])
    param_names = ("n_cells", "length_scale")
    timeout = 300

    def setup(self, n_cells: int, length_scale: float) -> None:
        self.kernel = Matern52(length_scale)
        self.X = cell_states(n_cells)
        few = self.X[:500]
        cells, approximation = select_features(few, self.kernel)
        phi = cells.features(few)
        # What the features miss is positive semi-definite, so its entries are at most those on its diagonal.
        bound = approximation.residual_max + 1e-12
        require_close("k(x, y) = phi(x)·phi(y)", phi @ phi.T, self.kernel(few, few), rtol=0, atol=bound)
        if not approximation.converged:
            raise ValueError(f"the features miss their tolerance: {approximation}")

    def time_select(self, *_: object) -> None:
        select_features(self.X, self.kernel)

    def peakmem_select(self, *_: object) -> None:
        select_features(self.X, self.kernel)

    def track_features(self, *_: object) -> int:
        return int(select_features(self.X, self.kernel)[1].rank)


class Moments:
    """The pass over 20,000 cells: `Phiᵀ Y`, `Phiᵀ Phi` and sums, for two conditions."""

    params = ([0.05, 0.2, 1.0], [500, 3_000])
    param_names = ("density", "n_genes")
    timeout = 300
    n_cells = 20_000

    def setup(self, density: float, n_genes: int) -> None:
        X = cell_states(self.n_cells)
        Y = sparse_expression(self.n_cells, n_genes, density)
        self.Y = Y.toarray() if density == 1.0 else Y
        self.X = X
        self.features = select_features(X[:2000], Matern52(20.0))[0].features
        self.condition = np.random.default_rng(SEED).integers(0, 2, size=self.n_cells)
        self._check()

    def _check(self) -> None:
        phi, second = self.features(self.X), self.condition == 1
        moment = self._accumulate()[1]
        require_close("Phiᵀ Y", moment.cross, phi[second].T @ self.Y[second], rtol=0, atol=1e-2)
        require_close("Phiᵀ Phi", moment.gram, phi[second].T @ phi[second], rtol=1e-6, atol=1e-6)

    def _accumulate(self) -> list:
        cells = FeatureTable(self.features, self.X)
        return accumulate(cells, row_source(self.Y), self.condition, 2)

    def time_accumulate(self, *_: object) -> None:
        self._accumulate()

    def peakmem_accumulate(self, *_: object) -> None:
        self._accumulate()


class Distances:
    """From moments to distances: one factorisation per condition, one product for all genes."""

    params = ([100, 300, 1_000], [3_000, 20_000])
    param_names = ("n_features", "n_genes")
    timeout = 300

    def setup(self, n_features: int, n_genes: int) -> None:
        rng = np.random.default_rng(SEED)
        self.moments = [self._moment(rng, n_features, n_genes) for _ in range(2)]
        self._check()

    def _moment(self, rng: np.random.Generator, rank: int, n_genes: int):
        from kompot.gp.moments import moment_of

        # Features whose spread falls off like that of a smooth kernel.
        phi = rng.standard_normal((2 * rank, rank)) / np.arange(1, rank + 1)
        return moment_of(phi, rng.standard_normal((2 * rank, n_genes)))

    def _check(self) -> None:
        first, second = (fit_posterior(moment.for_genes(slice(0, 5)), sigma=1.0) for moment in self.moments)
        dz = second.coef - first.coef
        C = sum(np.linalg.inv(np.eye(len(dz)) + moment.gram) for moment in self.moments)
        expected = np.sqrt(np.sum(dz * np.linalg.solve(C, dz), axis=0))
        require_close("distances", mahalanobis_distances(first, second), expected, rtol=1e-8)

    def time_posteriors_and_distances(self, *_: object) -> None:
        mahalanobis_distances(*(fit_posterior(moment, sigma=1.0) for moment in self.moments))
