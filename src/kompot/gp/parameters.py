"""Keyword arguments of the estimators: the names of mellon's, which of them have an effect here, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from kompot import _checks as check
from kompot._typing import Float64
from kompot.errors import UnusedParameterWarning, warn
from kompot.gp.features import TOLERANCE
from kompot.gp.kernels import Kernel, Matern52, as_kernel

WITHOUT_EFFECT = {
    "gp_type": "the features are always chosen adaptively, to a certified tolerance",
    "rank": "the rank follows from the tolerance; n_landmarks caps it",
    "d": "a regression needs no intrinsic dimension",
    "d_method": "a regression needs no intrinsic dimension",
    "optimizer": "the posterior of a regression is solved in closed form",
    "n_iter": "the posterior of a regression is solved in closed form",
    "init_learn_rate": "the posterior of a regression is solved in closed form",
    "initial_value": "the posterior of a regression is solved in closed form",
    "predictor_with_uncertainty": "the uncertainty is always available",
    "y_is_mean": "noise enters through sigma",
    "check_rank": "the rank is always recorded",
    "jit": "nothing is compiled",
    "jit_compile": "nothing is compiled",
    "Lp": "factors are computed from the landmarks",
    "L": "factors are computed from the landmarks",
    "K": "factors are computed from the landmarks",
}
"""Names accepted for compatibility, and why they change nothing."""


@dataclass(frozen=True)
class RegressionParameters:
    """What a regression needs besides the data."""

    cov_func: Any = None
    """Kernel, or any callable as `k(X, Y)`; replaces `cov_func_curry` and `ls`."""
    cov_func_curry: Callable[[float], Any] = Matern52
    """Makes the kernel from the length scale."""
    n_landmarks: int | None = 5000
    """Largest number of features; None or 0 for no limit."""
    landmarks: Any = None
    """Inducing points to use as they are, m x n_dims."""
    jitter: float = 0.0
    """Added to the diagonal of `k(U, U)`."""
    nn_distances: Any = None
    """Distance of each cell to its nearest other cell, n_cells; computed if not given."""
    mu: float = 0.0
    """Prior mean, in the units of expression."""
    ls: float | None = None
    """Length scale, in units of the embedding; estimated if not given."""
    ls_factor: float = 1.0
    """Multiplier of the estimated length scale."""
    sigma: float = 1.0
    """Noise standard deviation, in the units of expression."""
    random_state: int | None = None
    """Seed of the choice of landmarks; None is a fixed seed."""
    batch_size: int | None = None
    """Rows per chunk; None lets the engine choose."""
    tolerance: float = TOLERANCE
    """Degrees of freedom that the features may lose, per degree kept."""

    def __post_init__(self) -> None:
        for name in ("ls_factor", "sigma", "tolerance"):
            check.positive_float(name, getattr(self, name))
        if self.ls is not None:
            check.positive_float("ls", self.ls)
        check.non_negative_float("jitter", self.jitter)
        check.real_number("mu", self.mu)
        for name in ("n_landmarks", "batch_size"):
            if getattr(self, name) is not None:
                check.non_negative_int(name, getattr(self, name))
        if self.cov_func is not None:
            as_kernel(self.cov_func)
        if not callable(self.cov_func_curry):
            raise TypeError(f"cov_func_curry must make a kernel from a length scale, came {self.cov_func_curry!r}.")

    @property
    def seed(self) -> int:
        """The seed, fixed where none was given."""
        return 0 if self.random_state is None else self.random_state

    def kernel(self, length_scale: Callable[[], float]) -> Kernel:
        """The kernel; the length scale is only estimated if it is needed."""
        if self.cov_func is not None:
            return as_kernel(self.cov_func)
        return as_kernel(self.cov_func_curry(self.ls if self.ls is not None else length_scale()))

    def landmark_matrix(self, n_dims: int) -> Float64 | None:
        """The user's landmarks, checked against the width of the cell states."""
        return None if self.landmarks is None else check.coordinates("landmarks", self.landmarks, n_dims)


def regression_parameters(given: Mapping[str, Any], owner: str = "FunctionEstimator") -> RegressionParameters:
    """Parameters from keyword arguments.

    Parameters
    ----------
    given
        Names and values.
    owner
        Who takes them, for the messages.

    Returns
    -------
    RegressionParameters
        Checked. Names without effect are reported in one warning; unknown names are a TypeError.
    """
    known = [item.name for item in fields(RegressionParameters)]
    check.known_names(given, [*known, *WITHOUT_EFFECT], owner)
    unused = [f"{name} ({WITHOUT_EFFECT[name]})" for name in given if name in WITHOUT_EFFECT]
    if unused:
        warn(f"Without effect here: {'; '.join(unused)}.", UnusedParameterWarning)
    return RegressionParameters(**{name: value for name, value in given.items() if name in known})
