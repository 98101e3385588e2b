"""Time and memory of the parts that the analyses consist of.

Operations are counted as the engine makes them; the seconds per operation were measured once with
`benchmarks/resources.py` on a machine of known speed and are scaled by the speed of this one. Memory counts the
arrays that exist at the same time. Both leave out what is small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kompot.anndata.planning.machine import Speed
from kompot.anndata.planning.resource_plan import Stage
from kompot.anndata.planning.workload import Expression, Landscape
from kompot.gp.moments import rows_per_chunk

# Values gathered per second on the machine on which the seconds below were measured.
_REFERENCE = 9.0e7
# Share of the speed of one large product that blocks of landmarks, and triangular solves, reach.
_BLOCKS, _SOLVES = 0.6, 0.8
# Memory that stays with the process: buffers of BLAS, pieces that the allocator keeps.
OVERHEAD = 15_000_000
_CHUNK = 64_000_000
_DOUBLE = 8
_SINGLE = 4
_POOL_ARRAYS = 2.3
_GROUP_POOL, _GROUP_LANDMARKS = 5000, 1000


@dataclass(frozen=True)
class Work:
    """Turns counts of operations into seconds on a machine."""

    speed: Speed
    """Of the machine."""

    def plain(self, seconds: float) -> float:
        """Work on one core that took so long on the reference machine."""
        return seconds * _REFERENCE / self.speed.scattered

    def kernel(self, values: float) -> float:
        """Values of the kernel."""
        return values / self.speed.kernel

    def single(self, flops: float) -> float:
        """Products in single precision."""
        return flops / self.speed.single

    def double(self, flops: float) -> float:
        """Products in double precision."""
        return flops / self.speed.double


def neighbors(work: Work, land: Landscape) -> Stage:
    """Length scale from nearest neighbours: a tree of all cells fitted."""
    n = land.n_used
    # Caches miss more in larger trees.
    seconds = work.plain(3.5e-6 * n * (max(n, 1000) / 1e5) ** 0.35)
    return Stage("length scale", seconds, OVERHEAD // 5 + 3 * _DOUBLE * n + _DOUBLE * n * land.n_dims)


def feature_choice(work: Work, land: Landscape) -> Stage:
    """Landmarks on a pool of cells, truncation, and verification on all cells."""
    m, r, p, n = land.n_landmarks, land.rank, land.pool, land.n_cells
    choosing = work.kernel(p * m) + work.double(2.0 * p * m * (m + r) / _BLOCKS + 25.0 * m**3)
    choosing += work.plain(4.0e-5 * m + 6.5e-7 * n)
    verifying = evaluation(work, land) + work.double(n * r * r / _SOLVES)
    seconds = land.n_attempts * (choosing + verifying)
    growing = _POOL_ARRAYS * _DOUBLE * p * m
    measuring = _DOUBLE * p * (m + r) + land.table + int(1.5 * chunk_bytes(max(n - p, 1), m))
    return Stage("choice of features", seconds, int(OVERHEAD + max(growing, measuring)))


def evaluation(work: Work, land: Landscape) -> float:
    """Seconds to compute the features of all cells once."""
    n, m, r = land.n_cells, land.n_landmarks, land.rank
    return work.kernel(n * m) + work.double(2.0 * n * m * r / _SOLVES)


def features_again(work: Work, land: Landscape) -> float:
    """Seconds that a later pass spends on features: none where they are kept."""
    return 0.0 if land.is_kept else evaluation(work, land)


def chunk_bytes(n_cells: int, n_landmarks: int) -> int:
    """Kernel values of one chunk of cells."""
    rows = max(256, _CHUNK // (16 * max(n_landmarks, 1)))
    return _DOUBLE * min(rows, n_cells) * n_landmarks


@dataclass(frozen=True)
class Fit:
    """Fits of some genes: what stays in memory of them."""

    land: Landscape
    """Features."""
    n_genes: int
    """Number of genes."""
    n_groups: int
    """Groups of cells with a moment each: conditions, or samples."""
    n_samples: int = 0
    """Biological samples with a fit of their own."""
    empirical: bool = False
    """Whether the noise variance is estimated."""

    @property
    def moments(self) -> int:
        """Bytes of the moments."""
        r = self.land.rank
        return self.n_groups * _DOUBLE * r * (self.n_genes + r)

    @property
    def kept(self) -> int:
        """Bytes of moments and coefficients."""
        n_coefs = 2 + self.n_samples + (2 if self.empirical else 0)
        return self.moments + n_coefs * _DOUBLE * self.land.rank * self.n_genes

    @property
    def solving(self) -> int:
        """Bytes while the coefficients are computed: those of the samples exist twice for a moment."""
        return self.kept + (2 + self.n_samples) * _DOUBLE * self.land.rank * self.n_genes


def chunk_of_expression(land: Landscape, data: Expression, n_genes: int) -> int:
    """Bytes of one chunk of expression in work: stored values twice, dense once, and its product."""
    rows = min(land.n_cells, rows_per_chunk(n_genes, land.rank, data.itemsize))
    entries = rows * n_genes
    stored = 2.0 * data.share * entries * data.stored_bytes if data.is_sparse else data.itemsize * entries
    dense = data.itemsize * entries if data.is_sparse and data.is_densified else 0
    return int(stored + dense + (data.itemsize + _DOUBLE) * land.rank * n_genes)


def moments(work: Work, data: Expression, fit: Fit, name: str) -> Stage:
    """One pass over expression, and the coefficients."""
    land, genes = fit.land, fit.n_genes
    n, r = land.n_used, land.rank
    entries = float(n * genes)
    stored = entries * data.share
    if data.is_densified:
        product = work.single(2.0 * entries * r / _SOLVES) * (data.itemsize / _SINGLE) + work.plain(1.5e-9 * entries)
    else:
        product = work.plain(3e-10 * stored * r)
    reading = work.plain(4e-9 * stored) if data.is_sparse else work.plain(3e-10 * entries)
    solving = work.double(2.0 * r * r * genes * (2 + fit.n_samples) + r**3) + work.plain(
        1e-9 * (fit.n_groups + 2 * fit.n_samples) * r * genes
    )
    again = features_again(work, land) + data.read_seconds
    peak = max(fit.moments + chunk_of_expression(land, data, genes), fit.solving)
    return Stage(name, product + reading + solving + again, int(OVERHEAD + land.table + peak))


def variance_pass(work: Work, data: Expression, fit: Fit) -> Stage:
    """The second pass over expression, for the noise variance."""
    land, entries = fit.land, float(fit.land.n_used * fit.n_genes)
    seconds = work.double(4.0 * entries * land.rank) + work.plain(8e-9 * entries) + data.read_seconds
    chunk = 2.5 * _DOUBLE * fit.n_genes * min(land.n_cells, rows_per_chunk(fit.n_genes, land.rank, _DOUBLE))
    return Stage("noise variances", seconds + features_again(work, land), int(OVERHEAD + land.table + fit.kept + chunk))


def shuffling(work: Work, data: Expression, n_null: int, kept: int, land: Landscape) -> Stage:
    """Null genes: their columns gathered and shuffled, in blocks of bounded size."""
    stored = data.share * land.n_used * n_null
    share = stored if data.is_sparse else 0.3 * land.n_used * n_null
    bytes_per_value = data.itemsize + data.index_size
    allowed = max(256e6, 0.25 * data.stored * 12) / 12
    block = share / max(1.0, np.ceil(share / allowed))
    seconds = work.plain(4.0e-8 * share + 5.0e-5 * n_null) + (data.read_seconds or 0.0)
    # The columns, their new places and the sorted result; before, three forms of the columns.
    peak = block * 3 * bytes_per_value
    return Stage("shuffling of null genes", seconds, int(OVERHEAD + land.table + kept + peak))


def distances(work: Work, fit: Fit, n_points: int, kept: int) -> Stage:
    """Mahalanobis distances of genes."""
    r, genes = fit.land.rank, fit.n_genes
    seconds = work.double(2.0 * r * r * genes * (1 + fit.n_samples)) + work.plain(
        1.2e-9 * (2 + 4 * fit.n_samples) * r * genes
    )
    peak = 3 * _DOUBLE * r * genes + min(fit.n_samples * _DOUBLE * r * genes, _CHUNK)
    if fit.empirical:
        # Small factorisations one by one, and k-means.
        seconds += work.double(1.8 * genes * (n_points * r * r + r**3 / 3)) + work.plain(2.5e-4 * genes)
        seconds += work.plain(3.0e-4 * n_points)
        peak += min(2 * _DOUBLE * n_points * genes, 4 * _CHUNK)
    return Stage("distances", seconds, int(OVERHEAD + fit.land.table + kept + peak))


def false_discoveries(work: Work, land: Landscape, n_genes: int, n_null: int, n_groups: int, kept: int) -> Stage:
    """Densities of null and observed distances, for the landscape and each group."""
    seconds = (1 + n_groups) * work.plain(7e-6 * (n_genes + n_null) + 0.003)
    return Stage(
        "false discovery rates", seconds, OVERHEAD + land.table + kept + min(20_000_000, 24_000 * (n_genes + n_null))
    )


def groups(work: Work, sizes: list[int], fit: Fit, kept: int) -> Stage:
    """Distances over the cells of each group, with a prior of its own."""
    r, genes = fit.land.rank, fit.n_genes
    seconds, largest = 0.0, 0.0
    for size in sizes:
        pool = min(size, _GROUP_POOL)
        # A group in which everything is smooth needs fewer landmarks.
        q = min(_GROUP_LANDMARKS, size, 4 * r + 50)
        seconds += work.kernel((pool + size) * q) + work.double(2.0 * pool * q * q / _BLOCKS)
        seconds += work.double((4.0 * size * (q + r) ** 2 + 20.0 * q**3) / _SOLVES)
        seconds += work.double(2.0 * r * r * genes * (1 + fit.n_samples))
        rows = min(size, max(256, _CHUNK // (16 * q)))
        block = 3.0 * _DOUBLE * (rows + q + r) * (q + r)
        largest = max(largest, block + _DOUBLE * pool * q, _POOL_ARRAYS * _DOUBLE * pool * q)
    return Stage("groups", seconds, int(OVERHEAD + fit.land.table + kept + largest))


def variances(work: Work, land: Landscape, kept: int) -> Stage:
    """Posterior variances at the cells."""
    seconds = work.double(3.5 * land.n_evaluated * land.rank**2) + features_again(work, land)
    peak = 4 * _DOUBLE * land.n_cells + 2 * chunk_bytes(land.n_cells, land.n_landmarks)
    return Stage("standard deviations", seconds, int(OVERHEAD + land.table + kept + peak))


def layers(work: Work, fit: Fit, n_layers: int, layer_bytes: int, kept: int, *, on_disk: bool) -> Stage:
    """Evaluation at all cells, written where the layers are kept."""
    land, genes = fit.land, fit.n_genes
    entries = float(land.n_evaluated * genes)
    # One product per condition and sample; per-gene variances are squared and added up.
    n_products = 2 + fit.n_samples + (2 if fit.empirical else 0)
    extra = fit.n_samples + (2 if fit.empirical else 0)
    seconds = work.single(2.0 * entries * land.rank * n_products / _SOLVES) + work.plain(
        entries * (1e-9 * extra + (4e-9 if extra else 0.0))
    )
    seconds += work.plain((3e-9 if on_disk else 1.5e-9) * layer_bytes)
    arrays = 4 if extra else 1
    rows = min(land.n_cells, rows_per_chunk(genes * arrays, land.rank, _SINGLE))
    chunk = rows * genes * _SINGLE * ((1 + arrays) if extra or on_disk else 1) + rows * land.rank * 12
    chunk += _SINGLE * land.rank * genes * (2 + (1 if fit.n_samples else 0))
    seconds += features_again(work, land)
    stored = 0 if on_disk else layer_bytes
    return Stage(f"{n_layers} layers", seconds, int(OVERHEAD + land.table + kept + stored + chunk))
