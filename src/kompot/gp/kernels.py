"""Covariance functions of cell states.

Every kernel is a frozen value: `kernel(X, Y)` gives the matrix of covariances and `kernel.diagonal(X)` its
diagonal without the matrix. Kernels add and multiply (`Matern52(2.0) + 0.5 * RBF(1.0)`), and turn into plain
dictionaries for saving. With `d = |x - y| / length_scale` they are those of Rasmussen and Williams (2006),
*Gaussian Processes for Machine Learning*, section 4.2. Cost: O(n m n_dims) time, one n x m matrix of memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from kompot._callables import callable_as, called
from kompot._checks import numeric_array, positive_float, show
from kompot.gp.linalg import column_sums_of_squares, product

if TYPE_CHECKING:
    from collections.abc import Callable

    from kompot._typing import Float64

KernelSpec: TypeAlias = dict[str, Any]


class Kernel(ABC):
    """A positive semi-definite function of two cell states."""

    @abstractmethod
    def __call__(self, X: Float64, Y: Float64) -> Float64:
        """Covariances between the rows of `X` (n x n_dims) and of `Y` (m x n_dims): n x m."""

    @abstractmethod
    def diagonal(self, X: Float64) -> Float64:
        """Prior variances `k(x, x)` of the rows of `X`: n."""

    @abstractmethod
    def to_dict(self) -> KernelSpec:
        """The kernel as plain numbers and names, for `kernel_from_dict`."""

    def __add__(self, other: Kernel | float) -> Kernel:
        return Sum(self, _as_kernel(other))

    def __mul__(self, other: Kernel | float) -> Kernel:
        return Product(self, _as_kernel(other))

    __radd__ = __add__
    __rmul__ = __mul__


@dataclass(frozen=True)
class _Stationary(Kernel):
    """A kernel of the distance alone, with amplitude 1."""

    length_scale: float
    """Distance over which states lose their similarity, in units of the embedding."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "length_scale", positive_float("length_scale", self.length_scale))

    def diagonal(self, X: Float64) -> Float64:
        return np.ones(len(X))

    def to_dict(self) -> KernelSpec:
        return {"kind": type(self).__name__, **{name: getattr(self, name) for name in self.__match_args__}}


def _scaled_distances(X: Float64, Y: Float64, length_scale: float) -> Float64:
    from scipy.spatial.distance import cdist

    # Differences, not |x|^2 + |y|^2 - 2xy: the residuals of the approximation are as small as 1e-9 and
    # would drown in the cancellation.
    distances: Float64 = cdist(X, Y)
    distances /= length_scale
    return distances


class Matern52(_Stationary):
    """Matérn kernel with smoothness 5/2: `(1 + s + s²/3) exp(-s)`, `s = sqrt(5) d`.

    Examples
    --------
    >>> import numpy as np
    >>> Matern52(1.0)(np.zeros((1, 2)), np.array([[0.0, 1.0]])).round(4)
    array([[0.524]])
    """

    def __call__(self, X: Float64, Y: Float64) -> Float64:
        s = _scaled_distances(X, Y, self.length_scale / np.sqrt(5.0))
        polynomial = s * (1.0 / 3.0)
        polynomial += 1.0
        polynomial *= s
        polynomial += 1.0
        return _times_exp_minus(polynomial, s)


class Matern32(_Stationary):
    """Matérn kernel with smoothness 3/2: `(1 + s) exp(-s)`, `s = sqrt(3) d`."""

    def __call__(self, X: Float64, Y: Float64) -> Float64:
        s = _scaled_distances(X, Y, self.length_scale / np.sqrt(3.0))
        return _times_exp_minus(1.0 + s, s)


class Exponential(_Stationary):
    """Matérn kernel with smoothness 1/2: `exp(-d)`."""

    def __call__(self, X: Float64, Y: Float64) -> Float64:
        s = _scaled_distances(X, Y, self.length_scale)
        return np.exp(-s)


class RBF(_Stationary):
    """Squared exponential kernel: `exp(-d²/2)`."""

    def __call__(self, X: Float64, Y: Float64) -> Float64:
        return np.exp(-0.5 * _scaled_distances(X, Y, self.length_scale) ** 2)


@dataclass(frozen=True)
class RationalQuadratic(_Stationary):
    """Mixture of squared exponentials: `(1 + d²/(2 alpha))^(-alpha)`."""

    alpha: float = 1.0
    """Weight of the long length scales: small is heavy-tailed, infinity is the squared exponential."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "alpha", positive_float("alpha", self.alpha))

    def __call__(self, X: Float64, Y: Float64) -> Float64:
        d = _scaled_distances(X, Y, self.length_scale)
        return (1.0 + d**2 / (2.0 * self.alpha)) ** -self.alpha


@dataclass(frozen=True)
class Linear(Kernel):
    """Linear functions through the origin: `x·y / length_scale²`."""

    length_scale: float = 1.0
    """Distance from the origin at which the prior standard deviation is 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "length_scale", positive_float("length_scale", self.length_scale))

    def __call__(self, X: Float64, Y: Float64) -> Float64:
        return product(X, Y.T) / self.length_scale**2

    def diagonal(self, X: Float64) -> Float64:
        return column_sums_of_squares(X.T) / self.length_scale**2

    def to_dict(self) -> KernelSpec:
        return {"kind": "Linear", "length_scale": self.length_scale}


@dataclass(frozen=True)
class Constant(Kernel):
    """The same covariance everywhere: `variance`."""

    variance: float = 1.0
    """Prior variance of the constant function."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "variance", positive_float("variance", self.variance))

    def __call__(self, X: Float64, Y: Float64) -> Float64:
        return np.full((len(X), len(Y)), self.variance)

    def diagonal(self, X: Float64) -> Float64:
        return np.full(len(X), self.variance)

    def to_dict(self) -> KernelSpec:
        return {"kind": "Constant", "variance": self.variance}


@dataclass(frozen=True)
class _Pair(Kernel):
    left: Kernel
    right: Kernel

    combine: ClassVar[np.ufunc]

    def __call__(self, X: Float64, Y: Float64) -> Float64:
        combined: Float64 = self.combine(self.left(X, Y), self.right(X, Y))
        return combined

    def diagonal(self, X: Float64) -> Float64:
        combined: Float64 = self.combine(self.left.diagonal(X), self.right.diagonal(X))
        return combined

    def to_dict(self) -> KernelSpec:
        return {"kind": type(self).__name__, "left": self.left.to_dict(), "right": self.right.to_dict()}


class Sum(_Pair):
    """Sum of two kernels: the function is a sum of two independent ones."""

    combine = np.add


class Product(_Pair):
    """Product of two kernels: states are similar where both say so."""

    combine = np.multiply


@dataclass(frozen=True)
class CallableKernel(Kernel):
    """Any `k(X, Y) -> matrix`, for example a mellon covariance, behind this module's interface."""

    function: Callable[[Float64, Float64], Any]
    """Positive semi-definite; called with two (n x n_dims) arrays."""
    name: str = field(default="cov_func", compare=False)
    """Where it comes from, for messages."""

    def __call__(self, X: Float64, Y: Float64) -> Float64:
        returned = called(self.name, "k(X, Y)", self.function, X, Y)
        # A copy, because the caller works in place and the function may keep what it returned.
        matrix = numeric_array(f"What {self.name} returns", returned).astype(np.float64)
        if matrix.shape != (len(X), len(Y)):
            raise ValueError(
                f"{self.name} must return one row per row of X and one column per row of Y: needed "
                f"{(len(X), len(Y))}, came {matrix.shape}."
            )
        # A sum is finite unless a value is not, or it overflows.
        if not np.isfinite(matrix.sum()) and not np.isfinite(matrix).all():
            bad = int((~np.isfinite(matrix)).sum())
            raise ValueError(
                f"{self.name} returned NaN or infinite values for {bad:,} of {matrix.size:,} pairs of cells."
            )
        return matrix

    def diagonal(self, X: Float64) -> Float64:
        # In small blocks, because only the diagonal of each is kept.
        blocks = [np.diagonal(self(block, block)) for block in np.array_split(X, len(X) // 64 + 1)]
        return np.concatenate(blocks)

    def to_dict(self) -> KernelSpec:
        raise TypeError(
            f"A kernel given as a callable ({show(self.function)}) cannot be saved; use a kernel of "
            f"kompot.gp.kernels ({', '.join(sorted(_BY_NAME))})."
        )


_BY_NAME: dict[str, Callable[..., Kernel]] = {
    kernel.__name__: kernel for kernel in (Matern52, Matern32, Exponential, RBF, RationalQuadratic, Linear, Constant)
}


def kernel_from_dict(spec: KernelSpec) -> Kernel:
    """The kernel that `Kernel.to_dict` described.

    Parameters
    ----------
    spec
        `kind` and the kernel's numbers; sums and products hold two specs, `left` and `right`.

    Returns
    -------
    Kernel
        Equal to the one described.

    Examples
    --------
    >>> kernel = Matern52(2.0) + 0.5 * Linear()
    >>> kernel_from_dict(kernel.to_dict()) == kernel
    True
    """
    numbers = {name: value for name, value in spec.items() if name != "kind"}
    if spec["kind"] in ("Sum", "Product"):
        pair = Sum if spec["kind"] == "Sum" else Product
        return pair(kernel_from_dict(numbers["left"]), kernel_from_dict(numbers["right"]))
    if spec["kind"] not in _BY_NAME:
        raise ValueError(f"Unknown kernel {spec['kind']!r}; there is: {', '.join(sorted(_BY_NAME))}, Sum, Product.")
    return _BY_NAME[spec["kind"]](**numbers)


def is_own(kernel: Kernel) -> bool:
    """Whether a kernel is one of this module, or a sum or product of such: a covariance for certain."""
    if isinstance(kernel, Sum | Product):
        return is_own(kernel.left) and is_own(kernel.right)
    return type(kernel) in _BY_NAME.values()


def as_kernel(cov_func: object, name: str = "cov_func") -> Kernel:
    """A kernel from a kernel or from any `k(X, Y) -> matrix`.

    Parameters
    ----------
    cov_func
        A `Kernel`, or a callable that returns covariances (a mellon covariance included).
    name
        Where it comes from, for messages.

    Returns
    -------
    Kernel
        `cov_func` itself or a wrapper of it.
    """
    if isinstance(cov_func, Kernel):
        return cov_func
    if callable(cov_func):
        return CallableKernel(callable_as(name, cov_func, "k(X, Y)", 2), name)
    raise TypeError(f"{name} must be a kernel of kompot.gp.kernels or callable as k(X, Y), came {show(cov_func)}.")


def _as_kernel(other: Kernel | float) -> Kernel:
    return other if isinstance(other, Kernel) else Constant(float(other))


def _times_exp_minus(factor: Float64, s: Float64) -> Float64:
    """`factor * exp(-s)` without a third matrix; overwrites both."""
    np.negative(s, out=s)
    np.exp(s, out=s)
    factor *= s
    return factor
