"""Changing the record of a run together with its columns."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.all_records import Owner, Records, field_mapping_of
from kompot.anndata.history import encodable, get_field_owners, get_run_history, storage_key
from kompot.anndata.run_record import recorded_run
from kompot.anndata.store import Change


def chosen_run(adata: AnnData, run_id: int, result_key: str | None, kind: str) -> tuple[int, dict[str, Any]]:
    """Position and entry of a run, counted among those of a result key if one is given."""
    if result_key is None:
        return recorded_run(Records.of(adata), run_id, kind)
    runs = get_run_history(adata, kind)
    positions = [i for i, run in enumerate(runs) if run.get("result_key", storage_key(kind)) == result_key]
    asked = check.integer("run_id", run_id)
    if not -len(positions) <= asked < len(positions):
        raise ValueError(
            f"run_id={asked} with result_key={result_key!r} not found: there are {len(positions)} runs of type "
            f"{kind!r} with that key."
        )
    return positions[asked], runs[positions[asked]]


def stored_column(adata: AnnData, position: int, name: Any, place: str, kind: str) -> pd.Series[Any]:
    """A column that a run wrote and still owns."""
    frame = getattr(adata, place)
    if name is None or name not in frame:
        raise ValueError(f"Run {position} of type {kind!r} has no column {name!r} in adata.{place} (any more).")
    owner = Records.of(adata).owners.get((place, name), Owner(kind, position))
    if owner != Owner(kind, position):
        raise ValueError(
            f"adata.{place}[{name!r}] holds results of {owner}, which replaced those of run {position}. Give the id of "
            f"that run, or repeat run {position} with another StorageSettings(result_key=...)."
        )
    column: pd.Series[Any] = frame[name]
    return column


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
