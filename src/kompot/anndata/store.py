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

_ABSENT = object()


@dataclass(frozen=True)
class Change:
    """One field to write."""

    place: Place
    """Where."""
    name: str
    """Under which name."""
    value: Any
    """A column (obs, var), a matrix (layers, obsp) or a value (uns)."""


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
        done = False
        try:
            for change in changes:
                getattr(adata, change.place)[change.name] = change.value
            done = True
        finally:
            if not done:
                for change, value in reversed(old):
                    _restore(adata, change, value)


def independent_copy(adata: AnnData) -> AnnData:
    """A copy in memory; of an object on disk too, which AnnData would only copy to another file."""
    return adata.to_memory() if adata.isbacked else adata.copy()


def _current(adata: AnnData, change: Change) -> Any:
    container = getattr(adata, change.place)
    return container.get(change.name, _ABSENT)


def _restore(adata: AnnData, change: Change, value: Any) -> None:
    container = getattr(adata, change.place)
    if value is not _ABSENT:
        container[change.name] = value
    elif change.name in container:
        del container[change.name]


@contextmanager
def _no_view_warning() -> Iterator[None]:
    """Writing into a view makes it an object of its own; that is what the user asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        yield
