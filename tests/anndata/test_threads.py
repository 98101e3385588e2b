"""Threads that write to one object: every record and every field is there, and belongs to its run."""

import contextlib
import os
import signal
import sys
import threading

import numpy as np
import pytest

import kompot
from adata_helpers import QUIET, small_adata
from kompot.anndata import store
from kompot.anndata.all_records import Records
from kompot.anndata.locks import _LOCKS, object_locked
from kompot.anndata.store import Change, commit
from kompot.errors import OverwriteWarning

OUTPUT = kompot.OutputSettings(**QUIET)
FDR = kompot.FDRSettings(null_genes=5)


@pytest.fixture(autouse=True)
def _quick_switching():
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(*jobs):
    """Run functions at the same time; the errors they raised."""
    start, errors = threading.Barrier(len(jobs)), []

    def work(job):
        start.wait()
        try:
            job()
        except Exception as error:  # noqa: BLE001  handed to the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
        assert not thread.is_alive()
    return errors


def de(adata, key, **options):
    return kompot.de(
        adata,
        "condition",
        "A",
        "B",
        fdr=FDR,
        storage=kompot.StorageSettings(result_key=key, **options),
        output=OUTPUT,
    )


def da(adata, key):
    kompot.da(adata, "condition", "A", "B", storage=kompot.StorageSettings(result_key=key), output=OUTPUT)


def smooth(adata, key):
    storage = kompot.StorageSettings(result_key=key)
    kompot.smooth_expression(adata, "condition", "A", storage=storage, output=OUTPUT)


def assert_every_run_owns_its_fields(adata, counts):
    records = Records.of(adata)
    assert {kind: len(runs) for kind, runs in records.histories.items()} == counts
    for kind, n_runs in counts.items():
        for run_id in range(n_runs):
            info = kompot.RunInfo(adata, run_id, analysis_type=kind)
            assert not info.missing_fields
            assert not info.overwritten_fields


@pytest.mark.filterwarnings("ignore::kompot.errors.OffsetWarning")
def test_all_analyses_at_once():
    adata = small_adata()
    jobs = [lambda run=run, n=n: run(adata, f"{run.__name__}_{n}") for run in (de, da, smooth) for n in range(2)]
    assert in_threads(*jobs) == []
    assert_every_run_owns_its_fields(adata, {"de": 2, "da": 2, "smooth": 2})


def test_records_that_are_made_while_another_thread_writes(monkeypatch):
    """Both have computed and read the records before either writes, unless something keeps them apart."""
    adata = small_adata()
    together = threading.Barrier(2, timeout=1)
    write = store._write

    def slow(*args):
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait()
        write(*args)

    monkeypatch.setattr(store, "_write", slow)
    assert in_threads(lambda: de(adata, "first"), lambda: de(adata, "second")) == []
    assert_every_run_owns_its_fields(adata, {"de": 2, "da": 0, "smooth": 0})


@pytest.mark.filterwarnings("ignore::kompot.errors.OffsetWarning")
def test_stored_results_are_changed_while_runs_are_added():
    adata = small_adata()
    for key in ("first", "second"):
        de(adata, key)
        da(adata, f"{key}_da")
    null = np.linspace(0, 3, 50)
    jobs = [
        lambda: kompot.recompute_fdr(adata, null, result_key="first"),
        lambda: kompot.recompute_fdr(adata, null, result_key="second"),
        lambda: kompot.update_direction(adata, lfc_threshold=0.5, result_key="first_da"),
        lambda: kompot.update_direction(adata, lfc_threshold=0.5, result_key="second_da"),
        lambda: kompot.cleanup(adata, 0, keep_layers=["fold_change"]),
        lambda: de(adata, "third"),
    ]
    assert in_threads(*jobs) == []
    records = Records.of(adata)
    runs = [*records.histories["de"][:2], *records.histories["da"]]
    assert [len(run["updates"]) for run in runs] == [1, 1, 1, 1]
    assert len(records.histories["de"]) == 3
    assert "first_A_smoothed" not in adata.layers
    assert "third_A_smoothed" in adata.layers


@pytest.mark.parametrize("overwrite", [None, False, True])
@pytest.mark.parametrize("copy", [False, True])
def test_fields_that_another_thread_wrote_meanwhile(monkeypatch, overwrite, copy):
    from kompot.anndata import run_de

    adata, compute = small_adata(), run_de.compute

    def slow(*args, **kwargs):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_de, "compute", compute)
            assert in_threads(lambda: de(adata, "same")) == []
        return compute(*args, **kwargs)

    monkeypatch.setattr(run_de, "compute", slow)

    def run():
        kompot.de(
            adata,
            "condition",
            "A",
            "B",
            fdr=FDR,
            storage=kompot.StorageSettings(result_key="same", overwrite=overwrite),
            output=kompot.OutputSettings(copy=copy, **QUIET),
        )

    if overwrite is None:
        with pytest.warns(
            OverwriteWarning, match=r"While this run was computed, another one wrote .*They are replaced"
        ):
            run()
    elif overwrite:
        run()
    else:
        with pytest.raises(ValueError, match=r"another one wrote var\['same_A_to_B.* Nothing of this run was written"):
            run()
    assert len(Records.of(adata).histories["de"]) == 1 + (overwrite is not False and not copy)


def test_views_of_one_object_do_not_disturb_each_other():
    adata = small_adata(200)
    views = [adata[:150], adata[50:]]
    jobs = [lambda view=view: de(view, "view") for view in views]
    assert in_threads(*jobs, lambda: de(adata, "whole"), lambda: smooth(adata, "smooth")) == []
    assert_every_run_owns_its_fields(adata, {"de": 1, "da": 0, "smooth": 1})
    for view in views:
        assert not view.is_view
        assert view.uns["kompot_de"]["run_history"].count('"result_key": "view", "analysis_type"') == 1


def test_waiting_for_an_object_can_be_interrupted():
    adata = small_adata(20, 5)
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with object_locked(adata):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(60)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            commit(adata, [Change("obs", "new", np.zeros(20))])
    finally:
        timer.cancel()
        leave.set()
        thread.join()
    assert "new" not in adata.obs
    commit(adata, [Change("obs", "new", np.zeros(20))])


def test_no_lock_outlives_its_object():
    adata = small_adata(20, 5)
    with object_locked(adata), object_locked(adata):
        key = id(adata)
        assert key in _LOCKS
    del adata
    assert key not in _LOCKS


@pytest.mark.parametrize(
    "run",
    [de, da, smooth, lambda adata, _key: kompot.cleanup(adata), lambda adata, _key: kompot.recompute_fdr(adata, [1.0])],
)
def test_something_that_is_no_object(run):
    with pytest.raises(TypeError, match="adata must be an AnnData object, came a path"):
        run("path.h5ad", "key")
