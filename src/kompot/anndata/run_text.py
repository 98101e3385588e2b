"""Runs and comparisons of runs as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kompot.anndata.run_facts import run_facts, run_title, status_of, value_text

if TYPE_CHECKING:
    from kompot.anndata.run_comparison import RunComparison
    from kompot.anndata.run_info import RunInfo


def aligned_lines(rows: Iterable[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows of text with columns aligned.

    Examples
    --------
    >>> aligned_lines([("a", "1"), ("longer", "2")])
    ['  a       1', '  longer  2']
    """
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in table
    ]


def run_text(run: RunInfo) -> str:
    """What `print(run)` shows: the facts, and the fields with their state."""
    fields = [(item.place, item.name, status_of(item, run.adjusted_run_id)) for item in run.fields]
    lines = [run_title(run), *aligned_lines(run_facts(run))]
    return "\n".join(lines + (["  Written:", *aligned_lines(fields, "    ")] if fields else []))


def comparison_text(comparison: RunComparison) -> str:
    """What `print(comparison)` shows: facts side by side, then parameters and fields that differ."""
    first, second = comparison.run1, comparison.run2
    facts1, facts2 = dict(run_facts(first)), dict(run_facts(second))
    labels = dict.fromkeys([*facts1, *facts2])
    rows = [("", f"run {first.adjusted_run_id}", f"run {second.adjusted_run_id}")]
    rows += [(label, facts1.get(label, "-"), facts2.get(label, "-")) for label in labels]
    lines = [f"Runs {first.adjusted_run_id} and {second.adjusted_run_id} ({comparison.analysis_type.upper()})"]
    lines += aligned_lines(rows)
    different = [(name, value_text(one), value_text(two)) for name, one, two in comparison.differences]
    lines += [f"  Parameters that differ: {len(different)}", *aligned_lines(different, "    ")]
    totals = comparison.field_comparison["totals"]
    lines.append(
        f"  Fields: {totals['same']} of the same name, {totals['only_in_run1']} only in run {first.adjusted_run_id}, "
        f"{totals['only_in_run2']} only in run {second.adjusted_run_id}"
    )
    return "\n".join(lines)
