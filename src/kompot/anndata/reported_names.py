"""`field_names` as records and dictionaries of results hold them: names of fields by key, and what scripts ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kompot.anndata.da_request import DARequest
from kompot.anndata.fields import DA_FIELDS, SAMPLE_KEYS, NamedField, by_place
from kompot.anndata.request import DERequest
from kompot.anndata.smooth_request import SmoothRequest

_DA_SAMPLE_KEYS = [item.key for item in DA_FIELDS if "{S}" in item.pattern]
_SMOOTH_SAMPLE_KEYS = ["std_key", "sample_variance_key"]


def de_names(request: DERequest) -> dict[str, Any]:
    """Names of all fields of a run of `kompot.de`, written or not."""
    impacted = SAMPLE_KEYS if request.with_samples else ()
    return _reported(request.field_names, request.fields, impacted, has_groups=bool(request.cells.groups))


def da_names(request: DARequest) -> dict[str, Any]:
    """Names of the fields of a run of `kompot.da`."""
    impacted = () if request.sample_col is None else _DA_SAMPLE_KEYS
    return _reported(_names(request.fields), request.fields, impacted, has_groups=False)


def smooth_names(request: SmoothRequest, *, with_samples: bool) -> dict[str, Any]:
    """Names of the fields of a run of `kompot.smooth_expression`."""
    impacted = _SMOOTH_SAMPLE_KEYS if with_samples else ()
    return _reported(_names(request.fields), request.fields, impacted, has_groups=False)


def _names(fields: Mapping[str, NamedField]) -> dict[str, str]:
    return {key: item.name for key, item in fields.items()}


def _reported(
    names: Mapping[str, str], written: Mapping[str, NamedField], impacted: Iterable[str], *, has_groups: bool
) -> dict[str, Any]:
    return {
        **names,
        "has_groups": has_groups,
        "sample_variance_impacted_fields": list(impacted),
        "all_patterns": by_place(written.values()),
    }
