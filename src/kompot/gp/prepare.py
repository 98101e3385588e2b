"""From parameters and cell states to a kernel and features, for every estimator alike."""

from __future__ import annotations

import numpy as np

from kompot import _checks as check
from kompot._typing import Bools, Float64
from kompot.gp.features import FeatureTable, features_at
from kompot.gp.kernels import Kernel
from kompot.gp.length_scale import length_scale, pooled_nearest_distances
from kompot.gp.parameters import GPParameters
from kompot.gp.selection import Approximation, assess, select_features


def prepare_kernel(parameters: GPParameters, groups: list[Float64]) -> Kernel:
    """The kernel for cells in groups (conditions) whose nearest neighbours are sought within the group.

    Parameters
    ----------
    parameters
        Of the regression.
    groups
        Cell states of each group, each n_cells x n_dims.

    Returns
    -------
    Kernel
        With the length scale given or estimated.
    """

    def estimate() -> float:
        distances = parameters.nn_distances
        if distances is None:
            distances = pooled_nearest_distances(groups)
        distances = check.numeric_array("nn_distances", distances).astype(np.float64)
        n_cells = sum(map(len, groups))
        if distances.shape != (n_cells,):
            raise ValueError(
                f"nn_distances must hold one distance per cell: needed ({n_cells},), came {distances.shape}."
            )
        return length_scale(distances, parameters.ls_factor)

    return parameters.kernel(estimate)


def prepare_features(
    parameters: GPParameters, kernel: Kernel, X: Float64, used: Bools | None = None
) -> tuple[FeatureTable, Approximation]:
    """Features of given cells: of the user's landmarks, or of landmarks chosen among the cells.

    Landmarks stored by an earlier analysis are used again where they meet the tolerance for these cells and kernel.

    Parameters
    ----------
    parameters
        Of the regression.
    kernel
        Covariance function.
    X
        Cell states, n_cells x n_dims.
    used
        Mask of the cells that will be fitted, n_cells; None for all.

    Returns
    -------
    tuple[FeatureTable, Approximation]
        The cells with their features, and how well those represent the kernel on the cells used.
    """
    landmarks = parameters.landmark_matrix(X.shape[1])
    if landmarks is not None:
        cells = FeatureTable(features_at(landmarks, kernel, parameters.jitter), X)
        return cells, assess(
            cells, used=used, sigma=parameters.noise, tolerance=parameters.tolerance, negligible=parameters.negligible
        )
    return select_features(
        X,
        kernel,
        used=used,
        sigma=parameters.noise,
        max_rank=parameters.n_landmarks,
        tolerance=parameters.tolerance,
        negligible=parameters.negligible,
        jitter=parameters.jitter,
        seed=parameters.seed,
        stored=parameters.stored_landmarks,
    )
