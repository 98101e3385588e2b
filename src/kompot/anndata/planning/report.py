"""A resource plan as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kompot.anndata.run_text import aligned_lines
from kompot.anndata.show import show

if TYPE_CHECKING:
    from kompot.anndata.planning.resource_plan import ResourcePlan

_TITLES = {"de": "differential expression", "da": "differential abundance", "smooth": "smoothed expression"}
_STATUS = {
    "ok": "Feasible.",
    "warnings": "Feasible, with warnings.",
    "infeasible": "NOT FEASIBLE as asked for.",
}
_MINUTE, _HOUR = 60.0, 3600.0


def human_readable_size(n_bytes: float) -> str:
    """Bytes in units of 1024, two decimals.

    Examples
    --------
    >>> human_readable_size(512), human_readable_size(3 * 1024**3)
    ('512.00 B', '3.00 GB')
    """
    size, unit = float(n_bytes), "B"
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if abs(size) < 1024 or unit == "PB":
            break
        size /= 1024
    return f"{size:.2f} {unit}"


def human_readable_time(seconds: float) -> str:
    """Seconds for people.

    Examples
    --------
    >>> human_readable_time(0.31), human_readable_time(75), human_readable_time(9000)
    ('0.3 s', '1.2 min', '2.5 h')
    """
    if math.isnan(seconds):
        return "unknown"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    return f"{seconds / _MINUTE:.1f} min" if seconds < _HOUR else f"{seconds / _HOUR:.1f} h"


def plan_report(plan: ResourcePlan, *, verbose: bool) -> str:
    """The plan, section by section."""
    lines = [f"Resource plan: {_TITLES[plan.analysis_type]} (kompot.{_function(plan)}, dry run: nothing was computed)"]
    lines += ["", *aligned_lines(_facts(plan))]
    if verbose:
        lines += ["", "Stages", *aligned_lines(_stages(plan))]
        lines += ["", "Memory and disk", *aligned_lines(_requirements(plan))]
        lines += ["", "Fields that will be written", *aligned_lines(_fields(plan))]
    for title, texts in (
        ("Info", plan.info),
        ("Warnings", plan.warnings),
        ("Errors", plan.errors),
        ("What to change", plan.advice),
    ):
        lines += ["", title, *(f"  - {text}" for text in texts)] if texts else []
    return "\n".join([*lines, "", _STATUS[plan.status]])


def _function(plan: ResourcePlan) -> str:
    return "smooth_expression" if plan.analysis_type == "smooth" else plan.analysis_type


def _facts(plan: ResourcePlan) -> list[tuple[str, str]]:
    genes = f"{plan.n_genes:,}" + (f" and {plan.n_null_genes:,} null genes" if plan.n_null_genes else "")
    have = plan.availability
    facts = {
        "Cells": ", ".join(f"{count:,} {name}" for name, count in plan.n_cells.items()),
        "Genes": "" if plan.analysis_type == "da" else genes,
        "Features": f"about {plan.n_features:,} from {plan.n_landmarks:,} landmarks" if plan.n_features else "",
        "Length scale": "" if plan.length_scale is None else f"{plan.length_scale:.4g}",
        "Time": f"about {human_readable_time(plan.seconds)}",
        "Memory": f"{human_readable_size(plan.total_memory_required)} at the highest point, beside "
        f"{human_readable_size(plan.memory_in_use)} in use",
        "Disk": human_readable_size(plan.total_disk_required) if plan.total_disk_required else "none",
    }
    if have is not None:
        facts["Available memory"] = f"{have.memory_available_human} of {have.memory_total_human}"
        facts["Available memory"] += f"; {plan.memory_ratio:.0%} will be used"
        facts["Available disk"] = f"{have.disk_available_human} in {have.disk_path}"
    return [(name, text) for name, text in facts.items() if text]


def _stages(plan: ResourcePlan) -> list[tuple[str, str, str]]:
    rows = [("", "time", "highest memory")]
    rows += [
        (stage.name, human_readable_time(stage.seconds), human_readable_size(stage.peak_bytes)) for stage in plan.stages
    ]
    return rows


def _requirements(plan: ResourcePlan) -> list[tuple[str, str, str, str]]:
    return [
        (
            item.name,
            " x ".join(f"{size:,}" for size in item.shape) if item.shape else "",
            item.size_human,
            item.resource_type,
        )
        for item in plan.requirements
    ]


def _fields(plan: ResourcePlan) -> list[tuple[str, str, str]]:
    rows = []
    for place, names in plan.output_fields.items():
        for name in names:
            by = plan.overwritten.get(f"{place}:{name}")
            rows.append((place, name, "" if by is None else f"replaces {by}"))
    return rows


def shown(plan: ResourcePlan) -> ResourcePlan:
    """The plan, printed."""
    show(plan.format_report())
    return plan
