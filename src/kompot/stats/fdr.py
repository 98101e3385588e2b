"""False discovery rates of distances, from the distances of null genes.

With densities f of the observed and f0 of the null distances (Gaussian kernel estimates, reflected at 0), the local
false discovery rate of a gene at distance d is `f0(d) / f(d)`, all genes taken for null a priori (Efron 2004, *JASA*
99, 96, equation 2.7 with p0 = 1). It cannot rise with the distance, and is made so by isotonic regression with
weights f: where neighbouring distances are pooled, the rate is the null mass over the observed mass of the pool. The
tail rate is the ratio of the two survival functions, at the best threshold that includes the gene (Storey 2002,
*JRSS B* 64, 479).

Neither density is made monotone by itself: that would spread null mass to small distances wherever the null mode is
not at 0, and call genes below the null significant. Cost O((n_genes + n_null) n_points) time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kompot._typing import Bools, Float64

_POINTS = 500
_MOST_POINTS = 4000
_REACH = 1.05
_BLOCK = 2_000_000


@dataclass(frozen=True)
class FDRResult:
    """False discovery rates of all genes; NaN where the distance is NaN."""

    pvalue: Float64
    """Share of null distances at least as large, n_genes; never 0."""
    local_fdr: Float64
    """Probability that a gene at this distance is null, n_genes; never rises with the distance."""
    tail_fdr: Float64
    """Expected share of null genes among those at least as far, n_genes."""
    is_de: Bools
    """Whether the local rate is below the threshold, n_genes."""
    threshold: float
    """The threshold."""
    smallest_significant: float
    """Smallest distance called differentially expressed; infinite if there is none."""


def false_discovery_rates(observed: Float64, null: Float64, threshold: float = 0.05) -> FDRResult:
    """False discovery rates of observed distances against null distances.

    Parameters
    ----------
    observed
        Distances of the genes, n_genes, non-negative; NaN is carried through.
    null
        Distances of the null genes, n_null, non-negative, not NaN.
    threshold
        On the local rate.

    Returns
    -------
    FDRResult
        Rates per gene.

    Raises
    ------
    ValueError
        If there is no null distance, or one is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> null = np.random.default_rng(0).chisquare(5, size=500)
    >>> result = false_discovery_rates(np.array([1.0, 5.0, 60.0, 61.0, 62.0]), null)
    >>> result.is_de.tolist()
    [False, False, True, True, True]
    """
    if not len(null):
        raise ValueError("The null distribution is empty: needed at least one null distance.")
    if np.isnan(null).any():
        raise ValueError(f"The null distribution has NaN for {np.isnan(null).sum()} of {len(null)} distances.")
    known = ~np.isnan(observed)
    distances = observed[known]
    rates = np.full((3, len(observed)), np.nan)
    if len(distances):
        rates[0, known] = empirical_pvalues(distances, null)
        rates[1:, known] = _rates(distances, null)
    is_de = np.zeros(len(observed), dtype=np.bool_)
    is_de[known] = rates[1, known] < threshold
    smallest = float(observed[is_de].min()) if is_de.any() else float("inf")
    return FDRResult(rates[0], rates[1], rates[2], is_de, threshold, smallest)


def empirical_pvalues(observed: Float64, null: Float64) -> Float64:
    """Share of null distances at least as large as each observed one.

    Parameters
    ----------
    observed
        n_genes.
    null
        n_null.

    Returns
    -------
    Float64
        n_genes; zeros are replaced by the smallest value above 0, or `1 / n_null` if there is none.

    Examples
    --------
    >>> import numpy as np
    >>> empirical_pvalues(np.array([0.5, 2.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    array([1.  , 0.75, 0.75])
    """
    below = np.searchsorted(np.sort(null), observed, side="left")
    pvalues = 1.0 - below / len(null)
    positive = pvalues[pvalues > 0]
    floor = positive.min() if len(positive) else 1.0 / len(null)
    return np.where(pvalues > 0, pvalues, floor)


def _rates(observed: Float64, null: Float64) -> Float64:
    """Local and tail rates at the observed distances: 2 x n_genes."""
    if max(observed.max(), null.max()) == 0:
        return np.ones((2, len(observed)))
    grid = _grid(observed, null)
    f, f0 = reflected_density(observed, grid), reflected_density(null, grid)
    local, tail = _local_rate(f0, f), _tail_rate(f0, f)
    return np.stack([np.interp(observed, grid, local), np.interp(observed, grid, tail)])


def _grid(observed: Float64, null: Float64) -> Float64:
    """Points from 0 to beyond the largest distance, close enough to resolve the null density."""
    top = _REACH * max(observed.max(), null.max())
    points = np.ceil(2.0 * top / _bandwidth(null, top))
    return np.linspace(0.0, top, int(np.clip(points, _POINTS, _MOST_POINTS)))


def _bandwidth(sample: Float64, top: float) -> float:
    """Scott's rule; a sample without spread gets a width too small to see."""
    spread = float(np.std(sample, ddof=1)) if len(sample) > 1 else 0.0
    return float(max(spread * len(sample) ** -0.2, top / _MOST_POINTS))


def reflected_density(sample: Float64, grid: Float64) -> Float64:
    """Gaussian kernel density of a non-negative sample, with the mass below 0 folded back.

    Parameters
    ----------
    sample
        Non-negative values.
    grid
        Points from 0 upwards.

    Returns
    -------
    Float64
        Density at the points; bandwidth by Scott's rule.
    """
    h = _bandwidth(sample, grid[-1])
    # Only values within ten bandwidths of 0 have a mirror image that reaches the grid (exp(-50) is below rounding).
    centers = np.concatenate([sample, -sample[sample < 10.0 * h]]) / h
    points = grid[:, None] / h
    density = np.zeros(len(grid))
    for part in np.array_split(centers, len(centers) * len(grid) // _BLOCK + 1):
        squares = points - part
        squares *= squares
        squares *= -0.5
        density += np.exp(squares, out=squares).sum(axis=1)
    density /= len(sample) * h * np.sqrt(2.0 * np.pi)
    return density


def _local_rate(f0: Float64, f: Float64) -> Float64:
    """`f0 / f`, made non-increasing and at most 1."""
    from scipy.optimize import isotonic_regression

    # Weights must be positive; where there are no observed genes they hardly count.
    weights = f / f.sum() + np.finfo(np.float64).tiny ** 0.25
    falling = isotonic_regression(f0 / f0.sum() / weights, weights=weights, increasing=False).x
    return np.minimum(falling, 1.0)


def _tail_rate(f0: Float64, f: Float64) -> Float64:
    """Ratio of the survival functions, made non-increasing and at most 1."""
    null, observed = _survival(f0), _survival(f)
    ratio = np.divide(null, observed, out=np.ones_like(null), where=null < observed)
    falling: Float64 = np.minimum.accumulate(ratio)
    return falling


def _survival(density: Float64) -> Float64:
    """Probability at or beyond each point."""
    beyond: Float64 = np.cumsum(density[::-1])[::-1]
    beyond /= beyond[0]
    return beyond
