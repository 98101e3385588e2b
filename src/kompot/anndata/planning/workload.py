"""How much an analysis has to do, in numbers; everything that time and memory depend on."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from kompot._checks import is_sparse
from kompot._typing import Matrix
from kompot.anndata.extract import is_in_memory
from kompot.gp.features import largest_kept_table, table_bytes
from kompot.gp.products import DENSE_FROM, product_dtype
from kompot.gp.rows import row_source
from kompot.gp.selection import WITNESSES, pool_size

_READ_ROWS = 2048


@dataclass(frozen=True)
class Landscape:
    """Cells and the features that will represent them."""

    n_cells: int
    """All cells of the object."""
    n_used: int
    """Cells fitted."""
    n_evaluated: int
    """Cells that results are evaluated at."""
    n_dims: int
    """Dimension of the cell states."""
    n_landmarks: int
    """Expected landmarks m."""
    rank: int
    """Expected features r."""
    n_attempts: int = 1
    """How often features will be chosen and verified."""

    @property
    def pool(self) -> int:
        """Cells that features are chosen on: candidates for landmarks, and witnesses."""
        candidates = pool_size(self.n_used)
        return min(self.n_used, candidates + candidates // WITNESSES)

    @property
    def table(self) -> int:
        """Bytes of the features of all cells, if they are kept."""
        size = table_bytes(self.n_cells, self.rank)
        return size if self.is_kept else 0

    @property
    def is_kept(self) -> bool:
        """Whether the features of all cells are computed once and kept."""
        return table_bytes(self.n_cells, self.rank) <= largest_kept_table()


@dataclass(frozen=True)
class Expression:
    """The matrix of expression."""

    n_genes: int
    """Genes analysed."""
    n_columns: int
    """All genes of the object."""
    stored: float
    """Stored values, of all genes."""
    itemsize: int
    """Bytes of a value in products."""
    index_size: int
    """Bytes of an index of a sparse matrix."""
    is_sparse: bool
    """Whether it is sparse."""
    converted: bool
    """Whether it is sparse by columns, so that it is converted."""
    read_seconds: float
    """Seconds to read all of it once from disk or a lazy array; 0 in memory."""

    @property
    def share(self) -> float:
        """Stored values per entry."""
        return self.stored / max(1.0, self.n_columns * self.n_rows)

    n_rows: int = 1
    """All cells of the object."""

    @property
    def stored_bytes(self) -> float:
        """Bytes per stored value."""
        return self.itemsize + (self.index_size if self.is_sparse else 0)

    @property
    def is_densified(self) -> bool:
        """Whether chunks are made dense before products."""
        return not self.is_sparse or self.share >= DENSE_FROM


def expression_of(matrix: Matrix, n_genes: int) -> Expression:
    """Look at a matrix: its type, its density, and how long reading it takes.

    Parameters
    ----------
    matrix
        n_cells x n_columns, in memory, on disk or lazy.
    n_genes
        Genes analysed.

    Returns
    -------
    Expression
        Of a matrix that is not in memory, the density and the time to read follow from its first rows.
    """
    n_rows, n_columns = matrix.shape
    start = perf_counter()
    first = row_source(matrix).rows(slice(0, min(_READ_ROWS, n_rows))) if not is_in_memory(matrix) else matrix
    seconds = perf_counter() - start
    by_rows = n_rows / max(1, min(_READ_ROWS, n_rows))
    sparse = is_sparse(first)
    stored = float(first.nnz) if sparse else float(first.shape[0] * n_columns)
    here = is_in_memory(matrix)
    return Expression(
        n_genes=n_genes,
        n_columns=n_columns,
        stored=stored if here else stored * by_rows,
        itemsize=product_dtype(np.dtype(matrix.dtype)).itemsize,
        index_size=first.indices.dtype.itemsize if sparse else 4,
        is_sparse=sparse,
        converted=bool(here and sparse and first.format != "csr"),
        read_seconds=0.0 if here else seconds * by_rows,
        n_rows=n_rows,
    )
