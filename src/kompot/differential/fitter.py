"""Fits any genes of the same cells: one pass over the cells, two with empirical variance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kompot.differential.fit import ConditionFit, TwoConditionFit
from kompot.differential.groups import CellGroups
from kompot.gp.features import FeatureTable
from kompot.gp.moments import Moment, accumulate, total
from kompot.gp.regression import Posterior, fit_posterior
from kompot.gp.rows import RowSource
from kompot.stats.empirical_variance import fit_empirical_variances
from kompot.stats.sample_variance import between_samples

Track = Callable[[float], object]


def share_of(track: Track | None, share: float) -> Track | None:
    """A callback that counts only a share of the cells, for work that is one of several parts."""
    return None if track is None else lambda n: track(n * share)


@dataclass(frozen=True)
class Fitter:
    """Fits any genes of the same cells."""

    cells: FeatureTable
    """All cells with their features."""
    groups: CellGroups
    """Which cells are fitted together."""
    sigma: float
    """Noise standard deviation."""
    mu: float
    """Prior mean."""
    eps: float
    """Smallest noise variance."""
    use_empirical_variance: bool = False
    """Whether to estimate the noise variance from the residuals, in a second pass."""
    borrow: bool = False
    """Whether one condition's variance between samples may serve for both."""
    batch_size: int | None = None
    """Rows per chunk; None lets the engine choose."""

    def fit(self, Y: RowSource, *, like: TwoConditionFit | None = None, track: Track | None = None) -> TwoConditionFit:
        """Fit genes.

        Parameters
        ----------
        Y
            Expression of all cells, n_cells x n_genes.
        like
            Fit of other genes of the same cells, whose Gram matrices are taken over.
        track
            Called with the number of cells done after each chunk.

        Returns
        -------
        TwoConditionFit
            Of these genes.
        """
        known = None if like is None else [moment for fit in like.conditions for moment in fit.moments]
        moments = accumulate(
            self.cells,
            Y,
            self.groups.codes,
            sum(self.groups.n_groups),
            like=known,
            batch_size=self.batch_size,
            track=track,
        )
        return self.finish(moments, Y, track)

    def finish(self, moments: Sequence[Moment], Y: RowSource | None, track: Track | None = None) -> TwoConditionFit:
        """The fit from the moments of all groups; expression is needed again for the empirical variance only."""
        fits, parts = [], []
        for code in (0, 1):
            mine = tuple(moments[self.groups.of_condition(code)])
            pooled = fit_posterior(total(mine), sigma=self.sigma, mu=self.mu)
            each = [self._posterior(moment) for moment in mine] if self.groups.n_samples[code] else [pooled]
            n_samples = self.groups.n_samples[code]
            between = between_samples(each[:n_samples]) if n_samples > 1 else None
            fits.append(ConditionFit(pooled, mine, between))
            # Cells of a skipped sample have no fit of their own that could predict them: the pooled one does.
            parts.append([*each[:n_samples], *[pooled] * (len(mine) - n_samples)])
        if self.use_empirical_variance and Y is not None:
            fits = self._with_empirical_variance(fits, parts, Y, track)
        return TwoConditionFit(self.cells.features, (fits[0], fits[1]), self.borrow)

    def _posterior(self, moment: Moment) -> Posterior:
        return fit_posterior(moment, sigma=self.sigma, mu=self.mu)

    def _with_empirical_variance(
        self, fits: list[ConditionFit], parts: list[list[Posterior]], Y: RowSource, track: Track | None
    ) -> list[ConditionFit]:
        empirical = fit_empirical_variances(
            [fit.posterior for fit in fits],
            parts,
            self.cells,
            Y,
            self.groups.codes,
            eps=self.eps,
            batch_size=self.batch_size,
            track=track,
        )
        return [replace(fit, empirical=part) for fit, part in zip(fits, empirical, strict=True)]
