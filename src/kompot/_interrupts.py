"""Signals that wait until a step which must not be cut in two is done.

Python runs signal handlers (Ctrl-C raises KeyboardInterrupt in one) in the main thread only, between any two of its
instructions. Other threads are not interrupted by signals, so that nothing is done there. Limits: a handler that was
installed by compiled code is left alone, and `PyThreadState_SetAsyncExc` cannot be held off.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Handlers = dict[int, Callable[[int, Any], Any]]


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Hold signals off while the block runs; those that came are handled when it ends, however it ends.

    Yields
    ------
    Callable[[], None]
        Handles what has come so far, for a point within the block where an exception does no harm.

    Examples
    --------
    >>> done = []
    >>> try:
    ...     with interrupts_deferred():
    ...         signal.raise_signal(signal.SIGINT)
    ...         done.append("all of it")
    ... except KeyboardInterrupt:
    ...     done.append("then the interrupt")
    >>> done
    ['all of it', 'then the interrupt']
    """
    handlers: Handlers = {}
    arrived: list[tuple[int, Any]] = []

    def note(number: int, frame: Any) -> None:
        arrived.append((number, frame))

    def handle() -> None:
        while arrived:
            number, frame = arrived.pop(0)
            try:
                handlers[number](number, frame)
            finally:  # one that raises does not swallow the others
                handle()

    try:
        _replace(handlers, note)
        yield handle
    finally:
        try:
            _restore(handlers, note)
        finally:
            handle()


def _replace(handlers: Handlers, note: Callable[[int, Any], None]) -> None:
    """Put `note` in the place of every handler written in Python, and remember those in `handlers`."""
    # That of Ctrl-C is the first to go and the last to return: it may raise as soon as it is back.
    for number in sorted(signal.valid_signals(), key=lambda number: number != signal.SIGINT):
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler
            try:
                signal.signal(number, note)
            except ValueError:  # not in the main thread, where no handler would run either
                handlers.clear()
                return


def _restore(handlers: Handlers, note: Callable[[int, Any], None]) -> None:
    for number in reversed(handlers):
        if signal.getsignal(number) is note:  # else a handler that was called meanwhile installed another
            signal.signal(number, handlers[number])
