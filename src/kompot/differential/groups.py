"""Which cells are fitted together."""

from __future__ import annotations

from dataclasses import dataclass

from kompot._typing import Ints


@dataclass(frozen=True)
class CellGroups:
    """Which cells are fitted together: the biological samples of both conditions, or the conditions."""

    codes: Ints
    """Group of each cell, -1 for cells left out; n_cells. Groups of condition 1 come first."""
    n_groups: tuple[int, int]
    """Number of groups of condition 1 and 2."""
    n_samples: tuple[int, int]
    """How many of them, the first ones, are biological samples."""

    def of_condition(self, code: int) -> slice:
        """Which groups are those of a condition."""
        return slice(0, self.n_groups[0]) if code == 0 else slice(self.n_groups[0], sum(self.n_groups))
