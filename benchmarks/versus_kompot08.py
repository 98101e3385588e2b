"""The package of this checkout against the published kompot 0.8.0: time, memory and agreement on the same file.

    python benchmarks/versus_kompot08.py [--cache FOLDER] [--file FILE --groupby G --condition1 A --condition2 B]

Makes one virtual environment per package (0.8.0 from PyPI, this checkout), runs each in its own processes on the
same file with the same length scale, noise, number of null genes and limit on landmarks, and prints a Markdown
table. The published package estimates its length scale from condition 1 alone, hence one value for both: the one
that this package estimates. Environments and data are kept in the cache folder and used again; this checkout is
installed again each time.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agreement import agreement_rows
from measure import in_fresh_process, markdown, warm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Arrays = Mapping[str, Any]

HERE = Path(__file__).resolve().parent
WORKER = HERE / "versus_worker.py"
SIMULATE = "import sys, kompot; kompot.datasets.simulate(int(sys.argv[2]), int(sys.argv[3]), seed=0, path=sys.argv[1])"


@dataclass(frozen=True)
class Package:
    """One side of the comparison."""

    title: str
    """Column of the table."""
    requirement: str
    """What pip installs."""

    def environment(self, cache: Path) -> str:
        """The Python interpreter of its environment, made if it is not there."""
        folder = cache / f"env-{self.title.replace(' ', '-')}"
        python = folder / "bin" / "python"
        if not python.exists():
            venv.create(folder, with_pip=True)
        # Quick if a release is there already; a checkout is always built and installed again.
        print(f"installing {self.requirement}", file=sys.stderr)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", self.requirement], check=True)
        return str(python)


PUBLISHED = Package("kompot 0.8.0", "kompot==0.8.0")
OURS = Package("this package", str(HERE.parent))


def main() -> None:
    """Run the comparison and print it."""
    options = parse()
    os.environ.pop("PYTHONPATH", None)  # each environment sees its own package only
    with cache_folder(options.cache) as cache:
        pythons = {package.title: package.environment(cache) for package in (PUBLISHED, OURS)}
        path = options.file or simulated(cache, pythons[OURS.title], options.cells, options.genes)
        warm(path)
        print(header(path, options))
        for analysis, rows in ANALYSES.items():
            runs, arrays = run_both(analysis, pythons, path, cache, options)
            print("\n" + comparison(analysis, runs, arrays, rows))


def parse() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="h5ad file; simulated if not given")
    parser.add_argument("--obsm-key", default="DM_EigenVectors")
    parser.add_argument("--groupby", default="condition")
    parser.add_argument("--condition1", default="Young")
    parser.add_argument("--condition2", default="Old")
    parser.add_argument("--cells", type=int, default=5000, help="of the simulated file")
    parser.add_argument("--genes", type=int, default=1000, help="of the simulated file")
    parser.add_argument("--n-landmarks", type=int, default=2000, help="limit for both packages")
    parser.add_argument("--null-genes", type=int, default=1000)
    parser.add_argument("--sigma", type=float, default=1.0)
    parser.add_argument("--ls", type=float, help="length scale for both; estimated by this package if not given")
    parser.add_argument("--calls", type=int, default=2, help="calls in the same process")
    parser.add_argument("--cache", type=Path, help="folder for environments and data; temporary if not given")
    return parser.parse_args()


class cache_folder:  # noqa: N801  used like a function
    """The folder given, or a temporary one that is removed at the end."""

    def __init__(self, given: Path | None) -> None:
        self._temporary = None if given else tempfile.TemporaryDirectory(prefix="kompot-benchmark-")
        self._path = given or Path(self._temporary.name)  # type: ignore[union-attr]

    def __enter__(self) -> Path:
        self._path.mkdir(parents=True, exist_ok=True)
        return self._path.resolve()

    def __exit__(self, *exception: object) -> None:
        if self._temporary:
            self._temporary.cleanup()


def simulated(cache: Path, python: str, n_cells: int, n_genes: int) -> Path:
    """The simulated file, made if it is not there."""
    path = cache / f"simulated-{n_cells}x{n_genes}.h5ad"
    if not path.exists():
        subprocess.run([python, "-c", SIMULATE, str(path), str(n_cells), str(n_genes)], check=True)
    return path


def run_both(
    analysis: str, pythons: dict[str, str], path: Path, cache: Path, options: argparse.Namespace
) -> tuple[dict[str, dict[str, Any]], dict[str, Arrays]]:
    """Numbers and result arrays of both packages, by title."""
    settings = {
        "analysis": analysis,
        "path": str(path),
        "data": {name: getattr(options, name) for name in ("groupby", "condition1", "condition2", "obsm_key")},
        "sigma": options.sigma,
        "n_landmarks": options.n_landmarks,
        "null_genes": options.null_genes,
    }
    output = str(cache / "parameters.npz")
    given = {} if options.ls is None else {"ls": options.ls}
    first = in_fresh_process(pythons[OURS.title], WORKER, **settings, shared=given, calls=1, output=output)
    shared = {name: value for name, value in first["record"].items() if name != "rank"}
    runs, arrays = {}, {}
    for title, python in pythons.items():
        output = str(cache / f"{analysis}-{title.replace(' ', '-')}.npz")
        print(f"running {analysis} with {title}", file=sys.stderr)
        runs[title] = in_fresh_process(python, WORKER, **settings, shared=shared, calls=options.calls, output=output)
        arrays[title] = np.load(output)
    return runs, arrays


def header(path: Path, options: argparse.Namespace) -> str:
    """What was run on what."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, `{path.name}`, {options.condition1} to {options.condition2}, "
        f"{options.obsm_key}; sigma {options.sigma:g}, at most {options.n_landmarks} landmarks, {options.null_genes} "
        f"null genes; Python {platform.python_version()}, {os.cpu_count()} cores."
    )


def comparison(
    analysis: str,
    runs: dict[str, dict[str, Any]],
    arrays: dict[str, Arrays],
    agreement: Callable[[Arrays, Arrays], Iterator[tuple[str, str]]],
) -> str:
    """The tables of one analysis: cost, then agreement."""
    published, ours = (package.title for package in (PUBLISHED, OURS))
    record = runs[ours]["record"]
    shared = ", ".join(f"{name} {value:.6g}" for name, value in record.items() if name != "rank")
    note = f"`{analysis}`, {shared} for both, {record['rank']} features chosen by this package."
    cost = markdown(("", published, ours, "ratio"), cost_rows(runs[published], runs[ours]))
    values = markdown((f"{ours} against {published}", "value"), agreement(arrays[published], arrays[ours]))
    return "\n\n".join([note, cost, values])


def cost_rows(published: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Versions, seconds of each call, memory."""
    for name in ("numpy", "anndata"):
        yield name, published["versions"][name], ours["versions"][name], "-"
    for number, (theirs, mine) in enumerate(zip(published["seconds"], ours["seconds"], strict=True), start=1):
        yield f"seconds, call {number} in the process", f"{theirs:.1f}", f"{mine:.2f}", f"{theirs / mine:.1f}"
    for name, key in (("peak memory of the process, MB", "peak_mb"), ("increase during the call, MB", "increase_mb")):
        yield name, f"{published[key]:.0f}", f"{ours[key]:.0f}", f"{published[key] / ours[key]:.1f}"


def abundance_rows(theirs: Arrays, mine: Arrays) -> Iterator[tuple[str, str]]:
    """Agreement of log fold changes of density, without the offset that only this package removes."""
    difference = np.abs(mine["lfc"] - theirs["lfc"])
    yield "log fold change, difference: median", f"{np.median(difference):.1e}"
    yield "log fold change, difference: largest", f"{difference.max():.1e}"
    yield "log fold change, correlation", f"{np.corrcoef(mine['lfc'], theirs['lfc'])[0, 1]:.6f}"


def smooth_rows(theirs: Arrays, mine: Arrays) -> Iterator[tuple[str, str]]:
    """Agreement of smoothed expression and standard deviations of the first 500 genes."""
    for name in ("smoothed", "std"):
        difference = np.abs(mine[name] - theirs[name])
        yield f"{name}, difference: median", f"{np.median(difference):.1e}"
        yield f"{name}, difference: largest", f"{difference.max():.1e}"


ANALYSES = {"de": agreement_rows, "da": abundance_rows, "smooth_expression": smooth_rows}
"""Analyses to compare (functions of the same name in `versus_worker.py`) and their rows on agreement."""


if __name__ == "__main__":
    main()
