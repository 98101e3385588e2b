"""How far distances are from their limit at several tolerances of the approximation.

    python benchmarks/tolerance.py [FILE.h5ad ...]

For each file and each of the embeddings `DM_EigenVectors` and `X_pca` it has (simulated data without a file):
relative differences of the Mahalanobis distances of all genes between tolerance t and 1e-6. Files need a column
`condition` with two values.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata as ad
import numpy as np

import kompot
from measure import markdown

LIMIT = 1e-6
TOLERANCES = (1e-3, 3e-4, 1e-4)


def distances(adata: ad.AnnData, key: str, tolerance: float) -> tuple[np.ndarray, int]:
    """Distances of all genes, and the number of features, in double precision."""
    X, Y = np.asarray(adata.obsm[key], dtype=np.float64), adata.X.astype(np.float64)
    first = (adata.obs["condition"] == adata.obs["condition"].astype("category").cat.categories[0]).to_numpy()
    model = kompot.DifferentialExpression(tolerance=tolerance).fit(X[first], Y[first], X[~first], Y[~first])
    return model.mahalanobis_distances(), model.approximation.rank


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    files = parser.parse_args().files
    sets = {path.stem: ad.read_h5ad(path) for path in files} or {"simulated": kompot.datasets.simulate(5000, 300)}
    rows = []
    for name, adata in sets.items():
        for key in ("DM_EigenVectors", "X_pca"):
            if key not in adata.obsm or not adata.n_vars:
                continue
            limit, _ = distances(adata, key, LIMIT)
            for tolerance in TOLERANCES:
                values, rank = distances(adata, key, tolerance)
                relative = np.abs(values[limit > 0] / limit[limit > 0] - 1)
                row = (np.median(relative), np.quantile(relative, 0.99), relative.max())
                rows.append((name, key, f"{tolerance:g}", str(rank), *(f"{value:.1e}" for value in row)))
    print(markdown(("data", "embedding", "tolerance", "features", "median", "99 %", "largest"), rows))


if __name__ == "__main__":
    main()
