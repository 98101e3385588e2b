"""Checks of single arguments, each with an error that says what was needed, what came and what to do.

Higher layers call these once, in the public function or in the settings; inner functions trust their input.
"""

import difflib
import math
import numbers
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

import numpy as np
from scipy import sparse

from kompot._typing import Float64

LARGEST_VALUE = 1e15
"""Largest expression value. Its square, summed over a block of cells, still fits single precision (3.4e38)."""

SMALLEST_SCALE, LARGEST_SCALE = 1e-50, 1e50
"""Limits of scales and coordinates. Ratios of two of them, squared, still fit double precision (1.8e308)."""

SMALLEST_DIMENSION, LARGEST_DIMENSION = 1e-3, 1e3
"""Limits of the intrinsic dimension. Logarithms of volumes stay within ±1e5."""

_BITS_OF_SEEDS = 128  # as many as numpy.random.SeedSequence draws
_LONGEST_NAME = 300  # in a list of names
MOST_BITS = 400
"""Of an integer that is shown as it is."""


def brief(value: object, limit: int = 60) -> str:
    """`value` as short text for a message, whatever it is: tables and arrays by shape, long texts cut off.

    Examples
    --------
    >>> brief(np.zeros((2, 3))), brief("a"), brief(10**5000)
    ('an array of shape (2, 3) and dtype float64', "'a'", 'an integer of about 5,001 digits')
    """
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(getattr(value, "shape", None), tuple) and not isinstance(value, np.generic | type):
        return f"a {type(value).__name__} of shape {value.shape}"  # type: ignore[attr-defined]
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return f"an integer of about {int(value.bit_length() * math.log10(2)) + 1:,} digits"
    if isinstance(value, str | bytes):
        value = value[: limit + 1]
    return _cut(" ".join(_text_of(value, repr).split()), limit)


def _text_of(value: object, convert: Callable[[object], str]) -> str:
    try:
        return convert(value)
    except Exception:  # noqa: BLE001  a user's class can raise anything here, and the error message must still be made
        return f"<{type(value).__name__} that cannot be shown>"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


def show(value: object, limit: int = 60) -> str:
    """`value` as short text for a message, with its type."""
    text = brief(value, limit)
    # The text of arrays and tables names the type, and what is cut off needs no more.
    return text if text.startswith(("an ", "a ")) or text.endswith("...") else f"{text} ({type(value).__name__})"


def real_number(name: str, value: object) -> float:
    """`value` as a float; booleans, text, None and NaN are refused."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, came {show(value)}.")
    try:
        number = float(value)
    except OverflowError:  # an integer or a fraction beyond double precision
        raise ValueError(f"{name} must be a number below 1.8e308, came a longer {type(value).__name__}.") from None
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, came NaN.")
    return number


def moderate_float(name: str, value: object) -> float:
    """`value` as a float of a size that expression can have."""
    number = real_number(name, value)
    if abs(number) > LARGEST_VALUE:
        raise ValueError(f"{name} must lie within ±{LARGEST_VALUE:g}, came {brief(value)}.")
    return number


def positive_float(name: str, value: object) -> float:
    """`value` as a float above 0 whose square is neither 0 nor infinite."""
    number = real_number(name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, came {brief(value)}.")
    if not SMALLEST_SCALE <= number <= LARGEST_SCALE:
        raise ValueError(f"{name} must lie between {SMALLEST_SCALE:g} and {LARGEST_SCALE:g}, came {brief(value)}.")
    return number


def non_negative_float(name: str, value: object) -> float:
    """`value` as a float of at least 0 (infinity allowed)."""
    number = real_number(name, value)
    if number < 0:
        raise ValueError(f"{name} must not be negative, came {brief(value)}.")
    return number


def finite_float(name: str, value: object) -> float:
    """`value` as a float of at least 0 whose square is not infinite."""
    number = non_negative_float(name, value)
    if number > LARGEST_SCALE:
        raise ValueError(f"{name} must be finite and at most {LARGEST_SCALE:g}, came {brief(value)}.")
    return number


def dimension(name: str, value: object) -> float:
    """`value` as a float that can be the number of dimensions of something."""
    number = real_number(name, value)
    if not SMALLEST_DIMENSION <= number <= LARGEST_DIMENSION:
        raise ValueError(
            f"{name} must lie between {SMALLEST_DIMENSION:g} and {LARGEST_DIMENSION:g}, came {brief(value)}."
        )
    return number


def fraction(name: str, value: object) -> float:
    """`value` as a float in (0, 1]."""
    number = real_number(name, value)
    if not 0 < number <= 1:
        raise ValueError(f"{name} must lie in (0, 1], came {brief(value)}.")
    return number


def open_fraction(name: str, value: object) -> float:
    """`value` as a float in (0, 1)."""
    number = real_number(name, value)
    if not 0 < number < 1:
        raise ValueError(f"{name} must lie in (0, 1), came {brief(value)}.")
    return number


def percentage(name: str, value: object) -> float:
    """`value` as a float in (0, 100]."""
    number = real_number(name, value)
    if not 0 < number <= 100:
        raise ValueError(f"{name} must lie in (0, 100], came {brief(value)}.")
    return number


def integer(name: str, value: object) -> int:
    """`value` as an int; booleans and floats are refused."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, came {show(value)}.")
    number = int(value)
    if number.bit_length() > _BITS_OF_SEEDS:
        raise ValueError(f"{name} must be an integer of at most {_BITS_OF_SEEDS} bits, came {brief(number)}.")
    return number


def non_negative_int(name: str, value: object) -> int:
    """`value` as an int of at least 0."""
    number = integer(name, value)
    if number < 0:
        raise ValueError(f"{name} must not be negative, came {brief(value)}.")
    return number


def boolean(name: str, value: object) -> bool:
    """`value` as a bool; 0, 1 and text are refused, because they are more often a slip than a wish."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, came {show(value)}.")
    return bool(value)


def text(name: str, value: object, what: str = "text") -> str:
    """`value` if it is a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be {what}, came {show(value)}.")
    return value


def choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """`value` if it is one of some words."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, came {show(value)}.")
    return value


def listed(values: Iterable[object], limit: int = 10) -> str:
    """The first values for a message, and how many more there are."""
    items = [as_text(value) for value in values]
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return (", ".join(items[:limit]) or "(none)") + more


def as_text(value: object) -> str:
    """A value as one of several in a message: without quotes or type, cut off where it is long."""
    return _cut(_text_of(value, str), _LONGEST_NAME)


def closest(name: object, candidates: Iterable[object]) -> Any:
    """The candidate that looks most like `name`; None where none does."""
    given = name if isinstance(name, str) else brief(name)
    by_text = {as_text(item): item for item in candidates}
    if len(given) > _LONGEST_NAME:
        return None
    matches = difflib.get_close_matches(given, list(by_text), n=1, cutoff=0.6)
    if not matches:
        lowered = {key.lower(): key for key in by_text}
        matches = [lowered[key] for key in difflib.get_close_matches(given.lower(), list(lowered), n=1)]
    return by_text[matches[0]] if matches else None


def nearest(name: object, candidates: Iterable[object]) -> str:
    """' Did you mean ...?' where one of the candidates looks like `name`, else nothing."""
    found = closest(name, candidates)
    return "" if found is None else f" Did you mean {brief(found)}?"


def coordinates(name: str, value: Any, n_dims: int | None = None, *, some: bool = False) -> Float64:
    """`value` as a finite float64 matrix (points x dimensions), of the given width and with rows if asked."""
    X = numeric_array(name, value).astype(np.float64, copy=False)
    if X.ndim != 2 or not X.shape[1]:
        raise ValueError(f"{name} must be a matrix (points x dimensions), came shape {X.shape}.")
    if some and not len(X):
        raise ValueError(f"{name} must hold at least one cell, came shape {X.shape}.")
    if n_dims is not None and X.shape[1] != n_dims:
        raise ValueError(
            f"{name} must have one column per dimension of the cell states: needed {n_dims}, came {X.shape[1]}."
        )
    _require_rows(name, np.isfinite(X).all(axis=1), "NaN or infinite values")
    _require_rows(name, (np.abs(X) <= LARGEST_SCALE).all(axis=1), f"values beyond ±{LARGEST_SCALE:g}")
    return X


def _require_rows(name: str, good: np.ndarray[Any, Any], what: str) -> None:
    bad = np.flatnonzero(~good)
    if len(bad):
        raise ValueError(
            f"{name} has {what} in {len(bad)} of {len(good)} rows (first row: {bad[0]}). Remove those rows or compute "
            f"the coordinates again."
        )


def distances(name: str, value: Any, *, missing: bool = False) -> Float64:
    """`value` as a vector of at least one finite, non-negative distance; NaN is refused unless some may be missing."""
    array, needed = numeric_array(name, value), "must be a vector of at least one finite, non-negative distance"
    if array.ndim != 1 or not len(array) or array.dtype == np.bool_:
        raise ValueError(f"{name} {needed}, came {show(array)}.")
    vector = array.astype(np.float64)
    kinds = {"NaN": np.isnan(vector) & (not missing), "infinite": np.isinf(vector), "negative": vector < 0}
    for what, bad in kinds.items():
        if bad.any():
            raise ValueError(
                f"{name} {needed}, but {bad.sum()} of {len(vector)} are {what} (the first at index {np.argmax(bad)})."
            )
    return vector


# What is no list but holds items; an iterator holds them once.
_PASSED_ON = (Iterator, KeysView, ValuesView, ItemsView, range)


def read_once(value: Any) -> Any:
    """`value` with iterators, ranges and views of dictionaries as lists, inside lists and dictionaries as well.

    Whatever can be read only once is read here, so that all later looks find the same.

    Examples
    --------
    >>> read_once({"a": (2 * i for i in range(3)), "b": "text"})
    {'a': [0, 2, 4], 'b': 'text'}
    """
    if isinstance(value, _PASSED_ON):
        return [read_once(item) for item in value]
    if type(value) is dict:
        return {key: read_once(item) for key, item in value.items()}
    if type(value) in (list, tuple) and any(isinstance(item, (*_PASSED_ON, dict)) for item in value):
        return type(value)(map(read_once, value))
    return value


def items(name: str, value: Any, what: str) -> list[Any]:
    """What an iterable holds, read once; text, dictionaries, tables and what holds nothing are refused.

    A set is sorted by the texts of its items, because its own order differs from process to process.
    """
    is_table = getattr(value, "ndim", 1) != 1
    if isinstance(value, str | bytes | Mapping) or is_table or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of {what}, came {show(value)}.")
    return sorted(value, key=brief) if isinstance(value, set | frozenset) else list(value)


def is_sparse(value: object) -> bool:
    """Whether a matrix is a SciPy sparse matrix or array held in memory."""
    return sparse.issparse(value)


def numeric_array(name: str, value: Any) -> np.ndarray[Any, Any]:
    """`value` as an array of real numbers; object, text and complex types are refused."""
    try:
        array = np.asarray(unmasked(value))
    except (TypeError, ValueError) as error:  # rows of different lengths
        raise ValueError(f"{name} must be an array of numbers, came {show(value)}: {error}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must hold real numbers, came dtype {array.dtype}{_of_what(value)}. Convert it to float first."
        )
    return array


def _of_what(value: object) -> str:
    return "" if isinstance(value, np.ndarray | list | tuple) else f" of {show(value)}"


def unmasked(value: Any) -> Any:
    """`value` itself, but of a masked array the values: NaN where they are masked.

    Examples
    --------
    >>> unmasked(np.ma.masked_array([1, 2], mask=[False, True]))
    array([ 1., nan])
    """
    if not isinstance(value, np.ma.MaskedArray):
        return value
    if not np.ma.is_masked(value):
        return value.data
    return np.ma.filled(value.astype(np.result_type(value.dtype, np.float32)), np.nan)
