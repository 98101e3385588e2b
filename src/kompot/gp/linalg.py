"""All factorisations of the library and its larger products: Cholesky with a helpful failure, triangular solves.

Nothing is inverted anywhere; quadratic forms are sums of squares of triangular solves, so that variances and
squared distances cannot be negative.

Products go to SciPy's BLAS like the factorisations, not to NumPy's: the wheels of the two bring a library each, and a
library's threads wait for more work busily, so that calls that alternate between both share the processors with threads
that do nothing (`benchmarks/suite/products.py`).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from scipy import linalg

from kompot._typing import Float64, Floats

F = TypeVar("F", Float64, Floats)
_BLOCK = 256


class NotPositiveDefiniteError(ValueError):
    """A covariance or precision matrix could not be factored."""


def cholesky(A: Float64, what: str, advice: str) -> Float64:
    """Lower factor `L` with `L Lᵀ = A`.

    Parameters
    ----------
    A
        Symmetric positive definite matrix, n x n; only the lower triangle is read.
    what
        Name of the matrix for the error message.
    advice
        What the user can change if it is not positive definite.

    Returns
    -------
    Float64
        n x n, zeros above the diagonal.
    """
    try:
        factor: Float64 = linalg.cholesky(A, lower=True, check_finite=False)
    except linalg.LinAlgError as error:
        raise NotPositiveDefiniteError(f"{what} is not positive definite. {advice}") from error
    return factor


def solve_lower(L: Float64, B: Float64) -> Float64:
    """`L⁻¹ B` for a lower triangular `L`."""
    solution: Float64 = linalg.blas.dtrsm(1.0, L, B, lower=1)
    return solution


def solve_rows(L: Float64, B: Float64) -> Float64:
    """`B L⁻ᵀ`, row by row `L⁻¹ b`, for a lower triangular `L`: n x r to n x r, in column-major order.

    The same numbers as `solve_lower(L, B.T).T`; column-major matrices of many rows are solved on all BLAS threads
    without being copied, and may be overwritten.
    """
    solved: Float64 = linalg.blas.dtrsm(1.0, L, B, side=1, lower=1, trans_a=1, overwrite_b=1)
    return solved


def solve_lower_transposed(L: Float64, B: Float64) -> Float64:
    """`L⁻ᵀ B` for a lower triangular `L`."""
    solution: Float64 = linalg.blas.dtrsm(1.0, L, B, lower=1, trans_a=1)
    return solution


def solve_positive(L: Float64, B: Float64) -> Float64:
    """`A⁻¹ B` from the lower factor `L` of `A`."""
    return solve_lower_transposed(L, solve_lower(L, B))


def column_sums_of_squares(A: Float64) -> Float64:
    """`sum_i A_ij²` for each column j."""
    sums: Float64 = np.einsum("ij,ij->j", A, A)
    return sums


def add_to_diagonal(A: Float64, value: float) -> Float64:
    """`A + value I` as a new matrix."""
    shifted = A.copy()
    shifted.flat[:: len(A) + 1] += value
    return shifted


def product(A: F, B: F, out: F | None = None) -> F:
    """`A B` for two matrices of one precision, or for a matrix and a vector.

    Parameters
    ----------
    A
        n x m.
    B
        m x k, or m.
    out
        Where to put the result, n x k in row-major order; a new array if None.

    Returns
    -------
    NDArray
        n x k, or n; `out` itself if given.

    Examples
    --------
    >>> import numpy as np
    >>> product(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, -1.0]))
    array([-1., -1.])
    """
    if B.ndim == 1:
        column: F = product(A, B[:, None])[:, 0]
        return column
    gemm: Callable[..., Any] = linalg.blas.sgemm if A.dtype == np.float32 else linalg.blas.dgemm
    if not A.size or not B.size:  # BLAS refuses matrices without rows or columns
        empty: F = np.matmul(A, B, out=out)
        return empty
    # Row-major matrices are the transposes of what BLAS works on: (A B)ᵀ = Bᵀ Aᵀ.
    (left, trans_a), (right, trans_b) = _transposed(B), _transposed(A)
    given: dict[str, Any] = {} if out is None else {"c": out.T, "overwrite_c": 1}
    result: F = gemm(1.0, left, right, trans_a=trans_a, trans_b=trans_b, **given).T
    if out is None:
        return result
    if not np.shares_memory(result, out):
        out[:] = result
    return out


def _transposed(M: Floats) -> tuple[Floats, int]:
    """A column-major array and whether BLAS must transpose it to have `Mᵀ`, without a copy where there is such."""
    if M.flags.f_contiguous and not M.flags.c_contiguous:
        return M, 1
    rows = M if M.flags.c_contiguous else M.copy(order="C")
    return rows.T, 0


def gram(A: Float64) -> Float64:
    """`Aᵀ A`, of which one triangle is computed: n x m to m x m."""
    if not A.size:
        return np.zeros((A.shape[1], A.shape[1]))
    columns, transposed = _transposed(A)
    lower: Float64 = linalg.blas.dsyrk(1.0, columns, trans=transposed, lower=1)
    _mirror(lower)
    return lower


def _mirror(lower: Float64) -> None:
    """Copy the lower triangle of a square matrix to its upper one, in blocks: no second matrix beside it."""
    for start in range(0, len(lower), _BLOCK):
        rows = slice(start, start + _BLOCK)
        lower[:start, rows] = lower[rows, :start].T
        lower[rows, rows] += np.tril(lower[rows, rows], -1).T
