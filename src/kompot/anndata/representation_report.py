"""`kompot.check_underrepresentation`: which groups have too few cells of a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot import _checks as check
from kompot import errors
from kompot._typing import Bools
from kompot.anndata.arguments import require_anndata
from kompot.anndata.cell_filter import REPORT_KEY
from kompot.anndata.extract import label_column, plain_label
from kompot.anndata.groups import parse_groups
from kompot.anndata.representation import Counts, count_cells, description, underrepresented
from kompot.anndata.run_text import aligned_lines
from kompot.anndata.show import show


class RepresentationReport(dict[str, Any]):
    """What `check_underrepresentation` found; as `cell_filter` it leaves out the groups that it names.

    Attributes
    ----------
    masks
        Cells of each group, n_cells each.
    counts
        Number of cells of each condition in each group.
    column
        Column of `adata.obs` with the groups; None if they were given in another form.
    """

    def __init__(
        self,
        found: Mapping[str, list[Any]],
        names: Mapping[str, Any],
        masks: dict[str, Bools],
        counts: Counts,
        column: str | None,
    ) -> None:
        super().__init__({REPORT_KEY: dict(found), **names})
        self.masks, self.counts, self.column = masks, counts, column

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
        Labels to check; None for all in the column.
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
        nothing. Pass it as `FilterSettings(cell_filter=...)` to leave out the cells of the groups found.

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
    masks = parse_groups(adata, groups)
    counts = count_cells(masks, _condition_masks(adata, groupby, conditions))
    found = underrepresented(masks, counts, min_cells=min_cells, min_percentage=min_percentage)
    column = groups if isinstance(groups, str) else None
    report = RepresentationReport(found, _group_names(groups, masks), masks, counts, column)
    if warn and found:
        _warn(found, counts, min_cells, min_percentage)
    if print_summary:
        show(summary_text(report, groupby))
    return report


def _condition_masks(adata: AnnData, groupby: str, conditions: Sequence[Any] | None) -> dict[Any, Bools]:
    column = label_column(adata, groupby, "groupby")
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    known = [plain_label(value) for value in (column.cat.categories if categorical else pd.unique(column.dropna()))]
    if isinstance(conditions, str):
        raise TypeError(f"conditions must be a list of labels, came {conditions!r}; write [{conditions!r}].")
    wanted = known if conditions is None else [plain_label(label) for label in conditions]
    for label in wanted:
        if label not in known:
            raise ValueError(
                f"conditions: {label!r} does not occur in adata.obs[{groupby!r}].{check.nearest(label, known)} There "
                f"are: {check.listed(known)}."
            )
    return {label: np.asarray(column == label, dtype=np.bool_) for label in wanted}


def _group_names(groups: Any, masks: Mapping[str, Bools]) -> dict[str, Any]:
    """The entry that lists all groups, under the name it is expected by."""
    if isinstance(groups, str):
        return {groups: list(masks)}
    if isinstance(groups, Mapping):
        return {str(next(iter(groups))): list(masks)} if groups else {}
    return {"selection": list(masks)} if isinstance(groups, pd.Series | np.ndarray) else {}


def _warn(found: Mapping[str, list[Any]], counts: Counts, min_cells: int, min_percentage: float | None) -> None:
    rule = f"fewer than {min_cells} cells"
    if min_percentage is not None:
        rule += f" or less than {min_percentage:g} % of the group"
    errors.warn(
        f"Too few cells ({rule}) in {description(found, counts)}. To leave these groups out, pass the result as "
        f"FilterSettings(cell_filter=...).",
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
    bad = report[REPORT_KEY]
    advice = (
        "To leave these groups out, pass this result as FilterSettings(cell_filter=...)."
        if bad
        else "Every condition has enough cells in every group."
    )
    return "\n".join([f"Cells of each {groupby} in {len(report.masks)} groups", *aligned_lines(rows), advice])
