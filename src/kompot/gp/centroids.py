"""Evaluation points: the cells, or k-means centroids of them where there are too many."""

from __future__ import annotations

import numpy as np

from kompot._typing import Float64
from kompot.gp.landmarks import canonical_order

_ROWS_PER_BATCH = 4096
_MOST_PASSES = 10


def evaluation_points(X: Float64, n_points: int | None, *, seed: int = 0) -> Float64:
    """Points spread over cell states as the cells are.

    Parameters
    ----------
    X
        Cell states, n_cells x n_dims, at least one.
    n_points
        How many points at most; None or 0 for all cells.
    seed
        Of the centroids.

    Returns
    -------
    Float64
        The cells where there are not more of them than points wanted, else that many centroids (mini-batch k-means,
        Sculley 2010); n x n_dims. They depend on the coordinates and the seed, not on the order of the cells.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> evaluation_points(X, 20).shape, evaluation_points(X, None).shape
    ((20, 2), (500, 2))
    """
    if not n_points or len(X) <= n_points:
        return X
    from sklearn.cluster import MiniBatchKMeans

    ordered = X[canonical_order(X)]
    start = ordered[np.sort(np.random.default_rng(seed).choice(len(X), n_points, replace=False))]
    kmeans = MiniBatchKMeans(
        n_points, init=start, n_init=1, batch_size=_ROWS_PER_BATCH, max_iter=_MOST_PASSES, random_state=seed
    )
    centers: Float64 = kmeans.fit(ordered).cluster_centers_
    return centers[canonical_order(centers)]
