"""Choice of the features: how many landmarks, which, and how many directions of their span.

`select_features` chooses landmarks U adaptively and certifies the result: the prior variance that the features
miss, summed over the cells and divided by the noise variance, is the number of degrees of freedom lost::

    lost = sum_i (k(x_i, x_i) - |phi(x_i)|²) / sigma²,     kept = tr(I - B⁻¹),  B = I + Phiᵀ Phi / sigma².

Landmarks are added until a part of `tolerance * kept` is lost. Then the features are turned to the principal axes of
`Phiᵀ Phi`, and the axes with the least variance dropped until no more may be lost: a landmark is a point, an axis is
the best there is. Cost O(n m (m + n_dims)) time for m landmarks among at most `POOL_SIZE` cells or a tenth of them;
beyond, the features are chosen on a random subset and verified on all cells in chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kompot._typing import Bools, Float64, Ints
from kompot.errors import ApproximationWarning, warn
from kompot.gp.features import FeatureTable, row_slices
from kompot.gp.kernels import Kernel
from kompot.gp.landmarks import PivotedCholesky, canonical_order
from kompot.gp.linalg import gram
from kompot.gp.pool import (
    Chosen,
    Sample,
    Target,
    chosen_at,
    chosen_of,
    grow,
    kept_degrees,
    n_to_reach,
    truncate_axes,
)

POOL_SIZE = 10_000
"""Number of cells up to which all are candidates for landmarks."""

LARGEST_POOL = 25_000
"""Largest number of candidates."""

WITNESSES = 5
"""So many candidates to one cell that shows how well the features represent cells that were no candidates."""

MARGIN = 0.9
"""Share of the loss allowed that is aimed at where it is only estimated from some of the cells."""

TOLERANCE = 3e-4
"""Lost degrees of freedom allowed per degree kept. On seven real and simulated embeddings, distances
then differ from their limit by a median of 1e-5 to 8e-5, a quarter of this number (`benchmarks/tolerance.py`)."""


@dataclass(frozen=True)
class Approximation:
    """How well the features represent the kernel on the cells they were made for."""

    rank: int
    """Number of features."""
    residual_mean: float
    """Mean over cells of the prior variance that the features miss; the prior variance is of order 1."""
    residual_max: float
    """The same for the worst cell."""
    lost_degrees: float
    """Lost degrees of freedom, summed over all cells."""
    kept_degrees: float
    """Degrees of freedom of the regression on these features."""
    allowed_degrees: float
    """Degrees of freedom that were allowed to be lost."""
    capped: bool
    """Whether the landmarks allowed were used up before their share of that aim was met. The aim itself may be met all
    the same: see `converged`."""

    @property
    def converged(self) -> bool:
        """Whether no more degrees of freedom are lost than allowed."""
        return self.lost_degrees <= self.allowed_degrees


def select_features(
    X: Float64,
    kernel: Kernel,
    *,
    used: Bools | None = None,
    sigma: float = 1.0,
    max_rank: int | None = None,
    tolerance: float = TOLERANCE,
    negligible: float = 0.0,
    jitter: float = 0.0,
    seed: int = 0,
    stored: Float64 | None = None,
) -> tuple[FeatureTable, Approximation]:
    """Choose landmarks among the cells until the features represent the kernel to a certified tolerance.

    Parameters
    ----------
    X
        Cell states, n_cells x n_dims. Their order does not matter.
    kernel
        Covariance function.
    used
        Mask of the cells that matter, n_cells; None for all.
    sigma
        Noise standard deviation, in the units of expression.
    max_rank
        Largest number of landmarks; a warning says when it was reached before the tolerance. None: no limit.
    tolerance
        Lost degrees of freedom allowed per degree kept.
    negligible
        Mean residual variance that is allowed in any case.
    jitter
        Added to the diagonal of `k(U, U)`.
    seed
        Of the random choice.
    stored
        Landmarks of an earlier analysis, m x n_dims, taken where they meet the tolerance for these cells and kernel.

    Returns
    -------
    tuple[FeatureTable, Approximation]
        The cells with their features, and how well those represent the kernel on the cells that matter.

    Notes
    -----
    With more than `POOL_SIZE` cells the landmarks are chosen among a random subset, while the loss is estimated on
    further cells that are no candidates; the result is checked on all cells, and goes on with the worst represented
    ones among the subset if it fails there. A cell far from all others, which no candidate represents, stops the choice
    early and becomes a candidate like this.
    """
    rng = np.random.default_rng(seed)
    order = np.arange(len(X)) if used is None else np.flatnonzero(used)
    order = order[canonical_order(X[order])]
    n_cells = len(order)
    limit = min(n_cells, max_rank or n_cells)
    places, witnesses = drawn_cells(n_cells, pool_size(n_cells), rng)
    pivots = places[:0]
    aim = Target(tolerance, negligible * n_cells / sigma**2)
    target = aim if len(places) == n_cells else aim * MARGIN
    chosen_on = np.concatenate([places, witnesses])
    sample = Sample(X[order[chosen_on]], len(places), n_cells, sigma)
    while stored is not None:
        again = chosen_at(stored, sample.X, kernel, jitter)
        cells, approximation, residual = _verified(again, X, order, chosen_on, sample, target, aim, is_met=True)
        if approximation.converged:
            return cells, approximation
        if len(places) == n_cells or sample.lost(again.residual) > target.allowed(approximation.kept_degrees):
            break
        # Axes were dropped that only cells outside the sample need.
        places = np.union1d(places, _worst_outside(residual, places, approximation.allowed_degrees * sigma**2))
        chosen_on, sample = _enriched(X, order, places, witnesses, sigma)
    while True:
        pool = PivotedCholesky(kernel, sample.X, np.searchsorted(places, pivots), sample.n_pool)
        is_met = grow(pool, sample, rng, limit, target)
        chosen, capped = chosen_of(pool, jitter), not is_met and pool.rank >= limit < n_cells
        cells, approximation, residual = _verified(
            chosen, X, order, chosen_on, sample, target, aim, is_met=is_met, capped=capped
        )
        if len(places) == n_cells or approximation.converged or capped:
            break
        if is_met and sample.lost(chosen.residual) > target.allowed(approximation.kept_degrees):
            break  # what is missing is due to jitter
        worst = _worst_outside(residual, places, approximation.allowed_degrees * sigma**2)
        if pool.exhausted and residual[worst].max() <= residual[places].max():
            break  # what is missing is rounding
        if is_met:
            # Aim lower by as much as was missed, apart from what the new candidates missed.
            lost = approximation.lost_degrees - float(residual[worst].sum()) / sigma**2
            target *= min(1.0, MARGIN * approximation.allowed_degrees / max(lost, np.finfo(np.float64).tiny))
        # Half of the landmarks are chosen anew: fewer do where the worst cells are candidates.
        pivots = places[pool.pivots[: pool.rank // 2] if is_met else pool.pivots]
        places = np.union1d(places, worst)
        chosen_on, sample = _enriched(X, order, places, witnesses, sigma)
    _warn_of_loss(cells, approximation, jitter)
    return cells, approximation


def _enriched(X: Float64, order: Ints, places: Ints, witnesses: Ints, sigma: float) -> tuple[Ints, Sample]:
    """Candidates and the witnesses that are not among them: their places in the canonical order, and the cells."""
    chosen_on = np.concatenate([places, np.setdiff1d(witnesses, places)])
    return chosen_on, Sample(X[order[chosen_on]], len(places), len(order), sigma, is_enriched=True)


def _worst_outside(residual: Float64, places: Ints, allowed: float) -> Ints:
    """The worst represented cells that are no candidates: so many that the others miss little, and some more."""
    outside = np.setdiff1d(np.arange(len(residual)), places)
    worst = outside[np.argsort(-residual[outside], kind="stable")]
    return worst[: min(max(n_to_reach(residual[worst], allowed), len(places) // 10 + 1), len(places))]


def pool_size(n_cells: int) -> int:
    """Number of candidates for landmarks among so many cells."""
    return min(n_cells, max(POOL_SIZE, min(n_cells // 10, LARGEST_POOL)))


def drawn_cells(n_cells: int, n_candidates: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Candidates for landmarks and witnesses of how well others are represented, drawn at random and sorted each."""
    if n_candidates == n_cells:
        return np.arange(n_cells), np.arange(0)
    drawn = rng.permutation(n_cells)[: n_candidates + n_candidates // WITNESSES + 1]
    return np.sort(drawn[:n_candidates]), np.sort(drawn[n_candidates:])


def assess(
    cells: FeatureTable,
    *,
    used: Bools | None = None,
    sigma: float = 1.0,
    tolerance: float = TOLERANCE,
    negligible: float = 0.0,
) -> Approximation:
    """How well given features represent the kernel on given cells.

    Parameters
    ----------
    cells
        With features, for example those of landmarks the user chose.
    used
        Mask of the cells that matter, n_cells; None for all.
    sigma
        Noise standard deviation.
    tolerance
        Lost degrees of freedom allowed per degree kept; recorded, not enforced.
    negligible
        Mean residual variance that is allowed in any case.

    Returns
    -------
    Approximation
        Rank, residuals and degrees of freedom; never `capped`.
    """
    rows = np.arange(len(cells.X)) if used is None else np.flatnonzero(used)
    residual, G = _measure(cells, rows)
    return _assess(residual, G, sigma, Target(tolerance, negligible * len(rows) / sigma**2), capped=False)


def _verified(
    chosen: Chosen,
    X: Float64,
    order: Ints,
    chosen_on: Ints,
    sample: Sample,
    target: Target,
    aim: Target,
    *,
    is_met: bool,
    capped: bool = False,
) -> tuple[FeatureTable, Approximation, Float64]:
    """Truncate features chosen on a sample, and look how well they represent all cells that matter: their residuals."""
    chosen = truncate_axes(chosen, sample, target, is_met=is_met)
    cells = FeatureTable(chosen.features, X)
    cells.fill(order[chosen_on], chosen.phi)
    residual, G = _measure(cells, order)
    return cells, _assess(residual, G, sample.sigma, aim, capped=capped), residual


def _measure(cells: FeatureTable, order: Ints) -> tuple[Float64, Float64]:
    """Residual variance of the cells asked for, in their order, and `Phiᵀ Phi` over them."""
    residual = np.full(len(cells.X), np.nan)
    wanted = np.zeros(len(cells.X), dtype=np.bool_)
    wanted[order] = True
    G = np.zeros((cells.features.rank, cells.features.rank))
    for rows in row_slices(len(cells.X), cells.features.rows_per_chunk()):
        phi = cells.rows(rows)
        residual[rows] = cells.features.residual(cells.X[rows], phi)
        G += gram(phi if wanted[rows].all() else phi[wanted[rows]])
    return residual[order], G


def _assess(residual: Float64, G: Float64, sigma: float, target: Target, *, capped: bool) -> Approximation:
    lost = float(residual.sum()) / sigma**2
    kept = kept_degrees(G, 1.0 / sigma**2)
    return Approximation(
        rank=len(G),
        residual_mean=float(residual.mean()),
        residual_max=float(residual.max()),
        lost_degrees=lost,
        kept_degrees=kept,
        allowed_degrees=target.allowed(kept),
        capped=capped,
    )


def _warn_of_loss(cells: FeatureTable, approximation: Approximation, jitter: float) -> None:
    """Say what is missing, and what can be changed about it."""
    if approximation.converged or not (approximation.capped or jitter):
        return
    if approximation.capped:
        cause = f"The {len(cells.features.landmarks)} landmarks allowed leave"
        advice = "raise n_landmarks, or ls_factor for a smoother function"
    else:
        cause, advice = f"The jitter of {jitter:g} leaves", "lower jitter, or leave it out"
    warn(
        f"{cause} out {approximation.lost_degrees:.2g} of {approximation.kept_degrees:.0f} degrees of freedom (mean "
        f"residual variance {approximation.residual_mean:.1e}, aim {approximation.allowed_degrees:.1g} degrees). "
        f"Distances may be off by more than 1e-3: {advice}.",
        ApproximationWarning,
    )
