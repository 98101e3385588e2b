from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest

from kompot.datasets import simulate, writer

SIZE = (1300, 40)


@pytest.fixture(scope="module")
def in_memory() -> ad.AnnData:
    return simulate(*SIZE)


def assert_equal(first: ad.AnnData, second: ad.AnnData) -> None:
    assert (first.X != second.X).nnz == 0
    assert first.X.dtype == second.X.dtype
    assert (first.layers["counts"] != second.layers["counts"]).nnz == 0
    assert first.layers["counts"].dtype == second.layers["counts"].dtype
    assert first.obs.equals(second.obs)
    assert first.var.equals(second.var)
    for key in first.obsm:
        np.testing.assert_allclose(first.obsm[key], second.obsm[key], rtol=1e-6, atol=1e-9)
    for key, value in first.uns["simulation"].items():
        np.testing.assert_array_equal(value, second.uns["simulation"][key])


def test_h5ad_equals_memory(tmp_path: Path, in_memory: ad.AnnData) -> None:
    path = tmp_path / "data.h5ad"
    backed = simulate(*SIZE, path=path, chunk_size=500)
    assert backed.isbacked
    assert_equal(in_memory, backed.to_memory())
    assert backed.layers["counts"][:3].nnz == in_memory.layers["counts"][:3].nnz
    backed.file.close()
    assert_equal(in_memory, ad.read_h5ad(path))
    assert [p.name for p in tmp_path.iterdir()] == ["data.h5ad"]


def test_zarr_equals_memory(tmp_path: Path, in_memory: ad.AnnData) -> None:
    pytest.importorskip("zarr")
    dask = pytest.importorskip("dask.array")
    path = tmp_path / "data.zarr"
    lazy = simulate(*SIZE, path=str(path), chunk_size=500)
    assert isinstance(lazy.X, dask.Array)
    assert isinstance(lazy.layers["counts"], dask.Array)
    assert_equal(in_memory, lazy.to_memory())
    assert_equal(in_memory, ad.read_zarr(path))
    assert [p.name for p in tmp_path.iterdir()] == ["data.zarr"]


def test_row_starts_have_64_bits_in_files(tmp_path: Path) -> None:
    backed = simulate(100, 20, path=tmp_path / "data.h5ad")
    assert backed.file["X/indptr"].dtype == np.int64
    backed.file.close()


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    if suffix == ".zarr":
        pytest.importorskip("zarr")

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(writer, "_write_annotation", fail)
    with pytest.raises(OSError, match="disk full"):
        simulate(100, 20, path=tmp_path / f"data{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "data.h5ad"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="exists already and is not overwritten"):
        simulate(100, 20, path=path)
    assert path.read_text() == "precious"


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        simulate(100, 20, path=tmp_path / "absent" / "data.h5ad")


def test_missing_zarr_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r'pip install "kompot\[lazy\]"'):
        simulate(100, 20, path=tmp_path / "data.zarr")


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_an_interrupt_while_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """It waits until the step is written, whose files are not all written by the thread that is interrupted."""
    steps = []
    for name in ("_append", "_write_annotation"):
        with monkeypatch.context() as patch:
            step = getattr(writer, name)

            def interrupted(*args: Any, step: Any = step, name: str = name) -> None:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                step(*args)
                steps.append(name)

            patch.setattr(writer, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                simulate(100, 20, path=tmp_path / f"data{suffix}")
        assert list(tmp_path.iterdir()) == []
    assert steps == ["_append", "_write_annotation"]
