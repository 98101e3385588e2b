"""The public generator: draw cells and genes, then stream the counts to memory or a file.

The embedding is fitted on the first `_MAX_ANCHORS` cells (cells come in random order, so they are a random
sample) and every chunk is mapped as it passes. Memory beyond the result: one chunk, and 5,000 anchors.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kompot import _checks as check
from kompot._paths import path as path_of
from kompot.datasets.cells import draw_cells
from kompot.datasets.checks import (
    check_cells,
    check_conditions,
    check_genes,
    check_integers,
    check_positive,
    check_seed,
    check_settings,
)
from kompot.datasets.embedding import fit_embedding
from kompot.datasets.expression import draw_genes, log_normalise
from kompot.datasets.layout import planar_layout
from kompot.datasets.settings import SimulationSettings
from kompot.datasets.stream import CountStream, Randomness, embedded_chunks
from kompot.datasets.tables import cell_table, gene_table
from kompot.datasets.writer import check_path, open_written, to_file, to_memory

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

    from kompot.datasets.writer import Annotation

_MAX_ANCHORS = 5000


def simulate(
    n_cells: int = 2000,
    n_genes: int = 1000,
    *,
    conditions: tuple[str, str] = ("Young", "Old"),
    n_donors: int = 3,
    n_components: int = 10,
    seed: int = 0,
    null: bool = False,
    settings: SimulationSettings | None = None,
    path: str | Path | None = None,
    chunk_size: int = 5000,
) -> ad.AnnData:
    """Simulate a two-condition single-cell data set with replicates and known truth.

    Cells lie on a trajectory that branches in two and carry a second, independent axis of variation
    (activation). Counts are negative binomial (Robinson and Smyth 2008); some genes differ between the conditions
    everywhere, some in branch B only; the second condition prefers branch B and is more mature. Equal arguments
    give equal values, whatever `chunk_size` and whether the data go to memory or to a file.

    Parameters
    ----------
    n_cells
        Number of cells of both conditions together; each donor needs at least 4.
    n_genes
        Number of genes, at least 10.
    conditions
        Names of the first and the second condition; changes are second minus first.
    n_donors
        Biological replicates per condition.
    n_components
        Columns of ``obsm["DM_EigenVectors"]``, the constant first one included.
    seed
        0 or more; decides every random draw.
    null
        No difference between the conditions, in expression and in abundance; donors still differ.
    settings
        Strengths of the effects and of the noise, see `SimulationSettings`.
    path
        Write to this new ``.h5ad`` or ``.zarr`` file instead of memory. Memory then holds a few numbers per
        cell and one chunk, however large the data set. Nothing is left behind if writing fails.
    chunk_size
        Cells per write, rounded up to a multiple of 500.

    Returns
    -------
    AnnData
        Shape (n_cells, n_genes). With an ``.h5ad`` path it is opened in backed mode; with a ``.zarr``
        path `X` and the counts are lazy Dask arrays. Either way both stay on disk, and `obs`, `var`, `obsm` and
        `uns` are in memory.

        - ``X``: log(1 + counts / total · 10,000), float32 CSR; ``layers["counts"]``: int32 CSR.
        - ``obs``: ``condition``, ``donor`` (such as ``Young_1``), ``cell_type``, and the truth:
          ``true_pseudotime`` in [0, 1], ``true_branch`` (trunk, A, B), ``true_activation`` in [-1, 1],
          ``true_size_factor`` (median 1) and ``true_log_odds``, the natural logarithm of the density of
          condition 2 over that of condition 1 at the cell's state, each density integrating to 1.
        - ``var``: ``true_de``, ``true_de_kind`` (none, global, branch), ``true_lfc`` (natural logarithm of
          the mean of condition 2 over that of condition 1; for branch genes where branch B is fully formed),
          ``true_mean`` (counts of an average cell) and ``true_dispersion`` (negative binomial).
        - ``obsm["DM_EigenVectors"]``: diffusion components (Coifman and Lafon 2006, Haghverdi et al. 2015) of
          the expression, float64, columns of unit length by falling eigenvalue, the first one constant.
        - ``obsm["X_umap"]``: two coordinates for pictures, made of the diffusion components 1 to 3. The name
          is the one that plots look for; the UMAP algorithm is not used.
        - ``uns["simulation"]``: the arguments and settings, with the numbers behind None.

    Raises
    ------
    ValueError
        If a size is too small, the conditions are equal, or `path` has another suffix.
    TypeError
        If a number that must be an integer is not.
    FileExistsError, FileNotFoundError
        If `path` exists already, or its folder does not.
    ImportError
        If a ``.zarr`` path is given and zarr or dask is not installed.

    Notes
    -----
    The model of the states is in `kompot.datasets.trajectory`, that of the counts in
    `kompot.datasets.expression`. Donor effects stay in the expression; the principal
    components behind the diffusion components are those of the variation within donors.

    References
    ----------
    Robinson M. D., Smyth G. K. (2008). Small-sample estimation of negative binomial dispersion, with
    applications to SAGE data. Biostatistics 9, 321-332.

    Coifman R. R., Lafon S. (2006). Diffusion maps. Applied and Computational Harmonic Analysis 21,
    5-30.

    Haghverdi L., Buettner F., Theis F. J. (2015). Diffusion maps for high-dimensional single-cell
    analysis of differentiation data. Bioinformatics 31, 2989-2998.

    Examples
    --------
    >>> from kompot.datasets import simulate
    >>> adata = simulate(300, 100, n_donors=2)
    >>> adata.shape
    (300, 100)
    >>> list(adata.obs["donor"].cat.categories)
    ['Young_1', 'Young_2', 'Old_1', 'Old_2']
    >>> adata.var["true_de_kind"].value_counts().to_dict()
    {'none': 92, 'global': 4, 'branch': 4}
    """
    settings = SimulationSettings() if settings is None else check_settings(settings)
    check.boolean("null", null)
    check_integers(n_cells=n_cells, n_genes=n_genes, n_donors=n_donors, n_components=n_components)
    check_integers(seed=seed, chunk_size=chunk_size)
    check_positive(n_donors=n_donors, chunk_size=chunk_size)
    check_seed(seed)
    check_conditions(conditions)
    check_cells(n_cells, n_donors, n_components, settings)
    check_genes(n_genes, settings)
    target = None if path is None else Path(path_of("path", path))
    if target is not None:
        check_path(target)

    randomness = Randomness(seed)
    cells = draw_cells(n_cells, n_donors, settings, randomness.cells, null=null)
    genes = draw_genes(n_genes, n_donors, settings, randomness.genes, null=null)
    stream = CountStream(cells, genes, randomness)
    anchors = log_normalise(stream.counts(0, _MAX_ANCHORS))
    embedding = fit_embedding(anchors, cells.donor[:_MAX_ANCHORS], n_components)
    coordinates = np.empty((n_cells, n_components))
    arguments = {"n_donors": n_donors, "n_components": n_components, "seed": seed, "null": null}

    def annotate() -> Annotation:
        return {
            "obs": cell_table(cells, conditions, n_donors),
            "var": gene_table(genes),
            "obsm": _embedding_entries(coordinates),
            "uns": {"simulation": _record(n_cells, n_genes, conditions, settings) | arguments},
        }

    chunks = embedded_chunks(stream, embedding, coordinates, chunk_size)
    if target is None:
        return to_memory(chunks, annotate)
    to_file(target, chunks, annotate)
    return open_written(target)


def _embedding_entries(coordinates: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return `obsm` from the extended components of all cells."""
    components = coordinates / np.linalg.norm(coordinates, axis=0)
    return {"DM_EigenVectors": components, "X_umap": planar_layout(components)}


def _record(n_cells: int, n_genes: int, conditions: tuple[str, str], settings: SimulationSettings) -> dict[str, Any]:
    """Return the sizes, names and settings, with every None replaced by the number it stands for."""
    n_global, n_branch = settings.de_counts(n_genes)
    resolved = {"n_de_global": n_global, "n_de_branch": n_branch, "depth": settings.mean_depth(n_genes)}
    names = np.array(conditions, dtype=object)
    return {"n_cells": n_cells, "n_genes": n_genes, "conditions": names, **asdict(settings), **resolved}
