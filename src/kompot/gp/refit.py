"""Fitting an estimator again: the new fit, or the old one as it was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from kompot._interrupts import interrupts_deferred

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def all_or_nothing(fit: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method whose failure leaves the attributes of its object as they were: no parts of two fits side by side."""

    @wraps(fit)
    def fit_or_restore(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with ExitStack() as undo:
            undo.callback(_restore, self, dict(vars(self)))
            result = fit(self, *args, **kwargs)
            undo.pop_all()
        return result

    return fit_or_restore


def _restore(estimator: Any, state: dict[str, Any]) -> None:
    with interrupts_deferred():
        vars(estimator).clear()
        vars(estimator).update(state)
