"""All recorded runs of an object, read once, and which of them wrote a field last.

Analyses of different types can write the same field (`kompot.de` and `kompot.smooth_expression` under one result key).
So ownership follows from all histories together: a field belongs to the latest run whose record says that it wrote it.
What `anndata_fields` says is written for other readers only; in records of kompot 0.8.0 it names fields that no run
wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from anndata import AnnData

from kompot.anndata.history import ANALYSES, get_run_history
from kompot.anndata.record_values import as_mapping

PLACES = ("obs", "var", "layers", "obsm", "varm", "obsp", "uns")
"""Parts of an AnnData object that hold fields."""


def field_mapping_of(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Place, type and meaning of the fields of a run."""
    entries = {str(name): as_mapping(entry) for name, entry in as_mapping(run.get("field_mapping")).items()}
    return {name: entry for name, entry in entries.items() if entry.get("location") in PLACES}


@dataclass(frozen=True)
class Owner:
    """One run."""

    kind: str
    """"de", "da" or "smooth"."""
    run_id: int
    """Its position in the history."""

    def __str__(self) -> str:
        return f"run {self.run_id} of {self.kind}"


@dataclass(frozen=True)
class Records:
    """All recorded runs of an object."""

    histories: dict[str, list[dict[str, Any]]]
    """Entries by type of analysis, oldest first."""

    @classmethod
    def of(cls, adata: AnnData) -> Records:
        """Read the records of an object."""
        return cls({kind: get_run_history(adata, kind) for kind in ANALYSES})

    @cached_property
    def owners(self) -> dict[tuple[str, str], Owner]:
        """The latest run that wrote each field, by place and name."""
        writers = []
        for kind, runs in self.histories.items():
            latest = ""
            for position, run in enumerate(runs):
                # The position counts within a type: clocks can be set back.
                latest = max(latest, str(run.get("timestamp", "")))
                writers.append((latest, Owner(kind, position), run))
        return {
            (str(entry["location"]), name): owner
            for _, owner, run in sorted(writers, key=lambda writer: writer[0])
            for name, entry in field_mapping_of(run).items()
        }

    def latest_type(self) -> str:
        """Type of the analysis that ran last; an error if none did."""
        stamps = {kind: str(runs[-1].get("timestamp", "")) for kind, runs in self.histories.items() if runs}
        if not stamps:
            raise ValueError(
                "There is no run of kompot in adata.uns. Run kompot.de, kompot.da or kompot.smooth_expression first "
                "(an object made by anndata.concat keeps its records with uns_merge='first')."
            )
        return max(stamps, key=lambda kind: stamps[kind])
