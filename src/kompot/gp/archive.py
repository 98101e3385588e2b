"""Arrays from an npz file that may be damaged or made to harm.

Nothing that the file says of itself is believed before it is checked: sizes are compared with each other and with the
memory available before anything is unpacked, headers are matched against the one form that NumPy writes instead of
being evaluated, and only plain numbers and text are read.
"""

from __future__ import annotations

import errno
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from kompot import _checks as check
from kompot._memory import available_bytes
from kompot._paths import file_errors

_MAGIC = b"\x93NUMPY\x01\x00"
_LONGEST_HEADER = 1000
_HEADER = re.compile(
    r"\{'descr': '([<>](?:f4|f8|U\d{1,9}))', 'fortran_order': (True|False), "
    r"'shape': \((\d{0,18}(?:, ?\d{0,18})?)\), \} *\n"
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile and zlib raise for archives that are damaged.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    KeyError,
    IndexError,
)


class DamagedFileError(ValueError):
    """A file that does not hold what it should."""


def read_arrays(path: str | os.PathLike[str], names: Collection[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Vectors, matrices and texts of an npz file.

    Parameters
    ----------
    path
        The file.
    names
        Arrays that it must hold, and no others.

    Returns
    -------
    dict[str, np.ndarray]
        By name: numbers as float64, text as a scalar array.

    Raises
    ------
    DamagedFileError
        If the file is something else; the message does not name the file.
    OSError
        If it cannot be read.
    """
    with _opened(path) as file, _damage_reported(), zipfile.ZipFile(file) as archive:
        members = _members(archive, names)
        n_bytes, free = sum(member.file_size for member in members.values()), available_bytes()
        if n_bytes > free:
            raise DamagedFileError(f"says that it needs {n_bytes / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are available")
        return {name: _array(archive, name, member) for name, member in members.items()}


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A regular file; waiting for a pipe or reading a device without end would be no error message."""
    with file_errors("path", path, "read"):
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise OSError(errno.EINVAL, "it is not a file, but a directory, a pipe or a device")
        file = Path(path).open("rb")  # noqa: SIM115  closed below; errors while reading are those of the archive
    with file:
        yield file


@contextmanager
def _damage_reported() -> Iterator[None]:
    try:
        yield
    except DamagedFileError:
        raise
    except _DAMAGE as error:
        raise DamagedFileError(f"is no archive of arrays, or is damaged ({error})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # A position before the start of the file, which the archive's directory claims.
        raise DamagedFileError("is damaged: its directory points outside the file") from error


def _members(archive: zipfile.ZipFile, names: Collection[str]) -> dict[str, zipfile.ZipInfo]:
    """Members of the archive by name, if they are those expected."""
    expected = {f"{name}.npy": name for name in names}
    # NumPy 1.26 took an option of ours for one more array, in files of earlier versions; it is not read.
    members = [member for member in archive.infolist() if member.filename != "allow_pickle.npy"]
    found = [member.filename for member in members]
    if sorted(found) != sorted(expected):
        raise DamagedFileError(f"holds {check.listed(found)} where {check.listed(expected)} are needed")
    for member in members:
        if member.compress_type not in _METHODS:
            raise DamagedFileError(f"holds {member.filename} in a compression that NumPy does not use")
    return {expected[member.filename]: member for member in members}


def _array(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> np.ndarray[Any, Any]:
    """One array; its header must agree with the size of the member before the numbers are read."""
    with archive.open(member) as file:
        start = file.read(len(_MAGIC) + 2)
        length = int.from_bytes(start[len(_MAGIC) :], "little")
        if not start.startswith(_MAGIC) or length > _LONGEST_HEADER:
            raise DamagedFileError(f"holds no array as {name}")
        header = _HEADER.fullmatch(file.read(length).decode("latin1"))
        if header is None:
            raise DamagedFileError(f"holds neither numbers nor text as {name}")
        dtype, shape = np.dtype(header[1]), tuple(int(part) for part in header[3].split(",") if part.strip())
        n_bytes = dtype.itemsize * math.prod(shape)
        if len(start) + length + n_bytes != member.file_size:
            raise DamagedFileError(f"holds {member.file_size:,} bytes as {name}, which do not fit its shape {shape}")
        values = _filled(file, n_bytes)
    # Read to the end: only then are the bytes compared with their checksum.
    array: np.ndarray[Any, Any] = np.frombuffer(values, dtype).reshape(shape, order="F" if header[2] == "True" else "C")
    return array if dtype.kind == "U" else array.astype(np.float64, copy=False)


def _filled(file: IO[bytes], n_bytes: int) -> bytearray:
    """The rest of a member, which grows as it is unpacked: no memory is taken on the word of a header alone."""
    values = bytearray()
    while block := file.read(1 << 20):
        values += block
    if len(values) != n_bytes:
        raise DamagedFileError("ends too early")
    return values
