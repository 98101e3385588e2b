"""What an analysis will need, what there is, and whether it fits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from kompot import _checks as check
from kompot.anndata.planning.report import human_readable_size, plan_report

_UNITS = Literal["memory", "disk"]


@dataclass(frozen=True)
class ResourceRequirement:
    """One thing that takes memory or disk."""

    name: str
    """What it is."""
    size_bytes: int
    """Its size."""
    resource_type: _UNITS
    """"memory" or "disk"."""
    shape: tuple[int, ...] | None = None
    """Its shape, for an array."""
    field_name: str | None = None
    """Where it will be in the object, for a field."""
    overwrite: bool = False
    """Whether such a field exists and will be replaced."""

    @property
    def size_human(self) -> str:
        """The size for people."""
        return human_readable_size(self.size_bytes)


@dataclass(frozen=True)
class ResourceAvailability:
    """What the machine has, or the container that the process lives in."""

    memory_total: int
    """Bytes of memory."""
    memory_available: int
    """Bytes that can be allocated without swapping."""
    disk_path: str
    """Where arrays on disk would go."""
    disk_total: int
    """Bytes of that disk."""
    disk_available: int
    """Bytes free there."""

    @property
    def memory_total_human(self) -> str:
        """Total memory for people."""
        return human_readable_size(self.memory_total)

    @property
    def memory_available_human(self) -> str:
        """Available memory for people."""
        return human_readable_size(self.memory_available)

    @property
    def disk_total_human(self) -> str:
        """Size of the disk for people."""
        return human_readable_size(self.disk_total)

    @property
    def disk_available_human(self) -> str:
        """Free disk for people."""
        return human_readable_size(self.disk_available)


@dataclass(frozen=True)
class Stage:
    """A part of an analysis."""

    name: str
    """What happens."""
    seconds: float
    """How long it takes on this machine as busy as it is now; NaN where that cannot be known."""
    peak_bytes: int
    """Highest memory during it, above what is in use before the call."""


@dataclass
class ResourcePlan:
    """What a run will need; from `dry_run=True`.

    Attributes
    ----------
    stages
        Parts of the run with their time and highest memory.
    requirements
        Fields that will be written, and the working memory at the highest point.
    availability
        Memory and disk of this machine.
    output_fields
        Names of the fields by place ("adata.var", ...).
    info, warnings, errors, advice
        What to know, what may go wrong, why the run cannot succeed, and what to change.
    """

    analysis_type: str = "de"
    """"de", "da" or "smooth"."""
    n_cells: dict[str, int] = field(default_factory=dict)
    """Number of cells of each condition, and of the cells evaluated."""
    n_genes: int = 0
    """Genes reported."""
    n_null_genes: int = 0
    """Shuffled genes."""
    n_landmarks: int = 0
    """Landmarks expected."""
    n_features: int = 0
    """Features expected."""
    length_scale: float | None = None
    """Length scale expected, in units of the embedding."""
    memory_in_use: int = 0
    """Bytes that the process holds before the run, the data included."""
    stages: list[Stage] = field(default_factory=list)
    requirements: list[ResourceRequirement] = field(default_factory=list)
    availability: ResourceAvailability | None = None
    output_fields: dict[str, list[str]] = field(default_factory=dict)
    info: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    overwritten: dict[str, str] = field(default_factory=dict)
    """Fields that exist and will be replaced ("adata.var:name"), with what they are: "that of run 0 of de"."""

    @property
    def total_memory_required(self) -> int:
        """Highest memory of the run, above what is in use before: bytes."""
        return self._total("memory")

    @property
    def total_disk_required(self) -> int:
        """Bytes written to disk."""
        return self._total("disk")

    @property
    def peak_memory(self) -> int:
        """Highest memory of the process during the run, the data included: bytes."""
        return self.memory_in_use + self.total_memory_required

    @property
    def seconds(self) -> float:
        """Expected time, without reading the file into memory; NaN where it cannot be known."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def memory_ratio(self) -> float:
        """Required memory over available memory."""
        return _ratio(self.total_memory_required, self._have("memory"))

    @property
    def disk_ratio(self) -> float:
        """Required disk over free disk."""
        return _ratio(self.total_disk_required, self._have("disk"))

    @property
    def is_feasible(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.errors

    @property
    def status(self) -> Literal["ok", "warnings", "infeasible"]:
        """In one word."""
        if self.errors:
            return "infeasible"
        return "warnings" if self.warnings else "ok"

    def _have(self, kind: _UNITS) -> int | None:
        have = self.availability
        if have is None:
            return None
        return have.memory_available if kind == "memory" else have.disk_available

    def _total(self, kind: str) -> int:
        return sum(item.size_bytes for item in self.requirements if item.resource_type == kind)

    def add_requirement(
        self,
        name: str,
        size_bytes: int,
        resource_type: _UNITS,
        shape: tuple[int, ...] | None = None,
        field_name: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Add something that takes memory or disk; see `ResourceRequirement`."""
        size = check.non_negative_int("size_bytes", size_bytes)
        check.text("name", name)
        check.boolean("overwrite", overwrite)
        if field_name is not None:
            check.text("field_name", field_name, "text or None")
        if shape is not None:
            shape = tuple(check.non_negative_int("shape", n) for n in check.items("shape", shape, "integers"))
        check.choice("resource_type", resource_type, ("memory", "disk"))
        self.requirements.append(ResourceRequirement(name, size, resource_type, shape, field_name, overwrite))

    def check_availability(self, memory_threshold: float = 0.8, disk_threshold: float = 0.9) -> None:
        """Add an error where more is needed than there is, a warning where it is nearly as much.

        Parameters
        ----------
        memory_threshold, disk_threshold
            Shares of what is available from which a warning is given.
        """
        memory_threshold = check.fraction("memory_threshold", memory_threshold)
        disk_threshold = check.fraction("disk_threshold", disk_threshold)
        have = self.availability
        if have is None:
            return
        for what, needed, ratio, available, threshold in (
            ("memory", self.total_memory_required, self.memory_ratio, have.memory_available, memory_threshold),
            ("disk", self.total_disk_required, self.disk_ratio, have.disk_available, disk_threshold),
        ):
            text = (
                f"The run needs {human_readable_size(needed)} of {what}; {human_readable_size(available)} are available"
            )
            if ratio > 1:
                self.errors.append(f"{text}.")
            elif ratio > threshold:
                self.warnings.append(f"{text} ({ratio:.0%} will be used).")

    def format_report(self, verbose: bool = True) -> str:
        """The plan for people.

        Parameters
        ----------
        verbose
            Whether to list stages and fields.
        """
        return plan_report(self, verbose=check.boolean("verbose", verbose))

    def to_dict(self) -> dict[str, Any]:
        """The plan for programs: numbers and text only, ready for JSON."""
        have = self.availability
        allocations: dict[str, list[dict[str, Any]]] = {"memory": [], "disk": []}
        for item in self.requirements:
            entry: dict[str, Any] = {"name": item.name, "bytes": item.size_bytes, "human": item.size_human}
            entry |= {"shape": list(item.shape)} if item.shape else {}
            entry |= {"field": item.field_name, "overwrite": item.overwrite} if item.field_name else {}
            allocations[item.resource_type].append(entry)
        result: dict[str, Any] = {
            "feasible": self.is_feasible,
            "status": self.status,
            "analysis_type": self.analysis_type,
            "cells": dict(self.n_cells),
            "genes": self.n_genes,
            "null_genes": self.n_null_genes,
            "landmarks": self.n_landmarks,
            "features": self.n_features,
            "seconds": None if math.isnan(self.seconds) else round(self.seconds, 2),
            "peak_memory_bytes": self.peak_memory,
            "stages": [
                {
                    "name": stage.name,
                    "seconds": None if math.isnan(stage.seconds) else round(stage.seconds, 3),
                    "peak_bytes": stage.peak_bytes,
                }
                for stage in self.stages
            ],
            "memory": _resource(
                self.total_memory_required, self._have("memory"), self.memory_ratio, allocations["memory"]
            ),
            "disk": _resource(self.total_disk_required, self._have("disk"), self.disk_ratio, allocations["disk"]),
        }
        if have is not None:
            result["disk"]["path"] = have.disk_path
        for name in ("output_fields", "overwritten", "info", "warnings", "errors", "advice"):
            if getattr(self, name):
                result[name] = getattr(self, name)
        return result

    def __str__(self) -> str:
        return self.format_report()

    def __repr__(self) -> str:
        return (
            f"ResourcePlan(analysis_type={self.analysis_type!r}, status={self.status!r}, "
            f"memory={human_readable_size(self.total_memory_required)!r}, seconds={self.seconds:.1f})"
        )


def _ratio(needed: int, available: int | None) -> float:
    if not available:
        return math.inf if needed else 0.0
    return needed / available


def _resource(needed: int, available: int | None, ratio: float, allocations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "total_bytes": needed,
        "total_human": human_readable_size(needed),
        "available_bytes": available,
        "available_human": None if available is None else human_readable_size(available),
        "ratio": None if math.isinf(ratio) else round(ratio, 4),
        "allocations": allocations,
    }
