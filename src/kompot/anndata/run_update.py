"""Changing the record of a run together with its columns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from anndata import AnnData
from pandas.api.types import is_numeric_dtype

from kompot import _checks as check
from kompot._typing import Float64
from kompot.anndata.all_records import Owner, Records, field_mapping_of
from kompot.anndata.history import get_field_owners, get_run_history, storage_key
from kompot.anndata.lazy import column_of
from kompot.anndata.possible_names import PossibleNames
from kompot.anndata.record_values import encodable
from kompot.anndata.run_record import recorded_run
from kompot.anndata.store import Change


def chosen_run(adata: AnnData, run_id: int, result_key: str | None, kind: str) -> tuple[int, dict[str, Any]]:
    """Position and entry of a run, counted among those of a result key if one is given."""
    if result_key is None:
        return recorded_run(Records.of(adata), run_id, kind)
    check.text("result_key", result_key)
    runs = get_run_history(adata, kind)
    positions = [i for i, run in enumerate(runs) if run.get("result_key", storage_key(kind)) == result_key]
    asked = check.integer("run_id", run_id)
    if not -len(positions) <= asked < len(positions):
        raise ValueError(
            f"run_id={check.brief(asked)} with result_key={check.brief(result_key)} not found: there are "
            f"{len(positions)} runs of type {kind!r} with that key."
        )
    return positions[asked], runs[positions[asked]]


def own_name(run: dict[str, Any], position: int, key: str, name: Any, place: str, kind: str) -> str:
    """The name that a record gives for a field, if the run can have written it."""
    if PossibleNames.of(run, kind).field(place, name, key) is None:
        raise ValueError(
            f"The record of run {position} of type {kind!r} says {check.show(name)} for {key}, which the run cannot "
            f"have written into adata.{place}. Nothing was changed; repeat the run."
        )
    return str(name)


def stored_column(adata: AnnData, position: int, run: dict[str, Any], key: str, place: str, kind: str) -> Float64:
    """Numbers of a column that a run wrote and still owns."""
    frame, name = getattr(adata, place), run.get(key)
    if not isinstance(name, str) or name not in frame:
        raise ValueError(
            f"Run {position} of type {kind!r} has no column {check.show(name)} in adata.{place} (any more)."
        )
    own_name(run, position, key, name, place, kind)
    owner = Records.of(adata).owners.get((place, name), Owner(kind, position))
    if owner != Owner(kind, position):
        raise ValueError(
            f"adata.{place}[{name!r}] holds results of {owner}, which replaced those of run {position}. Give the id of "
            f"that run, or repeat run {position} with another StorageSettings(result_key=...)."
        )
    column = column_of(frame, name)
    if not is_numeric_dtype(column):
        raise ValueError(f"adata.{place}[{name!r}] must hold numbers, came dtype {column.dtype}.")
    numbers: Float64 = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def with_entry(adata: AnnData, position: int, entry: dict[str, Any], kind: str) -> Change:
    """The records of one type with the entry of one run replaced, and its fields owned by it."""
    history, owners = get_run_history(adata, kind), get_field_owners(adata, kind)
    history[position] = encodable(entry)
    for name, field in field_mapping_of(entry).items():
        latest = owners.setdefault(field["location"], {})
        latest[name] = max(position, latest.get(name, position))
    key = storage_key(kind)
    return Change(
        "uns",
        key,
        {
            **dict(adata.uns.get(key, {})),
            "run_history": json.dumps(history),
            "last_run_info": json.dumps(history[-1]),
            "anndata_fields": json.dumps(owners),
        },
    )
