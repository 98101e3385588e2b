"""Choice of features where one cell in a thousand is far from all others, and what the run makes of it.

    python benchmarks/far_cells.py [--cells 16291] [--share 0.001] [--seeds 0 1 2 3] [--only da] [--choice-only]

The cells of `abundance.py`, some of them moved to 2 to 13 length scales from the origin in random directions. Features
are planned and chosen for `da` and for a regression with several values of `random_state`, each in a fresh process, and
`da` runs as a whole. How far the log fold changes of the seeds agree is printed below the table.
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

from abundance import clouds
from measure import in_fresh_process, markdown

FACTORS = {"da": 10.0, "regression": 3.0}
"""Kinds of analysis and their `ls_factor`."""
NEAREST, FARTHEST = 100.0, 500.0


def clouds_and_far_cells(n_cells: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates (n_cells x 10), condition of each cell, and positions of the far cells."""
    X, condition, _ = clouds(n_cells)
    rng = np.random.default_rng(1000)
    far = rng.permutation(n_cells)[: round(share * n_cells)]
    directions = rng.normal(size=(len(far), X.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    X[far] = directions * rng.uniform(NEAREST, FARTHEST, size=(len(far), 1))
    return X, condition, far


def choice(kind: str, n_cells: int, share: float, seed: int) -> dict[str, Any]:
    """Features planned and chosen, and seconds of both."""
    from kompot.gp.expected import expected_features
    from kompot.gp.parameters import DensityParameters, RegressionParameters
    from kompot.gp.prepare import prepare_features, prepare_kernel

    X, condition, _ = clouds_and_far_cells(n_cells, share)
    make = DensityParameters if kind == "da" else RegressionParameters
    parameters = make(ls_factor=FACTORS[kind], n_landmarks=5000, random_state=seed)
    kernel = prepare_kernel(parameters, [X[condition == code] for code in (0, 1)])
    start = perf_counter()
    try:
        planned = expected_features(parameters, kernel, X).rank
    except OverflowError:  # of versions before far cells were foreseen
        planned = -1
    planning = perf_counter() - start
    start = perf_counter()
    cells, approximation = prepare_features(parameters, kernel, X)
    return {
        "planned": planned,
        "planning": planning,
        "choice": perf_counter() - start,
        "landmarks": len(cells.features.landmarks),
        "rank": approximation.rank,
        "kept": approximation.kept_degrees,
        "lost": approximation.lost_degrees,
        "allowed": approximation.allowed_degrees,
        "capped": approximation.capped,
    }


def whole_run(n_cells: int, share: float, seed: int) -> dict[str, Any]:
    """Seconds of `kompot.da`, and its log fold changes."""
    import anndata as ad
    import pandas as pd

    import kompot

    X, condition, _ = clouds_and_far_cells(n_cells, share)
    obs = pd.DataFrame({"condition": np.array(["A", "B"])[condition]}, index=np.arange(n_cells).astype(str))
    adata = ad.AnnData(obs=obs, obsm={"DM_EigenVectors": X})
    start = perf_counter()
    kompot.da(adata, "condition", "A", "B", gp=kompot.GPSettings(random_state=seed))
    return {"seconds": perf_counter() - start, "lfc": adata.obs["kompot_da_A_to_B_lfc"].tolist()}


def row(kind: str, seed: int, found: dict[str, Any], seconds: float | None) -> tuple[str, ...]:
    """One line of the table."""
    return (
        kind,
        str(seed),
        f"{found['planned']} / {found['rank']}",
        str(found["landmarks"]),
        f"{found['kept']:.1f}",
        f"{found['lost']:.2g} / {found['allowed']:.2g}",
        "yes" if found["capped"] else "no",
        f"{found['planning']:.2f}",
        f"{found['choice']:.2f}",
        "" if seconds is None else f"{seconds:.2f}",
    )


HEADER = (
    "analysis",
    "seed",
    "features, planned / chosen",
    "landmarks",
    "degrees kept",
    "lost / allowed",
    "stopped by the limit",
    "planning, s",
    "choice, s",
    "whole run, s",
)


def main() -> None:
    """Measure all seeds, print the table and how far the seeds agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=16_291)
    parser.add_argument("--share", type=float, default=0.001)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--only", choices=FACTORS, help="leave out the other analysis")
    parser.add_argument("--choice-only", action="store_true", help="leave out the whole runs")
    options = parser.parse_args()
    size = {"n_cells": options.cells, "share": options.share}
    rows, changes = [], []
    for kind in [options.only] if options.only else FACTORS:
        for seed in options.seeds:
            found = in_fresh_process(sys.executable, Path(__file__), kind=kind, seed=seed, **size)
            seconds = None
            if kind == "da" and not options.choice_only:
                run = in_fresh_process(sys.executable, Path(__file__), seed=seed, **size)
                seconds = run["seconds"]
                changes.append(run["lfc"])
            rows.append(row(kind, seed, found, seconds))
            print(*rows[-1], sep=", ", file=sys.stderr, flush=True)
    print(markdown(HEADER, rows))
    if len(changes) > 1:
        lfc = np.array(changes)
        differences = np.abs(lfc[1:] - lfc[0])
        print(
            f"\nLog fold changes against those of the first seed: median difference {np.median(differences):.1e}, "
            f"largest {differences.max():.1e}, standard deviation over cells {lfc[0].std():.2f}."
        )


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("{"):
        warnings.simplefilter("ignore")
        arguments = json.loads(sys.argv[1])
        print(json.dumps(choice(**arguments) if "kind" in arguments else whole_run(**arguments)))
    else:
        main()
