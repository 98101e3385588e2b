"""The last step of every analysis: write, copy, return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anndata import AnnData

from kompot.anndata.locks import object_locked
from kompot.anndata.store import Change, commit, independent_copy
from kompot.settings import OutputSettings


def writes_results(output: OutputSettings) -> bool:
    """Whether results go into an AnnData object, the one given or a copy."""
    return output.inplace or output.copy


def deliver(
    adata: AnnData,
    output: OutputSettings,
    check: Callable[[AnnData], None] | None,
    changes: Callable[[AnnData], list[Change]],
    results: Callable[[], dict[str, Any]],
    keep: Callable[[], None] = lambda: None,
) -> Any:
    """Write results and return what the user asked for.

    Parameters
    ----------
    adata
        Changed only if results go in place.
    output
        `copy`, `inplace`, `return_full_results` and `return_null_data`.
    check
        From `overwrite_check`; None where nothing is written.
    changes
        Makes the fields to write, from what is in the object by now.
    results
        Makes the dictionary of results; made before anything is written.
    keep
        Called once the object holds the results, for files that it refers to.

    Returns
    -------
    None, dict, AnnData or tuple
        The dictionary also where nothing is written, because work would be thrown away otherwise.
    """
    wants_dict = output.return_full_results or output.return_null_data or not writes_results(output)
    dictionary = results() if wants_dict else None
    if check is None:
        return dictionary
    # Records are read and written without another thread in between.
    with object_locked(adata):
        if not output.copy:
            check(adata)
            commit(adata, changes(adata), keep)
            return dictionary
        target = independent_copy(adata)
        check(target)
        commit(target, changes(target))
    keep()
    return (dictionary, target) if wants_dict else target
