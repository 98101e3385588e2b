"""Runs and comparisons of runs as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from kompot.anndata.run_facts import compared_facts, run_facts, run_title, shortened, status_of, value_text

if TYPE_CHECKING:
    from kompot.anndata.run_comparison import RunComparison
    from kompot.anndata.run_info import RunInfo

_WIDTH = 120
_GAP = "  "
_MOST_LINES = 3


def aligned_lines(rows: Iterable[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows of text with columns aligned.

    Examples
    --------
    >>> aligned_lines([("a", "1"), ("longer", "2")])
    ['  a       1', '  longer  2']
    """
    table = [tuple(row) for row in rows]
    widths = _widths(table)
    return [
        (indent + _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in table
    ]


def _widths(table: Iterable[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*table, strict=True)]


def wrapped_lines(rows: Iterable[Sequence[str]], indent: str = "  ", width: int = _WIDTH) -> list[str]:
    """The same in a given width: long text goes on in the next lines, with an ellipsis if there are too many.

    Examples
    --------
    >>> wrapped_lines([("a", "one two three"), ("b", "four")], width=14)
    ['  a  one two', '     three', '  b  four']
    """
    table = [tuple(row) for row in rows]
    natural = _widths(table)
    limits = column_limits(natural, width - len(indent) - len(_GAP) * (len(natural) - 1))
    broken = [[_cell_lines(cell, limit) for cell, limit in zip(row, limits, strict=True)] for row in table]
    return aligned_lines((line for cells in broken for line in zip_longest(*cells, fillvalue="")), indent)


def column_limits(widths: Sequence[int], available: int) -> list[int]:
    """Widths that fit: narrow columns keep theirs, wide ones share what is left evenly.

    Examples
    --------
    >>> column_limits([10, 300, 40], 100)
    [10, 50, 40]
    """
    limits = dict.fromkeys(range(len(widths)), 0)
    for n_before, column in enumerate(sorted(limits, key=lambda column: widths[column])):
        limits[column] = min(widths[column], available // (len(widths) - n_before))
        available -= limits[column]
    return list(limits.values())


def _cell_lines(text: str, width: int) -> list[str]:
    rest = " ".join(text.split())
    # Hyphens are no place to break: 5.2e-07, names of conditions.
    lines = textwrap.wrap(rest, max(width, 1), break_on_hyphens=False) or [""]
    if len(lines) <= _MOST_LINES:
        return lines
    for line in lines[: _MOST_LINES - 1]:
        rest = rest[len(line) :].lstrip()
    return [*lines[: _MOST_LINES - 1], shortened(rest, width)]


def run_text(run: RunInfo) -> str:
    """What `print(run)` shows: the facts, and the fields with their state."""
    # Names of fields are written out in full: they are there to be copied.
    fields = [(item.place, item.name, status_of(item)) for item in run.fields]
    lines = [run_title(run), *wrapped_lines(run_facts(run))]
    return "\n".join(lines + (["  Written:", *aligned_lines(fields, "    ")] if fields else []))


def comparison_text(comparison: RunComparison) -> str:
    """What `print(comparison)` shows: facts side by side, then parameters and fields that differ."""
    first, second = comparison.run1, comparison.run2
    header = ("", f"run {first.adjusted_run_id}", f"run {second.adjusted_run_id}")
    lines = [f"Runs {first.adjusted_run_id} and {second.adjusted_run_id} ({comparison.analysis_type.upper()})"]
    lines += wrapped_lines([header, *compared_facts(first, second)])
    different = [(name, value_text(one), value_text(two)) for name, one, two in comparison.differences]
    lines += [f"  Parameters that differ: {len(different)}", *wrapped_lines(different, "    ")]
    totals = comparison.field_comparison["totals"]
    lines.append(
        f"  Fields: {totals['same']} of the same name, {totals['only_in_run1']} only in run {first.adjusted_run_id}, "
        f"{totals['only_in_run2']} only in run {second.adjusted_run_id}"
    )
    return "\n".join(lines)
