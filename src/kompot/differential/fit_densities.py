"""Densities of conditions and of their biological samples, on shared features and with shared parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kompot._typing import Bools, Float64, Ints
from kompot.differential.condition_density import FittedDensity
from kompot.differential.fitter import Track
from kompot.gp.density_estimator import (
    DensityPredictor,
    density_of,
    positive_distances,
    resolve_dimension,
    resolve_mu,
)
from kompot.gp.features import FeatureTable
from kompot.gp.neighbors import nearest_distances
from kompot.gp.parameters import DensityParameters
from kompot.gp.prepare import prepare_features, prepare_kernel
from kompot.gp.selection import Approximation


@dataclass(frozen=True)
class DensityNumbers:
    """Numbers that were given or estimated for a density."""

    d: float
    """Intrinsic dimension."""
    mu: float
    """Prior mean of the log density."""
    ls: float | None
    """Length scale, in units of the embedding; None for a kernel without one."""


@dataclass(frozen=True)
class FittedConditions:
    """Densities of conditions that share their parameters."""

    densities: dict[int, FittedDensity]
    """By condition."""
    cells: FeatureTable
    """All cells with the features of these densities."""
    numbers: DensityNumbers
    """Parameters of these densities."""
    approximation: Approximation
    """How well the features represent the kernel on the cells fitted."""


def fit_conditions(
    parameters: DensityParameters,
    X: Float64,
    masks: dict[int, Bools],
    samples: dict[int, dict[Any, Bools]],
    given: dict[int, Float64] | None = None,
    track: Track | None = None,
) -> FittedConditions:
    """Densities of some conditions with one `d`, `mu` and length scale for all of them.

    Parameters
    ----------
    parameters
        Given ones are used, the others estimated from the cells of these conditions together.
    X
        Cell states, n_cells x n_dims.
    masks
        Cells of each condition, n_cells.
    samples
        Cells of each biological sample of each condition.
    given
        Distances to the nearest neighbour of the cells of each condition, where the user brought them.
    track
        Called with the number of cells done after each density, in proportion where samples have their own.

    Returns
    -------
    FittedConditions
        With one density per condition and one per sample.
    """
    pooled = np.logical_or.reduce(list(masks.values()))
    distances = [
        positive_distances(given[code] if given else nearest_distances(X[mask])) for code, mask in masks.items()
    ]
    together = np.concatenate(distances)
    kernel = prepare_kernel(replace(parameters, nn_distances=together), [X[mask] for mask in masks.values()])
    d = resolve_dimension(parameters, X[pooled])
    numbers = DensityNumbers(d, resolve_mu(parameters, together, d), getattr(kernel, "length_scale", None))
    cells, approximation = prepare_features(parameters, kernel, X, pooled)
    densities = {
        condition: _fit_condition(cells, mask, near, samples.get(condition, {}), numbers, track)
        for (condition, mask), near in zip(masks.items(), distances, strict=True)
    }
    return FittedConditions(densities, cells, numbers, approximation)


def _fit_condition(
    cells: FeatureTable,
    mask: Bools,
    distances: Float64,
    samples: dict[Any, Bools],
    numbers: DensityNumbers,
    track: Track | None,
) -> FittedDensity:
    share = int(mask.sum()) / (1 + len(samples))

    def fitted(part: Bools, near: Float64) -> DensityPredictor:
        predictor = density_of(cells, part, near, d=numbers.d, mu=numbers.mu)
        if track is not None:
            track(share)
        return predictor

    of_samples = {
        label: fitted(part, positive_distances(nearest_distances(cells.X[part]))) for label, part in samples.items()
    }
    return FittedDensity(fitted(mask, distances), of_samples)


def condition_masks(condition: Ints, wanted: Sequence[int]) -> dict[int, Bools]:
    """Masks of some conditions."""
    return {code: condition == code for code in wanted}
