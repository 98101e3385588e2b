"""All factorisations of the library: Cholesky with a helpful failure, triangular solves, log determinants.

Nothing is inverted anywhere; quadratic forms are sums of squares of triangular solves, so that variances and
squared distances cannot be negative.
"""

import numpy as np
from scipy import linalg

from kompot._typing import Float64


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
