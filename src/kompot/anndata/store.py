"""Writing results into an AnnData object: all of them or none.

Everything is computed before. Writing itself can still fail, and then every field gets its old value back; signals
wait meanwhile, so that neither writing nor the way back is cut in two. Threads write to one object one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from anndata import AnnData

from kompot._interrupts import interrupts_deferred
from kompot.anndata.fields import Place
from kompot.anndata.layers import layer_names
from kompot.anndata.lazy import is_lazy
from kompot.anndata.locks import object_locked

REMOVED = object()
"""As the value of a change: the field goes."""


@dataclass(frozen=True)
class Change:
    """One field to write."""

    place: Place
    """Where."""
    name: str
    """Under which name."""
    value: Any
    """A column (obs, var), a matrix (layers, obsp) or a value (uns); `REMOVED` to delete it."""


def _nothing() -> None:
    pass


def commit(adata: AnnData, changes: Sequence[Change], done: Callable[[], None] = _nothing) -> None:
    """Write all changes, or leave the object as it was.

    Parameters
    ----------
    adata
        Changed in place; a view becomes an object of its own, as everywhere in AnnData.
    changes
        What to write. Those that depend on what is in the object are made and written under one `object_locked`.
    done
        Called as soon as the object holds the changes, before an interrupt that came meanwhile is raised.
    """
    with object_locked(adata):
        if not adata.is_view:
            _write(adata, changes, done)
            return
        # Changed on a copy, which takes its time and can fail, so that until then the view is one of its parent.
        changed = adata.copy()
        _write(changed, changes)
        with interrupts_deferred() as handle, ExitStack() as undo:
            undo.callback(_set_state, adata, dict(vars(adata)))
            # As AnnData does it when a view is written to; there is no public way that takes over a whole object.
            adata._init_as_actual(changed)  # noqa: SLF001
            handle()
            done()
            undo.pop_all()


def _write(adata: AnnData, changes: Sequence[Change], done: Callable[[], None] = _nothing) -> None:
    # An ExitStack goes all the way back, also past a step that fails itself.
    with interrupts_deferred() as handle, ExitStack() as undo:
        for place in {change.place for change in changes}:
            undo.callback(_reorder, adata, place, _names(adata, place))
        for change in changes:
            undo.callback(_apply, adata, change, getattr(adata, change.place).get(change.name, REMOVED))
            _apply(adata, change, change.value)
        handle()
        done()
        undo.pop_all()


def _set_state(adata: AnnData, state: dict[str, Any]) -> None:
    vars(adata).clear()
    vars(adata).update(state)


def independent_copy(adata: AnnData) -> AnnData:
    """A copy in memory; of an object on disk too, which AnnData would only copy to another file or not at all."""
    with object_locked(adata):
        return adata.to_memory() if adata.isbacked or is_lazy(adata) else adata.copy()


def _apply(adata: AnnData, change: Change, value: Any) -> None:
    container = getattr(adata, change.place)
    if value is not REMOVED:
        container[change.name] = value
    elif change.name in container:
        del container[change.name]


def _names(adata: AnnData, place: Place) -> list[Any]:
    """Fields of one place, in order."""
    return layer_names(adata) if place == "layers" else list(getattr(adata, place))


def _reorder(adata: AnnData, place: Place, names: list[Any]) -> None:
    """Fields in the order they had; one that was deleted and put back is the last."""
    if _names(adata, place) == names:
        return
    container = getattr(adata, place)
    for position, name in enumerate(names):
        if place not in ("obs", "var"):
            value = container[name]
            del container[name]
            container[name] = value
        elif container.columns[position] != name:
            container.insert(position, name, container.pop(name))
