"""Functions that users give: kernels and predictors."""

import inspect
from typing import Any

from kompot._checks import show


def callable_as(name: str, value: Any, form: str, n_arguments: int, keyword: str = "") -> Any:
    """`value` if it can be called with some arguments by position.

    Parameters
    ----------
    name, value
        The argument.
    form
        The call, for the message.
    n_arguments
        How many arguments it will be given.
    keyword
        One that it may ask for besides.

    Returns
    -------
    Any
        `value`.
    """
    if not callable(value):
        raise TypeError(f"{name} must be callable as {form}, came {show(value)}.")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # builtins have none
        return value
    try:
        asks = keyword in signature.parameters
        signature.bind(*[None] * n_arguments, **({keyword: None} if asks else {}))
    except TypeError as error:
        raise TypeError(f"{name} must be callable as {form}, came {show(value)}: {error}.") from error
    return value


def called(owner: str, form: str, function: Any, *given: Any, **named: Any) -> Any:
    """What a function of the user returns; one that cannot be called like this is an error that names its owner."""
    try:
        return function(*given, **named)
    except TypeError as error:
        raise TypeError(f"{owner} must be callable as {form}, came {show(function)}: {error}") from error
