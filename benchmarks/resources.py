"""Whether resource plans are right: predicted against measured time and memory.

    python benchmarks/resources.py [--largest 100000] [--cache FOLDER] [--only WORD]

Each configuration runs in a fresh process: a dry run first, then the run itself on the same object, whose time and
highest resident memory are measured. Fails (exit code 1) if a predicted peak is more than 25 % off or a predicted
time more than a factor 2.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from measure import Watch, in_fresh_process, markdown
from table import data_file

ALLOWED_MEMORY, ALLOWED_TIME = 1.25, 2.0
NO_LAYERS = {"storage": {"store_layers": False}}
GROUPS = {"filter": {"groups": "cell_type"}}
DONORS = {"sample_col": "donor", "fdr": {"null_genes": 2000}}
CONFIGURATIONS: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "de, layers": ("de", 5_000, 1_000, {}),
    "de, donors, layers": ("de", 20_000, 3_000, DONORS),
    "de, groups, no layers": ("de", 20_000, 3_000, {**GROUPS, **NO_LAYERS}),
    "de, donors, groups, no layers": ("de", 20_000, 3_000, {**DONORS, **GROUPS, **NO_LAYERS}),
    "de, large, no layers": ("de", 100_000, 5_000, NO_LAYERS),
    "de, large, layers": ("de", 100_000, 5_000, {}),
    "de, large, donors, layers": ("de", 100_000, 5_000, DONORS),
    "de, empirical variance": ("de", 5_000, 1_000, {"gp": {"use_empirical_variance": True, "n_landmarks": 500}}),
    "da": ("da", 20_000, 3_000, {}),
    "da, donors": ("da", 20_000, 3_000, {"sample_col": "donor"}),
    "da, large": ("da", 100_000, 5_000, {}),
    "smooth": ("smooth_expression", 20_000, 3_000, {}),
}


def one_run(path: str, function: str, options: dict[str, Any]) -> dict[str, float]:
    """Prediction and measurement of one configuration."""
    import anndata as ad

    import kompot

    kinds = {"gp": kompot.GPSettings, "fdr": kompot.FDRSettings, "filter": kompot.FilterSettings}
    kinds["storage"] = kompot.StorageSettings
    settings = {name: kinds[name](**value) if name in kinds else value for name, value in options.items()}
    settings["output"] = kompot.OutputSettings(progress=False)
    labels = ("condition", "Young") if function == "smooth_expression" else ("condition", "Young", "Old")
    small = kompot.datasets.simulate(300, 20, seed=0)
    getattr(kompot, function)(small, *labels, output=settings["output"])  # imports and first calls
    adata = ad.read_h5ad(path)
    with contextlib.redirect_stdout(io.StringIO()), Watch() as planning:
        plan = getattr(kompot, function)(adata, *labels, **settings, dry_run=True)
    with Watch() as watch:
        getattr(kompot, function)(adata, *labels, **settings)
    run = kompot.RunInfo(adata)
    return {
        "planning_seconds": planning.seconds,
        "predicted_seconds": plan.seconds,
        "seconds": watch.seconds,
        "predicted_mb": plan.total_memory_required / 1e6,
        "increase_mb": watch.increase_mb,
        "predicted_peak_mb": plan.peak_memory / 1e6,
        "peak_mb": watch.peak_mb,
        "predicted_features": plan.n_features,
        "features": run.approximation.get("rank", 0),
    }


def row(name: str, size: tuple[int, int], run: dict[str, float]) -> tuple[str, ...]:
    """One line of the table."""
    cells, genes = size
    return (
        name,
        f"{cells:,} x {genes:,}",
        f"{run['predicted_features']:.0f} / {run['features']:.0f}",
        f"{run['predicted_peak_mb']:.0f} / {run['peak_mb']:.0f}",
        f"{run['predicted_peak_mb'] / run['peak_mb']:.2f}",
        f"{run['predicted_mb']:.0f} / {run['increase_mb']:.0f}",
        f"{run['predicted_mb'] / run['increase_mb']:.2f}",
        f"{run['predicted_seconds']:.1f} / {run['seconds']:.1f}",
        f"{run['predicted_seconds'] / run['seconds']:.2f}",
        f"{run['planning_seconds']:.1f}",
    )


HEADER = (
    "run",
    "cells x genes",
    "features",
    "peak, MB",
    "ratio",
    "increase, MB",
    "ratio",
    "seconds",
    "ratio",
    "planning, s",
)


def is_off(run: dict[str, float]) -> bool:
    """Whether a prediction is outside what is allowed."""
    memory, seconds = run["predicted_peak_mb"] / run["peak_mb"], run["predicted_seconds"] / run["seconds"]
    return not (1 / ALLOWED_MEMORY <= memory <= ALLOWED_MEMORY and 1 / ALLOWED_TIME <= seconds <= ALLOWED_TIME)


def main() -> None:
    """Measure all configurations, print the table, and fail if a prediction is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=100_000, help="leave out runs with more cells")
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument("--cache", type=Path, help="folder that keeps the simulated files; temporary if not given")
    options = parser.parse_args()
    rows, off = [], []
    with nullcontext(options.cache) if options.cache else tempfile.TemporaryDirectory() as folder:
        for name, (function, cells, genes, settings) in CONFIGURATIONS.items():
            if cells > options.largest or options.only not in name:
                continue
            print(f"measuring {name}", file=sys.stderr)
            path = data_file(Path(folder), cells, genes)
            run = in_fresh_process(sys.executable, Path(__file__), path=str(path), function=function, options=settings)
            rows.append(row(name, (cells, genes), run))
            off += [name] if is_off(run) else []
    print(markdown(HEADER, rows))
    if off:
        sys.exit(f"Predictions more than 25 % (memory) or a factor 2 (time) off: {', '.join(off)}")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("{"):
        warnings.simplefilter("ignore")
        print(json.dumps(one_run(**json.loads(sys.argv[1]))))
    else:
        main()
