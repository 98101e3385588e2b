"""The check for fields of earlier runs that a run would replace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.all_records import Owner, Records
from kompot.anndata.fields import NamedField
from kompot.anndata.kept_values import KeptValues
from kompot.anndata.record_values import as_mapping
from kompot.anndata.selectors import counted_text
from kompot.errors import OverwriteWarning, warn

_MOST_SHOWN = 5
_LOGGER = logging.getLogger(__name__)


def check_overwrite(
    adata: AnnData, fields: Collection[NamedField], overwrite: bool | None, kept: KeptValues | None = None
) -> None:
    """Warn of or refuse to replace existing fields, as `StorageSettings.overwrite` says.

    Parameters
    ----------
    adata
        Looked at, not changed.
    fields
        Fields to be written.
    overwrite
        None warns, also of fields of the same runs that stay; True is silent, False is an error.
    kept
        What stays and what is lost of the genes that the run does not analyse. Where nothing is lost, because the
        earlier run agrees with this one in all that its fields depend on, there is a line in the log and no warning.

    Raises
    ------
    ValueError
        With `overwrite=False`, if any field exists.
    """
    existing = [(item.field.place, item.name) for item in fields if item.name in getattr(adata, item.field.place)]
    if not existing or overwrite:
        return
    records = Records.of(adata)
    message = f"Results exist already{_previous_run(records, existing)}: {_shown(existing)}."
    if overwrite is False:
        raise ValueError(
            f"{message} Nothing was computed. Set StorageSettings(overwrite=True) to replace them, or another "
            f"result_key."
        )
    kept = KeptValues() if kept is None else kept
    if kept.values and not kept.lost:
        _LOGGER.info("%s They agree with this run and keep their values of other genes.", message)
        return
    staying = _staying(adata, records, existing, fields)
    warn(
        f"{message} They will be replaced; StorageSettings(overwrite=True) silences this, another result_key keeps "
        f"both."
        + _lost(kept)
        + (f" Not part of this run, so that they stay as they are: {_shown(staying)}." if staying else ""),
        OverwriteWarning,
    )


def _lost(kept: KeptValues) -> str:
    """Which values of genes that are not analysed will be lost, and why."""
    if not kept.lost:
        return ""
    reasons = dict.fromkeys(reason for differing in kept.lost.values() for reason in differing)
    return (
        f" The values of the {counted_text(kept.n_others, 'gene')} that genes does not name will be lost (NaN) in "
        f"{_shown(list(kept.lost))}, because the runs differ in: {check.listed(reasons)}."
    )


def overwrite_check(
    adata: AnnData, fields: Collection[NamedField], overwrite: bool | None, kept: KeptValues | None = None
) -> Callable[[AnnData], None]:
    """`check_overwrite` before the computation, and the same for what other threads write during it.

    Parameters
    ----------
    adata, fields, overwrite, kept
        As for `check_overwrite`.

    Returns
    -------
    Callable[[AnnData], None]
        To be called right before writing: warns of or refuses fields that were written since, as `overwrite` says.
    """
    check_overwrite(adata, fields, overwrite, kept)
    before = _writers(adata, fields)

    def check_again(target: AnnData) -> None:
        written = [field for field, writer in _writers(target, fields).items() if before.get(field, "absent") != writer]
        if not written or overwrite:
            return
        message = f"While this run was computed, another one wrote {_shown(written)} into the object."
        if overwrite is False:
            raise ValueError(
                f"{message} Nothing of this run was written. Set StorageSettings(overwrite=True) to replace them, or "
                f"another result_key."
            )
        warn(
            f"{message} They are replaced; StorageSettings(overwrite=True) silences this, another result_key keeps "
            f"both.",
            OverwriteWarning,
        )

    return check_again


def _writers(adata: AnnData, fields: Collection[NamedField]) -> dict[tuple[str, str], Owner | None]:
    """The run that each of the fields that exist belongs to, where that is known."""
    owners = Records.of(adata).owners
    named = ((item.field.place, item.name) for item in fields)
    return {field: owners.get(field) for field in named if field[1] in getattr(adata, field[0])}


def _shown(fields: Sequence[tuple[str, str]]) -> str:
    return check.listed((f"{place}[{name!r}]" for place, name in fields), _MOST_SHOWN)


def _staying(
    adata: AnnData, records: Records, existing: Sequence[tuple[str, str]], fields: Collection[NamedField]
) -> list[tuple[str, str]]:
    """Other fields, still there, of the runs whose fields will be replaced."""
    owners = {records.owners[field] for field in existing if field in records.owners}
    written = {(item.field.place, item.name) for item in fields}
    return [
        (place, name)
        for (place, name), owner in records.owners.items()
        if owner in owners and (place, name) not in written and place != "uns" and name in getattr(adata, place)
    ]


def _previous_run(records: Records, existing: Sequence[tuple[str, str]]) -> str:
    """The latest of the runs that wrote the fields, in words."""
    owners = [records.owners.get(field) for field in existing]
    known = [(str(_entry(records, owner).get("timestamp", "")), owner) for owner in owners if owner is not None]
    if not known:
        return ""
    stamp, owner = max(known, key=lambda pair: pair[0])
    params = as_mapping(_entry(records, owner).get("params"))
    names = [params.get(key) for key in ("condition1", "condition2", "condition")]
    conditions = " to ".join(str(name) for name in names if name is not None)
    return f" ({owner}, {stamp or 'unknown time'}, {conditions or 'all cells'})"


def _entry(records: Records, owner: Owner) -> dict[str, Any]:
    return records.histories[owner.kind][owner.run_id]
