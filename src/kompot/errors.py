"""Warning categories of the library, so that each can be filtered on its own.

Errors are Python's own (`ValueError`, `TypeError`, `KeyError`, `NotImplementedError`); only warnings need names.
"""

import inspect
import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)


class KompotWarning(UserWarning):
    """Base of every warning this library gives."""


class ApproximationWarning(KompotWarning):
    """The low-rank approximation stopped before its target (for example at `n_landmarks`)."""


class OverwriteWarning(KompotWarning):
    """Fields of an earlier run are about to be replaced."""


class NullDistributionWarning(KompotWarning):
    """The null distribution is smaller or less varied than asked for."""


class UnusedParameterWarning(KompotWarning):
    """A parameter that is accepted for compatibility has no effect here."""


class DuplicateCellsWarning(KompotWarning):
    """Several cells have the same coordinates."""


class OffsetWarning(KompotWarning):
    """The two densities differ by a constant, beyond its standard error."""


class SkippedSampleWarning(KompotWarning):
    """A biological sample has too few cells and is left out."""


class RepresentationWarning(KompotWarning):
    """A group of cells has too few cells of a condition, or too few altogether."""


class StorageWarning(KompotWarning):
    """Results are stored otherwise than asked for."""


class RunRecordWarning(KompotWarning):
    """The record of a run does not hold everything, or a field belongs to another run."""


def _caller_depth() -> int:
    """Stack level of the first frame outside the package, seen from `warn`."""
    depth, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    return depth - 1


def warn(message: str, category: type[KompotWarning]) -> None:
    """Give a warning that points at the user's line, however deep in the package it arises.

    Parameters
    ----------
    message
        What happened and what the user can do.
    category
        The category to filter by.
    """
    warnings.warn(message, category, stacklevel=_caller_depth())


def is_interactive() -> bool:
    """Whether standard error is a terminal or a notebook, where a progress bar can be seen."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()
