"""Progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm


@contextmanager
def progress_bar(total: int, *, shown: bool) -> Iterator[Callable[[int], object]]:
    """A bar over cells that only appears when a run takes longer than a second."""
    with tqdm(total=total, desc="kompot", unit=" cells", disable=not shown, delay=1.0, leave=False) as bar:
        yield bar.update
