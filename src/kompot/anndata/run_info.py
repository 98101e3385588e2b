"""A look at one recorded run: what was asked, what was written, what is still there, and how to do it again."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from anndata import AnnData

from kompot.anndata.all_records import Records
from kompot.anndata.arguments import require_anndata
from kompot.anndata.history import UNREADABLE, stored_type
from kompot.anndata.record_values import as_list, as_mapping, is_number
from kompot.anndata.run_arguments import lost_references, recorded_arguments, recorded_landmarks, recorded_settings
from kompot.anndata.run_record import recorded_fields, recorded_run
from kompot.errors import RunRecordWarning, warn
from kompot.settings import GPSettings

if TYPE_CHECKING:
    from kompot.anndata.run_comparison import RunComparison


class RunInfo:
    """Information about one run of `kompot.de`, `kompot.da` or `kompot.smooth_expression`.

    Parameters
    ----------
    adata
        Object with the record.
    run_id
        Position in the history; negative counts from the end; None is the latest run.
    analysis_type
        "de", "da" or "smooth"; None is the type that ran last.

    Attributes
    ----------
    adata, analysis_type
        As given or found.
    run_id, adjusted_run_id
        As asked, and the position in the history.
    storage_key
        Key of the records in `adata.uns`.
    run_info
        The whole entry.
    field_names, params, environment, timestamp
        Parts of the entry.
    adata_fields
        Fields written, by place.
    overwritten_fields, missing_fields
        Fields that a later run replaced, and fields that are gone.

    Raises
    ------
    ValueError
        If there is no such run.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=200, n_genes=20, seed=1)
    >>> kompot.de(adata, "condition", "Young", "Old", fdr=kompot.FDRSettings(null_genes=0))
    >>> run = RunInfo(adata)
    >>> run.analysis_type, run.adjusted_run_id, run.conditions, run.missing_fields
    ('de', 0, 'Young to Old', [])
    >>> run.to_settings()["gp"].sigma
    1.0
    """

    def __init__(self, adata: AnnData, run_id: int | None = None, analysis_type: str | None = None) -> None:
        require_anndata(adata)
        self.read(adata, Records.of(adata), run_id, analysis_type)

    @classmethod
    def of_records(cls, adata: AnnData, records: Records, run_id: int, analysis_type: str) -> RunInfo:
        """The same from records that are read already."""
        run = cls.__new__(cls)
        run.read(adata, records, run_id, analysis_type)
        return run

    def read(self, adata: AnnData, records: Records, run_id: int | None, analysis_type: str | None) -> None:
        """Take over one of the records of an object."""
        self.adata = adata
        self.analysis_type = records.latest_type() if analysis_type is None else stored_type(analysis_type)
        self.run_id = -1 if run_id is None else run_id
        self.adjusted_run_id, run = recorded_run(records, run_id, self.analysis_type)
        self.storage_key = f"kompot_{self.analysis_type}"
        self.run_info: dict[str, Any] = {**copy.deepcopy(run), "adjusted_run_id": self.adjusted_run_id}
        self.field_names: dict[str, Any] = as_mapping(run.get("field_names"))
        self.environment: dict[str, Any] = as_mapping(run.get("environment"))
        self.timestamp = str(run.get("timestamp", ""))
        self.params: dict[str, Any] = as_mapping(self.run_info.get("params"))
        self.params.setdefault("result_key", run.get("result_key") or self.storage_key)
        self.fields = recorded_fields(adata, records, self.analysis_type, self.adjusted_run_id)
        self.adata_fields = {
            place: sorted(item.name for item in self.fields if item.place == place)
            for place in dict.fromkeys(item.place for item in self.fields)
        }
        self.overwritten_fields = [
            {
                "field": item.name,
                "location": item.place,
                "current_run_id": item.owner.run_id,
                "current_analysis_type": item.owner.kind,
                "expected_run_id": self.adjusted_run_id,
            }
            for item in self.fields
            if item.is_replaced
        ]
        self.missing_fields = [
            {"field": item.name, "location": item.place, "type": item.kind, "description": item.description}
            for item in self.fields
            if not item.is_present
        ]

    @property
    def result_key(self) -> str:
        """Prefix of the run's names."""
        return str(self.params["result_key"])

    @property
    def conditions(self) -> str:
        """What was compared or smoothed, in words."""
        if UNREADABLE in self.run_info:
            return "unreadable record"
        if self.analysis_type == "smooth":
            condition = self.params.get("condition")
            return "all cells" if condition is None else str(condition)
        return f"{self.params.get('condition1', 'unknown')} to {self.params.get('condition2', 'unknown')}"

    @property
    def uses_sample_variance(self) -> bool:
        """Whether biological samples were used."""
        return self.params.get("sample_col") is not None or bool(self.run_info.get("uses_sample_variance"))

    @property
    def approximation(self) -> dict[str, Any]:
        """Rank and residuals of the features and the numbers of cells and genes, where they were recorded."""
        return as_mapping(self.run_info.get("approximation")) or self._density_fit

    @property
    def length_scale(self) -> float | None:
        """Length scale of the kernel, in units of the embedding; None where it was not recorded."""
        found = self.approximation.get("ls", self.run_info.get("ls", self._density_fit.get("ls")))
        return float(found) if is_number(found) else None

    @property
    def _density_fit(self) -> dict[str, Any]:
        fits = as_list(as_mapping(self.run_info.get("density")).get("fits"))
        return as_mapping(fits[0]) if fits else {}

    def get_raw_data(self) -> dict[str, Any]:
        """The whole entry of the run, as a copy."""
        return copy.deepcopy(self.run_info)

    def get_data(self) -> dict[str, Any]:
        """Everything about the run, with the fields it wrote that are still there (`field_data[place][name]`)."""
        data: dict[str, dict[str, Any]] = {place: {} for place in self.adata_fields}
        for item in self.fields:
            if item.is_present:
                data[item.place][item.name] = getattr(self.adata, item.place)[item.name]
        return {
            "run_id": self.run_id,
            "adjusted_run_id": self.adjusted_run_id,
            "analysis_type": self.analysis_type,
            "field_names": self.field_names,
            "params": self.params,
            "environment": self.environment,
            "timestamp": self.timestamp,
            "overwritten_fields": self.overwritten_fields,
            "missing_fields": self.missing_fields,
            "field_data": data,
        }

    def get_summary(self) -> dict[str, Any]:
        """The essentials of the run, as a flat dictionary."""
        groups = [str(name) for name in as_list(self.run_info.get("subset_names"))]
        approximation, counts = self.approximation, self.cell_counts
        summary: dict[str, Any] = {
            "run_id": self.run_id,
            "adjusted_run_id": self.adjusted_run_id,
            "analysis_type": self.analysis_type,
            "timestamp": self.timestamp,
            "conditions": self.conditions,
            "result_key": self.result_key,
            "obsm_key": self.params.get("obsm_key"),
            "layer": self.params.get("layer"),
            "uses_sample_variance": self.uses_sample_variance,
            "n_cells": counts,
            "n_genes": approximation.get("n_genes", self.params.get("n_genes")),
            "n_features": approximation.get("rank"),
            "residual_mean": approximation.get("residual_mean"),
            "n_significant": as_mapping(self.run_info.get("fdr_results")).get("n_significant"),
            "field_count": len(self.fields),
            "overwritten_field_count": len(self.overwritten_fields),
            "overwritten_fields": self.overwritten_fields,
            "missing_field_count": len(self.missing_fields),
            "missing_fields": self.missing_fields,
            "has_groups": bool(self.run_info.get("has_groups")),
        }
        if groups:
            more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
            summary |= {"groups_count": len(groups), "groups": ", ".join(groups[:3]) + more}
        return summary

    @property
    def cell_counts(self) -> Any:
        """Number of cells per condition, or of all cells smoothed; None where not recorded."""
        density = as_mapping(self.run_info.get("density"))
        found = [known.get("n_cells") for known in (self.approximation, density, self.params)]
        return next((count for count in found if count is not None), None)

    def to_settings(self) -> dict[str, Any]:
        """Settings objects of the run, mutable; only those that were recorded.

        What a record cannot hold (arrays, masks, paths) is left at its default; see `unrecoverable`.
        """
        return recorded_settings(self.params, self.analysis_type)[0]

    @property
    def unrecoverable(self) -> list[str]:
        """What the run was given that its record cannot give back: landmarks, masks, external nulls, models, paths."""
        lost = recorded_settings(self.params, self.analysis_type)[1]
        lost += recorded_arguments(self.adata, self.params, self.analysis_type)[1]
        landmarks, missing = self._landmarks()
        if landmarks is not None:
            lost = [name for name in lost if name != "gp.landmarks"]
        missing += lost_references(self.adata, self.run_info, self.params)
        return list(dict.fromkeys(lost + missing))

    def call_args(self) -> dict[str, Any]:
        """Arguments that reproduce the run: `kompot.de(adata, **run.call_args())` (or `da`, `smooth_expression`).

        Returns
        -------
        dict[str, Any]
            Labels and keys, settings objects (mutable), and further keyword arguments. A warning names what the
            record cannot give back (`unrecoverable`); add it by hand. `overwrite=False`, which would refuse to make the
            run again, is left at its default.
        """
        if lost := self.unrecoverable:
            warn(
                f"Run {self.adjusted_run_id} ({self.analysis_type}) cannot be reproduced from its record alone, which "
                f"lacks: {', '.join(lost)}.",
                RunRecordWarning,
            )
        arguments = recorded_arguments(self.adata, self.params, self.analysis_type)[0] | self.to_settings()
        landmarks = self._landmarks()[0]
        if landmarks is not None:
            arguments.setdefault("gp", GPSettings()).landmarks = landmarks
        if "storage" in arguments and arguments["storage"].overwrite is False:
            arguments["storage"].overwrite = None
        return arguments

    def _landmarks(self) -> tuple[Any, list[str]]:
        return recorded_landmarks(self.adata, self.run_info, self.params, self.analysis_type)

    def compare_with(self, other_run_id: int) -> RunComparison:
        """Comparison of the run with another one of the same type."""
        from kompot.anndata.run_comparison import RunComparison

        return RunComparison(self.adata, self.run_id, other_run_id, self.analysis_type)

    def __repr__(self) -> str:
        return (
            f"RunInfo(analysis_type={self.analysis_type!r}, run_id={self.adjusted_run_id}, "
            f"timestamp={self.timestamp!r})"
        )

    def __str__(self) -> str:
        from kompot.anndata.run_text import run_text

        return run_text(self)

    def _repr_html_(self) -> str:
        from kompot.anndata.run_html import run_html

        return run_html(self)
