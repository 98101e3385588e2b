"""What an unknown keyword may have meant: a name nearby, or a setting that belongs elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from kompot import _checks as check
from kompot.settings import ARGUMENTS, all_settings, places_of

_COMMON = ("obsm_key", "sample_col", "gp", "storage", "output", "model", "dry_run")
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "kompot.de": (*_COMMON, "layer", "genes", "fdr", "filter"),
    "kompot.da": (*_COMMON, "threshold", "sync_parameters", "calibrate_offset"),
    "kompot.smooth_expression": (*_COMMON, "groupby", "condition", "layer", "genes"),
}
"""Arguments with a default of the functions that take settings objects."""


def unknown_keyword(name: str, owner: str, known: Iterable[str]) -> str:
    """What to say of a keyword that a function or class does not take.

    Parameters
    ----------
    name
        The keyword.
    owner
        Who was called: one of `FUNCTIONS`, or the name of a class of the package.
    known
        Further keywords of the owner.

    Returns
    -------
    str
        Where it belongs if it is a setting, else what it may be a slip for, else where to look.

    Examples
    --------
    >>> unknown_keyword("null_genes", "kompot.de", [])
    "kompot.de has no parameter 'null_genes'; it belongs to fdr=kompot.FDRSettings(null_genes=...)."
    >>> unknown_keyword("sigm", "FunctionEstimator", ["sigma", "ls"])
    "FunctionEstimator has no parameter 'sigm'. Did you mean 'sigma'?"
    """
    message, own = f"{owner} has no parameter {name!r}", {*FUNCTIONS.get(owner, ()), *known}
    if places_of(name):
        return f"{message}; it belongs to {_places(name, owner)}."
    if name in ARGUMENTS:
        return f"{message}; {_takers(name)} takes kompot.{ARGUMENTS[name].__name__}."
    meant = check.closest(name, [*sorted(own), *all_settings()])
    if meant is None:
        return f"{message}; help({owner if owner in FUNCTIONS else f'kompot.{owner}'}) has those there are."
    return f"{message}. Did you mean {repr(meant) if meant in own else _places(meant, owner)}?"


def _places(name: str, owner: str) -> str:
    """Where a setting is given: to the owner if it takes settings of that class, else to the functions that do."""
    places = places_of(name)
    mine = [text for argument, text in places.items() if argument in FUNCTIONS.get(owner, ())]
    return " or ".join(mine or [f"{text} of {_takers(argument)}" for argument, text in places.items()])


def _takers(argument: str) -> str:
    return " or ".join(function for function, arguments in FUNCTIONS.items() if argument in arguments)
