"""The prior at the cells of one group, to a small absolute residual.

Features chosen for a whole landscape miss what is small there; in a group, evaluated by itself, it need not be small.
Landmarks among the group's cells (`kompot.gp.landmarks`) give features Psi with `k(x, y) ≈ psi(x)·psi(y)` for its
cells. With the QR decomposition `Psi = Q R` and the landscape's features Phi there::

    prior covariance  Q R Rᵀ Qᵀ,      Phi ≈ Q F,   F = Qᵀ Phi.

Cost O(n q (q + r)) time for n cells and q landmarks, in chunks.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from kompot._typing import Bools, Float64
from kompot.gp.features import Features, FeatureTable, row_slices
from kompot.gp.landmarks import PivotedCholesky, canonical_order

_MOST_LANDMARKS = 1000
_POOL_SIZE = 5000


def local_prior(cells: FeatureTable, mask: Bools, *, residual: float, seed: int = 0) -> tuple[Float64, Float64]:
    """The prior and the features at the cells of a group, on one orthonormal basis.

    Parameters
    ----------
    cells
        All cells with their features.
    mask
        Cells of the group, n_cells; at least one.
    residual
        Mean prior variance that the group's own features may miss; not reached where that takes more than 1,000
        landmarks.
    seed
        Of the choice of landmarks.

    Returns
    -------
    tuple[Float64, Float64]
        R (q x q) and F (q x r).
    """
    own = _own_features(cells, mask, residual, seed)
    q = own.rank
    stacked = np.zeros((q, q + cells.features.rank))
    # QR of [Psi, Phi], chunk by chunk: the triangular factor's first q rows hold R and F.
    corner = np.zeros((0, q + cells.features.rank))
    for rows in row_slices(len(mask), own.rows_per_chunk()):
        if mask[rows].any():
            phi = cells.selected(rows, mask[rows])
            block = np.hstack([own(cells.X[rows][mask[rows]]), phi])
            factor = linalg.qr(np.vstack([corner, block]), mode="r", check_finite=False)[0]
            corner = np.asarray(factor[: block.shape[1]], dtype=np.float64)
    stacked[: min(q, len(corner))] = corner[:q]
    return stacked[:, :q], stacked[:, q:]


def _own_features(cells: FeatureTable, mask: Bools, residual: float, seed: int) -> Features:
    rng = np.random.default_rng(seed)
    X = cells.X[mask]
    X = X[canonical_order(X)]
    if len(X) > _POOL_SIZE:
        X = X[np.sort(rng.choice(len(X), _POOL_SIZE, replace=False))]
    pool = PivotedCholesky(cells.features.kernel, X)
    limit = min(len(X), _MOST_LANDMARKS)
    while pool.rank < limit and not pool.exhausted and pool.residual.mean() > residual:
        pool.extend(rng, limit - pool.rank)
    return Features(pool.kernel, X[pool.pivots], np.tril(pool.features[pool.pivots]))
