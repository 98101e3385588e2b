r"""Genes, and negative-binomial counts given the cells.

The counts of cell i and gene g follow

    y_ig ~ NB(mean = f_i · exp(η_ig), dispersion α_g),     variance = mean + α_g · mean²,
    η_ig = log m_g + Σ_k φ_k(state_i) · W_kg + condition2_i · (Δ_g + s_i^B · Δ_g^B) + δ_{donor(i), g},

where f_i is the size factor, m_g the baseline mean, φ_k the programmes below with loadings W, Δ the log fold
change of the genes that differ everywhere, Δ^B that of the genes that differ in branch B only (s_i^B fades in
from the branching point) and δ the donor effects. So η is one matrix product, ``design @ coefficients``.

Time and memory are those of one dense block of cells × genes; see `simulate` for the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from kompot.datasets.trajectory import BRANCH_A, BRANCH_B, BRANCH_POINT, States, draw_states, fade_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kompot.datasets.cells import Cells
    from kompot.datasets.settings import SimulationSettings

DE_KINDS = ("none", "global", "branch")
TARGET_SUM = 1e4

_BASELINE_SD = 2.0  # spread of log means over genes: gives 80 to 90 % zeros for 3,000 genes
_LOADING_SD = 0.8
_LOADING_SHARE = 0.3  # of the genes take part in a programme
_DISPERSION_SD = 0.4
_DE_RANKS = (0.4, 0.95)  # see _choose_de_genes
_N_REFERENCE = 500


@dataclass(frozen=True)
class Genes:
    """The gene-wise parameters of the model in the module docstring."""

    mean: NDArray[np.float64]
    """Shape (n_genes,): expected counts of an average cell."""

    dispersion: NDArray[np.float64]
    """Shape (n_genes,): the dispersion, alpha in the module docstring."""

    kind: NDArray[np.int8]
    """Shape (n_genes,): index into `DE_KINDS`."""

    log_fold_change: NDArray[np.float64]
    """Shape (n_genes,): log mean of condition 2 minus condition 1, where the effect is full."""

    coefficients: NDArray[np.float64]
    """Shape (n_columns, n_genes): one row per column of the design."""


def draw_genes(
    n_genes: int, n_donors: int, settings: SimulationSettings, rng: np.random.Generator, *, null: bool
) -> Genes:
    """Draw the parameters of all genes; with `null` no gene differs between the conditions."""
    log_baseline = rng.normal(0.0, _BASELINE_SD, n_genes)
    loadings = _draw_loadings(n_genes, rng)
    mean = np.exp(log_baseline) * _average_programme(loadings, rng)
    log_scale = np.log(settings.mean_depth(n_genes) / mean.sum())
    mean = mean * np.exp(log_scale)
    dispersion = settings.dispersion * np.exp(rng.normal(0.0, _DISPERSION_SD, n_genes))
    kind = _choose_de_genes(mean, settings, rng)
    change = _draw_changes(n_genes, settings.effect_size, rng)
    donor_effects = rng.normal(0.0, settings.donor_sd, (2 * n_donors, n_genes))
    if null:
        kind = np.zeros_like(kind)
    change = np.where(kind == 0, 0.0, change)
    rows = [
        log_baseline + log_scale,
        loadings,
        np.where(kind == 1, change, 0.0),
        np.where(kind == 2, change, 0.0),
    ]
    return Genes(mean, dispersion, kind, change, np.vstack([*rows, donor_effects]))


def _draw_loadings(n_genes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    shape = (_N_PROGRAMMES, n_genes)
    takes_part = rng.random(shape) < _LOADING_SHARE
    return np.asarray(takes_part * rng.normal(0.0, _LOADING_SD, shape))


def _average_programme(loadings: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return each gene's mean of exp(Σ φ W) over states that both conditions visit equally often."""
    flat = np.zeros(_N_REFERENCE)
    states = draw_states(flat, flat, rng)
    return np.asarray(np.exp(programmes(states) @ loadings).mean(axis=0))


def _choose_de_genes(
    mean: NDArray[np.float64], settings: SimulationSettings, rng: np.random.Generator
) -> NDArray[np.int8]:
    """Pick the DE genes among those with counts to show it, sparing the few that dominate a cell's total.

    A change in a dominant gene would shift the normalised expression of all others. If the range of ranks
    holds too few genes, the ones nearest to it are taken.
    """
    n_genes = mean.shape[0]
    n_global, n_branch = settings.de_counts(n_genes)
    n_de = n_global + n_branch
    rank = (np.argsort(np.argsort(mean)) + 0.5) / n_genes
    outside = np.maximum(0.0, np.maximum(_DE_RANKS[0] - rank, rank - _DE_RANKS[1]))
    chosen = np.lexsort((rng.random(n_genes), outside))[:n_de]
    kind = np.zeros(n_genes, dtype=np.int8)
    kind[chosen] = np.where(np.arange(n_de) < n_global, 1, 2)
    return kind


def _draw_changes(n_genes: int, effect_size: float, rng: np.random.Generator) -> NDArray[np.float64]:
    sign = np.where(rng.random(n_genes) < 0.5, -1.0, 1.0)
    return sign * effect_size * rng.uniform(0.5, 1.5, n_genes)


def programmes(states: States) -> NDArray[np.float64]:
    """Return φ(state), shape (n_cells, n_programmes): smooth functions that genes follow."""
    t = states.pseudotime
    s = fade_in(t)
    late = np.clip((t - BRANCH_POINT) / (1.0 - BRANCH_POINT), 0.0, 1.0) ** 2
    in_a, in_b = states.branch == BRANCH_A, states.branch == BRANCH_B
    stem = np.exp(-t / 0.2)
    middle = np.exp(-0.5 * ((t - BRANCH_POINT) / 0.15) ** 2)
    shared = [2.0 * t - 1.0, stem, middle, states.activation]
    return np.column_stack([*shared, s * in_a, s * in_b, late * in_a, late * in_b])


_N_PROGRAMMES = 8


def draw_counts(cells: Cells, genes: Genes, rng: np.random.Generator) -> csr_matrix[np.int32]:
    """Draw the counts of one block of cells, shape (n_cells, n_genes), int32."""
    mean = np.exp(_design(cells, genes) @ genes.coefficients)
    mean *= cells.size_factor[:, None]
    varying = genes.dispersion > 0
    if varying.any():
        # A gamma variable of mean 1 and variance α, times the mean, is the rate of a Poisson count.
        shape = 1.0 / np.where(varying, genes.dispersion, 1.0)
        rate = rng.standard_gamma(np.broadcast_to(shape, mean.shape))
        rate /= shape
        mean *= np.where(varying, rate, 1.0)
    return csr_matrix(rng.poisson(mean).astype(np.int32))


def _design(cells: Cells, genes: Genes) -> NDArray[np.float64]:
    """Return the design matrix whose columns match the rows of ``genes.coefficients``."""
    phi = programmes(cells.states)
    n_donors = genes.coefficients.shape[0] - phi.shape[1] - 3
    second = cells.in_condition2.astype(np.float64)
    in_b = fade_in(cells.states.pseudotime) * (cells.states.branch == BRANCH_B)
    donors = np.eye(n_donors)[cells.donor]
    return np.column_stack([np.ones(len(cells)), phi, second, second * in_b, donors])


def log_normalise(counts: csr_matrix[np.int32]) -> csr_matrix[np.float32]:
    """Return log(1 + counts / total · 10,000) per cell, shape (n_cells, n_genes), float32."""
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    per_entry = np.repeat(TARGET_SUM / np.maximum(totals, 1.0), np.diff(counts.indptr))
    values = np.log1p(counts.data * per_entry).astype(np.float32)
    return csr_matrix((values, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)
