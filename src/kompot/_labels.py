"""Labels and names that users give: text, numbers, dates, whatever tells one thing from another."""

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from kompot._checks import brief, items, show


def label(name: str, value: Any, what: str) -> Any:
    """`value` as a plain Python value if it can be the label or name of something; missing values are refused.

    Parameters
    ----------
    name
        Of the argument.
    value
        Text, a number, a date or another single value.
    what
        What it must be, for the message.

    Returns
    -------
    Any
        NumPy's numbers as Python's. Whether anything has this label is not looked at.
    """
    if value is not None and pd.api.types.is_scalar(value) and pd.isna(value):
        raise ValueError(f"{name} must be {what}, came a missing value ({brief(value)}).")
    plain = plain_value(value)
    holds_others = isinstance(plain, Iterable) and not isinstance(plain, str | bytes | type)
    if plain is None or holds_others or not isinstance(plain, Hashable):
        raise TypeError(f"{name} must be {what}, came {show(value)}.")
    return plain


def plain_value(value: Any) -> Any:
    """A scalar of NumPy as one of Python, a date or a duration as one of pandas; anything else as it is.

    Examples
    --------
    >>> plain_value(np.int64(3)), plain_value(np.datetime64("2024-05-01", "ns"))
    (3, Timestamp('2024-05-01 00:00:00'))
    """
    if isinstance(value, np.datetime64 | np.timedelta64):  # `item` gives nanoseconds as an integer
        return pd.Timestamp(value) if isinstance(value, np.datetime64) else pd.Timedelta(value)
    return value.item() if isinstance(value, np.generic) else value


def labels(name: str, values: Any, what: str, n_needed: int | None = None) -> list[Any]:
    """What `items` reads, each of them the label of something; of the length needed."""
    given = items(name, values, what)
    try:
        different: Iterable[Any] = set(given)
    except TypeError:  # one of them has no hash; it is found below
        different = given
    for value in different:
        label(f"Each of {name}", value, "a label")
    if n_needed is not None and len(given) != n_needed:
        raise ValueError(f"{name} must name the sample of each cell: needed {n_needed}, came {len(given)}.")
    return given
