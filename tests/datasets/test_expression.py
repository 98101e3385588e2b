from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from kompot.datasets.cells import Cells
from kompot.datasets.expression import draw_counts, draw_genes, log_normalise, programmes
from kompot.datasets.settings import SimulationSettings
from kompot.datasets.trajectory import BRANCH_B, BRANCH_POINT, States, draw_states


def identical_cells(n_cells: int, size_factor: float = 1.0) -> Cells:
    states = States(np.full(n_cells, 0.3), np.zeros(n_cells, dtype=np.int8), np.full(n_cells, 0.5))
    first_donor = np.zeros(n_cells, dtype=np.int64)
    return Cells(first_donor, first_donor > 0, states, np.zeros(n_cells), np.full(n_cells, size_factor))


@pytest.mark.parametrize("dispersion", [0.0, 0.3])
def test_variance_is_mean_plus_dispersion_times_squared_mean(dispersion: float) -> None:
    settings = SimulationSettings(dispersion=dispersion, depth=200.0)
    genes = draw_genes(20, 2, settings, np.random.default_rng(0), null=False)
    counts = draw_counts(identical_cells(20_000), genes, np.random.default_rng(1)).toarray()
    mean, variance = counts.mean(axis=0), counts.var(axis=0)
    frequent = mean > 1
    assert frequent.sum() > 5
    expected = mean + genes.dispersion * mean**2
    np.testing.assert_allclose(variance[frequent], expected[frequent], rtol=0.1)
    assert genes.dispersion.any() == (dispersion > 0)


def test_mean_is_that_of_the_model() -> None:
    genes = draw_genes(20, 2, SimulationSettings(depth=400.0), np.random.default_rng(0), null=False)
    cells = identical_cells(20_000)
    counts = draw_counts(cells, genes, np.random.default_rng(1)).toarray()
    donor_effect = genes.coefficients[-4]  # the first of four donors
    phi = programmes(cells.states)[0]
    expected = np.exp(genes.coefficients[0] + phi @ genes.coefficients[1 : 1 + phi.size] + donor_effect)
    frequent = expected > 1
    np.testing.assert_allclose(counts.mean(axis=0)[frequent], expected[frequent], rtol=0.04)


def test_mean_is_proportional_to_the_size_factor() -> None:
    genes = draw_genes(20, 2, SimulationSettings(depth=500.0), np.random.default_rng(0), null=False)
    small = draw_counts(identical_cells(5000), genes, np.random.default_rng(1)).sum()
    large = draw_counts(identical_cells(5000, 3.0), genes, np.random.default_rng(2)).sum()
    assert large / small == pytest.approx(3.0, rel=0.05)


def test_depth_is_the_expected_total_of_an_average_cell() -> None:
    genes = draw_genes(300, 2, SimulationSettings(depth=800.0), np.random.default_rng(0), null=True)
    assert genes.mean.sum() == pytest.approx(800.0)


def test_programmes_are_continuous_at_the_branching_point() -> None:
    around = np.array([BRANCH_POINT - 1e-9, BRANCH_POINT + 1e-9])
    before, after = programmes(States(around, np.array([0, BRANCH_B], dtype=np.int8), np.zeros(2)))
    np.testing.assert_allclose(before, after, atol=1e-7)


def test_number_of_programmes_matches_the_loadings() -> None:
    genes = draw_genes(10, 2, SimulationSettings(), np.random.default_rng(0), null=False)
    states = draw_states(np.zeros(5), np.zeros(5), np.random.default_rng(0))
    n_rows = 1 + programmes(states).shape[1] + 2 + 4  # baseline, programmes, two effects, four donors
    assert genes.coefficients.shape == (n_rows, 10)


def test_de_genes_are_as_many_as_asked_for_and_spread_around_the_effect_size() -> None:
    settings = SimulationSettings(n_de_global=30, n_de_branch=10, effect_size=0.5)
    genes = draw_genes(100, 2, settings, np.random.default_rng(0), null=False)
    np.testing.assert_array_equal(np.bincount(genes.kind), [60, 30, 10])
    size = np.abs(genes.log_fold_change)
    assert not size[genes.kind == 0].any()
    assert size[genes.kind > 0].min() >= 0.25
    assert size[genes.kind > 0].max() <= 0.75
    assert set(np.sign(genes.log_fold_change)) == {-1.0, 0.0, 1.0}


def test_log_normalise_against_numpy() -> None:
    dense = np.random.default_rng(0).poisson(0.7, (6, 9)).astype(np.int32)
    dense[2] = 0  # an empty cell stays empty
    found = log_normalise(csr_matrix(dense))
    total = np.maximum(dense.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(found.toarray(), np.log1p(dense / total * 1e4), rtol=1e-6)
    assert found.dtype == np.float32
