"""Whether the user's covariance function is one, tried on a few cells before anything is fitted with it.

A function that is no covariance does not have to fail: residual variances below zero pass for rounding, and a matrix
that is not symmetric is read by its lower triangle. What is tried: values that are finite and the same when asked for
again, `k(x, y) = k(y, x)`, each pair for itself, no negative variance, and no negative eigenvalue on cells spread over
the data beside close neighbours (a kernel can fail at either distance). Cost: a few matrices of 100 x 100.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg

from kompot._typing import Float64
from kompot.gp.kernels import Kernel, is_own
from kompot.gp.linalg import NotPositiveDefiniteError

_SPREAD = 50
_CLOSE = 50
_SEARCHED = 20_000
# Of the largest covariance. Generous to functions in single precision; those that are wrong miss by far more.
_ROUNDING = 1e-4
_REPEATED = 1e-6
# Of the largest eigenvalue.
_NEGATIVE = 1e-5


def require_covariance(kernel: Kernel, groups: Sequence[Float64], name: str) -> None:
    """Raise if a kernel that is not of this package is no covariance function on a few of the cells.

    Parameters
    ----------
    kernel
        To be tried.
    groups
        Cell states of each condition, n_cells x n_dims each.
    name
        Where it comes from, for the message.
    """
    if is_own(kernel) or not any(map(len, groups)):
        return
    X = few_cells(groups)
    K, again = kernel(X, X), kernel(X, X)
    scale = float(np.abs(K).max())
    if not np.isfinite(scale):
        raise ValueError(f"{name} returned NaN or infinite values.")
    if scale == 0.0:
        raise ValueError(f"{name} returned only zeros, tried on {len(X)} cells: every function would be constant.")
    if np.abs(again - K).max() > _REPEATED * scale:
        raise ValueError(
            f"{name} returned other values for the same cells when it was called again (up to "
            f"{np.abs(again - K).max():.2g} apart). It must depend on the two arrays alone."
        )
    _require_symmetric(kernel, X, K, _ROUNDING * scale, name)
    _require_positive(K, _ROUNDING * scale, name)


def few_cells(groups: Sequence[Float64]) -> Float64:
    """Some cells spread over all groups, and some that are close to one of them."""
    sizes = [-(-_SPREAD // len(groups))] * len(groups)
    spread = [X[np.unique(np.linspace(0, len(X) - 1, size).astype(int))] for X, size in zip(groups, sizes, strict=True)]
    around = max(groups, key=len)[:_SEARCHED]
    near = np.argsort(((around - around[len(around) // 2]) ** 2).sum(axis=1), kind="stable")[:_CLOSE]
    return np.vstack([*spread, around[near]])


def _require_symmetric(kernel: Kernel, X: Float64, K: Float64, rounding: float, name: str) -> None:
    apart = np.abs(K - K.T).max()
    if apart > rounding:
        raise ValueError(f"{name} is not symmetric: k(x, y) and k(y, x) differ by up to {apart:.2g}.")
    first = len(X) // 3
    alone = kernel(X[:first], X[first:]) - K[:first, first:]
    if alone.size and np.abs(alone).max() > rounding:
        raise ValueError(
            f"{name} gives a pair of cells another covariance when other cells stand beside them (up to "
            f"{np.abs(alone).max():.2g} apart). It must depend on the two cells alone."
        )
    diagonal = np.abs(kernel.diagonal(X) - np.diagonal(K)).max()
    if diagonal > rounding:
        raise ValueError(f"{name} has a diagonal that differs from that of its matrix by up to {diagonal:.2g}.")


def _require_positive(K: Float64, rounding: float, name: str) -> None:
    variance = float(np.diagonal(K).min())
    if variance < -rounding:
        raise NotPositiveDefiniteError(f"{name} gives a cell the negative variance {variance:.2g}.")
    values = linalg.eigvalsh((K + K.T) / 2.0)
    if values[0] < -_NEGATIVE * np.abs(values).max():
        raise NotPositiveDefiniteError(
            f"{name} is not positive semi-definite: its matrix of {len(K)} cells has eigenvalues from {values[0]:.2g} "
            f"to {values[-1]:.2g}, so it is no covariance. Use a kernel of kompot.gp.kernels, or sums and products of "
            f"them."
        )
