"""Files that are written as a whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kompot._checks import brief
from kompot._interrupts import interrupts_deferred
from kompot._paths import file_errors

SETTLE = 0.5
"""Seconds to wait before a folder is removed in which a file could not be written: zarr writes several at once, in
threads, of which the others are still at work for some milliseconds and would make the folder anew."""


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of the one at `path` when the block ends well.

    Written beside it under a temporary name, so that a failure or an interrupt leaves what was there.

    Parameters
    ----------
    path
        Where the file shall be. A symbolic link stays one; permissions of a file that was there are kept.

    Yields
    ------
    IO[bytes]
        Open for writing.

    Raises
    ------
    OSError
        If the file cannot be written, a full disk for example; says that nothing changed.
    """
    with file_errors("path", path, "written"):
        target = Path(path).resolve()
        is_special = target.exists() and not target.is_file()
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a directory")
    if is_special:  # a device or a pipe, which must not be replaced
        with file_errors("path", path, "written"), target.open("wb") as file:
            yield file
        return
    with unfinished_beside(target) as unfinished, _explained(target):
        _require_writable(target)
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            unfinished.chmod(stat.S_IMODE(target.stat().st_mode))
        unfinished.replace(target)


@contextmanager
def unfinished_beside(target: Path, suffix: str = "") -> Iterator[Path]:
    """A name for a file or folder that is not complete yet, next to where it shall be.

    Parameters
    ----------
    target
        Where it shall be.
    suffix
        Of the name.

    Yields
    ------
    Path
        To be moved to `target`; what is there when the block ends is removed.
    """
    # Known before it is made, so that an interrupt at any moment leaves nothing.
    unfinished = target.with_name(f".kompot-{uuid.uuid4().hex}{suffix}")
    try:
        yield unfinished
    except OSError:
        time.sleep(SETTLE)
        raise
    finally:
        with interrupts_deferred():
            if unfinished.is_dir():
                shutil.rmtree(unfinished, ignore_errors=True)
            else:
                with suppress(OSError):  # mostly because it is not there any more
                    unfinished.unlink()


def _require_writable(target: Path) -> None:
    """A file that is protected against writing is not replaced, although its folder may allow it."""
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        left = "the file that was there is unchanged" if target.exists() else "nothing is left of it"
        raise OSError(
            error.errno or errno.EIO,
            f"path={brief(target.name)} cannot be written ({error.strerror or error}); {left}. Make room, or name "
            f"another place",
        ) from error
