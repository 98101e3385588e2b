"""`kompot.check_underrepresentation`: which groups have too few cells of a condition."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot import errors
from kompot._typing import Bools
from kompot.anndata.arguments import require_anndata
from kompot.anndata.cell_filter import REPORT_KEY
from kompot.anndata.extract import condition_label, different_labels, label_column, plain_label
from kompot.anndata.groups import parse_groups
from kompot.anndata.representation import Counts, count_cells, description, underrepresented
from kompot.anndata.run_text import aligned_lines
from kompot.anndata.selectors import counted_text, labelled, positions
from kompot.anndata.show import show

_ADVICE = "To leave out groups with too few cells, pass the result as FilterSettings(cell_filter=...)."


class RepresentationReport(dict[str, Any]):
    """What `check_underrepresentation` found; as `cell_filter` it leaves out the groups that it names.

    It finds the cells of these groups by their names, so that the object may have its cells in another order or be a
    part of the one that was checked. In an object with other cells it goes by the column of the groups.

    Attributes
    ----------
    masks
        Cells of each group, n_cells each.
    obs_names
        Names of these cells, n_cells.
    counts
        Number of cells of each condition in each group.
    column
        Column of `adata.obs` with the groups; None if they were given in another form.
    min_cells, min_percentage
        What was asked for.
    """

    def __init__(
        self,
        found: Mapping[str, list[Any]],
        names: Mapping[str, Any],
        masks: dict[str, Bools],
        obs_names: pd.Index[str],
        counts: Counts,
        column: str | None,
        *,
        min_cells: int,
        min_percentage: float | None,
    ) -> None:
        super().__init__({REPORT_KEY: dict(found), **names})
        self.masks, self.obs_names, self.counts, self.column = masks, obs_names, counts, column
        self.min_cells, self.min_percentage = min_cells, min_percentage

    def copy(self) -> RepresentationReport:
        """A shallow copy that still knows the cells of the groups, as `dict.copy` would not."""
        return copy.copy(self)

    def masks_in(self, adata: AnnData) -> dict[str, Bools]:
        """Cells of each group in an object, by their names, or else by the column of the groups.

        Parameters
        ----------
        adata
            The object that was checked, in any order of the cells, a part of it, or another with the same column.

        Returns
        -------
        dict[str, Bools]
            n_cells of that object each; empty if neither tells.
        """
        require_anndata(adata)
        order = positions(adata, self.obs_names)
        if order is not None:
            return {group: mask[order] for group, mask in self.masks.items()}
        return parse_groups(adata, self.column) if self.column in adata.obs.columns else {}

    def table(self) -> pd.DataFrame:
        """One row per group and condition: `group`, `condition`, `cells`, `percentage` (of the group), `is_enough`."""
        rows = [
            (group, condition, count, 100.0 * count / max(int(self.masks[group].sum()), 1))
            for group, counts in self.counts.items()
            for condition, count in counts.items()
        ]
        table = pd.DataFrame(rows, columns=pd.Index(["group", "condition", "cells", "percentage"]))
        bad = self[REPORT_KEY]
        table["is_enough"] = [row[1] not in bad.get(row[0], []) for row in rows]
        return table


def check_underrepresentation(
    adata: AnnData,
    groupby: str,
    groups: Any,
    conditions: Sequence[Any] | None = None,
    min_cells: int = 30,
    min_percentage: float | None = None,
    warn: bool = True,
    print_summary: bool = False,
) -> RepresentationReport:
    """Check whether any condition has too few cells in any group.

    Parameters
    ----------
    adata
        The object.
    groupby
        Column of `adata.obs` with the conditions.
    groups
        As `FilterSettings.groups`: the name of a column, a dictionary of names to masks, indices or values, a list, a
        Series or an array.
    conditions
        Labels to check; None for all in the column. A label that does not occur has no cells in any group, as long as
        another one does occur.
    min_cells
        Fewest cells of each condition in each group.
    min_percentage
        Smallest percentage of a group's cells that each condition must have; None for no such rule.
    warn
        Give a warning that names the groups found.
    print_summary
        Print a table of counts and percentages.

    Returns
    -------
    RepresentationReport
        A dictionary: `"__underrepresentation_data"` maps groups to the conditions they lack; one more entry, named
        after the column (or the first key of a dictionary, or "selection"), lists all groups. Empty groups lack
        nothing. Pass it as `FilterSettings(cell_filter=...)` to leave out the cells of the groups found; its `copy()`
        will do, a plain dictionary of its items only for groups of a column.

    Raises
    ------
    ValueError, TypeError
        For unknown columns, conditions and groups that cannot be understood.

    Examples
    --------
    >>> import kompot
    >>> adata = kompot.datasets.simulate(n_cells=200, n_genes=20, seed=1)
    >>> report = check_underrepresentation(adata, "condition", "cell_type", min_cells=20, warn=False)
    >>> report["__underrepresentation_data"]
    {'Stem': ['Young'], 'Branch A': ['Old'], 'Branch B': ['Young']}
    >>> list(report.table())
    ['group', 'condition', 'cells', 'percentage', 'is_enough']
    """
    require_anndata(adata)
    min_cells = check.non_negative_int("min_cells", min_cells)
    min_percentage = None if min_percentage is None else check.percentage("min_percentage", min_percentage)
    check.boolean("warn", warn)
    check.boolean("print_summary", print_summary)
    groups = check.read_once(groups)
    masks = parse_groups(adata, groups)
    counts = count_cells(masks, _condition_masks(adata, groupby, conditions))
    found = underrepresented(masks, counts, min_cells=min_cells, min_percentage=min_percentage)
    column = groups if isinstance(groups, str) else None
    report = RepresentationReport(
        found,
        _group_names(groups, masks),
        masks,
        adata.obs_names,
        counts,
        column,
        min_cells=min_cells,
        min_percentage=min_percentage,
    )
    if warn and found:
        _warn(report)
    if print_summary:
        show(summary_text(report, groupby))
    return report


def _condition_masks(adata: AnnData, groupby: str, conditions: Sequence[Any] | None) -> dict[Any, Bools]:
    column = label_column(adata, groupby, "groupby")
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    known = list(map(plain_label, column.cat.categories)) if categorical else different_labels(column)
    if isinstance(conditions, str):
        raise TypeError(
            f"conditions must be a list of labels, came {check.brief(conditions)}; write [{check.brief(conditions)}]."
        )
    given = [] if conditions is None else check.items("conditions", conditions, "labels")
    wanted = known if conditions is None else [condition_label("Each of conditions", label) for label in given]
    if conditions is not None and not any(label in known for label in wanted):
        raise ValueError(
            f"conditions: needed at least one label that occurs in adata.obs[{groupby!r}], came "
            f"{check.listed(map(check.brief, wanted))}.{check.nearest(wanted[0], known) if wanted else ''} There is: "
            f"{check.listed(map(check.brief, known))}."
        )
    return {label: labelled(column, label) for label in wanted}


def _group_names(groups: Any, masks: Mapping[str, Bools]) -> dict[str, Any]:
    """The entry that lists all groups, under the name it is expected by."""
    if isinstance(groups, str):
        return {groups: list(masks)}
    if isinstance(groups, Mapping):
        return {str(next(iter(groups))): list(masks)} if groups else {}
    return {} if isinstance(groups, list | tuple) else {"selection": list(masks)}


def _rule(report: RepresentationReport) -> str:
    """Which cells are too few."""
    few = f"fewer than {counted_text(report.min_cells, 'cell')}"
    return few if report.min_percentage is None else f"{few} or less than {report.min_percentage:g} % of the group"


def _warn(report: RepresentationReport) -> None:
    errors.warn(
        f"Too few cells ({_rule(report)}) in {description(report[REPORT_KEY], report.counts)}. {_ADVICE}",
        errors.RepresentationWarning,
    )


def summary_text(report: RepresentationReport, groupby: str) -> str:
    """What `print_summary` shows: a line per group and condition, then what to do."""
    table = report.table()
    rows = [("group", groupby, "cells", "% of group", "")]
    for row in table.to_dict("records"):
        status = "" if row["is_enough"] else "too few"
        count, percentage = f"{row['cells']:,}", f"{row['percentage']:.1f}"
        rows.append((str(row["group"]), str(row["condition"]), count, percentage, status))
    title = f"Cells of each {groupby} in {counted_text(len(report.masks), 'group')}; too few: {_rule(report)}"
    advice = _ADVICE if report[REPORT_KEY] else "Every condition has enough cells in every group."
    return "\n".join([title, *aligned_lines(rows), advice])
