"""Names that a run can have written.

A record says which fields a run wrote, but a record may come from elsewhere: what it names is only removed or written
again if the library forms such names. They begin with the run's result key, hold its conditions, and end as declared in
`kompot.anndata.fields`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kompot._file_names import LONGEST, n_bytes
from kompot.anndata.fields import COLORS, DA_FIELDS, DE_FIELDS, SMOOTH_FIELDS, Field
from kompot.anndata.history import former_storage_keys, storage_key
from kompot.anndata.record_values import as_mapping

_DECLARED = {
    # Standard deviations are layers where they differ between genes.
    "de": (*DE_FIELDS, *(replace(item, place="layers") for item in DE_FIELDS if item.kind == "std")),
    "da": DA_FIELDS,
    "smooth": SMOOTH_FIELDS,
}
_ENDINGS_BEFORE = {"smoothed": "(?:smoothed|imputed)"}
# Files hold no name of more than 255 bytes; older versions did not look at that. Much longer ones only cost time.
_LONGEST_NAME = 1000
_WORD, _BETWEEN = re.compile(r"[^\W_]+"), r"[\W_]*"
_NUMBER, _SHORTENED = r"(?:_\d+)?", r".*[0-9a-f]{8}"
# Conditions are shortened only in names that would be too long for a file, and fill what room there is: all but that of
# the colours' ending, and of letters of several bytes.
_SHORTEST = LONGEST - len(COLORS) - 8


@dataclass(frozen=True)
class PossibleNames:
    """Forms of the names of one run.

    Examples
    --------
    >>> run = {"result_key": "age", "params": {"condition1": "T cell", "condition2": "B"}}
    >>> names = PossibleNames.of(run, "de")
    >>> names.field("layers", "age_T_cell_smoothed").kind, names.field("layers", "counts")
    ('smoothed', None)
    """

    forms: tuple[tuple[Field, re.Pattern[str]], ...]
    """Fields, and what their names look like."""
    shortened: tuple[tuple[Field, re.Pattern[str]], ...]
    """The same for names in which conditions are shortened."""

    @classmethod
    def of(cls, run: Mapping[str, Any], kind: str) -> PossibleNames:
        """Those of a recorded run of one type of analysis."""
        params = as_mapping(run.get("params"))
        keys = _result_keys(run, params, kind)
        if kind == "smooth":
            labels = {"A": "all" if params.get("condition") is None else params["condition"]}
        else:
            labels = {"A": params.get("condition1"), "B": params.get("condition2")}
        parts = {name: _label_form(label) for name, label in labels.items()}
        prefix = f"(?:{'|'.join(map(re.escape, keys))})"
        cut = {name: f"(?:{part}|{_SHORTENED})" for name, part in parts.items()}
        return cls(_forms(kind, prefix, parts), _forms(kind, prefix, cut))

    def field(self, place: str, name: object, key: str | None = None) -> Field | None:
        """Declaration of the field of that name, or of `key` alone; None if the run cannot have written it."""
        if not isinstance(name, str) or len(name) > _LONGEST_NAME:
            return None
        forms = self.shortened if n_bytes(name) >= _SHORTEST else self.forms
        found = (
            item for item, form in forms if item.place == place and key in (None, item.key) and form.fullmatch(name)
        )
        return next(found, None)


def _result_keys(run: Mapping[str, Any], params: Mapping[str, Any], kind: str) -> list[str]:
    """The result key, which older records hold elsewhere or not at all."""
    recorded = (run.get("result_key"), params.get("result_key"), as_mapping(params.get("storage")).get("result_key"))
    given = next((key for key in recorded if isinstance(key, str) and key), None)
    return [storage_key(kind), *former_storage_keys(kind)] if given is None else [given]


def _label_form(label: Any) -> str:
    """Form of a label: its letters and digits with anything else between them, perhaps numbered."""
    if not isinstance(label, str | int | float):
        return ".+"
    whole = _BETWEEN.join(["", *map(re.escape, _WORD.findall(str(label)[:LONGEST])), ""])
    return whole + _NUMBER


def _forms(kind: str, prefix: str, parts: Mapping[str, str]) -> tuple[tuple[Field, re.Pattern[str]], ...]:
    return tuple((item, _form(item, prefix, parts)) for item in _DECLARED[kind])


def _form(item: Field, prefix: str, parts: Mapping[str, str]) -> re.Pattern[str]:
    pattern = item.pattern
    for today, both in _ENDINGS_BEFORE.items():
        pattern = pattern.replace(today, both)
    filled = {"K": prefix, "S": "(?:_sample_var)?", **parts}
    return re.compile("".join(filled.get(part, part) for part in re.split(r"[{}]", pattern)) + _NUMBER, re.DOTALL)
