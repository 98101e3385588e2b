"""Landmarks that an earlier run left in the object (`StorageSettings.store_landmarks`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from kompot import _checks as check
from kompot._typing import Float64
from kompot.anndata.history import storage_key
from kompot.anndata.record_values import as_mapping
from kompot.gp.parameters import GPParameters

_LOGGER = logging.getLogger(__name__)
# No run chooses more landmarks than it has cells; the object may have lost cells since, so some more are allowed.
_MOST_LANDMARKS = 10_000


def stored_landmarks(adata: AnnData, analysis_type: str, result_key: str, obsm_key: str, n_dims: int) -> Float64 | None:
    """Landmarks of an earlier run on the same coordinates.

    Parameters
    ----------
    adata
        The object.
    analysis_type
        "de" or "da", whose landmarks are preferred.
    result_key
        Those of this key come first.
    obsm_key
        Coordinates of this run; landmarks of others are not used, nor those that do not say where they come from.
    n_dims
        Their width.

    Returns
    -------
    Float64 or None
        m x n_dims; whether they represent the kernel of this run well enough is looked at before they are used.
    """
    other = "da" if analysis_type == "de" else "de"
    passed_over = []
    for key in dict.fromkeys((result_key, storage_key(analysis_type), storage_key(other))):
        entry = adata.uns.get(key)
        if not isinstance(entry, Mapping) or "landmarks" not in entry:
            continue
        landmarks, origin = landmark_matrix(entry["landmarks"]), _origin(entry)
        if landmarks is not None and origin == obsm_key and _fit(landmarks, adata.n_obs, n_dims):
            return landmarks
        passed_over.append((key, _why_not(origin, obsm_key)))
    for key, why in passed_over:
        _LOGGER.info("Landmarks stored in adata.uns[%r] are not used again: %s.", key, why)
    return None


def _fit(landmarks: Float64, n_cells: int, n_dims: int) -> bool:
    return landmarks.shape[1] == n_dims and len(landmarks) <= max(n_cells, _MOST_LANDMARKS)


def _origin(entry: Mapping[str, Any]) -> str | None:
    origin = as_mapping(entry.get("landmarks_info")).get("obsm_key")
    return origin if isinstance(origin, str) else None


def _why_not(origin: str | None, obsm_key: str) -> str:
    if origin is None:
        return "they do not say which embedding they are points of, as those stored by kompot 0.8.0 do not"
    if origin != obsm_key:
        return f"they are points of adata.obsm[{origin!r}], not of adata.obsm[{obsm_key!r}]"
    return f"they are no finite points in the dimensions of adata.obsm[{obsm_key!r}], or more than there are cells"


def note_unused(parameters: GPParameters, landmarks: Float64 | None) -> None:
    """Say where landmarks that were found were not used, because they do not represent the kernel of this run."""
    found = parameters.stored_landmarks
    if found is not None and landmarks is not None and not np.array_equal(found, landmarks):
        _LOGGER.info(
            "Landmarks stored by an earlier run were not used again: they do not represent the cells of this run to "
            "the tolerance. New ones were chosen."
        )


def landmark_matrix(stored: Any) -> Float64 | None:
    """Landmarks as they are stored, m x n_dims; None unless they are a matrix of numbers that coordinates can be."""
    try:
        landmarks = np.asarray(stored)
    except (TypeError, ValueError):  # rows of different lengths
        return None
    is_matrix = landmarks.dtype.kind in "fiu" and landmarks.ndim == 2 and 0 not in landmarks.shape
    if not is_matrix or isinstance(stored, np.ma.MaskedArray):
        return None
    # NaN is beyond every limit.
    if not (np.abs(landmarks.astype(np.float64)) <= check.LARGEST_SCALE).all():
        return None
    return landmarks.astype(np.float64)
