"""Results of the analyses on arrays."""

from __future__ import annotations

from dataclasses import dataclass

from kompot._typing import Float64, Floats


@dataclass(frozen=True)
class FoldChange:
    """Expression of two conditions at the same cell states."""

    smoothed_1: Floats
    """Posterior mean expression in condition 1, n_cells x n_genes."""
    smoothed_2: Floats
    """The same in condition 2."""
    fold_change: Floats
    """`smoothed_2 - smoothed_1`, n_cells x n_genes: a log fold change where expression is log-transformed."""
    zscore: Floats | None
    """`fold_change / sqrt(variance_1 + variance_2 + eps)`, all parts of the variances added: n_cells x n_genes, if
    asked for."""
    std_1: Floats
    """Standard deviation in condition 1, n_cells, or n_cells x n_genes where it differs between genes."""
    std_2: Floats
    """The same in condition 2."""


@dataclass(frozen=True)
class Smoothed:
    """Expression of one condition at cell states."""

    mean: Float64
    """Posterior mean, n_cells x n_genes."""
    std: Float64
    """Standard deviation, n_cells, or n_cells x n_genes where the variance differs between genes."""


@dataclass(frozen=True)
class AbundanceChange:
    """Density of two conditions at the same cell states."""

    log_density_1: Float64
    """Normalised log density of condition 1 (natural logarithm of the share of its cells per volume), n."""
    log_density_2: Float64
    """The same of condition 2."""
    lfc: Float64
    """`log_density_2 - log_density_1 + offset`, n: natural logarithm of the ratio of the densities."""
    variance: Float64
    """Posterior variance of `lfc`, n, the variance between samples included where there are any."""
    zscore: Float64
    """`lfc / sqrt(variance + eps)`, n."""
    neg_log10_ptp: Float64
    """`-log10` of the posterior tail probability, n."""
