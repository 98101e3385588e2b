"""Removing fields of recorded runs, and asking which are still there.

Which fields a run wrote is read from its record. A field that another run has written since belongs to that run: it
goes only if that run is cleaned up too, and what stays for this reason is said in a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from kompot import _checks as check
from kompot.anndata.all_records import Owner, Records
from kompot.anndata.arguments import require_anndata
from kompot.anndata.fields import COLORS, DA_FIELDS, DE_FIELDS, SMOOTH_FIELDS, Field, Place
from kompot.anndata.history import stored_type
from kompot.anndata.lazy import require_tables_in_memory
from kompot.anndata.locks import object_locked
from kompot.anndata.possible_names import PossibleNames
from kompot.anndata.run_record import RecordedField, kind_today, recorded_fields, recorded_run
from kompot.anndata.store import REMOVED, Change, commit, independent_copy
from kompot.errors import RunRecordWarning, warn

Keep = bool | list[str] | None
_DECLARED = {"de": DE_FIELDS, "da": DA_FIELDS, "smooth": SMOOTH_FIELDS}
_LOGGER = logging.getLogger(__name__)


def cleanup(
    adata: AnnData,
    run_ids: int | list[int] | None = None,
    analysis_type: str = "de",
    keep_layers: Keep = None,
    keep_var_fields: Keep = True,
    keep_obs_fields: Keep = True,
    keep_obsp_fields: Keep = None,
    keep_varm_fields: Keep = None,
    inplace: bool = True,
) -> AnnData | None:
    """Remove large fields of recorded runs; by default the layers, covariances and results per group of all runs.

    Parameters
    ----------
    adata
        The object.
    run_ids
        One run or a list of runs (negative ids count from the last); None for all.
    analysis_type
        "de", "da" or "smooth".
    keep_layers, keep_obsp_fields, keep_varm_fields
        True keeps all fields of that place, a list those of the named types, None (the default) and False none. For
        "smooth", None keeps the layers of type "smoothed".
    keep_var_fields, keep_obs_fields
        The same; True by default. The colours of a column of directions go with it.
    inplace
        Change `adata`; otherwise return a changed copy.

    Returns
    -------
    AnnData or None
        The copy if `inplace` is False.

    Raises
    ------
    ValueError, TypeError
        For runs, types of analysis and types of fields that there are not, before anything changes.

    Notes
    -----
    The record of the runs stays; `RunInfo` and `get_field_status` show the fields as missing. A field that a later run
    replaced is only removed together with that run, and what a record names but the library cannot have written for
    that run (names begin with the result key and hold the conditions) is not touched; a warning names those that stay.
    Layers on disk are detached, their files stay until you delete them.

    Types of fields: layers "smoothed", "fold_change", "fold_change_zscores", "std_with_sample_var", "std" (de with
    empirical variance), "smoothed", "std", "obs_variance", "sample_variance" (smooth); var "mean_log_fold_change",
    "mahalanobis", "ptp", "mahalanobis_pvalue", "mahalanobis_local_fdr", "mahalanobis_tail_fdr", "is_de",
    "weighted_mean_log_fold_change"; obs "std" (de), "log_fold_change", "log_fold_change_zscore", "ptp", "direction",
    "density" (da); obsp "covariance"; varm "mean_log_fold_change", "mahalanobis", "local_fdr", "is_de", "ptp",
    "weighted_mean_log_fold_change".

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=200, n_genes=20, seed=1)
    >>> kompot.de(adata, "condition", "Young", "Old", fdr=kompot.FDRSettings(null_genes=0))
    >>> cleanup(adata, keep_layers=["fold_change"])
    >>> [f"kompot_de_{name}" in adata.layers for name in ("Young_smoothed", "Young_to_Old_fold_change")]
    [False, True]
    """
    require_anndata(adata)
    kind = stored_type(analysis_type)
    if kind == "smooth" and keep_layers is None:
        keep_layers = ["smoothed"]
    keep = {
        "layers": keep_layers,
        "var": keep_var_fields,
        "obs": keep_obs_fields,
        "obsp": keep_obsp_fields,
        "varm": keep_varm_fields,
    }
    with object_locked(adata):
        records = Records.of(adata)
        positions = _positions(records, run_ids, kind)
        fields = {position: recorded_fields(adata, records, kind, position) for position in positions}
        for place, kept in keep.items():
            _check_keep(place, kept, kind, fields)
        if check.boolean("inplace", inplace):
            require_tables_in_memory(adata, "Set inplace=False to get a changed copy in memory")
        possible = {position: PossibleNames.of(records.histories[kind][position], kind) for position in fields}
        changes = _removals(adata, fields, possible, keep, kind)
        target = adata if inplace else independent_copy(adata)
        commit(target, changes)
        return None if inplace else target


def _positions(records: Records, run_ids: Any, kind: str) -> list[int]:
    """Positions of the runs meant; a warning where there is nothing to remove."""
    if run_ids is None:
        positions = list(range(len(records.histories[kind])))
        if not positions:
            warn(f"There is no run of type {kind!r} in adata.uns; nothing was removed.", RunRecordWarning)
    else:
        several = isinstance(run_ids, Iterable) and not isinstance(run_ids, str) and getattr(run_ids, "ndim", 1) > 0
        positions = [recorded_run(records, run_id, kind)[0] for run_id in (run_ids if several else [run_ids])]
    silent = [position for position in positions if records.histories[kind][position].get("field_mapping") is None]
    if silent:
        warn(
            f"The record of {kind!r} runs {check.listed(silent)} does not say which fields they wrote; nothing of them "
            f"was removed.",
            RunRecordWarning,
        )
    return positions


def _check_keep(place: str, kept: Any, kind: str, fields: dict[int, list[RecordedField]]) -> None:
    """Raise unless a `keep_*` argument is None, a boolean, or a list of types that there are."""
    name = f"keep_{place}" if place == "layers" else f"keep_{place}_fields"
    if kept is None or isinstance(kept, bool | np.bool_):
        return
    if isinstance(kept, str) or not isinstance(kept, list | tuple | set | frozenset):
        raise TypeError(f"{name} must be None, True, False or a list of types of fields, came {check.show(kept)}.")
    known = {item.kind for item in _DECLARED[kind] if item.place == place}
    known |= {"std", "std_with_sample_var"} if kind == "de" and place == "layers" else set()
    known |= {item.kind for items in fields.values() for item in items if item.place == place}
    for wanted in kept:
        if not isinstance(wanted, str) or kind_today(wanted) not in known:
            raise ValueError(
                f"{name}: there is no type {check.brief(wanted)} of fields.{check.nearest(wanted, known)} Known: "
                f"{', '.join(sorted(known))}."
            )


def _removals(
    adata: AnnData,
    fields: dict[int, list[RecordedField]],
    possible: dict[int, PossibleNames],
    keep: dict[str, Any],
    kind: str,
) -> list[Change]:
    """What to delete; warns of fields that stay because they belong to another run or to the user."""
    gone: dict[tuple[Place, str], Field] = {}
    spared: dict[str, Owner] = {}
    foreign: dict[str, None] = {}
    for position, items in fields.items():
        for item in items:
            if not item.is_present or item.place not in keep or _is_kept(item.kind, keep[item.place]):
                continue
            field = possible[position].field(item.place, item.name)
            if field is None:
                foreign[f"{item.place}[{item.name!r}] (run {position})"] = None
            elif item.owner.kind != kind or item.owner.run_id not in fields:
                spared[f"{item.place}[{item.name!r}]"] = item.owner
            else:
                gone[field.place, item.name] = field
    if foreign:
        warn(
            f"Not removed, because no run of type {kind!r} with that result key and those conditions writes such "
            f"names: {check.listed(foreign)}. If they are results, delete them yourself.",
            RunRecordWarning,
        )
    if spared:
        owners = dict.fromkeys(map(str, spared.values()))
        warn(
            f"Not removed, because later runs wrote them again ({check.listed(owners)}): {check.listed(spared)}. Clean "
            f"those runs up too to remove them.",
            RunRecordWarning,
        )
    return [*(Change(place, name, REMOVED) for place, name in gone), *_colors(adata, gone)]


def _is_kept(kind: str, kept: Any) -> bool:
    return kind in map(kind_today, kept) if isinstance(kept, list | tuple | set | frozenset) else bool(kept)


def _colors(adata: AnnData, gone: Mapping[tuple[Place, str], Field]) -> Iterator[Change]:
    """Colours in `uns` of columns of directions that go."""
    for (_, name), field in gone.items():
        if field.key == "direction_key" and name + COLORS in adata.uns:
            yield Change("uns", name + COLORS, REMOVED)


def get_field_status(
    adata: AnnData, run_id: int | None = None, analysis_type: str = "de"
) -> dict[str, dict[str, dict[str, bool]]]:
    """Which fields of a run are still in the object.

    Parameters
    ----------
    adata
        The object.
    run_id
        The run; None is the latest.
    analysis_type
        "de", "da" or "smooth".

    Returns
    -------
    dict
        `{place: {type: {name: is_present}}}`; empty, with an error in the log, if there is no such run.

    Raises
    ------
    ValueError, TypeError
        If there is no such type of analysis, or the id is no whole number.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=200, n_genes=20, seed=1)
    >>> kompot.de(adata, "condition", "Young", "Old", fdr=kompot.FDRSettings(null_genes=0))
    >>> del adata.layers["kompot_de_Old_smoothed"]
    >>> get_field_status(adata)["layers"]["smoothed"]
    {'kompot_de_Young_smoothed': True, 'kompot_de_Old_smoothed': False}
    """
    require_anndata(adata)
    kind = stored_type(analysis_type)
    records = Records.of(adata)
    status: dict[str, dict[str, dict[str, bool]]] = {}
    try:
        position, _ = recorded_run(records, run_id, kind)
    except ValueError as error:
        _LOGGER.error("%s", error)  # noqa: TRY400  the message says it all
        return status
    for item in recorded_fields(adata, records, kind, position):
        status.setdefault(item.place, {}).setdefault(item.kind, {})[item.name] = item.is_present
    return status
