"""What a user sees of a run: a bar while it goes on, and one line when it is done."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

_DELAY = 1.0  # seconds
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} cells [{elapsed}<{remaining}]"


class Progress:
    """Share of the work of a run that is done, shown in cells of the object: all of them when everything is done."""

    def __init__(self, bar: Any, owner: str, work: float) -> None:
        self._bar, self._owner, self._work = bar, owner, work
        self._done, self._shown = 0.0, 0

    def __call__(self, n: float) -> None:
        """Count n more cells of a pass."""
        self._done += n
        # Shares of a pass are floats: the end must not be missed by their rounding.
        cells = int(self._bar.total * self._done / self._work + 1e-6)
        self._bar.update(cells - self._shown)
        self._shown = cells

    def stage(self, name: str) -> Progress:
        """Say what is being done now; returns itself."""
        self._bar.set_description_str(f"{self._owner}, {name}", refresh=False)
        return self


@contextmanager
def progress_bar(owner: str, n_cells: int, work: float, *, shown: bool) -> Iterator[Progress]:
    """A bar that only appears when a run takes longer than a second.

    Parameters
    ----------
    owner
        Name of the function.
    n_cells
        Cells of the object.
    work
        Cells to be done in all passes.
    shown
        `OutputSettings.progress`.

    Yields
    ------
    Progress
        To be called with cells done.
    """
    with tqdm(total=n_cells, desc=owner, bar_format=_FORMAT, disable=not shown, delay=_DELAY, leave=False) as bar:
        yield Progress(bar, owner, work)


def tell(logger: logging.Logger, line: str, *, shown: bool) -> None:
    """Send a line to the logger (INFO), and write it to standard error, where the bar was.

    Parameters
    ----------
    logger
        Of the module that the line is about.
    line
        Text; what cannot be printed in it, such as a line break in a label, becomes a question mark.
    shown
        `OutputSettings.progress`. Even so nothing is written where the logger shows the line there itself.
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    logger.info(line)
    if shown and sys.stderr is not None and not _shows_info(logger):
        tqdm.write(line, file=sys.stderr)


def _shows_info(logger: logging.Logger) -> bool:
    """Whether a handler writes INFO of this logger to where the user looks."""
    if not logger.isEnabledFor(logging.INFO):
        return False
    streams = [stream for stream in (sys.stderr, sys.stdout) if stream is not None]
    current: logging.Logger | None = logger
    while current is not None:
        if any(h.level <= logging.INFO and getattr(h, "stream", None) in streams for h in current.handlers):
            return True
        current = current.parent if current.propagate else None
    return False
