"""Time and memory of what `kompot.de` can do besides the default: replicates, empirical variance, groups.

    python benchmarks/variants.py [--cells 20000] [--genes 3000] [--repeats 3] [--cache FOLDER]

Simulated data with 6 donors and 4 cell types, 2,000 null genes, every run in a fresh process after its imports,
reading the file included. The ratio is that to the same run without the variant.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from measure import Watch, in_fresh_process, markdown, median, peak_mb
from table import data_file

VARIANTS: dict[str, dict[str, Any]] = {
    "neither": {},
    "groups (4)": {"filter": {"groups": "cell_type"}},
    "replicates (6 donors)": {"sample_col": "donor"},
    "replicates, groups": {"sample_col": "donor", "filter": {"groups": "cell_type"}},
    "empirical variance (1,000 points)": {"gp": {"use_empirical_variance": True, "n_landmarks": 1000}},
}


def one_run(path: str, variant: str, n_null: int, *, layers: bool) -> dict[str, float]:
    """Seconds and memory of one run."""
    import anndata as ad

    import kompot

    options = VARIANTS[variant]
    settings: dict[str, Any] = {
        "gp": kompot.GPSettings(**options.get("gp", {})),
        "filter": kompot.FilterSettings(**options.get("filter", {})),
        "fdr": kompot.FDRSettings(null_genes=n_null),
        "storage": kompot.StorageSettings(store_layers=layers),
        "output": kompot.OutputSettings(progress=False),
    }
    small = kompot.datasets.simulate(300, 20, seed=0)
    kompot.de(small, "condition", "Young", "Old", output=settings["output"])  # imports and first calls
    with Watch() as watch:
        adata = ad.read_h5ad(path)
        kompot.de(adata, "condition", "Young", "Old", sample_col=options.get("sample_col"), **settings)
    return {"seconds": watch.seconds, "peak_mb": peak_mb()}


def main() -> None:
    """Measure all variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=3_000)
    parser.add_argument("--null-genes", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="folder that keeps the simulated file; temporary if not given")
    options = parser.parse_args()
    cases = [(variant, layers) for variant in VARIANTS for layers in (False, True)]
    runs: dict[tuple[str, bool], list[dict[str, Any]]] = {case: [] for case in cases}
    with nullcontext(options.cache) if options.cache else tempfile.TemporaryDirectory() as folder:
        path = data_file(Path(folder), options.cells, options.genes)
        for _ in range(options.repeats):
            for variant, layers in cases:
                arguments = {"path": str(path), "variant": variant, "n_null": options.null_genes, "layers": layers}
                runs[variant, layers].append(in_fresh_process(sys.executable, Path(__file__), **arguments))
    rows = []
    for variant, layers in cases:
        seconds, base = (median(runs[name, layers], "seconds") for name in (variant, "neither"))
        peak = median(runs[variant, layers], "peak_mb")
        stored = "with" if layers else "without"
        rows.append((variant, stored, f"{seconds:.2f}", f"{seconds / base:.2f}", f"{peak:.0f}"))
    print(markdown(("variant", "layers", "seconds", "times neither", "peak memory, MB"), rows))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("{"):
        warnings.simplefilter("ignore")
        print(json.dumps(one_run(**json.loads(sys.argv[1]))))
    else:
        main()
