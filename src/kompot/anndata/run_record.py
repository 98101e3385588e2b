"""Finding one recorded run, and what has become of the fields it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.all_records import Owner, Records, field_mapping_of


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
    owner: Owner
    """Run that wrote it last."""
    is_replaced: bool
    """Whether that is another run than the one that is asked about."""


def recorded_run(records: Records, run_id: int | None, analysis_type: str) -> tuple[int, dict[str, Any]]:
    """Position and entry of a run.

    Parameters
    ----------
    records
        Of the object.
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
    runs = records.histories[analysis_type]
    asked = -1 if run_id is None else check.integer("run_id", run_id)
    if not runs:
        raise ValueError(f"There is no run of type {analysis_type!r} in adata.uns (run_id={check.brief(run_id)}).")
    if not -len(runs) <= asked < len(runs):
        raise ValueError(
            f"run_id={check.brief(asked)} not found: the runs of type {analysis_type!r} are 0 to {len(runs) - 1} (or "
            f"-{len(runs)} to -1, counted from the last)."
        )
    return asked % len(runs), runs[asked]


_OLD_KINDS = {"imputed": "smoothed"}


def kind_today(kind: str) -> str:
    """Name of a type of fields; those of older versions are called as they are now."""
    return _OLD_KINDS.get(kind, kind)


def recorded_fields(adata: AnnData, records: Records, analysis_type: str, position: int) -> list[RecordedField]:
    """Fields that a run wrote, in order, with what has become of them."""
    me = Owner(analysis_type, position)
    fields = []
    for name, entry in field_mapping_of(records.histories[analysis_type][position]).items():
        place, kind = str(entry["location"]), str(entry.get("type", "unknown"))
        owner = records.owners[place, name]
        fields.append(
            RecordedField(
                name,
                place,
                kind_today(kind),
                str(entry.get("description", "")),
                name in getattr(adata, place),
                owner,
                owner != me,
            )
        )
    return fields
