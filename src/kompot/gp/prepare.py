"""From parameters and cell states to a kernel and features, for every estimator alike."""

from __future__ import annotations

from kompot._typing import Bools, Float64
from kompot.gp.features import FeatureTable, features_at
from kompot.gp.kernel_check import require_covariance
from kompot.gp.kernels import Kernel
from kompot.gp.length_scale import given_distances, length_scale, pooled_nearest_distances
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
        With the length scale given or estimated. Distances given (`nn_distances`) that are none, and a kernel of the
        user that is no covariance on a few cells, are errors.
    """
    given = None if parameters.nn_distances is None else given_distances(parameters.nn_distances, sum(map(len, groups)))

    def estimate() -> float:
        return length_scale(pooled_nearest_distances(groups) if given is None else given, parameters.ls_factor)

    kernel = parameters.kernel(estimate)
    require_covariance(kernel, groups, parameters.kernel_name)
    return kernel


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
