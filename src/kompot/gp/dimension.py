"""Intrinsic dimension of a cloud of cell states.

Near a cell of a d-dimensional cloud the number of pairs closer than t grows as `t^d`. For a sample of cells: take each
one's `k` nearest cells (itself included), sort the pairwise distances among them, regress the logarithm of the rank on
that of the distance; the mean slope is d (Grassberger and Procaccia 1983, *Physica D* 9, 189, the correlation
dimension, taken locally). Cost O(n log n) for the neighbours and O(n_sampled k²) for the slopes.
"""

import numpy as np

from kompot._typing import Float64
from kompot.gp.landmarks import canonical_order
from kompot.gp.neighbors import query_tree

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
    from scipy.spatial import cKDTree

    X = X[canonical_order(X)]
    chosen = np.random.default_rng(seed).permutation(len(X))[:n_sampled]
    k = min(_N_NEIGHBORS, len(X))
    neighbors = query_tree(cKDTree(X, balanced_tree=False), X[chosen], k)[1]
    slopes = _slopes(_sorted_distances(X[np.atleast_2d(neighbors)]))
    known = slopes[~np.isnan(slopes)]
    if not len(known):
        raise ValueError(
            f"The intrinsic dimension cannot be estimated: needed cells with at least {_FEWEST_PAIRS} different "
            f"distances among their {k} nearest ones, came {len(X)} cells with too few. Pass the dimension (d)."
        )
    return float(known.mean())


def _sorted_distances(neighborhoods: Float64) -> Float64:
    """Pairwise distances within each neighbourhood, rising: n x k x n_dims to n x k(k-1)/2."""
    first, second = np.triu_indices(neighborhoods.shape[1], k=1)
    distances = np.linalg.norm(neighborhoods[:, first] - neighborhoods[:, second], axis=2)
    return np.sort(distances, axis=1)


def _slopes(distances: Float64) -> Float64:
    """Slope of log(rank) over log(distance) in each row; NaN where identical cells leave too few distances."""
    positive = distances > 0
    counts = positive.sum(axis=1, keepdims=True)
    log_distance = np.log(distances, out=np.zeros_like(distances), where=positive)
    log_rank = np.broadcast_to(np.log(np.arange(1, distances.shape[1] + 1)), distances.shape)
    mean = log_distance.sum(axis=1, keepdims=True) / np.maximum(counts, 1)
    centered = np.where(positive, log_distance - mean, 0.0)
    spread = (centered * centered).sum(axis=1)
    known = (counts[:, 0] >= _FEWEST_PAIRS) & (spread > 0)
    slopes: Float64 = np.divide(
        (centered * log_rank).sum(axis=1), spread, out=np.full(len(spread), np.nan), where=known
    )
    return slopes
