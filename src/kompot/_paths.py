"""Paths that users give: checked before any work, with errors that name the argument."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kompot._checks import brief, show

_LONGEST_PATH = 300  # in a message


def path(name: str, value: object) -> str:
    """`value` as the text of a path that the file system could have."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be a path, came {show(value)}.")
    text = os.fspath(value)
    try:
        possible = bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        possible = False
    if not possible:
        raise ValueError(f"{name} must be a path, came {brief(text)}, which no file can have.")
    return str(text)


@contextmanager
def file_errors(name: str, value: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Errors of the file system say which argument they are about.

    Parameters
    ----------
    name, value
        The argument and the path.
    what
        What is done in the block: "read" or "written".
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise type(error)(
            error.errno, f"{name}={brief(str(value), _LONGEST_PATH)} cannot be {what}: {reason}"
        ) from error


def existing_parent(place: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    existing = place.absolute()
    while not existing.exists():
        existing = existing.parent
    return existing


def require_writable_directory(name: str, place: Path) -> None:
    """Raise unless files can be made in a directory, or in the one where it will be made; tried with a file.

    Permissions do not tell: file systems can be mounted read-only, and the superuser passes every check of them.
    """
    with file_errors(name, place, "written to"):
        parent = existing_parent(place)
        if not parent.is_dir():
            raise ValueError(f"{name} must be a directory, but {brief(str(parent), _LONGEST_PATH)} is a file.")
        with tempfile.TemporaryFile(dir=parent):
            pass
