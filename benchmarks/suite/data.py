"""Simulated data of stated sizes, with fixed seeds, shared by the benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

import kompot

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

SEED = 0
CONDITIONS = ("Young", "Old")
PREFIX = "kompot_de_Young_to_Old_"


def simulated(n_cells: int, n_genes: int, path: str | None = None) -> AnnData:
    """Two conditions with known truth, 10 dimensions; in memory, or written to a file."""
    return kompot.datasets.simulate(n_cells, n_genes, seed=SEED, path=path)


def run_de(adata: AnnData, *, null_genes: int, layers: bool) -> None:
    """`kompot.de` with default settings, with or without layers."""
    kompot.de(
        adata,
        "condition",
        *CONDITIONS,
        fdr=kompot.FDRSettings(null_genes=null_genes),
        storage=kompot.StorageSettings(store_layers=layers, overwrite=True),
        output=kompot.OutputSettings(progress=False),
    )


def condition_codes(adata: AnnData) -> NDArray[np.int64]:
    """0 or 1 per cell."""
    return (adata.obs["condition"] == CONDITIONS[1]).to_numpy().astype(np.int64)


def cell_states(n_cells: int, n_dims: int = 10) -> NDArray[np.float64]:
    """Cells near a curved three-dimensional set in `n_dims` dimensions."""
    rng = np.random.default_rng(SEED)
    latent = rng.uniform(-1.0, 1.0, size=(n_cells, 3))
    bends = rng.standard_normal((3, n_dims))
    return np.sin(latent @ bends) + 0.01 * rng.standard_normal((n_cells, n_dims))


def sparse_expression(n_cells: int, n_genes: int, density: float) -> Any:
    """Random single-precision CSR matrix."""
    rng = np.random.default_rng(SEED)
    values = rng.random((n_cells, n_genes), dtype=np.float32)
    # Uniform on [0, 1) where kept; the others become zero.
    return sparse.csr_matrix(np.where(values < density, values / np.float32(density), np.float32(0)))


def require_close(what: str, value: Any, expected: Any, rtol: float, atol: float = 0.0) -> None:
    """Raise unless two arrays agree: a fast wrong answer must not be timed."""
    if not np.allclose(value, expected, rtol=rtol, atol=atol):
        worst = np.abs(np.asarray(value) - np.asarray(expected)).max()
        raise ValueError(f"{what} is wrong: largest difference {worst:.3g}, allowed rtol {rtol:g} and atol {atol:g}.")
