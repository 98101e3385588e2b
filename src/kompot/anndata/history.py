"""The record of runs in `adata.uns`.

`adata.uns["kompot_<type>"]` holds JSON texts: `run_history` (a list; a run's id is its position), `last_run_info` and
`anndata_fields` (place -> field -> id of the run that wrote it). JSON survives h5ad and zarr unchanged and can be
read by the GPL package of the same name. Values that JSON has no form for are written as text (infinity), null (NaN) or
a short description (arrays).
"""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from anndata import AnnData

from kompot._version import __version__

_PACKAGES = ("anndata", "h5py", "numpy", "pandas", "scikit-learn", "scipy")


def storage_key(analysis_type: str) -> str:
    """Key in `adata.uns` of the records of one type of analysis ("de", "da" or "smooth")."""
    return f"kompot_{analysis_type}"


ANALYSES = ("de", "da", "smooth")
"""Types of analyses."""

_OLD_NAMES = {"impute": "smooth"}


def stored_type(analysis_type: str) -> str:
    """A type of analysis as records name it today; an unknown one is an error."""
    kind = _OLD_NAMES.get(analysis_type, analysis_type)
    if kind not in ANALYSES:
        raise ValueError(f"analysis_type must be one of {', '.join(map(repr, ANALYSES))}, came {analysis_type!r}.")
    return kind


_NOTE = re.compile(r"<(array|list|tuple|object|path|report)\b[^<>]*>")


def is_placeholder(value: Any) -> bool:
    """Whether a recorded value only says that there was something, or holds such a note somewhere.

    Examples
    --------
    >>> [is_placeholder(value) for value in ("<array shape=(3,)>", {"B cell": ["<list of 200>"]}, "<B cell>", 3)]
    [True, True, False, False]
    """
    if isinstance(value, str):
        # A table that an older version wrote out as text has lines; no label does.
        return bool(_NOTE.fullmatch(value)) or "\n" in value
    if isinstance(value, Mapping):
        return any(map(is_placeholder, value.values()))
    return isinstance(value, list) and any(map(is_placeholder, value))


# JSON has no form for infinity; the GPL package writes this text too. NaN becomes null.
_NON_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def encodable(value: Any) -> Any:
    """A value as JSON can hold it.

    Examples
    --------
    >>> import numpy as np
    >>> encodable({"a": np.float64(1.5), "b": float("inf"), "c": np.zeros((2, 3)), 4: (True, None)})
    {'a': 1.5, 'b': 'Infinity', 'c': '<array shape=(2, 3)>', '4': [True, None]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _NON_FINITE.get(value)
    if isinstance(value, Mapping):
        return {str(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(encodable, value), key=str)
    if hasattr(value, "shape"):
        return f"<array shape={tuple(value.shape)}>"
    return f"<object of type {type(value).__name__}>"


def label_record(label: Any) -> Any:
    """A condition's label as JSON can hold it; others (an interval, a date) as their text.

    Examples
    --------
    >>> import pandas as pd
    >>> label_record("Young"), label_record(3), label_record(pd.Interval(0, 10))
    ('Young', 3, '(0, 10]')
    """
    return label if label is None or isinstance(label, str | bool | int | float) else str(label)


_PATHS = ("disk_storage_dir",)


def settings_record(settings: Any) -> dict[str, Any]:
    """A settings object as a dictionary for the record; of a path only that there was one."""
    record = {item.name: encodable(getattr(settings, item.name)) for item in dataclass_fields(settings)}
    return {name: "<path>" if name in _PATHS and value else value for name, value in record.items()}


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


def decode(value: Any) -> Any:
    """A stored value: JSON text is parsed, anything else is taken as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _stored(adata: AnnData, analysis_type: str) -> Mapping[str, Any]:
    """What `adata.uns` holds of one type of analysis, under its name of today or that of older files."""
    old = [storage_key(name) for name, kind in _OLD_NAMES.items() if kind == analysis_type]
    for key in (storage_key(analysis_type), *old):
        stored = adata.uns.get(key)
        if isinstance(stored, Mapping) and "run_history" in stored:
            return stored
    return {}


def get_run_history(adata: AnnData, analysis_type: str) -> list[dict[str, Any]]:
    """All runs of one type, oldest first; entries that cannot be read are empty."""
    runs = decode(_stored(adata, analysis_type).get("run_history", []))
    if not isinstance(runs, list | np.ndarray):
        return []
    decoded = [decode(run) for run in runs]
    return [dict(run) if isinstance(run, Mapping) else {} for run in decoded]


def get_field_owners(adata: AnnData, analysis_type: str) -> dict[str, dict[str, int]]:
    """`anndata_fields`: place -> field -> id of the run that wrote it last, among runs of one type.

    Kept for other readers; `kompot.anndata.all_records` tells which run of any type owns a field.
    """
    owners = decode(_stored(adata, analysis_type).get("anndata_fields", {}))
    decoded = {place: decode(names) for place, names in owners.items()} if isinstance(owners, Mapping) else {}
    return {place: dict(names) for place, names in decoded.items() if isinstance(names, Mapping)}


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
