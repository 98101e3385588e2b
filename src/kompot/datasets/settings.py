"""The biology of a simulated data set: how strong each effect and each source of noise is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kompot import _checks as check


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """Strengths of the effects and of the noise in `simulate`.

    All log quantities are natural logarithms.

    Examples
    --------
    >>> from kompot.datasets import SimulationSettings
    >>> SimulationSettings(effect_size=1.2).donor_sd
    0.1
    """

    n_de_global: int | None = None
    """Genes that differ between the conditions in all cells; None means 4 % of the genes, at least one."""

    n_de_branch: int | None = None
    """Genes that differ only in branch B; None means 4 % of the genes, at least one."""

    effect_size: float = 0.7
    """Typical absolute log fold change of a true DE gene; single genes have half to one and a half of it."""

    abundance_log_odds: float = 1.0
    """Log abundance ratio (condition 2 over 1) at the end of branch B that the choice of branch adds; branch
    A gets the negative of it."""

    pseudotime_shift: float = 0.5
    """Log abundance ratio that builds up from pseudotime 0 to 1; above 0, condition 2 is more mature."""

    donor_sd: float = 0.1
    """Standard deviation, over donors, of a gene's log mean."""

    donor_log_odds_sd: float = 0.1
    """Standard deviation, over donors, of the log odds of branch B and of the slope of log abundance along
    pseudotime."""

    fraction_condition2: float = 0.5
    """Share of the cells that belong to the second condition, between 0 and 1 (both excluded)."""

    depth: float | None = None
    """Counts of an average cell; None means two per gene, at most 2,000."""

    size_factor_sd: float = 0.3
    """Standard deviation of the log of a cell's size factor (its median is 1)."""

    dispersion: float = 0.2
    """Median over genes of the dispersion, in ``variance = mean + dispersion * mean²``; 0 gives Poisson."""

    def __post_init__(self) -> None:
        for name in ("effect_size", "donor_sd", "donor_log_odds_sd", "size_factor_sd", "dispersion"):
            _require(self._number(name) >= 0, name, "0 or more", getattr(self, name))
        for name in ("abundance_log_odds", "pseudotime_shift"):
            _require(math.isfinite(self._number(name)), name, "a finite number", getattr(self, name))
        for name in ("n_de_global", "n_de_branch"):
            count = getattr(self, name)
            wanted = "None or a number of genes, 0 or more"
            _require(count is None or check.integer(name, count) >= 0, name, wanted, count)
        fraction = self._number("fraction_condition2")
        _require(0 < fraction < 1, "fraction_condition2", "between 0 and 1, both excluded", fraction)
        _require(self.depth is None or self._number("depth") > 0, "depth", "None or above 0", self.depth)

    def _number(self, name: str) -> float:
        return check.real_number(name, getattr(self, name))

    def de_counts(self, n_genes: int) -> tuple[int, int]:
        """Return the number of genes that differ everywhere and of those that differ in branch B only."""
        default = max(1, round(0.04 * n_genes))
        n_global = default if self.n_de_global is None else self.n_de_global
        return n_global, default if self.n_de_branch is None else self.n_de_branch

    def mean_depth(self, n_genes: int) -> float:
        """Return the expected counts of an average cell."""
        return min(2000.0, 2.0 * n_genes) if self.depth is None else self.depth


def _require(holds: bool, name: str, needed: str, value: float | None) -> None:
    if not holds or value == math.inf:
        raise ValueError(f"{name} must be {needed}; came {check.brief(value)}. Change SimulationSettings({name}=...).")
