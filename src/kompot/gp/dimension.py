"""Intrinsic dimension of a cloud of cell states.

Near a cell of a d-dimensional cloud the number of pairs closer than t grows as `t^d`. For a sample of cells: take each
one's `k` nearest cells (itself included), sort the pairwise distances among them, regress the logarithm of the rank on
that of the distance; the mean slope is d (Grassberger and Procaccia 1983, *Physica D* 9, 189, the correlation
dimension, taken locally). Cost O(n log n) for the neighbours and O(n_sampled k²) for the slopes.
"""

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from kompot._threads import available_threads
from kompot._typing import Float64
from kompot.gp.landmarks import canonical_order

_N_NEIGHBORS = 10
_N_SAMPLED = 5000
_FEWEST_PAIRS = 3


def fractal_dimension(X: Float64, *, n_sampled: int = _N_SAMPLED, seed: int = 0) -> float:
    """Intrinsic dimension of cell states, averaged over sampled cells.

    Parameters
    ----------
    X
        Cell states, n_cells x n_dims.
    n_sampled
        Largest number of cells whose neighbourhoods are looked at.
    seed
        Of the choice of cells; their order in `X` does not matter.

    Returns
    -------
    float
        Between 0 and about n_dims; biased low (0.8, 1.5 and 2.0 for uniform cells in 1, 2 and 3 dimensions).

    Examples
    --------
    >>> import numpy as np
    >>> t = np.random.default_rng(0).uniform(size=2000)
    >>> line = np.column_stack([t, 2 * t, 1 - t])
    >>> round(fractal_dimension(line), 1)  # ten neighbours only: a little low, as for every dimension
    0.8
    """
    X = X[canonical_order(X)]
    chosen = np.random.default_rng(seed).permutation(len(X))[:n_sampled]
    k = min(_N_NEIGHBORS, len(X))
    neighbors = cKDTree(X, balanced_tree=False).query(X[chosen], k=k, workers=available_threads())[1]
    slopes = [_slope(np.sort(pdist(X[near]))) for near in np.atleast_2d(neighbors)]
    known = [slope for slope in slopes if slope is not None]
    if not known:
        raise ValueError(
            f"The intrinsic dimension cannot be estimated: needed cells with at least {_FEWEST_PAIRS} different "
            f"distances among their {k} nearest ones, came {len(X)} cells with too few. Pass the dimension (d)."
        )
    return float(np.mean(known))


def _slope(distances: Float64) -> float | None:
    """Slope of log(rank) over log(distance); None where identical cells leave too few distances."""
    first = int(np.searchsorted(distances, 0.0, side="right"))
    log_distance = np.log(distances[first:])
    if len(log_distance) < _FEWEST_PAIRS or np.ptp(log_distance) == 0:
        return None
    log_rank = np.log(np.arange(first + 1, len(distances) + 1))
    centered = log_distance - log_distance.mean()
    return float(centered @ log_rank / (centered @ centered))
