"""`kompot.de` as a whole, on simulated files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad

from dense_reference import dense_differential_expression

from .data import PREFIX, condition_codes, require_close, run_de, simulated

if TYPE_CHECKING:
    from anndata import AnnData


def check_against_dense() -> None:
    """Compare a small run with the dense implementation that has all cells as landmarks."""
    adata = simulated(600, 60)
    run_de(adata, null_genes=50, layers=True)
    expected = dense_differential_expression(
        adata.obsm["DM_EigenVectors"],
        adata.X,
        condition_codes(adata),
        n_landmarks=adata.n_obs,
        null_genes=50,
        jitter=1e-9,
        layers=True,
    )
    # With the default tolerance of the features, the largest error is 2e-3, in genes of small distance.
    require_close("mahalanobis", adata.var[PREFIX + "mahalanobis"], expected.distances, rtol=5e-3)
    require_close("mean_lfc", adata.var[PREFIX + "mean_lfc"], expected.mean_lfc, rtol=0, atol=1e-4)
    fold_change = adata.layers[PREFIX + "fold_change"]
    require_close("fold_change", fold_change, expected.layers["fold_change"], rtol=0, atol=1e-3)


class DifferentialExpression:
    """Time and memory of a call on an object in memory, with 1,000 null genes."""

    params = ([2_000, 10_000], [1_000, 3_000])
    param_names = ("n_cells", "n_genes")
    timeout = 600
    number = 1
    repeat = (2, 5, 20.0)

    def setup_cache(self) -> dict[str, str]:
        # In a process of its own, so that neither simulation nor check counts towards peak memory.
        check_against_dense()
        paths = {}
        for n_cells in self.params[0]:
            for n_genes in self.params[1]:
                paths[f"{n_cells}x{n_genes}"] = f"simulated-{n_cells}x{n_genes}.h5ad"
                simulated(n_cells, n_genes, path=paths[f"{n_cells}x{n_genes}"])
        return paths

    def setup(self, paths: dict[str, str], n_cells: int, n_genes: int) -> None:
        self.adata: AnnData = ad.read_h5ad(paths[f"{n_cells}x{n_genes}"])

    def time_without_layers(self, *_: object) -> None:
        run_de(self.adata, null_genes=1000, layers=False)

    def time_with_layers(self, *_: object) -> None:
        run_de(self.adata, null_genes=1000, layers=True)

    def peakmem_without_layers(self, *_: object) -> None:
        run_de(self.adata, null_genes=1000, layers=False)

    def peakmem_with_layers(self, *_: object) -> None:
        run_de(self.adata, null_genes=1000, layers=True)
