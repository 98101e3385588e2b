"""Length scale of the kernel from nearest-neighbour distances.

The rule of Mellon (Otto et al. 2024, *Nature Methods* 21, 1185): `ls = ls_factor * exp(mean(log d_nn) + 3)`, the
geometric mean distance to the nearest neighbour times `e³`, about the distance of a few hundred neighbours.
"""

from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._typing import Float64
from kompot.gp.neighbors import nearest_distances

_LOG_NEIGHBORHOOD = 3.0


def length_scale(nn_distances: Float64, ls_factor: float = 1.0) -> float:
    """Length scale from the distances of cells to their nearest neighbours.

    Parameters
    ----------
    nn_distances
        n_cells, in units of the embedding; zeros (identical cells) are left out.
    ls_factor
        Multiplier; larger is smoother.

    Returns
    -------
    float
        In units of the embedding.

    Examples
    --------
    >>> import numpy as np
    >>> round(length_scale(np.array([0.1, 0.1, 0.0])), 4)
    2.0086
    """
    positive = nn_distances[nn_distances > 0]
    if not len(positive):
        raise ValueError(
            "All cells have an identical neighbour, so no length scale can be estimated: needed at least one cell "
            "at a positive distance from its nearest other cell. Check the embedding, or pass the length scale (ls)."
        )
    return float(ls_factor * np.exp(np.log(positive).mean() + _LOG_NEIGHBORHOOD))


def pooled_nearest_distances(groups: list[Float64]) -> Float64:
    """Distances to the nearest cell of the same group, all groups in one array.

    Parameters
    ----------
    groups
        Cell states of each condition, each n_cells x n_dims with at least two cells.

    Returns
    -------
    Float64
        One distance per cell, group after group.
    """
    return np.concatenate([nearest_distances(X) for X in groups])


def given_distances(nn_distances: Any, n_cells: int) -> Float64:
    """The user's distances to the nearest neighbour, checked.

    Parameters
    ----------
    nn_distances
        One per cell, those of condition 1 first; zero for identical cells.
    n_cells
        Number of cells of all conditions.

    Returns
    -------
    Float64
        n_cells, finite, not negative, not all zero.
    """
    array = check.numeric_array("nn_distances", nn_distances)
    if array.dtype == np.bool_:
        raise TypeError("nn_distances must hold distances, came booleans.")
    distances = array.astype(np.float64)
    if distances.shape != (n_cells,):
        raise ValueError(
            f"nn_distances must hold one distance per cell: needed ({n_cells},), came {distances.shape}. Of two "
            f"conditions those of the first come first."
        )
    bad = np.flatnonzero(~(np.isfinite(distances) & (distances >= 0)))
    if len(bad):
        raise ValueError(
            f"nn_distances must be finite and not negative: {len(bad)} of {n_cells} are not (the first is "
            f"nn_distances[{bad[0]}] = {distances[bad[0]]:g})."
        )
    if not distances.any():
        raise ValueError(
            "nn_distances must not all be 0: needed at least one cell at a positive distance from its nearest other "
            "cell."
        )
    return distances
