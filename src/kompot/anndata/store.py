"""Writing results into an AnnData object: all of them or none.

Everything is computed before; writing itself can still fail (or be interrupted), and then every field gets its old
value back.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from anndata import AnnData, ImplicitModificationWarning

from kompot.anndata.fields import Place

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


def commit(adata: AnnData, changes: Sequence[Change]) -> None:
    """Write all changes, or leave the object as it was.

    Parameters
    ----------
    adata
        Changed in place; a view becomes an object of its own first, as everywhere in AnnData.
    changes
        What to write.
    """
    with _no_view_warning():
        old = [(change, _current(adata, change)) for change in changes]
        order = {change.place: list(getattr(adata, change.place)) for change in changes}
        done = False
        try:
            for change in changes:
                _apply(adata, change, change.value)
            done = True
        finally:
            if not done:
                for change, value in reversed(old):
                    _apply(adata, change, value)
                for place, names in order.items():
                    _reorder(adata, place, names)


def independent_copy(adata: AnnData) -> AnnData:
    """A copy in memory; of an object on disk too, which AnnData would only copy to another file."""
    return adata.to_memory() if adata.isbacked else adata.copy()


def _current(adata: AnnData, change: Change) -> Any:
    container = getattr(adata, change.place)
    return container.get(change.name, REMOVED)


def _apply(adata: AnnData, change: Change, value: Any) -> None:
    container = getattr(adata, change.place)
    if value is not REMOVED:
        container[change.name] = value
    elif change.name in container:
        del container[change.name]


def _reorder(adata: AnnData, place: Place, names: list[Any]) -> None:
    """Fields in the order they had; one that was deleted and put back is the last."""
    container = getattr(adata, place)
    if list(container) == names:
        return
    if place in ("obs", "var"):
        setattr(adata, place, container[names])
        return
    for name in names:
        value = container[name]
        del container[name]
        container[name] = value


@contextmanager
def _no_view_warning() -> Iterator[None]:
    """Writing into a view makes it an object of its own; that is what the user asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        yield
