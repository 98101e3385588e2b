"""The record of runs in `adata.uns`.

`adata.uns["kompot_<type>"]` holds JSON texts: `run_history` (a list; a run's id is its position), `last_run_info` and
`anndata_fields` (place -> field -> id of the run that wrote it). JSON survives h5ad and zarr unchanged and can be
read by the GPL package of the same name. Values that JSON has no form for are written as text (infinity), null (NaN) or
a short description (arrays).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from anndata import AnnData

from kompot import _checks as check
from kompot._version import __version__
from kompot.anndata.record_values import as_mapping, as_text, encodable, is_count, parse, plain
from kompot.errors import RunRecordWarning, warn

_PACKAGES = ("anndata", "h5py", "numpy", "pandas", "scikit-learn", "scipy")


def storage_key(analysis_type: str) -> str:
    """Key in `adata.uns` of the records of one type of analysis ("de", "da" or "smooth")."""
    return f"kompot_{analysis_type}"


ANALYSES = ("de", "da", "smooth")
"""Types of analyses."""

_OLD_NAMES = {"impute": "smooth"}


def former_storage_keys(analysis_type: str) -> list[str]:
    """Keys under which older files hold the records of one type of analysis."""
    return [storage_key(name) for name, kind in _OLD_NAMES.items() if kind == analysis_type]


def stored_type(analysis_type: Any) -> str:
    """A type of analysis as records name it today; an unknown one is an error."""
    kind = _OLD_NAMES.get(analysis_type, analysis_type) if isinstance(analysis_type, str) else analysis_type
    if not isinstance(kind, str) or kind not in ANALYSES:
        raise ValueError(
            f"analysis_type must be one of {', '.join(map(repr, ANALYSES))}, came {check.brief(analysis_type)}."
        )
    return kind


def label_record(label: Any) -> Any:
    """A condition's label as JSON can hold it; others (an interval, a date) as their text.

    Examples
    --------
    >>> import pandas as pd
    >>> label_record("Young"), label_record(3), label_record(pd.Interval(0, 10))
    ('Young', 3, '(0, 10]')
    """
    return label if label is None or isinstance(label, str | bool | int | float) else str(label)


PATHS = ("disk_storage_dir",)
"""Settings that are paths, which no record holds or gives back."""


def settings_record(settings: Any) -> dict[str, Any]:
    """A settings object as a dictionary for the record; of a path only that there was one."""
    record = {item.name: encodable(getattr(settings, item.name)) for item in dataclass_fields(settings)}
    return {name: "<path>" if name in PATHS and value else value for name, value in record.items()}


def timestamp() -> str:
    """Local time, without the zone, which would tell where the user is."""
    return datetime.now().isoformat(timespec="microseconds")


def environment() -> dict[str, Any]:
    """Versions that matter for reproducing a run; nothing about the user, the host or paths."""
    packages = {"kompot": __version__}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:  # a distribution without metadata still works
            continue
    return {
        "timestamp": timestamp(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python_version": platform.python_version(),
        "package_versions": packages,
    }


def _stored(adata: AnnData, analysis_type: str) -> Mapping[str, Any]:
    """What `adata.uns` holds of one type of analysis, under its name of today or that of older files."""
    for key in (storage_key(analysis_type), *former_storage_keys(analysis_type)):
        stored = adata.uns.get(key)
        if isinstance(stored, Mapping) and "run_history" in stored:
            return stored
    return {}


UNREADABLE = "unreadable"
"""Key of what could not be read, in an entry that says so."""


def get_run_history(adata: AnnData, analysis_type: str) -> list[dict[str, Any]]:
    """All runs of one type, oldest first; what cannot be read is an entry `{"unreadable": its text}`."""
    return [entry for entry, _ in _entries(adata, analysis_type)]


def _entries(adata: AnnData, analysis_type: str) -> list[tuple[dict[str, Any], bool]]:
    """The entries, and whether each could be read."""
    stored: Any = _stored(adata, analysis_type).get("run_history")
    if hasattr(stored, "compute"):  # a list of an object that was opened with `read_lazy`
        stored = stored.compute()
    runs = parse(stored)
    if runs is None or (isinstance(runs, str) and not runs.strip()):
        return []
    if isinstance(runs, list | tuple) or (isinstance(runs, np.ndarray) and runs.ndim == 1):
        return [_entry(run, is_json=runs is not stored) for run in runs]
    return [({UNREADABLE: as_text(stored)}, False)]


def _entry(stored: Any, *, is_json: bool) -> tuple[dict[str, Any], bool]:
    try:
        run = plain(stored, is_json=is_json)
    except ValueError:
        run = None
    return (run, True) if isinstance(run, dict) else ({UNREADABLE: as_text(stored)}, False)


def warn_of_unreadable(adata: AnnData, analysis_type: str) -> None:
    """Say so if the history holds what cannot be read and has not been marked so by an earlier run."""
    unread = [position for position, (_, is_read) in enumerate(_entries(adata, analysis_type)) if not is_read]
    if unread:
        warn(
            f"adata.uns[{storage_key(analysis_type)!r}]['run_history'] holds what cannot be read as the record of a "
            f"run (entries {check.listed(unread)}). Its text is kept there, marked as {UNREADABLE}.",
            RunRecordWarning,
        )


def get_field_owners(adata: AnnData, analysis_type: str) -> dict[str, dict[str, int]]:
    """`anndata_fields`: place -> field -> id of the run that wrote it last, among runs of one type.

    Kept for other readers; `kompot.anndata.all_records` tells which run of any type owns a field.
    """
    owners = as_mapping(_stored(adata, analysis_type).get("anndata_fields"))
    return {
        str(place): {str(name): int(run) for name, run in as_mapping(names).items() if is_count(run)}
        for place, names in owners.items()
    }


def with_run(adata: AnnData, analysis_type: str, run: dict[str, Any]) -> dict[str, Any]:
    """The value of `adata.uns["kompot_<type>"]` after a run is appended; the object is not changed.

    Parameters
    ----------
    adata
        Holds the earlier runs.
    analysis_type
        "de", "da" or "smooth".
    run
        The record; its `field_mapping` names the fields written.

    Returns
    -------
    dict[str, Any]
        A new dictionary that keeps what else the old one held.
    """
    history = get_run_history(adata, analysis_type)
    owners = get_field_owners(adata, analysis_type)
    for name, entry in run["field_mapping"].items():
        owners.setdefault(entry["location"], {})[name] = len(history)
    owners.setdefault("uns", {})[run["result_key"]] = len(history)
    record = encodable(run)
    return {
        **dict(adata.uns.get(storage_key(analysis_type), {})),
        "run_history": json.dumps([*history, record]),
        "last_run_info": json.dumps(record),
        "anndata_fields": json.dumps(owners),
    }
