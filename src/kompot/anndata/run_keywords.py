"""Which keyword arguments of a record an estimator would take."""

from __future__ import annotations

import re
from typing import Any

from kompot import _checks as check
from kompot.anndata.da_request import SWITCHES
from kompot.anndata.record_values import is_placeholder
from kompot.gp.parameters import DensityParameters, RegressionParameters, parameters_from

_ARRAYS = ("landmarks", "nn_distances")
# Code and arrays that older versions wrote out as text, which is not what they were.
_NEVER_TEXT = ("initial_value", "L", "Lp", "K")
_WORD = re.compile(r"[\w-]{1,40}")


def is_keyword(name: str, value: Any, analysis_type: str) -> bool:
    """Whether a recorded keyword argument is one that a run of this type takes, with a value that it takes.

    Examples
    --------
    >>> [is_keyword("mu", value, "de") for value in (0.5, "0.5", "<array shape=(3,)>")], is_keyword("file", "a", "de")
    ([True, False, False], False)
    """
    kind = DensityParameters if analysis_type == "da" else RegressionParameters
    if is_placeholder(value):
        return False
    if analysis_type == "da" and name in SWITCHES:
        return isinstance(value, bool)
    if name in kind.without_effect:
        is_word = isinstance(value, str) and name not in _NEVER_TEXT and _WORD.fullmatch(value)
        return value is None or isinstance(value, bool | int | float) or bool(is_word)
    try:
        if name in _ARRAYS and value is not None:
            check.numeric_array(name, value)
        parameters_from(kind, {name: value}, "a run")
    except (TypeError, ValueError, OverflowError):
        return False
    return True
