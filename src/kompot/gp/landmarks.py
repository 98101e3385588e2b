"""Choice of inducing points by randomly pivoted Cholesky.

Chen, Epperly, Tropp and Webber (2022), *Randomly pivoted Cholesky*, algorithm 1: the next landmark is a cell drawn
with probability proportional to its residual variance `k(x,x) - |phi(x)|²`. Drawn here in blocks, thinned by
rejection so that the distribution is that of one draw at a time (Epperly, Tropp and Webber 2024, *Embrace
rejection*, algorithm 2.1). r landmarks of n cells cost O(n r (r + n_dims)) time and n x r memory.

The cells are first put into an order that depends on their coordinates alone. So the choice, and with it every
number that follows, does not depend on the order of cells in the file or on which condition is called first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kompot.gp.linalg import cholesky, column_sums_of_squares, product, solve_rows

if TYPE_CHECKING:
    from kompot._typing import Float64, Ints
    from kompot.gp.kernels import Kernel
    from kompot.gp.rows import Hashes

_ADVICE = "Check cov_func, or raise jitter."
_SMALLEST_BLOCK = 16
_BLOCK_SHARE = 8
# A landmark whose residual variance is below this share of the largest prior variance is not told apart from
# rounding: the factor would lose half of its digits.
_SMALLEST_PIVOT = 1e-13


def canonical_order(X: Float64, *ties: Hashes | Ints) -> Ints:
    """Order of the rows by their coordinates (first column first), independent of the order they came in.

    Rows with equal coordinates are ordered by `ties` (one number per row each, the first one counts first). Without any
    they keep the order they came in: harmless where the coordinates are all that is used of a cell.
    """
    keys = (*reversed(ties), *X.T[::-1])
    return np.lexsort(keys) if keys else np.arange(len(X))


@dataclass
class PivotedCholesky:
    """A partial Cholesky factor `K ≈ F Fᵀ` of the kernel matrix of a pool of cells, that can be made longer."""

    kernel: Kernel
    """Covariance function."""
    X: Float64
    """The pool, n x n_dims."""
    residual: Float64 = field(init=False)
    """Variance of each cell of the pool that the features miss, n."""
    pivots: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Rows of the pool that are landmarks, in the order of the features, r; those given at construction are kept."""
    n_candidates: int | None = None
    """Only the first so many rows may become landmarks; the others show how cells fare that may not. None: all."""

    def __post_init__(self) -> None:
        self._room = np.empty((len(self.X), 2 * _SMALLEST_BLOCK), order="F")
        self.residual = self.kernel.diagonal(self.X).copy()
        self._floor = _SMALLEST_PIVOT * float(self.residual.max())
        start, self.pivots = self.pivots, self.pivots[:0]
        if len(start):
            chosen = self.X[start]
            self._add(start, cholesky(self.kernel(chosen, chosen), "The kernel matrix of the landmarks", _ADVICE))

    @property
    def features(self) -> Float64:
        """Features of the pool, n x r: row i is `phi(x_i)`. Valid until the factor is extended."""
        return self._room[:, : self.rank]

    @property
    def rank(self) -> int:
        """Number of features."""
        return len(self.pivots)

    @property
    def exhausted(self) -> bool:
        """Whether no candidate has residual variance above rounding."""
        return bool(self.residual[: self.n_candidates].max() <= self._floor)

    def extend(self, rng: np.random.Generator, limit: int) -> None:
        """Add a block of landmarks, at most `limit`, at least one unless the pool is exhausted."""
        drawn = self._draw(rng, max(_SMALLEST_BLOCK, self.rank // _BLOCK_SHARE))
        accepted, L = self._thin(rng, drawn)
        accepted, L = accepted[:limit], L[:limit, :limit]
        self._add(accepted, L)

    def _add(self, accepted: Ints, L: Float64) -> None:
        """Add landmarks whose residual covariance has the Cholesky factor `L`."""
        columns = np.asfortranarray(self.kernel(self.X, self.X[accepted]))
        columns -= product(self.features, self.features[accepted].T)
        new = solve_rows(L, columns)
        self.residual -= column_sums_of_squares(new.T)
        np.maximum(self.residual, 0.0, out=self.residual)
        self.residual[accepted] = 0.0
        self._append(new)
        self.pivots = np.concatenate([self.pivots, accepted])

    def truncate(self, rank: int) -> None:
        """Keep the first `rank` landmarks and give their residual back."""
        self.residual += column_sums_of_squares(self.features[:, rank:].T)
        self.pivots = self.pivots[:rank]

    def residual_sums(self, weights: Float64) -> Float64:
        """Weighted sum of the residual variances after each number of features 0..r: r + 1 values, falling."""
        gains = np.einsum("i,ij,ij->j", weights, self.features, self.features)
        tail = np.append(np.cumsum(gains[::-1])[::-1], 0.0)
        tail += np.sum(weights * self.residual)
        return tail

    def _append(self, columns: Float64) -> None:
        rank = self.rank + columns.shape[1]
        if rank > self._room.shape[1]:
            room = np.empty((len(self.X), max(rank, 3 * self._room.shape[1] // 2)), order="F")
            room[:, : self.rank] = self.features
            self._room = room
        self._room[:, self.rank : rank] = columns

    def _draw(self, rng: np.random.Generator, size: int) -> Ints:
        residual = self.residual[: self.n_candidates]
        cumulative = np.cumsum(np.where(residual > self._floor, residual, 0.0))
        drawn = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
        return np.asarray(drawn, dtype=np.int64)

    def _thin(self, rng: np.random.Generator, drawn: Ints) -> tuple[Ints, Float64]:
        """The drawn cells that one-at-a-time sampling would keep, and the Cholesky factor of their residuals.

        Cell i, drawn with the residual it had before the block, is kept with probability (its residual now, given
        those kept before it) / (its residual then).
        """
        before = self.residual[drawn]
        H = self.kernel(self.X[drawn], self.X[drawn]) - product(self.features[drawn], self.features[drawn].T)
        L = np.zeros_like(H)
        kept: list[int] = []
        for i, chance in enumerate(rng.random(len(drawn))):
            now = H[i, i]
            if now <= self._floor or (kept and chance * before[i] >= now):
                continue
            column = H[:, i] / np.sqrt(now)
            L[:, len(kept)] = column
            H -= np.outer(column, column)
            kept.append(i)
        return drawn[kept], np.tril(L[kept, : len(kept)])
