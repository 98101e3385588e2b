"""The demonstration behind `python -m kompot`: simulate, compare, and show the result beside the truth."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import pandas as pd
from anndata import AnnData

from kompot.anndata import de
from kompot.datasets import simulate
from kompot.settings import OutputSettings

T = TypeVar("T")

_N_CELLS, _N_GENES, _N_SHOWN = 4000, 2000, 12
_PREFIX = "kompot_de_Young_to_Old_"


def main() -> None:
    """Print the top genes of a simulated comparison, and the time and memory it took."""
    print(f"Simulating {_N_CELLS:,} cells x {_N_GENES:,} genes, conditions Young and Old ...")
    adata, simulated = _timed(lambda: simulate(_N_CELLS, _N_GENES, seed=0))
    print('kompot.de(adata, "condition", "Young", "Old") ...')
    output = OutputSettings(progress=False)
    _, computed = _timed(lambda: de(adata, "condition", "Young", "Old", output=output))
    print(f"\nTop {_N_SHOWN} genes by distance:\n")
    print(top_genes(adata, _N_SHOWN).to_string())
    print(f"\n{summary(adata)}")
    memory = peak_memory_mb()
    used = f", {memory:.0f} MB peak memory of the whole process" if memory else ""
    print(f"Time: {computed:.2f} s for de ({simulated:.1f} s for the simulation){used}.")


def top_genes(adata: AnnData, n: int) -> pd.DataFrame:
    """The genes with the largest distances, with the truth of the simulation.

    Parameters
    ----------
    adata
        After `de` on simulated data.
    n
        How many.

    Returns
    -------
    pd.DataFrame
        Distance, mean log fold change, local FDR and truth, by falling distance.
    """
    table = pd.DataFrame(
        {
            "distance": adata.var[f"{_PREFIX}mahalanobis"].round(1),
            "mean LFC": adata.var[f"{_PREFIX}mean_lfc"].round(2),
            "local FDR": adata.var[f"{_PREFIX}mahalanobis_local_fdr"].map("{:.1e}".format),
            "DE": adata.var[f"{_PREFIX}is_de"].map({True: "yes", False: "no"}),
            "truth": adata.var["true_de_kind"].astype(str),
        }
    )
    return table.sort_values("distance", ascending=False).head(n)


def summary(adata: AnnData) -> str:
    """How many genes were called, and how many of them truly differ."""
    called = adata.var[f"{_PREFIX}is_de"].to_numpy()
    true = adata.var["true_de"].to_numpy()
    return (
        f"{called.sum()} of {len(called)} genes are called (local FDR < 0.05): {(called & true).sum()} of the "
        f"{true.sum()} simulated to differ, and {(called & ~true).sum()} others\n(donor effects and total-count "
        f"normalisation move those; this run compares cells, not replicates)."
    )


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far in MB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start
