"""The table of `benchmarks/README.md`: time and memory of `kompot.de` against the floor and dense algebra.

    python benchmarks/table.py [--cells 20000] [--genes 3000] [--repeats 3] [--cache FOLDER]

Every measurement runs in a fresh process; one round runs each of them once, and the table holds medians over the
rounds. So all ratios are of numbers measured in one run on one machine. The floor is the time to read the file plus
one single-precision product features x expression, with as many features as `de` chose and the null genes as
further columns, everything dense and in memory: nothing that fits these genes at that rank can be faster.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agreement import agreement_rows
from measure import in_fresh_process, markdown, median, warm

if TYPE_CHECKING:
    from collections.abc import Iterator

    Runs = dict[str, list[dict[str, Any]]]

WORKER = Path(__file__).resolve().with_name("steps.py")
PLAIN, LAYERS, DENSE, FLOOR = "de without layers", "de with layers", "dense", "floor"
ALLOWED_RATIO, ALLOWED_MB, ALLOWED_IMPORT = 3.0, 500.0, 1.2


def main() -> None:
    """Run everything and print the tables."""
    options = parse()
    folder = nullcontext(options.cache) if options.cache else tempfile.TemporaryDirectory(prefix="kompot-benchmark-")
    with folder as name:
        work = Path(name)
        work.mkdir(parents=True, exist_ok=True)
        path = data_file(work, options.cells, options.genes)
        parts = step("stages", path=str(path), n_null=options.null_genes)
        runs = measure_all(path, work, options)
        agreement = list(agreement_with_dense(runs, work)) if DENSE in runs else []
    print_report(options, runs, parts, agreement)


def parse() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=3_000)
    parser.add_argument("--null-genes", type=int, default=2_000)
    parser.add_argument("--landmarks", type=int, default=1_000, help="of the dense implementation")
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--dense-repeats", type=int, default=1, help="rounds that include the dense implementation")
    parser.add_argument("--import-repeats", type=int, default=9)
    parser.add_argument("--cache", type=Path, help="folder that keeps the simulated file; temporary if not given")
    return parser.parse_args()


def step(name: str, **arguments: Any) -> dict[str, Any]:
    """One measurement in a fresh process."""
    print(f"measuring {name} {arguments.get('module', '')}", file=sys.stderr)
    return in_fresh_process(sys.executable, WORKER, step=name, **arguments)


def data_file(folder: Path, n_cells: int, n_genes: int) -> Path:
    """The simulated file, made if it is not there."""
    path = folder / f"simulated-{n_cells}x{n_genes}.h5ad"
    if not path.exists():
        step("make_file", path=str(path), n_cells=n_cells, n_genes=n_genes)
    warm(path)
    return path


def measure_all(path: Path, work: Path, options: argparse.Namespace) -> Runs:
    """All measurements, interleaved: by name, one result per round."""
    runs: Runs = {}
    common = {"path": str(path), "n_null": options.null_genes}
    for number in range(options.repeats):
        for layers, name in ((False, PLAIN), (True, LAYERS)):
            output = str(work / f"de-{layers}.npz")
            runs.setdefault(name, []).append(step("de", **common, layers=layers, output=output))
        runs.setdefault(FLOOR, []).append(step("floor", **common, rank=runs[PLAIN][0]["rank"]))
        if number < options.dense_repeats:
            output = str(work / "dense.npz")
            run = step("dense", **common, n_landmarks=options.landmarks, output=output)
            runs.setdefault(DENSE, []).append(run)
    for _ in range(options.import_repeats):
        for module in ("anndata", "kompot"):
            runs.setdefault(f"import {module}", []).append(step("imports", module=module))
    return runs


def print_report(
    options: argparse.Namespace, runs: Runs, parts: dict[str, Any], agreement: list[tuple[str, str]]
) -> None:
    """Everything as Markdown."""
    print(header(options, runs))
    columns = ("", "seconds", "least", "times the floor", "peak memory, MB", "peak - (input + stored layers), MB")
    print("\n" + markdown(columns, time_rows(runs, options)))
    print("\n" + markdown(("aim", "measured", ""), aim_rows(runs)))
    if agreement:
        print("\n" + markdown(("`de` against the dense implementation", "value"), agreement))
    print("\n" + markdown(("stage of `de` with layers (one run, under the profiler)", "seconds"), stage_rows(parts)))
    print("\n" + markdown(("part, wherever it occurs", "seconds"), seconds_rows(parts["parts"])))
    if DENSE in runs:
        print("\n" + markdown(("stage of the dense implementation", "seconds"), seconds_rows(runs[DENSE][0]["stages"])))


def header(options: argparse.Namespace, runs: Runs) -> str:
    """Sizes, versions, and what `de` chose."""
    first = runs[PLAIN][0]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "anndata"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {options.cells} cells x {options.genes} genes + {options.null_genes} null "
        f"genes, 10 dimensions, simulated (seed 0); Python {platform.python_version()}, {versions}; "
        f"{os.cpu_count()} cores; medians of {options.repeats} rounds.\n"
        f"`de` chose {first['rank']} features for {first['kept_degrees']:.1f} degrees of freedom "
        f"(lost: {first['lost_degrees']:.1e}); input in memory {first['input_mb']:.0f} MB, stored layers "
        f"{runs[LAYERS][0]['stored_mb']:.0f} MB."
    )


def time_rows(runs: Runs, options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Times and memory."""
    floor = median(runs[FLOOR], "seconds")
    dense_title = f"read + dense implementation, {options.landmarks} landmarks, without layers"
    for title, name, key in (
        ("reading the file", FLOOR, "read"),
        ("product features x expression", FLOOR, "product"),
        ("**floor**: reading + product", FLOOR, "seconds"),
        ("read + `de` without layers", PLAIN, "seconds"),
        ("read + `de` with layers", LAYERS, "seconds"),
        (dense_title, DENSE, "seconds"),
    ):
        if name in runs:
            memory = memory_cells(runs[name]) if key == "seconds" else ("", "")
            yield (title, *time_cells(runs[name], key), f"{median(runs[name], key) / floor:.2f}", *memory)
    for module in ("anndata", "kompot"):
        yield (f"`import {module}`", *time_cells(runs[f"import {module}"], "seconds"), "", "", "")


def time_cells(runs: list[dict[str, Any]], key: str) -> tuple[str, str]:
    """Median and least seconds."""
    return f"{median(runs, key):.2f}", f"{min(run[key] for run in runs):.2f}"


def memory_cells(runs: list[dict[str, Any]]) -> tuple[str, str]:
    """Peak, and what it is above the data themselves."""
    extra = f"{extra_mb(runs):.0f}" if "stored_mb" in runs[0] else ""
    return f"{median(runs, 'peak_mb'):.0f}", extra


def extra_mb(runs: list[dict[str, Any]]) -> float:
    """Peak memory of the process, interpreter included, above input and stored layers."""
    return median(runs, "peak_mb") - runs[0]["input_mb"] - runs[0]["stored_mb"]


def aim_rows(runs: Runs) -> Iterator[tuple[str, str, str]]:
    """The aims, and whether they are met."""
    ratio = median(runs[PLAIN], "seconds") / median(runs[FLOOR], "seconds")
    imports = median(runs["import kompot"], "seconds") / median(runs["import anndata"], "seconds")
    for aim, value, allowed, unit in (
        ("`de` without layers within 3 times the floor", ratio, ALLOWED_RATIO, ""),
        ("peak memory with layers below input + layers + 500 MB", extra_mb(runs[LAYERS]), ALLOWED_MB, " MB"),
        ("`import kompot` at most 1.2 times `import anndata`", imports, ALLOWED_IMPORT, ""),
    ):
        shown = f"{value:.0f}" if unit else f"{value:.2f}"
        yield aim, shown + unit, "met" if value <= allowed else "not met"


def agreement_with_dense(runs: Runs, work: Path) -> Iterator[tuple[str, str]]:
    """Length scale, distances and fold changes of `de` and of the dense implementation."""
    yield "length scale, relative difference", f"{abs(runs[PLAIN][0]['ls'] / runs[DENSE][0]['ls'] - 1.0):.1e}"
    yield from agreement_rows(np.load(work / "dense.npz"), np.load(work / "de-False.npz"))


def stage_rows(parts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Seconds of the stages, with what none of them covers."""
    yield from seconds_rows(parts["stages"])
    covered = sum(parts["stages"].values())
    yield "everything else", f"{parts['total'] - covered:.2f}"
    yield "**total**", f"{parts['total']:.2f}"


def seconds_rows(seconds: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Name and seconds."""
    return ((name, f"{value:.2f}") for name, value in seconds.items())


if __name__ == "__main__":
    main()
