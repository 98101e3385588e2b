"""Interrupts at random moments and disks that fill up: what is left of them in the object and on disk.

    python benchmarks/interruptions.py

Every trial runs an analysis on a small object, with its layers on disk where it has any, and sends its own process one
or two real interrupts after a random time, or limits the size of files or of the disk (a disk of its own needs root;
that part is skipped without). Afterwards the object must be the old or the new one in every field, a folder must belong
to an object that refers to it, and nothing else may be left. Fails if any trial leaves something.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

import kompot
from kompot._interrupts import interrupts_deferred
from kompot.anndata import layer_storage

OUTPUT = kompot.OutputSettings(progress=False)
Complete = tuple[list[str], set[str]]
"""Fields after a whole run, in order, and those that it changes."""
PLACES = ("obs", "var", "layers", "obsm", "varm", "obsp", "uns")


def new_object(arguments: argparse.Namespace) -> ad.AnnData:
    adata = kompot.datasets.simulate(n_cells=arguments.cells, n_genes=arguments.genes, seed=1)
    # An earlier run, whose fields are replaced: a mixture of both would show.
    earlier = {"gp": kompot.GPSettings(sigma=0.7), "fdr": kompot.FDRSettings(null_genes=30)}
    kompot.de(adata, "condition", "Young", "Old", output=OUTPUT, **earlier)
    return adata[: arguments.cells - 5] if arguments.view else adata


def state(adata: ad.AnnData) -> dict[str, str]:
    """A digest of each field, in order."""
    digests = {"view": str(adata.is_view)}
    for place in PLACES:
        container = getattr(adata, place)
        for name in container:
            if name is not None:
                digests[f"{place}/{name}"] = hashlib.sha256(content(container[name])).hexdigest()
    return digests


def content(value: Any) -> bytes:
    if hasattr(value, "indptr"):
        return bytes(value.data.tobytes() + value.indices.tobytes())
    array = np.asarray(value) if not isinstance(value, dict) else np.array(repr(value))
    return repr(array.tolist()).encode() if array.dtype == object else array.tobytes()


def analyses(place: Path) -> dict[str, Callable[[ad.AnnData], Any]]:
    """What is interrupted; each returns a new object or None."""
    on_disk = kompot.StorageSettings(disk_storage_dir=str(place / "layers"), overwrite=True)
    fdr, over = kompot.FDRSettings(null_genes=20), kompot.StorageSettings(overwrite=True)
    pair = ("condition", "Young", "Old")
    model = kompot.FunctionEstimator(ls=1.0).fit(np.linspace(0, 1, 300)[:, None], np.zeros((300, 50))).predictor
    return {
        "de": lambda adata: kompot.de(adata, *pair, fdr=fdr, storage=on_disk, output=OUTPUT),
        "de, copy": lambda adata: kompot.de(
            adata, *pair, fdr=fdr, storage=on_disk, output=kompot.OutputSettings(copy=True, progress=False)
        ),
        "de, inplace=False": lambda adata: kompot.de(
            adata, *pair, fdr=fdr, storage=on_disk, output=kompot.OutputSettings(inplace=False, progress=False)
        ),
        "da": lambda adata: kompot.da(adata, *pair, storage=over, output=OUTPUT),
        "smooth_expression": lambda adata: kompot.smooth_expression(adata, *pair[:2], storage=over, output=OUTPUT),
        "cleanup": lambda adata: kompot.cleanup(adata, keep_var_fields=False, keep_obs_fields=False),
        "recompute_fdr": lambda adata: kompot.recompute_fdr(adata, np.linspace(0, 3, 100)),
        "simulate(path=.zarr)": lambda _adata: simulated(place / "data.zarr"),
        "simulate(path=.h5ad)": lambda _adata: simulated(place / "data.h5ad"),
        "Predictor.save": lambda _adata: model.save(place / "model.npz"),
    }


def simulated(path: Path) -> None:
    kompot.datasets.simulate(n_cells=1000, n_genes=50, path=path)
    remove(path)


def remove(path: Path) -> None:
    with interrupts_deferred():
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def interrupts(moments: list[float]) -> Iterator[None]:
    """Real signals after so many seconds, unless the block has ended."""
    over = threading.Event()

    def send() -> None:
        start = time.perf_counter()
        for moment in moments:
            if over.wait(max(0.0, moment - (time.perf_counter() - start))):
                return
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)

    def stop() -> None:
        with interrupts_deferred():
            over.set()
            if thread.ident is not None:
                thread.join()

    try:
        thread.start()
        yield
    finally:
        try:
            stop()
        finally:  # once more, in case that an interrupt came before it began
            stop()


def problems(adata: ad.AnnData, copy: Any, before: dict[str, str], complete: Complete, place: Path) -> list[str]:
    """What should not be: fields of the old and the new run side by side, or files that belong to nothing."""
    found, after = [], state(adata)
    runs = [adata] + ([copy] if isinstance(copy, ad.AnnData) else [])
    # Values are those of another run to rounding only, but every field that a whole run changes must have changed.
    if after != before and (list(after), changed(before, after)) != complete:
        found.append("mixed object")
    kept = {str(folder) for folder in place.glob("layers/*")}
    used = {folder for run in runs for folder in folders_of(run)}
    if kept != used:
        found.append(f"{len(kept - used)} folders too many, {len(used - kept)} missing")
    if not used and (place / "layers").exists():
        found.append("empty folder")
    if list(place.glob(".kompot-*")):
        found.append("unfinished file")
    model = place / "model.npz"
    if model.exists():
        kompot.Predictor.load(model)
    return found


def folders_of(adata: ad.AnnData) -> set[str]:
    layers = [layer for name, layer in adata.layers.items() if name is not None and hasattr(layer, "dask")]
    stored = [value for layer in layers for value in layer.dask.values() if hasattr(value, "sizes")]
    return {str(value.path.parent.parent) for value in stored}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def trial(
    name: str,
    arguments: argparse.Namespace,
    complete: Complete,
    moments: list[float],
    place: Path,
    limit: int | None = None,
) -> tuple[str, list[str]]:
    adata = new_object(arguments)
    run = analyses(place)[name]
    before, copy, outcome = state(adata), None, "finished"
    try:
        with file_size_limit(limit), interrupts(moments):
            copy = run(adata)
    except KeyboardInterrupt:
        outcome = "interrupted"
    except OSError:
        outcome = "no room"
    found = problems(adata, copy, before, complete, place)
    for suffix in (".zarr", ".h5ad"):
        remove(place / f"data{suffix}")
    shutil.rmtree(place / "layers", ignore_errors=True)
    return outcome, found


@contextlib.contextmanager
def file_size_limit(limit: int | None) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if limit is None else limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[Path | None]:
    """A disk of so many bytes, or None where it cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "kompot", folder]
        if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def whole_run(name: str, arguments: argparse.Namespace, place: Path) -> tuple[float, Complete]:
    """Seconds of a run that nothing stops, and what it changes."""
    adata = new_object(arguments)
    run, before = analyses(place)[name], state(adata)
    start = time.perf_counter()
    run(adata)
    seconds, after = time.perf_counter() - start, state(adata)
    shutil.rmtree(place / "layers", ignore_errors=True)
    return seconds, (list(after), changed(before, after))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=50, help="for each analysis")
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--genes", type=int, default=60)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    arguments.view = False
    rng = random.Random(0)  # noqa: S311  moments, no secrets
    left = 0
    print(
        "| what | tried | interrupted | no room | finished | left-overs |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        names = list(analyses(place))
        for name, view in [(name, False) for name in names] + [("de", True), ("da", True)]:
            arguments.view = view
            whole_run(name, arguments, place)  # imports
            seconds, complete = whole_run(name, arguments, place)
            outcomes: Counter[str] = Counter()
            for _ in range(arguments.trials):
                first = rng.uniform(0, 1.2 * seconds)
                moments = [first] if rng.random() < 0.5 else [first, first + rng.uniform(0, 0.02)]
                left += report(outcomes, *trial(name, arguments, complete, moments, place))
            row(f"interrupts: {name}{', view' if view else ''}", outcomes)
        arguments.view = False
        for name in ("de", "de, copy", "Predictor.save"):
            outcomes, (_, complete) = Counter(), whole_run(name, arguments, place)
            for _ in range(arguments.trials):
                limit = int(10 ** rng.uniform(1, 5))
                left += report(outcomes, *trial(name, arguments, complete, [], place, limit))
            row(f"limit on file size: {name}", outcomes)
    for name in ("de", "de, copy", "Predictor.save"):
        with tempfile.TemporaryDirectory() as folder:
            outcomes, (_, complete) = Counter(), whole_run(name, arguments, Path(folder))
        # The disk fills up after the run has looked how much is free.
        layer_storage.free_bytes = lambda _place: 10**9
        for _ in range(arguments.trials):
            with small_disk(4096 * rng.randint(2, 60)) as disk:
                if disk is None:
                    continue
                left += report(outcomes, *trial(name, arguments, complete, [], disk))
        row(f"full disk: {name}", outcomes)
    raise SystemExit(f"{left} trials left something" if left else 0)


def report(outcomes: Counter[str], outcome: str, found: list[str]) -> bool:
    outcomes[outcome] += 1
    outcomes["left"] += bool(found)
    for problem in found:
        print(f"  {outcome}: {problem}")
    return bool(found)


def row(what: str, outcomes: Counter[str]) -> None:
    counts = [outcomes[name] for name in ("interrupted", "no room", "finished")]
    print(f"| {what} | {sum(counts)} | {' | '.join(map(str, counts))} | {outcomes['left']} |", flush=True)


if __name__ == "__main__":
    main()
