"""From the record of a run back to the arguments that made it.

Records of this package nest parameters by settings object; older ones hold them flat, some under other names. What a
record cannot hold (arrays, models, paths) is written there as a note in angle brackets and is named here as lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from kompot._typing import Float64
from kompot.anndata.extract import different_labels
from kompot.anndata.history import PATHS
from kompot.anndata.landmark_store import landmark_matrix, stored_landmarks
from kompot.anndata.lazy import column_of
from kompot.anndata.record_values import as_list, as_mapping, is_placeholder
from kompot.anndata.run_keywords import is_keyword
from kompot.anndata.uns import landmark_digest, names_digest
from kompot.anndata.weights import abundance_weights
from kompot.settings import (
    DAThresholdSettings,
    FDRSettings,
    FilterSettings,
    GPSettings,
    ModelSettings,
    OutputSettings,
    StorageSettings,
)

_SETTINGS: dict[str, type[Any]] = {
    "gp": GPSettings,
    "fdr": FDRSettings,
    "threshold": DAThresholdSettings,
    "filter": FilterSettings,
    "storage": StorageSettings,
    "output": OutputSettings,
}
_OF_TYPE = {
    "de": ("gp", "fdr", "filter", "storage", "output"),
    "da": ("gp", "threshold", "storage", "output"),
    "smooth": ("gp", "storage", "output"),
}
_ARGUMENTS = {
    "de": ("groupby", "condition1", "condition2", "obsm_key", "layer", "genes", "sample_col"),
    "da": ("groupby", "condition1", "condition2", "obsm_key", "sample_col"),
    "smooth": ("groupby", "condition", "obsm_key", "layer", "genes", "sample_col"),
}
_REQUIRED = {"de": ("groupby", "condition1", "condition2"), "da": ("groupby", "condition1", "condition2"), "smooth": ()}
_FROM_TEXT = {"Infinity": np.inf, "-Infinity": -np.inf}
_LABELS = ("condition", "condition1", "condition2")
_FLAT_NAMES = {
    ("fdr", "threshold"): "fdr_threshold",
    ("threshold", "lfc_threshold"): "log_fold_change_threshold",
}


def recorded_settings(params: Mapping[str, Any], analysis_type: str) -> tuple[dict[str, Any], list[str]]:
    """Settings objects of a run.

    Parameters
    ----------
    params
        Of the record, nested or flat.
    analysis_type
        "de", "da" or "smooth".

    Returns
    -------
    tuple[dict[str, Any], list[str]]
        Settings by argument name, only those that were recorded; dotted names of values that are lost.
    """
    settings, lost = {}, []
    for name in _OF_TYPE[analysis_type]:
        recorded = _recorded_values(params, name)
        if not recorded:
            continue
        settings[name] = _SETTINGS[name]()
        for key, value in recorded.items():
            if not _restore(settings[name], key, value):
                lost.append(f"{name}.{key}")
    return settings, lost


def _recorded_values(params: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Values of one settings object: those at top level first, as older records have them, then the nested ones."""
    known = _SETTINGS[name].__dataclass_fields__
    nested = {key: value for key, value in as_mapping(params.get(name)).items() if key in known}
    flat_names = {key: _FLAT_NAMES.get((name, key), key) for key in known}
    flat = {key: params[flat] for key, flat in flat_names.items() if flat in params and flat not in _SETTINGS}
    return {**flat, **nested}


def _restore(settings: Any, key: str, value: Any) -> bool:
    """Set a recorded value; False if the record holds only a note of it, or something that is no setting."""
    # Landmarks are recorded by their digest; see `recorded_landmarks`. A path would be that of another machine.
    if is_placeholder(value) or (key in ("landmarks", *PATHS) and value is not None):
        return False
    try:
        setattr(settings, key, _FROM_TEXT.get(value, value) if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):  # other versions allowed other values
        return False
    return True


def recorded_arguments(
    adata: AnnData, params: Mapping[str, Any], analysis_type: str
) -> tuple[dict[str, Any], list[str]]:
    """Labels, keys and further keyword arguments of a run, and names of what is lost, injected models included."""
    recorded = {name: params[name] for name in _ARGUMENTS[analysis_type] if name in params}
    given = {name: value for name, value in recorded.items() if _is_argument(name, value)}
    lost = [name for name in _REQUIRED[analysis_type] if given.get(name) is None]
    lost += [name for name in recorded if name not in given and name not in lost]
    injected = params.get("model") or ()
    lost += [
        f"model.{name}"
        for name in ModelSettings.__dataclass_fields__
        if name in as_mapping(injected) or name in as_list(injected)
    ]
    for name in _LABELS:
        if name in given:
            given[name] = _label(adata, given.get("groupby"), given[name])
    extra = as_mapping(params.get("extra_kwargs"))
    keywords = {name: value for name, value in extra.items() if is_keyword(name, value, analysis_type)}
    return given | keywords, lost + [f"extra_kwargs.{name}" for name in extra if name not in keywords]


def _is_argument(name: str, value: Any) -> bool:
    """Whether a recorded value can be what was given: a label, genes (older records hold printed tables), or a name."""
    if name in _LABELS:
        return value is None or isinstance(value, str | int | float)
    if name == "genes":
        return value is None or (isinstance(value, list) and all(isinstance(gene, str) for gene in value))
    return value is None or isinstance(value, str)


def _label(adata: AnnData, groupby: Any, recorded: Any) -> Any:
    """The label of a condition; one that was recorded as its text is looked up in its column."""
    if not isinstance(recorded, str) or groupby not in adata.obs:
        return recorded
    labels = different_labels(column_of(adata.obs, groupby))
    same = [label for label in labels if str(label) == recorded]
    return recorded if recorded in labels or len(same) != 1 else same[0]


def lost_references(adata: AnnData, run: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """What a run refers to that is no longer as it was: numbers of cells or genes, an earlier run of `kompot.da`."""
    lost, digests = [], as_mapping(run.get("positions"))
    for axis, names, what in (
        ("cells", adata.obs_names, "cells by number (filter), because the cells are others now or in another order"),
        ("genes", adata.var_names, "genes by number (fdr.null_genes), because the genes are others now"),
    ):
        if axis in digests and digests[axis] != names_digest(names):
            lost.append(what)
    weights = run.get("abundance_weights")
    if isinstance(weights, Mapping):
        conditions = (params.get("condition1"), params.get("condition2"))
        everyone = np.ones(adata.n_obs, dtype=np.bool_)
        found = abundance_weights(adata, str(params.get("groupby")), conditions, str(params.get("obsm_key")), everyone)
        if found is None or found.source != weights:
            lost.append(
                "weights of the weighted mean fold change, because the run of kompot.da is gone or was repeated"
            )
    return lost


def recorded_landmarks(
    adata: AnnData, run: Mapping[str, Any], params: Mapping[str, Any], analysis_type: str
) -> tuple[Float64 | None, list[str]]:
    """Landmarks that a rerun must be given, and what stands in the way of using the same ones.

    A rerun takes landmarks that it finds in the object. So those that were stored must be the ones that the run used,
    and a run that chose its own must not find others.

    Parameters
    ----------
    adata
        The object as it is now.
    run, params
        Entry of the run and its parameters.
    analysis_type
        "de", "da" or "smooth".

    Returns
    -------
    tuple[Float64 or None, list[str]]
        Landmarks to give (n_landmarks x n_dims) where the user gave them and they were stored; names of what is lost.
    """
    note = as_mapping(run.get("landmarks"))
    if "source" not in note:
        return None, ["gp.landmarks"] if as_mapping(params.get("gp")).get("landmarks") else []
    stored = _stored(adata, run, params, analysis_type)
    digest = None if stored is None else landmark_digest(stored)
    if note["source"] == "provided":
        return (stored, []) if digest is not None and digest == note.get("digest") else (None, ["gp.landmarks"])
    if analysis_type == "smooth" or digest in (note.get("found"), note.get("digest")):
        return None, []
    if digest is not None:
        return None, ["its own landmarks, because another run stored others in adata.uns, which a rerun would use"]
    return None, ["landmarks stored by an earlier run, which are gone"] if note["source"] == "reused" else []


def _stored(adata: AnnData, run: Mapping[str, Any], params: Mapping[str, Any], analysis_type: str) -> Float64 | None:
    obsm_key, result_key = str(params.get("obsm_key")), str(run.get("result_key"))
    if analysis_type == "smooth":  # takes none that it was not given
        entry = adata.uns.get(result_key)
        return landmark_matrix(entry.get("landmarks")) if isinstance(entry, Mapping) else None
    if obsm_key not in adata.obsm:
        return None
    return stored_landmarks(adata, analysis_type, result_key, obsm_key, adata.obsm[obsm_key].shape[1])
