"""Where simulated chunks go: memory, an h5ad file or a Zarr store.

A file is written beside the target under a temporary name and moved into place when it is complete, so that
an interrupted run leaves nothing at the target. Memory holds one chunk of the sparse matrices at a time.
"""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import anndata as ad
import h5py
import numpy as np
from anndata.io import read_elem, sparse_dataset, write_elem
from scipy.sparse import csr_matrix, vstack

from kompot._checks import brief
from kompot._files import unfinished_beside
from kompot._interrupts import interrupts_deferred
from kompot._paths import file_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Chunk: TypeAlias = tuple[csr_matrix[np.float32], csr_matrix[np.int32]]
    """Log-normalised expression and counts of consecutive cells."""

    Annotation: TypeAlias = dict[str, Any]
    """`obs`, `var`, `obsm` and `uns` of the whole data set, by these names."""

SUFFIXES = (".h5ad", ".zarr")


def check_path(path: Path) -> None:
    """Raise before any computation if `path` cannot be written."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path must end in .h5ad or .zarr; came {brief(path.name)}. Rename it, or leave path out.")
    with file_errors("path", path, "written"):
        exists = path.exists()
    if exists:
        raise FileExistsError(
            f"path={str(path)!r} exists already and is not overwritten. Delete it or choose another path."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"path={brief(str(path), 300)}: the folder {brief(str(path.parent), 300)} does not exist. Create it or "
            f"choose another path."
        )
    missing = [name for name in ("zarr", "dask") if importlib.util.find_spec(name) is None]
    if path.suffix == ".zarr" and missing:
        raise ImportError(
            f'a .zarr path needs {" and ".join(missing)}. Run: pip install "kompot[lazy]", or choose an .h5ad path.'
        )


def to_memory(chunks: Iterable[Chunk], annotate: Callable[[], Annotation]) -> ad.AnnData:
    """Join the chunks; `annotate` is asked after the last one."""
    X, counts = zip(*chunks, strict=True)
    layers = {"counts": vstack(counts, format="csr")}
    return ad.AnnData(X=vstack(X, format="csr"), layers=layers, **annotate())


def to_file(path: Path, chunks: Iterable[Chunk], annotate: Callable[[], Annotation]) -> None:
    """Write the chunks and then the annotation to `path`; `annotate` is asked after the last chunk.

    Interrupts wait while something is written: zarr writes in threads of its own, which would go on writing into the
    folder while it is removed.
    """
    with unfinished_beside(path, path.suffix) as unfinished:
        with _open_store(unfinished) as store:
            for chunk in chunks:
                with interrupts_deferred():
                    _append(store, chunk)
            annotation = annotate()
            with interrupts_deferred():
                _write_annotation(store, annotation)
        unfinished.rename(path)


@contextmanager
def _open_store(path: Path) -> Iterator[Any]:
    """Open a new, empty store with the marks and groups of an AnnData file."""
    if path.suffix == ".h5ad":
        with h5py.File(path, "w") as file:
            yield _prepare(file)
    else:
        with interrupts_deferred():
            group = _prepare(_new_zarr_group(path))
        yield group


def _new_zarr_group(path: Path) -> Any:
    """Create a store in format 2, which older versions of zarr and anndata read too."""
    import zarr

    return zarr.open_group(path, mode="w", zarr_format=2)


def _prepare(store: Any) -> Any:
    store.attrs["encoding-type"] = "anndata"
    store.attrs["encoding-version"] = "0.1.0"
    for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        write_elem(store, name, {})
    return store


def _append(store: Any, chunk: Chunk) -> None:
    for (group, name), matrix in zip(((store, "X"), (store["layers"], "counts")), chunk, strict=True):
        if name in group:
            sparse_dataset(group[name]).append(matrix)
        else:
            # Row starts in 64 bits: a large data set has more than 2^31 stored values.
            write_elem(group, name, matrix, dataset_kwargs={"indptr_dtype": np.dtype(np.int64)})


def _write_annotation(store: Any, annotation: Annotation) -> None:
    for name, value in annotation.items():
        write_elem(store, name, value)


def open_written(path: Path) -> ad.AnnData:
    """Open a written data set with `X` and the counts left on disk."""
    return _open_h5ad(path) if path.suffix == ".h5ad" else _open_zarr(path)


def _open_h5ad(path: Path) -> ad.AnnData:
    """Open in backed mode; unlike `anndata.read_h5ad` this leaves the counts on disk too.

    The counts have a file handle of their own, which lives as long as they do: that of `X` is closed by
    ``to_memory``.
    """
    file = h5py.File(path, "r")
    layers = {"counts": sparse_dataset(file["layers"]["counts"])}
    return ad.AnnData(filename=path, filemode="r", layers=layers, **_read_annotation(file))


def _open_zarr(path: Path) -> ad.AnnData:
    import zarr
    from anndata.experimental import read_elem_lazy

    store: Any = zarr.open_group(path, mode="r")
    layers = {"counts": read_elem_lazy(store["layers"]["counts"])}
    return ad.AnnData(X=read_elem_lazy(store["X"]), layers=layers, **_read_annotation(store))


def _read_annotation(store: Any) -> Annotation:
    return {name: read_elem(store[name]) for name in ("obs", "var", "obsm", "uns")}
