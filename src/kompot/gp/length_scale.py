"""Length scale of the kernel from nearest-neighbour distances.

The rule of Mellon (Otto et al. 2024, *Nature Methods* 21, 1185): `ls = ls_factor * exp(mean(log d_nn) + 3)`, the
geometric mean distance to the nearest neighbour times `e³`, about the distance of a few hundred neighbours.
"""

import numpy as np

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
