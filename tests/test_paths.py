import errno
import tempfile
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import kompot
from adata_helpers import QUIET, assert_unchanged, small_adata, snapshot
from kompot import _paths as files


@pytest.mark.parametrize("value", ["a/b", Path("a") / "b"])
def test_paths_become_text(value):
    assert files.path("x", value) == str(Path("a") / "b")


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (3, TypeError, r"^x must be a path, came 3 \(int\)"),
        (b"a", TypeError, "^x must be a path, came b'a'"),
        (None, TypeError, "^x must be a path, came None"),
        ("", ValueError, "^x must be a path, came '', which no file can have"),
        ("a\0b", ValueError, "which no file can have"),
        ("\ud800", ValueError, "which no file can have"),
    ],
)
def test_what_is_no_path(value, error, message):
    with pytest.raises(error, match=message):
        files.path("x", value)


def stored_in(place, **options):
    return {
        "fdr": kompot.FDRSettings(null_genes=0),
        "storage": kompot.StorageSettings(disk_storage_dir=str(place)),
        "output": kompot.OutputSettings(**QUIET),
        **options,
    }


def refused(monkeypatch, place, error, message):
    """The call is refused before anything is computed, and leaves nothing."""
    adata = small_adata(n_cells=24, n_genes=5)
    before = snapshot(adata)
    monkeypatch.setattr("kompot.anndata.run_de.compute", lambda *_, **__: pytest.fail("computed before the check"))
    with pytest.raises(error, match=message):
        kompot.de(adata, "condition", "A", "B", **stored_in(place))
    assert_unchanged(adata, before)


@pytest.mark.parametrize("below", [".", "below", "far/below"])
def test_a_file_in_place_of_the_folder(monkeypatch, tmp_path, below):
    (tmp_path / "file").write_text("precious")
    refused(
        monkeypatch, tmp_path / "file" / below, ValueError, "disk_storage_dir must be a directory, but .* is a file"
    )
    assert (tmp_path / "file").read_text() == "precious"


def test_a_name_that_is_too_long(monkeypatch, tmp_path):
    refused(monkeypatch, tmp_path / ("x" * 300), OSError, "^.*disk_storage_dir='.* cannot be written to: File name too")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path, number):
    def fail(*_, **__):
        raise OSError(number, "the reason")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    refused(monkeypatch, tmp_path / "new", OSError, "disk_storage_dir='.*new' cannot be written to: the reason")
    assert list(tmp_path.iterdir()) == []


def test_the_kind_of_error_is_kept(tmp_path):
    with pytest.raises(PermissionError) as caught, files.file_errors("x", "y", "read"):
        raise PermissionError(errno.EACCES, "no")
    assert caught.value.errno == errno.EACCES
    assert isinstance(caught.value.__cause__, PermissionError)


def test_a_folder_that_can_be_written_is_left_as_it_is(tmp_path):
    files.require_writable_directory("x", tmp_path / "new" / "below")
    assert list(tmp_path.iterdir()) == []


def test_predictors_say_which_file(tmp_path):
    predictor = kompot.FunctionEstimator(ls=1.0).fit(np.eye(3), np.arange(3.0)).predictor
    with pytest.raises(FileNotFoundError, match=r"path='.*predictor' cannot be written .No such file"):
        predictor.save(tmp_path / "none" / "predictor")
    with pytest.raises(IsADirectoryError, match="cannot be written"):
        predictor.save(tmp_path)
    for kind in (kompot.Predictor, kompot.DensityPredictor):
        with pytest.raises(FileNotFoundError, match=r"path='.*none' cannot be read: No such file"):
            kind.load(tmp_path / "none")


@pytest.mark.parametrize("analysis", ["de", "da", "smooth_expression"])
@pytest.mark.parametrize("n_columns", [0, 1])
def test_an_embedding_needs_a_column_and_one_is_enough(analysis, n_columns):
    adata = small_adata(n_cells=40, n_genes=5)
    adata.obsm["few"] = adata.obsm["DM_EigenVectors"][:, :n_columns]
    call = {"obsm_key": "few", "output": kompot.OutputSettings(**QUIET)}
    call |= {"fdr": kompot.FDRSettings(null_genes=0)} if analysis == "de" else {}
    conditions = ("A",) if analysis == "smooth_expression" else ("A", "B")
    if n_columns:
        getattr(kompot, analysis)(adata, "condition", *conditions, **call)
        return
    with pytest.raises(ValueError, match=r"adata.obsm\['few'\] must be a matrix .*, came shape \(40, 0\)"):
        getattr(kompot, analysis)(adata, "condition", *conditions, **call)


def test_no_cells():
    adata = small_adata(n_cells=20, n_genes=5)[:0].copy()
    with pytest.raises(ValueError, match=r"DM_EigenVectors'\] must hold at least one cell"):
        kompot.smooth_expression(ad.AnnData(X=adata.X, obsm=dict(adata.obsm)))
