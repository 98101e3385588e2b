"""Differential abundance between two conditions on plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._callables import called
from kompot._typing import Float64, Ints
from kompot.differential.condition_density import ConditionDensity, DensityValues, InjectedDensity, finite_vector
from kompot.differential.fit_densities import FittedConditions, condition_masks, fit_conditions
from kompot.differential.fitter import Track
from kompot.differential.result import AbundanceChange
from kompot.differential.samples import SampleMasks, joined_samples, require_both, sample_masks
from kompot.errors import OffsetWarning, warn
from kompot.gp.features import FeatureTable
from kompot.gp.length_scale import given_distances
from kompot.gp.parameters import DensityParameters, density_parameters
from kompot.gp.refit import all_or_nothing
from kompot.stats.abundance import change_statistics
from kompot.stats.offset import label_offset, offset_standard_error

_NOTABLE_OFFSET = 0.1
# In units of its standard error. Of random halves of one population 0 to 3 % exceed it; of parts at 10:1 57 to 88 %
# where the smaller has 11 cells, 17 to 55 % where it has 36, and 95 to 100 % from 100 cells on.
_BEYOND_CHANCE = 2.5
# Numbers of cells make a constant of 0.2 to 0.5 times the logarithm of their ratio: less than 0.1 below this ratio.
_UNEQUAL = 1.2


class DifferentialAbundance:
    """Compares the density of two conditions over the landscape of cell states.

    Each condition's log density is a Gaussian process under the nearest-neighbour likelihood (`kompot.gp.density`).
    The log fold change at a cell state is the difference of the normalised log densities; its variance is the sum of
    their Laplace variances and, with samples, of the variances between samples.

    Parameters
    ----------
    sync_parameters
        Estimate `d`, `mu` and `ls` once for both conditions. Apart, a difference of 0.03 in `d` alone shifts the fold
        changes of identical populations by up to 0.09.
    calibrate_offset
        Remove the constant by which the two densities are off (`kompot.stats.offset`).
    eps
        Added to variances before roots are taken.
    **parameters
        Those of `kompot.DensityEstimator`; `ls_factor` is 10 if not given.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X1, X2 = rng.normal(size=(400, 2)), rng.normal(loc=[1.0, 0.0], size=(400, 2))
    >>> da = DifferentialAbundance().fit(X1, X2)
    >>> lfc = da.predict(np.array([[-1.0, 0.0], [2.0, 0.0]])).lfc
    >>> bool(lfc[0] < 0 < lfc[1])
    True
    """

    def __init__(
        self, *, sync_parameters: bool = True, calibrate_offset: bool = True, eps: float = 1e-8, **parameters: Any
    ) -> None:
        self.sync_parameters = check.boolean("sync_parameters", sync_parameters)
        self.calibrate_offset = check.boolean("calibrate_offset", calibrate_offset)
        self.eps = check.positive_float("eps", eps)
        self.parameters = density_parameters(
            {"ls_factor": 10.0, **parameters}, "DifferentialAbundance", ("sync_parameters", "calibrate_offset", "eps")
        )
        self.offset = 0.0
        self.fits: list[FittedConditions] = []
        self.skipped_samples: list[Any] = []
        self._densities: list[ConditionDensity] = []
        self._tables: list[FeatureTable] = []
        self._n_dims = 0
        self._borrow = False
        self._between_predictors: tuple[Any, Any] = (None, None)

    @classmethod
    def from_parameters(
        cls, parameters: DensityParameters, *, sync_parameters: bool, calibrate_offset: bool, eps: float
    ) -> DifferentialAbundance:
        """An analysis with parameters that are checked already."""
        analysis = cls(sync_parameters=sync_parameters, calibrate_offset=calibrate_offset, eps=eps)
        analysis.parameters = parameters
        return analysis

    @property
    def landmarks(self) -> Float64 | None:
        """Inducing points of the first condition fitted, m x n_dims; None where all predictors were given."""
        return self.fits[0].cells.features.landmarks if self.fits else None

    def fit(self, X1: Any, X2: Any, samples1: Any = None, samples2: Any = None) -> DifferentialAbundance:
        """Fit both conditions.

        Parameters
        ----------
        X1, X2
            Cell states of condition 1 and 2, n_cells x n_dims, at least two cells each.
        samples1, samples2
            Biological sample of each cell, n_cells; with them the variance between samples counts.

        Returns
        -------
        DifferentialAbundance
            Itself, fitted.
        """
        X1 = check.coordinates("X1", X1)
        X2 = check.coordinates("X2", X2, X1.shape[1])
        if min(len(X1), len(X2)) < 2:
            raise ValueError(f"Each condition needs at least 2 cells, came {len(X1)} and {len(X2)}.")
        condition = np.repeat([0, 1], [len(X1), len(X2)])
        return self.fit_cells(np.vstack([X1, X2]), condition, joined_samples(samples1, samples2, (len(X1), len(X2))))

    @all_or_nothing
    def fit_cells(
        self,
        X: Float64,
        condition: Ints,
        samples: Any = None,
        *,
        predictors: tuple[Any, Any] = (None, None),
        variance_predictors: tuple[Any, Any] = (None, None),
        allow_single_condition_variance: bool = False,
        track: Track | None = None,
    ) -> DifferentialAbundance:
        """Fit cells of both conditions that lie in one matrix in any order.

        Parameters
        ----------
        X
            Cell states, n_cells x n_dims.
        condition
            0 or 1 for each cell; -1 for cells to leave out.
        samples
            Biological sample of each cell, n_cells, if the variance between samples shall count.
        predictors
            Density predictors to use instead of fitting, per condition.
        variance_predictors
            Predictors `(X, diag=True)` of the variance between samples, per condition.
        allow_single_condition_variance
            Let one condition's variance between samples serve for both where the other has too few samples.
        track
            Called with the number of cells done after each density, in proportion where samples have their own.

        Returns
        -------
        DifferentialAbundance
            Itself, fitted.
        """
        masks = [sample_masks(samples, condition == code, X) for code in (0, 1)]
        if samples is not None:
            _check_samples(masks, predictors, variance_predictors, borrow=allow_single_condition_variance)
        densities: dict[int, ConditionDensity] = {
            c: InjectedDensity(predictor) for c, predictor in enumerate(predictors) if predictor is not None
        }
        for density in densities.values():
            density.evaluate(X[:2], [])  # what it cannot do shows before anything is fitted
        self._borrow, self._between_predictors = allow_single_condition_variance, variance_predictors
        self.skipped_samples = [label for part in masks for label in part.skipped]
        self.fits = self._fit_where_missing(X, condition, masks, predictors, track)
        for fit in self.fits:
            densities.update(fit.densities)
        self._densities = [densities[0], densities[1]]
        self._tables, self._n_dims = [fit.cells for fit in self.fits], X.shape[1]
        self.offset = 0.0
        if self.calibrate_offset:
            self._calibrate(X, condition)
        return self

    def _fit_where_missing(
        self,
        X: Float64,
        condition: Ints,
        masks: list[SampleMasks],
        predictors: tuple[Any, Any],
        track: Track | None,
    ) -> list[FittedConditions]:
        """Fit the conditions without a predictor: together, or each with parameters of its own."""
        missing = [code for code in (0, 1) if predictors[code] is None]
        groups = [missing] if self.sync_parameters else [[code] for code in missing]
        samples = {code: masks[code].valid for code in (0, 1)}
        given = self._given_distances(condition)
        return [
            fit_conditions(self.parameters, X, condition_masks(condition, group), samples, given, track)
            for group in groups
            if group
        ]

    def _given_distances(self, condition: Ints) -> dict[int, Float64] | None:
        if self.parameters.nn_distances is None:
            return None
        first = int((condition == 0).sum())
        distances = given_distances(self.parameters.nn_distances, int((condition >= 0).sum()))
        return {0: distances[:first], 1: distances[first:]}

    def _calibrate(self, X: Float64, condition: Ints) -> None:
        values = [density.log_density(X, self._tables) for density in self._densities]
        lfc = (values[1] - values[0])[condition >= 0]
        sizes = int((condition == 0).sum()), int((condition == 1).sum())
        self.offset = label_offset(lfc, *sizes)
        error = offset_standard_error(lfc + self.offset, *sizes)
        if abs(self.offset) > max(_NOTABLE_OFFSET, _BEYOND_CHANCE * error):
            brought = any(isinstance(density, InjectedDensity) for density in self._densities)
            warn(_offset_text(self.offset, error, sizes, brought=brought), OffsetWarning)

    def predict(self, X: Any) -> AbundanceChange:
        """Densities of both conditions and their change at cell states.

        Parameters
        ----------
        X
            n x n_dims.

        Returns
        -------
        AbundanceChange
            The offset is in `lfc` and not in the densities.
        """
        if not self._densities:
            raise ValueError("Not fitted yet; call fit(X1, X2) first.")
        X = check.coordinates("X", X, self._n_dims)
        # A copy of the list: features at other cells than those fitted are shared here and then forgotten.
        tables = list(self._tables)
        first, second = (density.evaluate(X, tables) for density in self._densities)
        lfc = second.log_density - first.log_density + self.offset
        variance = first.variance + second.variance + self._between(X, first, second)
        statistics = change_statistics(lfc, variance, self.eps)
        return AbundanceChange(
            first.log_density, second.log_density, lfc, variance, statistics.zscore, statistics.neg_log10_ptp
        )

    def _between(self, X: Float64, first: DensityValues, second: DensityValues) -> Float64:
        """Variance between samples of the fold change, summed over the conditions."""
        parts = [
            values.between
            if predictor is None
            else finite_vector(
                called("A variance predictor", "p(X, diag=True)", predictor, X, diag=True),
                len(X),
                "A variance predictor",
                "variance",
            )
            for values, predictor in zip((first, second), self._between_predictors, strict=True)
        ]
        known = [part for part in parts if part is not None]
        if len(known) == 1 and self._borrow:
            known *= 2
        return np.sum(known, axis=0) if known else np.zeros(len(X))


def _offset_text(offset: float, error: float, sizes: tuple[int, int], *, brought: bool) -> str:
    """One sentence on what an offset means and what to do."""
    numbers = f"{sizes[0]:,} and {sizes[1]:,}"
    if brought:
        why = ": check that the density predictors given are normalised and of these cells"
    elif max(sizes) >= _UNEQUAL * min(sizes):
        why = f", as those of unequal numbers of cells ({numbers}) do: nothing needs to be done"
    else:
        why = (
            f", more than chance explains (standard error {error:.2f}) or their numbers of cells ({numbers}): look for "
            f"states that only one of them reaches, and for repeated cells"
        )
    return (
        f"The densities of the two conditions differ by a constant of {-offset:.2f}{why}; the constant was removed "
        f"from the log fold changes (calibrate_offset=False keeps it)."
    )


def _check_samples(
    masks: list[SampleMasks], predictors: tuple[Any, Any], variance_predictors: tuple[Any, Any], *, borrow: bool
) -> None:
    """Raise if a condition has too few samples for a variance between them.

    A density that the user brings has none, unless a variance predictor comes with it.
    """
    counts = [
        2 if variance_predictors[code] is not None else 0 if predictors[code] is not None else len(masks[code].valid)
        for code in (0, 1)
    ]
    for code in (0, 1):
        if predictors[code] is not None and not counts[code] and not (borrow and counts[1 - code]):
            raise ValueError(
                f"Samples need the variance between those of condition {code + 1}, whose density predictor is given: "
                f"pass variance_predictor{code + 1} too, or leave the samples (sample_col) out."
            )
    require_both(counts, borrow=borrow)
