"""Values of genes that a run does not analyse, left by an earlier run under the same names.

A second run on some genes (`genes=top`, with replicates for instance) shares some fields with the run on all genes. A
field that depends on nothing that changed between the two keeps its values for the genes not analysed now; in any
other field they become NaN, because values of two different analyses must not stand in one column. The records say
whether the runs agree; the mean fold changes of the genes that both analyse show whether the data are the same still.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot._typing import Float64
from kompot.anndata.all_records import Owner, Records
from kompot.anndata.dependencies import dependencies, differences
from kompot.anndata.fields import NamedField
from kompot.anndata.lazy import column_of, table_in_memory
from kompot.anndata.record_values import as_mapping
from kompot.errors import OverwriteWarning, warn

_WITH_GENES = ("var", "layers", "varm")
# Means of the same data on the same features differ by rounding; features of stored landmarks by up to 1e-4.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class KeptValues:
    """Fields of earlier runs whose values for other genes stay, and those whose values are lost."""

    values: dict[str, Any] = field(default_factory=dict)
    """By key of the field, what the object holds now; n_genes (var), n_cells x n_genes (layers), a table (varm)."""
    owners: dict[str, Owner] = field(default_factory=dict)
    """By name of the field, the run that wrote it."""
    lost: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """By place and name of the field, what differs between the runs."""
    n_others: int = 0
    """Number of genes that are not analysed."""

    def record(self) -> dict[str, str]:
        """For the record: the run that values of other genes come from, by name of the field."""
        return {name: str(owner) for name, owner in self.owners.items()}

    def confirmed(self, before: Float64 | None, means: Float64) -> KeptValues:
        """These, unless the earlier run found other means for the genes that both analyse; a warning says so then.

        Parameters
        ----------
        before
            Means over cells that the earlier run found for the genes analysed now, n_analysed, NaN for those that it
            did not analyse; None if unknown.
        means
            Those found now.

        Returns
        -------
        KeptValues
            Itself, or nothing kept.
        """
        if before is None or not self.values:
            return self
        known = np.isfinite(before)
        scale = np.abs(before[known]).max(initial=0.0)
        if (np.abs(means - before)[known] <= _TOLERANCE * scale + np.finfo(np.float32).tiny).all():
            return self
        warn(
            f"The data changed since {', '.join(dict.fromkeys(self.record().values()))}, which found other means for "
            f"the genes analysed again. The values of all other genes become NaN in "
            f"{', '.join(map(repr, self.owners))}.",
            OverwriteWarning,
        )
        return KeptValues()


def kept_values(
    adata: AnnData, fields: Mapping[str, NamedField], run: Mapping[str, Any], *, n_others: int
) -> KeptValues:
    """What a run on some of the genes may leave in place.

    Parameters
    ----------
    adata
        Holds the earlier results; not changed.
    fields
        Fields that will be written, by key.
    run
        What is known of the run already: `params`, `inputs` and `abundance_weights` of its record.
    n_others
        Number of genes that are not analysed.

    Returns
    -------
    KeptValues
        Empty if all genes are analysed.
    """
    if not n_others:
        return KeptValues()
    records, ours = Records.of(adata), dependencies(run)
    kept = KeptValues(n_others=n_others)
    for key, item in fields.items():
        place = item.field.place
        if place not in _WITH_GENES or item.name not in getattr(adata, place):
            continue
        owner = records.owners.get((place, item.name))
        earlier = {} if owner is None else records.histories[owner.kind][owner.run_id]
        kept = _with_field(kept, adata, key, item, owner, ours, earlier)
    return kept


def _with_field(
    kept: KeptValues,
    adata: AnnData,
    key: str,
    item: NamedField,
    owner: Owner | None,
    ours: dict[str, dict[str, Any]],
    earlier: Mapping[str, Any],
) -> KeptValues:
    if owner is None:
        return replace(kept, lost={**kept.lost, (item.field.place, item.name): ["no record of them"]})
    theirs = dependencies(earlier)
    differing = [name for kind in item.field.depends for name in differences(ours, theirs, kind)]
    if differing:
        return replace(kept, lost={**kept.lost, (item.field.place, item.name): differing})
    values = _stored(adata, item)
    if item.field.place == "varm":
        values = _by_group(values, earlier)
    return replace(kept, values={**kept.values, key: values}, owners={**kept.owners, item.name: owner})


def _stored(adata: AnnData, item: NamedField) -> Any:
    """The values of a field; those of a table in memory."""
    if item.field.place == "var":
        return column_of(adata.var, item.name)
    values = getattr(adata, item.field.place)[item.name]
    return table_in_memory(values) if item.field.place == "varm" else values


def _by_group(table: Any, run: Mapping[str, Any]) -> pd.DataFrame:
    """A table of groups under the names of the groups; its columns may bear others (`DERequest.group_columns`)."""
    columns = as_mapping(as_mapping(run.get("groups_summary")).get("columns"))
    return pd.DataFrame(table).rename(columns={column: group for group, column in columns.items()})
