"""The annotation of a simulated data set: `obs` and `var`, the truth in columns that start with ``true_``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kompot.datasets.expression import DE_KINDS
from kompot.datasets.trajectory import BRANCHES, CELL_TYPES, cell_type_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kompot.datasets.cells import Cells
    from kompot.datasets.expression import Genes


def cell_table(cells: Cells, conditions: Sequence[str], n_donors: int) -> pd.DataFrame:
    """Return `obs`: condition, donor, cell type and the true state of each cell."""
    donors = [f"{condition}_{i + 1}" for condition in conditions for i in range(n_donors)]
    states = cells.states
    columns = {
        "condition": _categorical(cells.in_condition2.astype(np.int8), conditions),
        "donor": _categorical(cells.donor, donors),
        "cell_type": _categorical(cell_type_codes(states), CELL_TYPES),
        "true_pseudotime": states.pseudotime,
        "true_branch": _categorical(states.branch, BRANCHES),
        "true_activation": states.activation,
        "true_size_factor": cells.size_factor,
        "true_log_odds": cells.log_abundance_ratio,
    }
    return pd.DataFrame(columns, index=_names("cell_", len(cells), 7))


def gene_table(genes: Genes) -> pd.DataFrame:
    """Return `var`: what the model of the counts holds about each gene."""
    columns = {
        "true_de": genes.kind > 0,
        "true_de_kind": _categorical(genes.kind, DE_KINDS),
        "true_lfc": genes.log_fold_change,
        "true_mean": genes.mean,
        "true_dispersion": genes.dispersion,
    }
    return pd.DataFrame(columns, index=_names("Gene", genes.mean.shape[0], 4))


def _categorical(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> pd.Categorical[str]:
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(names)))


def _names(prefix: str, count: int, width: int) -> pd.Index[str]:
    """Return `count` unique names of equal width, numbered from 1."""
    width = max(width, len(str(count)))
    return pd.Index([f"{prefix}{i:0{width}d}" for i in range(1, count + 1)])
