"""Writing is all or nothing: errors and signals at every step, views, and the way back."""

import os
import signal
import threading

import numpy as np
import pandas as pd
import pytest

from adata_helpers import assert_unchanged, small_adata, snapshot
from interrupt_helpers import run_interrupted
from kompot.anndata import store
from kompot.anndata.locks import _lock_of
from kompot.anndata.store import REMOVED, Change, commit

N_CELLS, N_GENES = 12, 5
FILES = ("anndata/store.py",)


def filled():
    """An object with an old field in each place, not the last of its place."""
    adata = small_adata(N_CELLS, N_GENES)
    for name in ("old", "gone", "other"):
        adata.obs[name] = np.arange(N_CELLS)
        adata.var[name] = pd.Categorical(list("abcab"))
        adata.layers[name] = np.ones((N_CELLS, N_GENES))
        adata.varm[name] = pd.DataFrame({"group": np.arange(N_GENES)}, index=adata.var_names)
        adata.obsp[name] = np.eye(N_CELLS)
        adata.uns[name] = {"a": 1}
    return adata


def all_changes(adata):
    """A field replaced, one removed and one added in each place."""
    new = {
        "obs": np.full(adata.n_obs, 0.5),
        "var": np.full(adata.n_vars, 0.5),
        "layers": np.zeros(adata.shape),
        "varm": pd.DataFrame({"group": np.zeros(adata.n_vars)}, index=adata.var_names),
        "obsp": np.zeros((adata.n_obs, adata.n_obs)),
        "uns": {"b": 2},
    }
    values = {"old": None, "gone": REMOVED, "new": None}
    return [
        Change(place, name, new[place] if value is None else value) for name, value in values.items() for place in new
    ]


def is_free(adata):
    """Whether another thread could write to the object."""
    free = []
    lock = _lock_of(adata)

    def look():
        free.append(lock.acquire(blocking=False))
        if free[0]:
            lock.release()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return free[0]


def equals(adata, expected):
    try:
        assert_unchanged(adata, expected)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("as_view", "second"),
    [
        pytest.param(False, None, id="one"),
        pytest.param(False, 3, id="two"),
        pytest.param(True, 3, id="two-view"),
    ],
)
def test_interrupts_at_any_line_leave_all_old_or_all_new(as_view, second):
    def fresh():
        adata = filled()
        return adata[: N_CELLS - 2] if as_view else adata

    done = fresh()
    n_lines = run_interrupted(lambda: commit(done, all_changes(done)), FILES)
    before, after = snapshot(fresh()), snapshot(done)
    outcomes = []
    for line in range(n_lines):
        adata = fresh()
        at = [line] if second is None else [line, line + second]
        with pytest.raises(KeyboardInterrupt):
            run_interrupted(lambda adata=adata: commit(adata, all_changes(adata)), FILES, at)
        outcomes.append("old" if equals(adata, before) else "new" if equals(adata, after) else "mixed")
        assert adata.is_view == (as_view and outcomes[-1] == "old")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert is_free(adata)
    assert set(outcomes) == {"old", "new"}
    # New only in the last lines, after everything was written.
    assert outcomes == sorted(outcomes, reverse=True)


@pytest.mark.parametrize("step", range(18))
def test_an_error_at_any_step_and_interrupts_on_the_way_back(monkeypatch, step):
    adata = filled()
    before = snapshot(adata)
    apply, steps = store._apply, []

    def failing(*args):
        steps.append(args)
        if len(steps) - 1 == step:
            apply(*args)
            raise RuntimeError("stopped")
        if len(steps) - 1 > step:
            os.kill(os.getpid(), signal.SIGINT)
        apply(*args)

    monkeypatch.setattr(store, "_apply", failing)
    with pytest.raises(KeyboardInterrupt) as caught:
        commit(adata, all_changes(adata))
    assert "stopped" in repr(caught.getrepr(style="short"))
    assert len(steps) == 2 * (step + 1)
    assert_unchanged(adata, before)


def test_a_step_back_that_fails_does_not_keep_the_others(monkeypatch):
    adata = filled()
    before = snapshot(adata)
    apply, steps = store._apply, []

    def failing(*args):
        steps.append(args)
        if len(steps) > 18 and steps[-1][1].place == "obs" and steps[-1][1].name == "new":
            raise MemoryError("no room")
        apply(*args)

    monkeypatch.setattr(store, "_apply", failing)
    changes = [*all_changes(adata), Change("layers", "wrong", np.zeros((1, 1)))]
    with pytest.raises(MemoryError, match="no room"):
        commit(adata, changes)
    del adata.obs["new"]
    assert_unchanged(adata, before)


def test_frames_stay_the_same_objects():
    adata = filled()
    obs, var = adata.obs, adata.var
    with pytest.raises(ValueError, match="wrong"):
        commit(adata, [*all_changes(adata), Change("layers", "wrong", np.zeros((1, 1)))])
    assert adata.obs is obs
    assert adata.var is var
    commit(adata, all_changes(adata))
    assert adata.obs is obs


@pytest.mark.parametrize("failure", [ValueError, MemoryError])
def test_a_view_whose_write_fails_is_still_a_view(monkeypatch, failure):
    parent = filled()
    parent.raw = parent.copy()
    view = parent[::2, 1:]
    before, before_parent = snapshot(view), snapshot(parent)
    changes = all_changes(view)
    if failure is ValueError:
        changes.append(Change("layers", "wrong", np.zeros((1, 1))))
    else:
        become = type(view)._init_as_actual

        def failing(self, *args, **kwargs):
            become(self, *args, **kwargs)
            if self is view:
                raise MemoryError("stopped")

        monkeypatch.setattr(type(view), "_init_as_actual", failing)
    with pytest.raises(failure, match=r"wrong|stopped"):
        commit(view, changes)
    assert view.is_view
    assert_unchanged(view, before)
    assert_unchanged(parent, before_parent)
    # Still one of the same parent.
    parent.uns["old"]["a"] = 3
    parent.layers["old"][0, 1] = 7
    assert view.layers["old"][0, 0] == 7


def test_a_view_that_was_written_to_is_an_object_of_its_own():
    parent = filled()
    parent.raw = parent.copy()
    before = snapshot(parent)
    view = parent[::2, 1:]
    commit(view, all_changes(view))
    assert not view.is_view
    assert view.raw.shape == (N_CELLS // 2, N_GENES)
    assert list(view.layers)[-1] == "new"
    assert "gone" not in view.obs
    assert_unchanged(parent, before)
    view.obs["mine"] = 1
    assert "mine" not in parent.obs
    assert view[:2].copy().shape == (2, N_GENES - 1)
