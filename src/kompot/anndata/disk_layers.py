"""Layers of a run on disk: a folder that stays only with an object that refers to it, and arrays that miss no file.

A Zarr array reads as its fill value, NaN, wherever a file is missing. All files here are written by ourselves, so a
missing or shortened one is damage and an error.
"""

from __future__ import annotations

import errno
import shutil
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kompot._files import SETTLE
from kompot._interrupts import interrupts_deferred
from kompot._typing import Floats

_ROWS_TOGETHER = 1024
_GB = 1e9


class LayerFolder:
    """The folder of the layers of one run; removed by `discard`, or with this object, unless `keep` was called."""

    def __init__(self, place: Path, n_bytes: int) -> None:
        self.place = place.absolute()
        """Where the folder is made; the run's own name is added."""
        self.n_bytes = n_bytes
        """Size of all layers, for messages."""
        self.path = self.place / f"kompot_layers_{uuid.uuid4().hex}"
        """The folder."""
        made = [folder for folder in (self.place, *self.place.parents) if not folder.exists()]
        # Known before anything is made, so that an interrupt at any moment leaves nothing.
        self._remove = weakref.finalize(self, _remove, self.path, made)

    def arrays(self, names: Sequence[str], shape: tuple[int, int], dtype: np.dtype[Any]) -> dict[str, LayerWriter]:
        """Make the folder, with an empty array for each name."""
        import zarr

        # A chunk of nothing but NaN gets its file too.
        options: dict[str, Any] = {"fill_value": np.nan, "config": {"write_empty_chunks": True}}
        chunks = (min(_ROWS_TOGETHER, shape[0]), shape[1])
        with interrupts_deferred(), self.writing():
            self.place.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700)
            store = self.path / "layers.zarr"
            group = zarr.open_group(str(store), mode="w", zarr_format=2)
            create = group.create_array
            return {
                name: LayerWriter(self, create(name, shape=shape, chunks=chunks, dtype=dtype, **options), store / name)
                for name in names
            }

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say what was needed where a file cannot be written."""
        try:
            yield
        except OSError as error:
            time.sleep(SETTLE)
            raise OSError(
                error.errno or errno.EIO,
                f"Writing the layers failed ({error.strerror or error}): they need up to {self.n_bytes / _GB:.1f} GB "
                f"in {str(self.place)!r}{_free(self.place)}. What was written is removed again. Make room, name "
                f"another disk_storage_dir, leave the layers out (store_layers=False), or name fewer genes.",
            ) from error

    def keep(self) -> None:
        """The folder stays: an object refers to it."""
        self._remove.detach()

    def discard(self) -> None:
        """Remove the folder, unless it was kept."""
        with interrupts_deferred():
            self._remove()


def _remove(path: Path, made: Sequence[Path]) -> None:
    shutil.rmtree(path, ignore_errors=True)
    for folder in made:
        try:
            folder.rmdir()
        except OSError:  # holds something else by now
            return


def _free(place: Path) -> str:
    try:
        return f", where {shutil.disk_usage(place).free / _GB:.1f} GB are free"
    except OSError:
        return ""


@dataclass
class LayerWriter:
    """A layer that is being written."""

    folder: LayerFolder
    """Of the run."""
    array: Any
    """Zarr array, n_cells x n_genes."""
    path: Path
    """Its files."""
    sizes: dict[int, int] = field(default_factory=dict)
    """Bytes of the file of each chunk written."""

    @property
    def shape(self) -> tuple[int, int]:
        """n_cells x n_genes."""
        return self.array.shape[0], self.array.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, int]:
        """Rows and columns kept together."""
        return self.array.chunks[0], self.array.chunks[1]

    def __setitem__(self, rows: slice, values: Floats) -> None:
        """Write consecutive rows.

        One chunk at a time and without interrupts: zarr writes in a thread of its own, which would go on writing
        into the folder while it is removed.
        """
        together = self.chunks[0]
        for chunk in range(rows.start // together, -(-rows.stop // together)):
            first, last = max(rows.start, chunk * together), min(rows.stop, (chunk + 1) * together)
            with interrupts_deferred(), self.folder.writing():
                self.array[first:last] = values[first - rows.start : last - rows.start]
                self.sizes[chunk] = _file(self.path, chunk).stat().st_size

    def stored(self) -> StoredLayer:
        """The layer for reading; an error if a file is gone already."""
        layer = StoredLayer(self.array, self.path, dict(self.sizes))
        for chunk in self.sizes:
            layer.require(chunk)
        return layer


@dataclass(frozen=True)
class StoredLayer:
    """A layer on disk for Dask to read from: the array, or an error if one of its files is missing or incomplete."""

    array: Any
    """Zarr array, n_cells x n_genes."""
    path: Path
    """Its files."""
    sizes: dict[int, int]
    """Bytes of the file of each chunk."""

    @property
    def shape(self) -> tuple[int, int]:
        """n_cells x n_genes."""
        return self.array.shape[0], self.array.shape[1]

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def __getitem__(self, index: Any) -> Floats:
        """The values, as the Zarr array gives them."""
        rows = np.arange(self.shape[0])[index[0] if isinstance(index, tuple) else index]
        for chunk in np.unique(rows // self.array.chunks[0]).tolist():
            self.require(chunk)
        return np.asarray(self.array[index])

    def __dask_tokenize__(self) -> tuple[str, str]:
        """The folder's name occurs once, so that nothing need be read to tell layers apart."""
        return type(self).__name__, str(self.path)

    def require(self, chunk: int) -> None:
        """Raise unless the file of a chunk is as it was written."""
        file = _file(self.path, chunk)
        found = file.stat().st_size if file.exists() else None
        if found == self.sizes.get(chunk, found):
            return
        folder, advice = self.path.parent.parent, "remove these layers (kompot.cleanup) and run the analysis again"
        if found is None:
            raise FileNotFoundError(
                errno.ENOENT,
                f"A layer of this object is kept on disk, but its files in {str(folder)!r} are not there any more. Put "
                f"the folder back, or {advice}. Missing",
                str(file),
            )
        raise OSError(
            errno.EIO,
            f"A layer of this object is kept on disk, but one of its files is damaged: {found} bytes where "
            f"{self.sizes[chunk]} were written. Put a good copy of {str(folder)!r} back, or {advice}. Damaged",
            str(file),
        )


def _file(path: Path, chunk: int) -> Path:
    """File of a chunk of rows, which holds all columns (Zarr format 2)."""
    return path / f"{chunk}.0"
