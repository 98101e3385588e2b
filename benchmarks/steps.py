"""The measurements of `table.py`, each run in a fresh process: `python steps.py '{"step": ..., ...}'`.

Every step reads the file itself, measures only what its docstring says, and prints its numbers as JSON.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import subprocess
import sys
import warnings
from time import perf_counter
from typing import Any

from measure import Watch, peak_mb

CONDITIONS = ("Young", "Old")
OBSM_KEY = "DM_EigenVectors"
STAGES = {
    # name of the stage, then the function that does it (with its file where others have the same name)
    "check the input": "build_request",
    "length scale": "prepare_kernel",
    "choice of landmarks": "prepare_features",
    "moments and posteriors of the genes": "fit_cells",
    "null genes (shuffle, moments, posteriors)": "fit_null",
    "distances": "differential/fit.py:distances",
    "variances at the cells": "summarise_cells",
    "false discovery rates": "false_discovery_rates",
    "layers": "fill_layers",
    "record and store": "commit",
}
WITHOUT = {"moments and posteriors of the genes": ("length scale", "choice of landmarks")}
"""Stages that contain others, whose time is taken off."""
PARTS = {
    "kernel values": "gp/kernels.py:__call__",
    "triangular solves": "solve_lower",
    "factorisations": "cholesky",
    "products with expression": "feature_product",
    "column sums": "column_sums",
    "sparse to dense": "dense",
    "degrees of freedom kept": "kept_degrees",
    "new landmarks": "extend",
    "shuffling": "shuffle_columns",
    "columns of null genes": "gather_columns",
}


def make_file(path: str, n_cells: int, n_genes: int) -> dict[str, Any]:
    """Simulate the data."""
    import kompot

    kompot.datasets.simulate(n_cells, n_genes, seed=0, path=path)
    return {}


def imports(module: str) -> dict[str, Any]:
    """Seconds of one import in a process that has imported nothing else."""
    code = f"from time import perf_counter as t; s = t(); import {module}; print(t() - s)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {"seconds": float(finished.stdout)}


def floor(path: str, rank: int, n_null: int) -> dict[str, Any]:
    """Read the file; one single-precision product features x expression.

    The expression is dense and in memory already, with the null genes as further columns, and so are the features:
    neither is part of the time.
    """
    import anndata as ad
    import numpy as np

    with Watch() as reading:
        adata = ad.read_h5ad(path)
    n_cells, n_genes = adata.shape
    expression = np.empty((n_cells, n_genes + n_null), dtype=np.float32)
    expression[:, :n_genes] = adata.X.toarray()
    for start in range(n_genes, n_genes + n_null, n_genes):
        stop = min(start + n_genes, n_genes + n_null)
        expression[:, start:stop] = expression[:, : stop - start]
    features = np.random.default_rng(0).standard_normal((n_cells, rank), dtype=np.float32)
    with Watch() as product:
        features.T @ expression
    return {
        "seconds": reading.seconds + product.seconds,
        "read": reading.seconds,
        "product": product.seconds,
        "peak_mb": peak_mb(),
    }


def de(path: str, n_null: int, layers: bool, output: str) -> dict[str, Any]:
    """Read the file and call `kompot.de`."""
    import anndata as ad
    import numpy as np

    import kompot

    start = perf_counter()
    adata = ad.read_h5ad(path)
    read = perf_counter() - start
    before, input_mb = set(adata.layers), megabytes(adata)
    with Watch() as watch:
        kompot.de(adata, "condition", *CONDITIONS, obsm_key=OBSM_KEY, **de_settings(kompot, n_null, layers))
    stored_mb = sum(adata.layers[name].nbytes for name in set(adata.layers) - before) / 1e6
    prefix = "kompot_de_" + "_to_".join(CONDITIONS) + "_"
    columns = {name: adata.var[prefix + name].to_numpy() for name in ("mahalanobis", "mean_lfc", "is_de")}
    np.savez(output, **columns)
    approximation = last_run(adata)["approximation"]
    return {
        "seconds": read + watch.seconds,
        "call": watch.seconds,
        "peak_mb": peak_mb(),
        "increase_mb": watch.increase_mb,
        "input_mb": input_mb,
        "stored_mb": stored_mb,
        **{name: approximation[name] for name in ("rank", "ls", "kept_degrees", "lost_degrees")},
    }


def dense(path: str, n_null: int, n_landmarks: int, output: str) -> dict[str, Any]:
    """Read the file and run the dense implementation, without layers."""
    import anndata as ad
    import numpy as np

    from dense_reference import dense_differential_expression

    start = perf_counter()
    adata = ad.read_h5ad(path)
    read, input_mb = perf_counter() - start, megabytes(adata)
    condition = (adata.obs["condition"] == CONDITIONS[1]).to_numpy().astype(int)
    with Watch() as watch:
        result = dense_differential_expression(
            adata.obsm[OBSM_KEY], adata.X, condition, n_landmarks=n_landmarks, null_genes=n_null
        )
    np.savez(output, mahalanobis=result.distances, mean_lfc=result.mean_lfc, is_de=result.fdr.is_de)
    return {
        "seconds": read + watch.seconds,
        "peak_mb": peak_mb(),
        "increase_mb": watch.increase_mb,
        "input_mb": input_mb,
        "stored_mb": 0.0,
        "ls": result.length_scale,
        "stages": result.seconds,
    }


def stages(path: str, n_null: int) -> dict[str, Any]:
    """Seconds of the stages of one `kompot.de` with layers, under the profiler."""
    import anndata as ad

    import kompot

    adata = ad.read_h5ad(path)
    profile = cProfile.Profile()
    profile.runcall(
        kompot.de, adata, "condition", *CONDITIONS, obsm_key=OBSM_KEY, **de_settings(kompot, n_null, layers=True)
    )
    statistics = pstats.Stats(profile)
    table = statistics.stats  # type: ignore[attr-defined]
    seconds = {name: seconds_of(table, place) for name, place in STAGES.items()}
    for name, contained in WITHOUT.items():
        seconds[name] -= sum(seconds[other] for other in contained)
    return {
        "total": statistics.total_tt,  # type: ignore[attr-defined]
        "stages": seconds,
        "parts": {name: seconds_of(table, place) for name, place in PARTS.items()},
    }


def seconds_of(table: dict[Any, Any], place: str) -> float:
    """Cumulative seconds of a function; an error if it was not called, because then the stages need an update."""
    file, _, function = place.rpartition(":")
    found = [
        entry[3]
        for (path, _, name), entry in table.items()
        if name == function and "/kompot/" in path and path.endswith(file)
    ]
    if not found:
        raise ValueError(f"kompot called no function {place}: correct STAGES and PARTS in {__file__}.")
    return float(sum(found))


def de_settings(kompot: Any, n_null: int, layers: bool) -> dict[str, Any]:
    """Settings of the calls of `kompot.de`: defaults but for the layers."""
    return {
        "fdr": kompot.FDRSettings(null_genes=n_null),
        "storage": kompot.StorageSettings(store_layers=layers),
        "output": kompot.OutputSettings(progress=False),
    }


def last_run(adata: Any) -> dict[str, Any]:
    """The record of the last run."""
    history = adata.uns["kompot_de"]["run_history"]
    runs = json.loads(history) if isinstance(history, str) else history
    last: dict[str, Any] = json.loads(runs[-1]) if isinstance(runs[-1], str) else runs[-1]
    return last


def megabytes(adata: Any) -> float:
    """Memory of the arrays and tables of an AnnData object."""
    matrices = [adata.X, *adata.layers.values(), *adata.obsm.values()]
    tables = sum(frame.memory_usage(deep=True).sum() for frame in (adata.obs, adata.var))
    return float(sum(map(matrix_bytes, matrices)) + tables) / 1e6


def matrix_bytes(matrix: Any) -> int:
    """Bytes of a dense or compressed sparse matrix."""
    if hasattr(matrix, "indptr"):
        return int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)
    return int(matrix.nbytes)


STEPS = {step.__name__: step for step in (make_file, imports, floor, de, dense, stages)}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    arguments = json.loads(sys.argv[1])
    print(json.dumps(STEPS[arguments.pop("step")](**arguments)))
