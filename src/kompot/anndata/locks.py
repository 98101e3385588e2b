"""One lock per AnnData object, so that threads which write to the same object do not lose each other's records.

Held while a request is checked against the object, and while its records are read and written; not while results are
computed.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from anndata import AnnData

from kompot.anndata.arguments import require_anndata

# By identity: AnnData objects cannot be hashed, and an attribute of ours would go into copies and pickles.
_LOCKS: dict[int, threading.RLock] = {}


@contextmanager
def object_locked(adata: AnnData) -> Iterator[None]:
    """Keep other threads of the library out of an object; a thread may enter again.

    Parameters
    ----------
    adata
        Any AnnData object; something else is a TypeError. A view reads from the object that it is a view of, which is
        locked after it, never the other way round: no two threads can wait for each other.
    """
    require_anndata(adata)
    with _lock_of(adata):
        parent = adata._adata_ref  # noqa: SLF001  AnnData has no public name for it
        with nullcontext() if parent is None else _lock_of(parent):
            yield


def _lock_of(adata: AnnData) -> threading.RLock:
    key = id(adata)
    if key not in _LOCKS:
        new = threading.RLock()
        # In one step, because threads may get here together. Gone before another object can have the same identity.
        if _LOCKS.setdefault(key, new) is new:
            weakref.finalize(adata, _LOCKS.pop, key, None).atexit = False
    return _LOCKS[key]
