from __future__ import annotations

import numpy as np
import pytest

from kompot.datasets.cells import Cells
from kompot.datasets.expression import draw_genes
from kompot.datasets.settings import SimulationSettings
from kompot.datasets.stream import BLOCK_SIZE, CountStream, Randomness
from kompot.datasets.trajectory import States


@pytest.fixture
def alike() -> CountStream:
    n = 2 * BLOCK_SIZE + 10
    donor = np.zeros(n, dtype=np.int64)
    states = States(np.full(n, 0.3), np.zeros(n, dtype=np.int8), np.zeros(n))
    cells = Cells(donor, donor > 0, states, np.zeros(n), np.ones(n))
    genes = draw_genes(30, 1, SimulationSettings(depth=300.0), np.random.default_rng(0), null=True)
    return CountStream(cells, genes, Randomness(4))


def test_blocks_are_independent_draws(alike: CountStream) -> None:
    counts = alike.counts(0, 2 * BLOCK_SIZE).toarray().astype(float)
    frequent = counts.mean(axis=0) > 1
    first, second = counts[:BLOCK_SIZE, frequent], counts[BLOCK_SIZE:, frequent]
    assert abs(np.corrcoef((first - first.mean(axis=0)).ravel(), (second - second.mean(axis=0)).ravel())[0, 1]) < 0.1


def test_a_run_of_blocks_is_part_of_the_whole(alike: CountStream) -> None:
    whole = alike.counts(0, 10_000)
    assert whole.shape[0] == 2 * BLOCK_SIZE + 10
    assert (alike.counts(BLOCK_SIZE, 10_000) != whole[BLOCK_SIZE:]).nnz == 0


def test_streams_of_a_seed_differ_from_each_other() -> None:
    randomness = Randomness(0)
    generators = [randomness.cells, randomness.genes, randomness.block(0), randomness.block(1), Randomness(1).cells]
    assert len({float(rng.random()) for rng in generators}) == 5
    assert randomness.cells.random() == randomness.cells.random()
