"""The check for fields of earlier runs that a run would replace."""

from __future__ import annotations

from collections.abc import Collection

from anndata import AnnData

from kompot.anndata.fields import NamedField, by_place
from kompot.anndata.history import get_field_owners, get_run_history
from kompot.errors import OverwriteWarning, warn

_SHOWN = 5


def check_overwrite(adata: AnnData, fields: Collection[NamedField], overwrite: bool | None, analysis_type: str) -> None:
    """Warn of or refuse to replace existing fields, as `StorageSettings.overwrite` says.

    Parameters
    ----------
    adata
        Looked at, not changed.
    fields
        Fields to be written.
    overwrite
        None warns, True is silent, False is an error.
    analysis_type
        "de", "da" or "smooth".

    Raises
    ------
    ValueError
        With `overwrite=False`, if any field exists.
    """
    existing = [
        f"{item.field.place}[{item.name!r}]" for item in fields if item.name in getattr(adata, item.field.place)
    ]
    if not existing or overwrite:
        return
    shown = ", ".join(existing[:_SHOWN]) + (f" and {len(existing) - _SHOWN} more" if len(existing) > _SHOWN else "")
    message = f"Results exist already{_previous_run(adata, fields, analysis_type)}: {shown}."
    if overwrite is False:
        raise ValueError(
            f"{message} Nothing was computed. Set StorageSettings(overwrite=True) to replace them, or another "
            f"result_key."
        )
    warn(
        f"{message} They will be replaced; StorageSettings(overwrite=True) silences this, another result_key keeps "
        f"both.",
        OverwriteWarning,
    )


def _previous_run(adata: AnnData, fields: Collection[NamedField], analysis_type: str) -> str:
    owners = get_field_owners(adata, analysis_type)
    owned = [
        owners[place][name]
        for place, names in by_place(fields).items()
        for name in names
        if name in owners.get(place, {})
    ]
    history = get_run_history(adata, analysis_type)
    if not owned or max(owned) >= len(history):
        return ""
    run = history[max(owned)]
    params = run.get("params", {})
    names = [params.get(key) for key in ("condition1", "condition2", "condition")]
    conditions = " to ".join(str(name) for name in names if name is not None)
    return f" (run {max(owned)} of {run.get('timestamp', 'unknown time')}, {conditions or 'all cells'})"
