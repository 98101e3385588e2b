"""Real signals at every line of chosen modules."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import kompot

SOURCE = Path(kompot.__file__).parent


def run_interrupted(run, modules, at=(), number=signal.SIGINT):
    """Run a function, send this process a signal before the lines that are counted in `at`, return how many there are.

    Parameters
    ----------
    run
        Called without arguments; what it raises is raised.
    modules
        Files of the package whose lines count, `store.py` for example.
    at
        Numbers of lines as they are run, from 0.
    number
        The signal.
    """
    files = {str(SOURCE / name) for name in modules}
    n_lines = 0

    def trace(frame, event, _argument):
        nonlocal n_lines
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            n_lines += 1
            if n_lines - 1 in at:
                os.kill(os.getpid(), number)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return n_lines
