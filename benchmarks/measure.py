"""Fresh processes for measurements: start one, watch its memory, hand its numbers back.

Needs the standard library only, so that it works in any environment that is compared. Memory is read from
``/proc``, hence Linux.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

_MEGABYTE = 1e6
_SAMPLE_SECONDS = 0.002


class Watch:
    """Seconds, and highest resident memory, between entering and leaving a block."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.start_mb = 0.0
        self.peak_mb = 0.0
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self.start_mb = self.peak_mb = resident_mb()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        self._started = perf_counter()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = perf_counter() - self._started
        self._stop.set()
        self._sampler.join()
        self.peak_mb = max(self.peak_mb, resident_mb())

    @property
    def increase_mb(self) -> float:
        """Highest resident memory above that at the start."""
        return self.peak_mb - self.start_mb

    def _sample(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self.peak_mb = max(self.peak_mb, resident_mb())


def resident_mb() -> float:
    """Resident memory of this process now, in units of 10^6 bytes."""
    return _status_kb("VmRSS") * 1024 / _MEGABYTE


def peak_mb() -> float:
    """Highest resident memory of this process so far, in units of 10^6 bytes.

    Not `ru_maxrss`: that one also remembers the process that started this one.
    """
    return _status_kb("VmHWM") * 1024 / _MEGABYTE


def _status_kb(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}; memory can only be measured on Linux.")


def in_fresh_process(python: str, script: Path, **arguments: Any) -> dict[str, Any]:
    """Run a script with its arguments as JSON; its last line of output is the JSON of its result."""
    command = [python, str(script), json.dumps(arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"{script.name} failed with {arguments}:\n{finished.stdout}\n{finished.stderr}")
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result


def warm(path: Path) -> None:
    """Read a file once, so that the first measurement does not wait for the disk and the others not."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def median(runs: Iterable[dict[str, Any]], key: str) -> float:
    """Median over repeats of one number."""
    return statistics.median(run[key] for run in runs)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table: text in the first column, numbers right-aligned in the others."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])
