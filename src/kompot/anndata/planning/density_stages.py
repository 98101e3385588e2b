"""Time and memory of the parts of `kompot.da`; see `kompot.anndata.planning.stages`."""

from __future__ import annotations

from collections.abc import Sequence

from kompot.anndata.planning.resource_plan import Stage
from kompot.anndata.planning.stages import OVERHEAD, Work, chunk_bytes, features_again
from kompot.anndata.planning.workload import Landscape

_DOUBLE = 8
# Passes over the cells of a density: its start, Newton steps, and the last look at the gradient.
_PASSES = 7.0
_SAMPLED_FOR_DIMENSION = 5000


def dimension(work: Work, land: Landscape) -> Stage:
    """Intrinsic dimension from the neighbours of some cells."""
    sampled = min(land.n_used, _SAMPLED_FOR_DIMENSION)
    peak = _DOUBLE * land.n_used * land.n_dims + sampled * 10 * land.n_dims * _DOUBLE * 4
    return Stage("intrinsic dimension", work.plain(1e-5 * sampled + 1e-7 * land.n_used), OVERHEAD // 2 + peak)


def densities(work: Work, land: Landscape, sizes: Sequence[int]) -> Stage:
    """Newton's method for each density: those of the conditions and of the samples."""
    r, seconds = land.rank, 0.0
    for size in sizes:
        seconds += _PASSES * (work.double(3.0 * size * r * r) + work.plain(3e-8 * size + 2e-9 * size * r + 1e-3))
        seconds += _PASSES * work.double(2.0 * r**3) + _PASSES * features_again(work, land) * size / land.n_cells
    # Weighted features of a chunk beside them.
    peak = land.table + 2 * chunk_bytes(max(sizes), r) + (2 + 3 * len(sizes)) * _DOUBLE * r * r
    return Stage("densities", seconds, OVERHEAD + peak)


def changes(work: Work, land: Landscape, n_densities: int) -> Stage:
    """Log densities and their variances at all cells; the constant offset."""
    n, r = land.n_cells, land.rank
    seconds = 2 * work.double(4.0 * n * r * r) + work.plain(1e-7 * n + 5e-10 * n * r * n_densities)
    seconds += 2 * features_again(work, land)
    peak = (
        land.table + chunk_bytes(n, max(r, 0 if land.is_kept else land.n_landmarks)) + (16 + n_densities) * _DOUBLE * n
    )
    return Stage("log fold changes", seconds, OVERHEAD + peak)
