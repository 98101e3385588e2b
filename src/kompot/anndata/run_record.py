"""Finding one recorded run, and what has become of the fields it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.history import ANALYSES, decode, get_field_owners, get_run_history

PLACES = ("obs", "var", "layers", "obsm", "varm", "obsp", "uns")
"""Parts of an AnnData object that hold fields."""


@dataclass(frozen=True)
class RecordedField:
    """One field that a run wrote."""

    name: str
    """Name in the object."""
    place: str
    """obs, var, layers, varm, obsp or uns."""
    kind: str
    """Its type for `cleanup`."""
    description: str
    """What it holds."""
    is_present: bool
    """Whether the object still has it."""
    owner: int | None
    """Run that wrote it last; None if unknown."""


def as_mapping(value: Any) -> dict[str, Any]:
    """A recorded value as a dictionary: JSON text is read, anything else is empty."""
    decoded = decode(value)
    return dict(decoded) if isinstance(decoded, Mapping) else {}


def latest_type(adata: AnnData) -> str:
    """Type of the analysis that ran last; an error if none did."""
    histories = {kind: get_run_history(adata, kind) for kind in ANALYSES}
    stamps = {kind: str(runs[-1].get("timestamp", "")) for kind, runs in histories.items() if runs}
    if not stamps:
        raise ValueError(
            "There is no run of kompot in adata.uns. Run kompot.de, kompot.da or kompot.smooth_expression first (an "
            "object made by anndata.concat keeps its records with uns_merge='first')."
        )
    return max(stamps, key=lambda kind: stamps[kind])


def recorded_run(adata: AnnData, run_id: int | None, analysis_type: str) -> tuple[int, dict[str, Any]]:
    """Position and entry of a run.

    Parameters
    ----------
    adata
        Holds the records.
    run_id
        Position; negative counts from the end, None is the last.
    analysis_type
        "de", "da" or "smooth".

    Returns
    -------
    tuple[int, dict[str, Any]]
        The position from the start, and the entry.

    Raises
    ------
    ValueError
        If there is no such run; says which there are.
    TypeError
        If the id is not an integer.
    """
    runs = get_run_history(adata, analysis_type)
    asked = -1 if run_id is None else check.integer("run_id", run_id)
    if not runs:
        raise ValueError(f"There is no run of type {analysis_type!r} in adata.uns (run_id={run_id}).")
    if not -len(runs) <= asked < len(runs):
        raise ValueError(
            f"run_id={asked} not found: there are {len(runs)} runs of type {analysis_type!r}, 0 to {len(runs) - 1} "
            f"(or -{len(runs)} to -1, counted from the last)."
        )
    return asked % len(runs), runs[asked]


def field_mapping_of(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Place, type and meaning of the fields of a run."""
    entries = {str(name): as_mapping(entry) for name, entry in as_mapping(run.get("field_mapping")).items()}
    return {name: entry for name, entry in entries.items() if entry.get("location") in PLACES}


def recorded_fields(adata: AnnData, run: Mapping[str, Any], analysis_type: str) -> list[RecordedField]:
    """Fields that a run wrote, in order, with what has become of them."""
    owners = get_field_owners(adata, analysis_type)
    return [
        RecordedField(
            name,
            place := str(entry["location"]),
            str(entry.get("type", "unknown")),
            str(entry.get("description", "")),
            name in getattr(adata, place),
            owners.get(place, {}).get(name),
        )
        for name, entry in field_mapping_of(run).items()
    ]


def owned_by_another(item: RecordedField, run_id: int) -> bool:
    """Whether another run has written a field since."""
    return item.owner is not None and item.owner != run_id
