"""Layers on disk: no folder is left without an object, and no missing file reads as NaN."""

import errno
import os
import pickle
import resource
import shutil
import threading
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import kompot
from adata_helpers import QUIET, assert_unchanged, small_adata, snapshot
from interrupt_helpers import run_interrupted
from kompot.anndata.disk_layers import LayerFolder

NAMES = ("kompot_de_A_smoothed", "kompot_de_B_smoothed", "kompot_de_A_to_B_fold_change")
ROWS_TOGETHER = 16


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr("kompot.anndata.disk_layers._ROWS_TOGETHER", ROWS_TOGETHER)


@pytest.fixture
def place(tmp_path):
    """A folder that does not exist yet, nor does the one above it."""
    return tmp_path / "new" / "layers"


def run(adata, place, **output):
    return kompot.de(
        adata,
        "condition",
        "A",
        "B",
        fdr=kompot.FDRSettings(null_genes=0),
        storage=kompot.StorageSettings(disk_storage_dir=str(place), overwrite=True),
        output=kompot.OutputSettings(**QUIET, **output),
    )


def on_disk(place):
    adata = small_adata()
    run(adata, place)
    return adata


# Nothing is left behind

FAILURES = {
    "making the folder": "zarr.open_group",
    "writing": "kompot.differential.evaluate._fill_chunk",
    "attaching": "kompot.anndata.compute.attachable",
    "table": "kompot.anndata.run_de.gene_table",
    "results": "kompot.anndata.run_de.result_dict",
    "copy": "kompot.anndata.deliver.independent_copy",
    "record": "kompot.anndata.run_de.changes_of",
    "write": "kompot.anndata.store._apply",
}


@pytest.mark.parametrize("stage", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("failure", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "existing"])
def test_failures_leave_no_folder(place, monkeypatch, stage, failure, exists):
    if exists:
        place.mkdir(parents=True)
    adata = small_adata()
    before = snapshot(adata)

    def fail(*_args, **_kwargs):
        raise failure("stopped")

    monkeypatch.setattr(stage, fail)
    with pytest.raises(failure, match="stopped"):
        run(adata, place, copy=stage == FAILURES["copy"], return_full_results=True)
    assert_unchanged(adata, before)
    assert place.exists() == exists
    assert place.parent.exists() == exists
    assert not list(place.glob("*"))


def test_a_folder_above_that_is_used_meanwhile_stays(place, monkeypatch):
    def fail(*_args, **_kwargs):
        (place.parent / "of someone else").touch()
        raise RuntimeError("stopped")

    monkeypatch.setattr("kompot.differential.evaluate._fill_chunk", fail)
    with pytest.raises(RuntimeError, match="stopped"):
        run(small_adata(), place)
    assert [path.name for path in place.parent.iterdir()] == ["of someone else"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("at", [0, 3, 20])
def test_a_disk_that_fills_up(place, monkeypatch, number, at):
    import zarr

    adata = small_adata()
    before = snapshot(adata)
    put, puts = zarr.Array.__setitem__, []

    def failing(*args):
        puts.append(args)
        if len(puts) > at:
            raise OSError(number, os.strerror(number))
        put(*args)

    monkeypatch.setattr(zarr.Array, "__setitem__", failing)
    with pytest.raises(
        OSError, match=r"Writing the layers failed \(.*\): they need up to .* GB .* are free.*Make room"
    ):
        run(adata, place)
    assert len(puts) > at
    assert_unchanged(adata, before)
    assert not place.parent.exists()


def test_a_file_that_is_written_when_another_has_failed(place, monkeypatch):
    """Zarr does not wait for the files that it writes at the same time."""
    threads = []

    def failing(store, **_options):
        def late():
            time.sleep(0.1)
            Path(store).mkdir(parents=True)
            (Path(store) / ".zgroup").touch()

        threads.append(threading.Thread(target=late))
        threads[0].start()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("zarr.open_group", failing)
    with pytest.raises(OSError, match="Writing the layers failed"):
        run(small_adata(), place)
    threads[0].join()
    assert not place.parent.exists()


def test_files_that_the_system_refuses(place):
    """The limit on the size of files, which no code of Python's knows of before it writes."""
    adata = small_adata(400, 200)
    before = snapshot(adata)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Writing the layers failed \(File too large\)") as caught:
            run(adata, place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert_unchanged(adata, before)
    assert not place.parent.exists()


def test_a_folder_that_is_deleted_during_the_run(place, monkeypatch):
    from kompot.differential import evaluate

    adata, fill, calls = small_adata(), evaluate._fill_chunk, []
    before = snapshot(adata)

    def deleting(*args):
        calls.append(args)
        if len(calls) == 2:
            shutil.rmtree(place)
        fill(*args)

    monkeypatch.setattr(evaluate, "_fill_chunk", deleting)
    monkeypatch.setattr("kompot.differential.evaluate.rows_per_chunk", lambda *_args: 16)
    with pytest.raises(FileNotFoundError, match="are not there any more"):
        run(adata, place)
    assert len(calls) > 2
    assert_unchanged(adata, before)
    assert not list(place.glob("*"))


FILES = ("anndata/disk_layers.py", "anndata/layer_storage.py", "anndata/deliver.py")


def test_interrupts_at_any_line_leave_a_folder_only_with_the_object(place):
    shape, counts = small_adata().shape, set()

    def work(keep):
        folder = LayerFolder(place, 100)
        try:
            arrays = folder.arrays(["a", "b"], shape, np.dtype(np.float32))
            arrays["a"][0:40] = np.ones((40, shape[1]))
            arrays["a"].stored()[5:20]
            if keep:
                folder.keep()
        finally:
            folder.discard()

    for keep in (False, True):
        n_lines = run_interrupted(lambda keep=keep: work(keep), FILES)
        shutil.rmtree(place.parent, ignore_errors=True)
        for line in range(n_lines):
            with pytest.raises(KeyboardInterrupt):
                run_interrupted(lambda keep=keep: work(keep), FILES, at=[line, line + 2])
            counts.add((keep, len(list(place.glob("*")))))
            shutil.rmtree(place.parent, ignore_errors=True)
    assert counts == {(False, 0), (True, 0), (True, 1)}


def test_a_folder_goes_with_the_run_that_forgot_it(place):
    folder = LayerFolder(place, 100)
    folder.arrays(["a"], (3, 2), np.dtype(np.float32))
    assert place.exists()
    del folder
    assert not place.parent.exists()


def test_a_copy_owns_its_folder(place):
    adata = small_adata()
    copy = run(adata, place, copy=True)
    assert not any(name in adata.layers for name in NAMES)
    assert len(list(place.iterdir())) == 1
    assert np.isfinite(copy.layers[NAMES[0]].compute()).all()


def test_no_folder_where_nothing_is_written(place):
    run(small_adata(), place, inplace=False)
    assert not place.parent.exists()


# Damage is an error


def damaged(place, how):
    """An object whose layers on disk are damaged, and what the error says."""
    adata = on_disk(place)
    (folder,) = place.iterdir()
    if how == "deleted":
        shutil.rmtree(folder)
    elif how == "moved":
        folder.rename(place / "elsewhere")
    else:
        for file in folder.glob("layers.zarr/*/3.0"):
            if how == "one chunk":
                file.unlink()
            else:
                file.write_bytes(file.read_bytes()[:-1])
    message = "is damaged: .* bytes where .* were written" if how == "cut short" else "are not there any more"
    return adata, f"kept on disk, but .*{message}.* or remove these layers"


DAMAGE = ("deleted", "moved", "one chunk", "cut short")
USES = {
    "compute": lambda adata, _path: adata.layers[NAMES[1]].compute(),
    "some rows": lambda adata, _path: adata.layers[NAMES[1]][50:60].compute(),
    "single rows": lambda adata, _path: adata.layers[NAMES[1]][[1, 55]][:, [2]].compute(),
    "one value": lambda adata, _path: adata.layers[NAMES[1]][55, 2].compute(),
    "mean": lambda adata, _path: adata.layers[NAMES[1]].mean(axis=0).compute(scheduler="threads"),
    "to_memory": lambda adata, _path: adata.to_memory(),
    "copy": lambda adata, _path: adata.copy().layers[NAMES[2]].compute(),
    "view": lambda adata, _path: adata[40:70].copy().layers[NAMES[2]].compute(),
    "pickle": lambda adata, _path: pickle.loads(pickle.dumps(adata.layers[NAMES[0]])).compute(),  # noqa: S301
    "h5ad": lambda adata, path: adata.write_h5ad(path / "saved.h5ad"),
    "zarr": lambda adata, path: adata.write_zarr(path / "saved.zarr"),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
def test_damaged_layers_are_an_error(place, tmp_path, how, use):
    adata, message = damaged(place, how)
    with pytest.raises(OSError, match=message):
        use(adata, tmp_path)


def test_rows_whose_files_are_whole_can_be_read(place):
    adata, _ = damaged(place, "one chunk")
    assert np.isfinite(adata.layers[NAMES[0]][: 3 * ROWS_TOGETHER].compute()).all()


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
def test_layers_that_are_whole_can_be_used(place, tmp_path, use):
    use(on_disk(place), tmp_path)


def test_a_folder_that_is_put_back(place):
    adata = on_disk(place)
    (folder,) = place.iterdir()
    folder.rename(place / "elsewhere")
    with pytest.raises(FileNotFoundError, match=f"{folder.name}.* Put the folder back"):
        adata.layers[NAMES[0]].compute()
    (place / "elsewhere").rename(folder)
    assert np.isfinite(adata.layers[NAMES[0]].compute()).all()


def test_damaged_layers_can_be_removed_and_computed_again(place):
    adata, _ = damaged(place, "deleted")
    run(adata, place)
    assert np.isfinite(adata.layers[NAMES[0]].compute()).all()
    shutil.rmtree(place)
    kompot.cleanup(adata)
    assert not any(name in adata.layers for name in NAMES)
    adata.write_h5ad(place.parent / "saved.h5ad")
    assert ad.read_h5ad(place.parent / "saved.h5ad").n_obs == adata.n_obs


def test_cells_and_genes_left_out_have_files_too(place):
    """All NaN is written, so that a missing file is never taken for it."""
    adata = small_adata()
    used = np.arange(120) >= 40
    kompot.de(
        adata,
        "condition",
        "A",
        "B",
        genes=["g1"],
        fdr=kompot.FDRSettings(null_genes=0),
        filter=kompot.FilterSettings(cell_filter=used),
        storage=kompot.StorageSettings(disk_storage_dir=str(place)),
        output=kompot.OutputSettings(**QUIET),
    )
    layer = adata.layers[NAMES[0]]
    values = layer.compute()
    assert np.isnan(values[~used]).all()
    np.testing.assert_array_equal(np.isfinite(values[used]).all(axis=0), adata.var_names == "g1")
    next(place.glob("*/layers.zarr/smoothed_1/0.0")).unlink()
    with pytest.raises(FileNotFoundError, match=r"smoothed_1.*0\.0"):
        layer.compute()


def test_a_relative_folder_is_found_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    adata = on_disk(Path("here"))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert np.isfinite(adata.layers[NAMES[0]].compute()).all()
