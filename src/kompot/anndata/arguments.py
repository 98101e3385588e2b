"""Arguments that the analyses have in common: settings objects, estimator keywords, places for records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.history import storage_key, warn_of_unreadable
from kompot.anndata.lazy import require_tables_in_memory
from kompot.errors import UnusedParameterWarning, warn
from kompot.gp.parameters import GPParameters, parameters_from
from kompot.settings import ARGUMENTS, GPSettings, OutputSettings

_ENGINE_CHOOSES = 100
P = TypeVar("P", bound=GPParameters)


def settings_of(**given: Any) -> dict[str, Any]:
    """Settings objects by argument name, defaults for None; an object of another class is a TypeError."""
    for name, value in given.items():
        if value is not None and not isinstance(value, ARGUMENTS[name]):
            raise TypeError(f"{name} must be kompot.{ARGUMENTS[name].__name__}(...) or None, came {check.show(value)}.")
    return {name: ARGUMENTS[name]() if value is None else value for name, value in given.items()}


def estimator_parameters(
    kind: type[P], gp: GPSettings, names: tuple[str, ...], extra: Mapping[str, Any], owner: str, n_dims: int
) -> P:
    """Parameters of an estimator from the GP settings and the keyword arguments beside them.

    Parameters
    ----------
    kind
        Class of the parameters.
    gp
        The user's settings.
    names
        Those of its fields that the estimator takes.
    extra
        Keyword arguments.
    owner
        Name of the function, for messages.
    n_dims
        Width of the cell states.

    Returns
    -------
    P
        Checked; a name given in both places is a TypeError.
    """
    from_settings = {name: getattr(gp, name) for name in names}
    if from_settings.get("batch_size") == _ENGINE_CHOOSES:
        from_settings["batch_size"] = None
    for name in extra:
        if name in names and not gp.is_default(name):
            raise TypeError(f"{name} was given twice: as a keyword and in gp=GPSettings({name}=...). Give it once.")
    parameters = parameters_from(kind, {**from_settings, **extra}, owner)
    parameters.landmark_matrix(n_dims)
    return parameters


def warn_of_unused(
    settings: Mapping[str, Any],
    unused: Mapping[str, tuple[str, ...]],
    owner: str,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Say in one warning which settings that are not at their default have no effect in this call.

    Parameters
    ----------
    settings
        Settings objects by argument name.
    unused
        Names of fields without effect, by argument name.
    owner
        Name of the function.
    extra
        Keyword arguments beside them, which have no effect where `ls` has none.
    """
    names = [
        f"{group}.{name}" for group, fields in unused.items() for name in fields if not settings[group].is_default(name)
    ]
    if "ls" in unused.get("gp", ()):
        names += list(extra or ())
    if names:
        warn(f"Without effect in {owner} as it is called here: {', '.join(names)}.", UnusedParameterWarning)


def require_writable(adata: AnnData, output: OutputSettings) -> None:
    """Raise for an object that results could not be written into."""
    if output.copy or not output.inplace:
        return
    require_tables_in_memory(
        adata,
        "Set OutputSettings(inplace=False, return_full_results=True) to get the results as a dictionary, or "
        "OutputSettings(copy=True) to get a copy in memory with them",
    )
    if adata.is_view and adata.isbacked:
        raise ValueError(
            "adata is a view of an object on disk, into which nothing can be written. Pass adata.to_memory(), or set "
            "OutputSettings(copy=True), or filter with the whole object."
        )


def require_anndata(adata: object) -> None:
    """Raise unless `adata` is an AnnData object."""
    if isinstance(adata, str | os.PathLike):
        reader = "read_zarr" if str(adata).rstrip("/\\").endswith(".zarr") else "read_h5ad"
        raise TypeError(
            f"adata must be an AnnData object, came a path. Read it first: "
            f"adata = ad.{reader}({check.brief(str(adata), 300)}) after import anndata as ad."
        )
    if not isinstance(adata, AnnData):
        raise TypeError(f"adata must be an AnnData object, came {check.show(adata)}.")


def check_containers(adata: AnnData, analysis_type: str, result_key: str) -> None:
    """Raise if the places for records in `adata.uns` are taken by something else; warn of unreadable records."""
    for key in dict.fromkeys((storage_key(analysis_type), result_key)):
        if key in adata.uns and not isinstance(adata.uns[key], Mapping):
            raise ValueError(
                f"adata.uns[{key!r}] is needed for the record of the run but holds {check.show(adata.uns[key])}. "
                f"Rename or delete it, or set StorageSettings(result_key=...)."
            )
    warn_of_unreadable(adata, analysis_type)
