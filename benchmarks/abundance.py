"""How the time and memory of `kompot.da` grow with the number of cells.

    python benchmarks/abundance.py [--cells 10000 20000 100000 1000000]

Coordinates are simulated: a mixture of six Gaussian clouds of intrinsic dimension 3 in 10 dimensions, two conditions
that weight the clouds differently. Each size runs in a fresh process, beside what it cannot do without: the exact
nearest-neighbour search, and three passes over the feature matrix (each evaluates the features that the run chose, and
their Gram matrix).
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from measure import Watch, in_fresh_process, markdown, peak_mb

N_DIMS, N_CLOUDS = 10, 6


def clouds(n_cells: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates (n_cells x 10), condition of each cell, and the true log ratio of the densities at each cell."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(N_CLOUDS, 3, N_DIMS)) / np.sqrt(N_DIMS)
    centers = rng.normal(scale=1.5, size=(N_CLOUDS, N_DIMS))
    weights = np.array([np.ones(N_CLOUDS), np.linspace(0.5, 1.5, N_CLOUDS)]) / N_CLOUDS
    condition = rng.integers(0, 2, n_cells)
    cloud = _draw(rng, weights, condition)
    local = rng.normal(size=(n_cells, 3))
    X = centers[cloud] + np.einsum("nk,nkd->nd", local, axes[cloud]) + rng.normal(scale=0.02, size=(n_cells, N_DIMS))
    return X, condition, np.log(weights[1, cloud] / weights[0, cloud])


def _draw(rng: np.random.Generator, weights: np.ndarray, condition: np.ndarray) -> np.ndarray:
    cumulative = np.cumsum(weights, axis=1)
    return (rng.random(len(condition))[:, None] > cumulative[condition]).sum(axis=1)


def one_size(n_cells: int) -> dict[str, Any]:
    """Seconds and memory for one number of cells."""
    import anndata as ad
    import pandas as pd

    import kompot
    from kompot.gp.length_scale import pooled_nearest_distances

    X, condition, truth = clouds(n_cells)
    obs = pd.DataFrame({"condition": np.array(["A", "B"])[condition]}, index=np.arange(n_cells).astype(str))
    adata = ad.AnnData(obs=obs, obsm={"DM_EigenVectors": X})
    kompot.da(adata[:500].copy(), "condition", "A", "B")  # imports and first calls
    start = perf_counter()
    pooled_nearest_distances([X[condition == c] for c in (0, 1)])
    neighbors = perf_counter() - start
    with Watch() as watch:
        kompot.da(adata, "condition", "A", "B")
    peak = peak_mb()  # before the run is repeated for its features
    full = kompot.OutputSettings(inplace=False, return_full_results=True)
    features = kompot.da(adata, "condition", "A", "B", output=full)["model"].fits[0].cells.features
    passes = 3 * feature_pass(X, features)
    return {
        "neighbors": neighbors,
        "passes": passes,
        "seconds": watch.seconds,
        "peak_mb": peak,
        "increase_mb": watch.increase_mb,
        "rank": features.rank,
        "landmarks": len(features.landmarks),
        "correlation": float(np.corrcoef(adata.obs["kompot_da_A_to_B_lfc"], truth)[0, 1]),
    }


def feature_pass(X: np.ndarray, features: Any) -> float:
    """Seconds to evaluate the features of all cells, and their Gram matrix."""
    from kompot.gp.features import row_slices

    start = perf_counter()
    for rows in row_slices(len(X), features.rows_per_chunk()):
        phi = features(X[rows])
        phi.T @ phi
    return perf_counter() - start


def main() -> None:
    """Measure all sizes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 20_000, 100_000, 1_000_000])
    rows = []
    for n_cells in parser.parse_args().cells:
        run = in_fresh_process(sys.executable, Path(__file__), n_cells=n_cells)
        floor = run["neighbors"] + run["passes"]
        rows.append(
            (
                f"{n_cells:,}",
                str(run["landmarks"]),
                str(run["rank"]),
                f"{run['seconds']:.2f}",
                f"{run['neighbors']:.2f}",
                f"{run['passes']:.2f}",
                f"{run['seconds'] / floor:.1f}",
                f"{1e6 * run['seconds'] / n_cells:.0f}",
                f"{run['increase_mb']:.0f}",
                f"{run['peak_mb']:.0f}",
                f"{run['correlation']:.3f}",
            )
        )
    columns = (
        "cells",
        "landmarks",
        "features",
        "da, s",
        "neighbours, s",
        "3 passes, s",
        "ratio",
        "microseconds per cell",
        "increase, MB",
        "peak, MB",
        "correlation with the truth",
    )
    print(markdown(columns, rows))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("{"):
        warnings.simplefilter("ignore")
        print(json.dumps(one_size(**json.loads(sys.argv[1]))))
    else:
        main()
