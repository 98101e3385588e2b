"""Values of records: what JSON has a form for, and notes of the rest.

Objects come from elsewhere, and a record in them may hold anything. So whatever is read passes through here and is,
afterwards, made of dictionaries, lists, texts and numbers, nested so little that no reader of it can fail for depth.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

_DEEPEST = 50
# Numbers of more digits are no floats, and Python does not print those of more than 4,300.
_MOST_DIGITS, _MOST_BITS = 300, 1000

_NOTE = re.compile(r"<(array|list|tuple|object|path|report)\b[^<>]*>")


def is_placeholder(value: Any) -> bool:
    """Whether a recorded value only says that there was something, or holds such a note somewhere.

    Examples
    --------
    >>> [is_placeholder(value) for value in ("<array shape=(3,)>", {"B cell": ["<list of 200>"]}, "<B cell>", 3)]
    [True, True, False, False]
    """
    if isinstance(value, str):
        # A table that an older version wrote out as text has lines; no label does.
        return bool(_NOTE.fullmatch(value)) or "\n" in value
    if isinstance(value, Mapping):
        return any(map(is_placeholder, value.values()))
    return isinstance(value, list) and any(map(is_placeholder, value))


# JSON has no form for infinity; the GPL package writes this text too. NaN becomes null.
_NON_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def encodable(value: Any, _within: tuple[int, ...] = ()) -> Any:
    """A value as JSON can hold it.

    Examples
    --------
    >>> import numpy as np
    >>> encodable({"a": np.float64(1.5), "b": float("inf"), "c": np.zeros((2, 3)), 4: (True, None)})
    {'a': 1.5, 'b': 'Infinity', 'c': '<array shape=(2, 3)>', '4': [True, None]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _MOST_BITS else f"<object: number of {value.bit_length()} bits>"
    if isinstance(value, float):
        return value if math.isfinite(value) else _NON_FINITE.get(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if len(_within) >= _DEEPEST or id(value) in _within:
            return f"<object of type {type(value).__name__}, nested too deep>"
        within = (*_within, id(value))
        if isinstance(value, Mapping):
            return {_key(key): encodable(item, within) for key, item in value.items()}
        items = [encodable(item, within) for item in value]
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items
    if hasattr(value, "shape"):
        return f"<array shape={tuple(value.shape)}>"
    return f"<object of type {type(value).__name__}>"


def _key(key: Any) -> str:
    return str(encodable(key) if isinstance(key, int) else key)


def readable(value: Any, _depth: int = 0) -> Any:
    """A stored value as plain dictionaries, lists, texts and numbers; a ValueError if it is nested too deep.

    Examples
    --------
    >>> import numpy as np
    >>> readable({"a": np.array([1, 2]), 3: ("b", b"c"), "d": np.zeros((2, 2))})
    {'a': [1, 2], '3': ['b', 'c'], 'd': '<array shape=(2, 2)>'}
    """
    if isinstance(value, np.ndarray) and value.ndim < 2:
        value = value.tolist()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Mapping | list | tuple):
        if _depth >= _DEEPEST:
            raise ValueError(f"A record must not be nested more than {_DEEPEST} deep.")
        if isinstance(value, Mapping):
            return {_key(key): readable(item, _depth + 1) for key, item in value.items()}
        return [readable(item, _depth + 1) for item in value]
    return value if isinstance(value, float) else encodable(value)


def decode(value: Any) -> Any:
    """A stored value: JSON text is parsed, anything else (and text that cannot be parsed) is taken as it is."""
    parsed = parse(value)
    return value if parsed is value or not _is_shallow(parsed) else parsed


def parse(value: Any) -> Any:
    """The same, however deep it is nested."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except RecursionError:
        return value
    except ValueError:
        return _parsed_with_long_numbers(value)


def _parsed_with_long_numbers(text: str) -> Any:
    """JSON with numbers that Python refuses to read; text that is no JSON as it is."""
    try:
        return json.loads(text, parse_int=_whole_number)
    except (ValueError, RecursionError):
        return text


def _whole_number(digits: str) -> int | str:
    """A number; one of too many digits stays text, so that it can be seen and is not lost."""
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def plain(stored: Any, *, is_json: bool = False) -> Any:
    """A stored value as dictionaries, lists, texts and numbers; a ValueError if it is nested too deep.

    Parameters
    ----------
    stored
        JSON text or an object.
    is_json
        Whether it was parsed from JSON, so that only its depth is in question.
    """
    value = parse(stored)
    if not is_json and value is stored:
        return readable(value)
    if not _is_shallow(value):
        raise ValueError(f"A record must not be nested more than {_DEEPEST} deep.")
    return value


def _is_shallow(parsed: Any, _depth: int = 1) -> bool:
    """Whether parsed JSON is not nested too deep."""
    parts = parsed.values() if isinstance(parsed, dict) else parsed if isinstance(parsed, list) else ()
    return _depth <= _DEEPEST and all(_is_shallow(part, _depth + 1) for part in parts if isinstance(part, dict | list))


def as_mapping(value: Any) -> dict[str, Any]:
    """A recorded value as a dictionary: JSON text is read, anything else is empty."""
    decoded = decode(value)
    return dict(decoded) if isinstance(decoded, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """A recorded value if it is a list; anything else is empty.

    Examples
    --------
    >>> as_list(["a"]), as_list("a"), as_list(None)
    (['a'], [], [])
    """
    return value if isinstance(value, list) else []


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a recorded value is a number, which then is a float or fits into one."""
    if isinstance(value, bool):
        return False
    return isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= _MOST_BITS)


def is_count(value: Any) -> TypeGuard[int]:
    """Whether a recorded value can be a number of things or a position among them."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def as_text(value: Any) -> str:
    """A stored value as text from which it could be restored by hand."""
    if isinstance(value, str | bytes):
        return value if isinstance(value, str) else value.decode(errors="replace")
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(encodable(value))
