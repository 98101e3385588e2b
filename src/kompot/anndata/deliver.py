"""The last step of every analysis: write, copy, return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anndata import AnnData

from kompot.anndata.store import Change, commit, independent_copy
from kompot.settings import OutputSettings


def writes_results(output: OutputSettings) -> bool:
    """Whether results go into an AnnData object, the one given or a copy."""
    return output.inplace or output.copy


def deliver(
    adata: AnnData,
    output: OutputSettings,
    changes: Callable[[AnnData], list[Change]],
    results: Callable[[], dict[str, Any]],
) -> Any:
    """Write results and return what the user asked for.

    Parameters
    ----------
    adata
        Changed only if results go in place.
    output
        `copy`, `inplace`, `return_full_results` and `return_null_data`.
    changes
        Makes the fields to write.
    results
        Makes the dictionary of results; made before anything is written.

    Returns
    -------
    None, dict, AnnData or tuple
        The dictionary also where nothing is written, because work would be thrown away otherwise.
    """
    wants_dict = output.return_full_results or output.return_null_data or not writes_results(output)
    dictionary = results() if wants_dict else None
    target = independent_copy(adata) if output.copy else adata
    if writes_results(output):
        commit(target, changes(target))
    if output.copy:
        return (dictionary, target) if wants_dict else target
    return dictionary
