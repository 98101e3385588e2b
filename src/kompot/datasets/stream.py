"""Counts in blocks of cells, each block with its own child of the seed, and chunks made of whole blocks.

So neither the size of the chunks nor their destination changes a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix, vstack

from kompot.datasets.expression import draw_counts, log_normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kompot.datasets.cells import Cells
    from kompot.datasets.embedding import Embedding
    from kompot.datasets.expression import Genes
    from kompot.datasets.writer import Chunk

BLOCK_SIZE = 500
_CELL_STREAM, _GENE_STREAM, _COUNT_STREAM = range(3)  # children of the seed


@dataclass(frozen=True)
class Randomness:
    """Independent random streams from one seed."""

    seed: int
    """Seed of the data set."""

    @property
    def cells(self) -> np.random.Generator:
        """A new generator for the cells."""
        return self._child(_CELL_STREAM)

    @property
    def genes(self) -> np.random.Generator:
        """A new generator for the genes."""
        return self._child(_GENE_STREAM)

    def block(self, index: int) -> np.random.Generator:
        """Return a new generator for the counts of one block of cells."""
        return self._child(_COUNT_STREAM, index)

    def _child(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class CountStream:
    """The counts of all cells, drawn when asked for."""

    cells: Cells
    """All cells."""

    genes: Genes
    """All genes."""

    randomness: Randomness
    """Source of the blocks' generators."""

    def counts(self, start: int, stop: int) -> csr_matrix[np.int32]:
        """Return the counts of cells `start` to `stop` (multiples of the block size, or the end), int32."""
        stop = min(stop, len(self.cells))
        return csr_matrix(vstack([self._block(first) for first in range(start, stop, BLOCK_SIZE)], format="csr"))

    def _block(self, first: int) -> csr_matrix[np.int32]:
        rng = self.randomness.block(first // BLOCK_SIZE)
        return draw_counts(self.cells[first : first + BLOCK_SIZE], self.genes, rng)


def embedded_chunks(
    stream: CountStream, embedding: Embedding, coordinates: NDArray[np.float64], chunk_size: int
) -> Iterator[Chunk]:
    """Yield expression and counts chunk by chunk, and fill the chunk's rows of `coordinates` on the way."""
    step = -(-chunk_size // BLOCK_SIZE) * BLOCK_SIZE
    for start in range(0, len(stream.cells), step):
        counts = stream.counts(start, start + step)
        X = log_normalise(counts)
        coordinates[start : start + step] = embedding.transform(X)
        yield X, counts
