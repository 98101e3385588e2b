"""Keyword arguments of the estimators: the names of mellon's, which of them have an effect here, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from kompot import _checks as check
from kompot._callables import callable_as, called
from kompot._names import unknown_keyword
from kompot._typing import Float64
from kompot.errors import UnusedParameterWarning, warn
from kompot.gp.kernels import Kernel, Matern52, as_kernel
from kompot.gp.selection import TOLERANCE

_ADAPTIVE = "the features are always chosen adaptively, to a certified tolerance"
_FACTORS = "factors are computed from the landmarks"
_CLOSED_FORM = "the posterior of a regression is solved in closed form"
_NEWTON = "the density is found by Newton's method, to a gradient tolerance"
_NEGLIGIBLE = 3e-6
_COMMON = {
    "gp_type": _ADAPTIVE,
    "rank": "the rank follows from the tolerance; n_landmarks caps it",
    "predictor_with_uncertainty": "the uncertainty is always available",
    "check_rank": "the rank is always recorded",
    "jit": "nothing is compiled",
    "jit_compile": "nothing is compiled",
    "Lp": _FACTORS,
    "L": _FACTORS,
    "K": _FACTORS,
}


@dataclass(frozen=True)
class GPParameters:
    """What every estimator needs besides the data."""

    cov_func: Any = None
    """Kernel, or any callable as `k(X, Y)`; replaces `cov_func_curry` and `ls`."""
    cov_func_curry: Callable[[float], Any] = Matern52
    """Makes the kernel from the length scale."""
    n_landmarks: int | None = 5000
    """Largest number of features; None or 0 for no limit."""
    landmarks: Any = None
    """Inducing points to use as they are, m x n_dims."""
    stored_landmarks: Any = field(default=None, metadata={"internal": True})
    """Inducing points of an earlier analysis, m x n_dims, used if they represent the kernel to the tolerance here."""
    jitter: float = 0.0
    """Added to the diagonal of `k(U, U)`."""
    nn_distances: Any = None
    """Distance of each cell to its nearest other cell, n_cells; computed if not given."""
    ls: float | None = None
    """Length scale, in units of the embedding; estimated if not given."""
    ls_factor: float = 1.0
    """Multiplier of the estimated length scale."""
    random_state: int | None = None
    """Seed of the choice of landmarks; None is a fixed seed."""
    batch_size: int | None = None
    """Rows per chunk; None lets the engine choose."""
    tolerance: float = TOLERANCE
    """Degrees of freedom that the features may lose, per degree kept."""

    without_effect: ClassVar[Mapping[str, str]] = _COMMON
    """Names accepted for compatibility, and why they change nothing."""

    def __post_init__(self) -> None:
        self._convert("ls_factor", check.positive_float)
        self._convert("tolerance", check.open_fraction)
        self._convert("jitter", check.finite_float)
        self._convert("ls", check.positive_float, optional=True)
        for name in ("n_landmarks", "batch_size", "random_state"):
            self._convert(name, check.non_negative_int, optional=True)
        if self.cov_func is not None:
            as_kernel(self.cov_func)
        callable_as("cov_func_curry", self.cov_func_curry, "c(length scale)", 1)

    def _convert(self, name: str, verify: Callable[[str, object], Any], *, optional: bool = False) -> None:
        """Check a value, unless it is None and may be, and keep it as a plain Python number."""
        if not optional or getattr(self, name) is not None:
            object.__setattr__(self, name, verify(name, getattr(self, name)))

    @property
    def noise(self) -> float:
        """Noise standard deviation against which the features are certified."""
        return 1.0

    @property
    def negligible(self) -> float:
        """Mean residual variance of the features that is allowed in any case."""
        return 0.0

    @property
    def seed(self) -> int:
        """The seed, fixed where none was given."""
        return 0 if self.random_state is None else self.random_state

    def kernel(self, length_scale: Callable[[], float]) -> Kernel:
        """The kernel; the length scale is only estimated if it is needed."""
        if self.cov_func is not None:
            return as_kernel(self.cov_func)
        ls = self.ls if self.ls is not None else length_scale()
        made = called("cov_func_curry", "c(length scale)", self.cov_func_curry, ls)
        return as_kernel(made, self.kernel_name)

    @property
    def kernel_name(self) -> str:
        """Where the kernel comes from, for messages."""
        return "cov_func" if self.cov_func is not None else "The kernel that cov_func_curry makes"

    def landmark_matrix(self, n_dims: int) -> Float64 | None:
        """The user's landmarks, checked against the width of the cell states."""
        if self.landmarks is None:
            return None
        landmarks = check.coordinates("landmarks", self.landmarks, n_dims)
        if not len(landmarks):
            raise ValueError("landmarks must hold at least one point, came none; leave it out to have them chosen.")
        return landmarks


@dataclass(frozen=True)
class RegressionParameters(GPParameters):
    """What a regression needs besides the data."""

    mu: float = 0.0
    """Prior mean, in the units of expression."""
    sigma: float = 1.0
    """Noise standard deviation, in the units of expression."""

    without_effect: ClassVar[Mapping[str, str]] = {
        **_COMMON,
        "d": "a regression needs no intrinsic dimension",
        "d_method": "a regression needs no intrinsic dimension",
        "optimizer": _CLOSED_FORM,
        "n_iter": _CLOSED_FORM,
        "init_learn_rate": _CLOSED_FORM,
        "initial_value": _CLOSED_FORM,
        "y_is_mean": "noise enters through sigma",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._convert("sigma", check.positive_float)
        self._convert("mu", check.moderate_float)

    @property
    def noise(self) -> float:
        """Noise standard deviation against which the features are certified."""
        return self.sigma


@dataclass(frozen=True)
class DensityParameters(GPParameters):
    """What a density needs besides the data."""

    d: float | None = None
    """Intrinsic dimension of the cell states; estimated if not given."""
    d_method: str = "fractal"
    """"fractal" estimates the dimension from the data, "embedding" takes the number of columns."""
    mu: float | None = None
    """Prior mean of the log density; the 1 % quantile of the naive log densities minus 10 if not given."""

    without_effect: ClassVar[Mapping[str, str]] = {
        **_COMMON,
        "optimizer": _NEWTON,
        "n_iter": _NEWTON,
        "init_learn_rate": _NEWTON,
        "initial_value": _NEWTON,
        "sigma": "the noise of a density follows from its likelihood",
    }

    @property
    def negligible(self) -> float:
        """Mean residual variance of the features that is allowed in any case.

        A density is wanted to an absolute precision (here a standard deviation of 0.002 in its logarithm), which does
        not sharpen with the number of cells as a distance summed over all of them does.
        """
        return _NEGLIGIBLE

    def __post_init__(self) -> None:
        super().__post_init__()
        self._convert("d", check.dimension, optional=True)
        self._convert("mu", check.moderate_float, optional=True)
        check.choice("d_method", self.d_method, ("fractal", "embedding"))


P = TypeVar("P", bound=GPParameters)


def parameters_from(kind: type[P], given: Mapping[str, Any], owner: str, arguments: Iterable[str] = ()) -> P:
    """Parameters from keyword arguments.

    Parameters
    ----------
    kind
        `RegressionParameters` or `DensityParameters`.
    given
        Names and values.
    owner
        Who takes them, for the messages.
    arguments
        Names that the owner takes besides.

    Returns
    -------
    P
        Checked. Names without effect are reported in one warning; unknown names are a TypeError.
    """
    known = [item.name for item in fields(kind) if not item.metadata.get("internal")]
    for name in given:
        if name not in known and name not in kind.without_effect:
            raise TypeError(unknown_keyword(name, owner, [*known, *arguments]))
    unused = [f"{name} ({kind.without_effect[name]})" for name in given if name not in known]
    if unused:
        warn(f"Without effect here: {'; '.join(unused)}.", UnusedParameterWarning)
    return kind(**{name: value for name, value in given.items() if name in known})


def regression_parameters(
    given: Mapping[str, Any], owner: str = "FunctionEstimator", arguments: Iterable[str] = ()
) -> RegressionParameters:
    """Parameters of a regression from keyword arguments; see `parameters_from`."""
    return parameters_from(RegressionParameters, given, owner, arguments)


def density_parameters(
    given: Mapping[str, Any], owner: str = "DensityEstimator", arguments: Iterable[str] = ()
) -> DensityParameters:
    """Parameters of a density from keyword arguments; see `parameters_from`."""
    return parameters_from(DensityParameters, given, owner, arguments)
