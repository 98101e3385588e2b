"""Layers on disk, memory limits, and landmarks that later runs use again."""

import re
import warnings
from pathlib import Path

import anndata as ad
import dask.array
import numpy as np
import pytest

import kompot
from adata_helpers import QUIET, assert_unchanged, last_run, small_adata, snapshot
from kompot.anndata.layers import layer_names
from kompot.errors import StorageWarning

OUTPUT = kompot.OutputSettings(**QUIET)
NO_FDR = kompot.FDRSettings(null_genes=0)


def run(adata, **options):
    options = {"fdr": NO_FDR, "output": OUTPUT, **options}
    return kompot.de(adata, "condition", "A", "B", **options)


def kompot_layers(adata):
    return {name: adata.layers[name] for name in layer_names(adata) if name.startswith("kompot")}


@pytest.mark.parametrize("genes", [None, ["g3", "g7"]], ids=["all", "some"])
@pytest.mark.parametrize("filtered", [False, True])
def test_layers_on_disk_hold_the_same(tmp_path, genes, filtered, monkeypatch):
    monkeypatch.setattr("kompot.anndata.disk_layers._ROWS_TOGETHER", 7)
    adata, expected = small_adata(), small_adata()
    options = {"genes": genes}
    if filtered:
        options["filter"] = kompot.FilterSettings(cell_filter=np.arange(120) > 60)
    adata.obs["donor"] = expected.obs["donor"] = np.arange(120) % 3
    options["sample_col"] = "donor"
    place = tmp_path / "new" / "directory"
    run(adata, storage=kompot.StorageSettings(store_additional_stats=True, disk_storage_dir=str(place)), **options)
    run(expected, storage=kompot.StorageSettings(store_additional_stats=True), **options)
    lazy = kompot_layers(adata)
    assert len(lazy) == 6
    for name, layer in lazy.items():
        assert isinstance(layer, dask.array.Array)
        assert layer.dtype == np.float32
        np.testing.assert_allclose(layer.compute(), expected.layers[name], rtol=1e-5, atol=1e-6)
    assert len(list(place.iterdir())) == 1


def test_an_object_with_layers_on_disk_is_saved_and_copied(tmp_path):
    adata = small_adata()
    run(adata, storage=kompot.StorageSettings(store_arrays_on_disk=True, disk_storage_dir=str(tmp_path / "layers")))
    adata.copy().write_h5ad(tmp_path / "saved.h5ad")
    again = ad.read_h5ad(tmp_path / "saved.h5ad")
    for name, layer in kompot_layers(adata).items():
        np.testing.assert_array_equal(again.layers[name], layer.compute())
    assert str(tmp_path) not in str(last_run(adata))


def test_nothing_is_left_on_disk_after_a_failure(tmp_path, monkeypatch):
    adata = small_adata()
    before = snapshot(adata)

    def fail(*_args, **_kwargs):
        raise KeyboardInterrupt("stopped")

    for stage in ("kompot.differential.evaluate._fill_chunk", "kompot.anndata.deliver.commit"):
        with monkeypatch.context() as patch:
            patch.setattr(stage, fail)
            with pytest.raises(KeyboardInterrupt, match="stopped"):
                run(adata, storage=kompot.StorageSettings(disk_storage_dir=str(tmp_path)))
        assert_unchanged(adata, before)
        assert not list(tmp_path.iterdir())


@pytest.fixture
def little_memory(monkeypatch, tmp_path):
    """Room for one of the three layers."""
    monkeypatch.setattr("kompot.anndata.layer_storage.available_bytes", lambda: 120 * 25 * 4 * 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_layers_go_to_disk_where_memory_is_short(little_memory):
    adata = small_adata()
    with pytest.warns(StorageWarning, match=re.escape(f"kept on disk in {str(little_memory)!r}")):
        run(adata)
    assert all(isinstance(layer, dask.array.Array) for layer in kompot_layers(adata).values())
    assert [path.name.startswith("kompot_layers_") for path in little_memory.iterdir()] == [True]


@pytest.mark.usefixtures("little_memory")
@pytest.mark.filterwarnings("ignore:The layers need:kompot.errors.StorageWarning")
def test_the_memory_ratio_decides():
    adata = small_adata()
    run(adata, genes=None, storage=kompot.StorageSettings(store_layers=False))
    assert not kompot_layers(adata)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kompot.anndata.layer_storage.available_bytes", lambda: 120 * 25 * 4 * 4)
        for ratio, kind in ((0.9, np.ndarray), (0.5, dask.array.Array)):
            run(adata, storage=kompot.StorageSettings(max_memory_ratio=ratio, overwrite=True))
            assert all(isinstance(layer, kind) for layer in kompot_layers(adata).values())


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("case", ["memory only", "full disk", "full disk asked for", "no dask"])
def test_no_room_is_found_before_any_work(monkeypatch, case):
    adata = small_adata()
    before = snapshot(adata)
    monkeypatch.setattr("kompot.anndata.run_de.compute", lambda *_args, **_kwargs: pytest.fail("computed"))
    storage, error, message = kompot.StorageSettings(), MemoryError, "neither memory .* nor disk"
    if case == "memory only":
        storage = kompot.StorageSettings(store_arrays_on_disk=False)
        message = "max_memory_ratio=0.8 may be used. Let them go to disk"
    if case.startswith("full disk"):
        monkeypatch.setattr("kompot.anndata.layer_storage.free_bytes", lambda _place: 10)
    if case == "full disk asked for":
        storage, message = kompot.StorageSettings(store_arrays_on_disk=True), "of disk, .* are free"
    if case == "no dask":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "dask" else name)
        error, message = ImportError, r"need dask: pip install 'kompot\[lazy\]'"
    with pytest.raises(error, match=message):
        run(adata, storage=storage)
    assert_unchanged(adata, before)


def test_a_directory_that_is_not_used_is_a_warning(tmp_path):
    storage = kompot.StorageSettings(store_arrays_on_disk=False, disk_storage_dir=str(tmp_path))
    with pytest.warns(StorageWarning, match="disk_storage_dir has no effect"):
        run(small_adata(), storage=storage)
    assert not list(tmp_path.iterdir())


def test_free_space_of_a_directory_that_does_not_exist_yet(tmp_path):
    from kompot.anndata.layer_storage import free_bytes

    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.1)
    assert free_bytes(Path("relative")) > 0


# Landmarks

KEEP = kompot.StorageSettings(store_landmarks=True)


@pytest.mark.parametrize("analysis", ["de", "da"])
def test_stored_landmarks_are_used_again(analysis):
    adata = small_adata()
    run(adata, storage=KEEP)
    first = adata.uns["kompot_de"]["landmarks"]
    assert adata.uns["kompot_de"]["landmarks_info"]["source"] == "computed"
    if analysis == "de":
        run(adata, storage=kompot.StorageSettings(result_key="again", store_landmarks=True))
        info, landmarks = adata.uns["again"]["landmarks_info"], adata.uns["again"]["landmarks"]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kompot.da(adata, "condition", "A", "B", storage=KEEP, output=OUTPUT)
        info, landmarks = adata.uns["kompot_da"]["landmarks_info"], adata.uns["kompot_da"]["landmarks"]
    assert info["source"] == "reused"
    np.testing.assert_array_equal(landmarks, first)


def test_results_on_stored_landmarks_are_the_same():
    adata, fresh = small_adata(), small_adata()
    run(adata, storage=KEEP)
    run(adata, storage=kompot.StorageSettings(overwrite=True))
    run(fresh)
    name = "kompot_de_A_to_B_mahalanobis"
    np.testing.assert_allclose(adata.var[name], fresh.var[name], rtol=1e-6)


@pytest.mark.parametrize("case", ["other embedding", "shorter length scale", "unknown origin"])
def test_landmarks_that_do_not_fit_are_not_used(case):
    adata = small_adata()
    adata.obsm["other"] = adata.obsm["DM_EigenVectors"] * 2
    run(adata, storage=KEEP)
    options = {"storage": kompot.StorageSettings(result_key="again", store_landmarks=True)}
    if case == "other embedding":
        options["obsm_key"] = "other"
    if case == "shorter length scale":
        options["gp"] = kompot.GPSettings(ls=0.2)
    if case == "unknown origin":
        del adata.uns["kompot_de"]["landmarks_info"]["obsm_key"]
    run(adata, **options)
    assert adata.uns["again"]["landmarks_info"]["source"] == "computed"
    assert last_run(adata)["approximation"]["lost_degrees"] <= last_run(adata)["approximation"]["allowed_degrees"]


def test_given_landmarks_come_first():
    adata = small_adata()
    run(adata, storage=KEEP)
    given = adata.obsm["DM_EigenVectors"][::4]
    run(
        adata,
        gp=kompot.GPSettings(landmarks=given),
        storage=kompot.StorageSettings(result_key="b", store_landmarks=True),
    )
    assert adata.uns["b"]["landmarks_info"]["source"] == "provided"
    np.testing.assert_array_equal(adata.uns["b"]["landmarks"], given)
