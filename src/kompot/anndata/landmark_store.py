"""Landmarks that an earlier run left in the object (`StorageSettings.store_landmarks`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from anndata import AnnData

from kompot._typing import Float64
from kompot.anndata.history import storage_key
from kompot.gp.parameters import GPParameters

_LOGGER = logging.getLogger(__name__)


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
        info, landmarks = entry.get("landmarks_info", {}), np.asarray(entry["landmarks"])
        origin = info.get("obsm_key") if isinstance(info, Mapping) else None
        if landmarks.dtype.kind in "fiu":
            landmarks = landmarks.astype(np.float64)
            fits = landmarks.ndim == 2 and len(landmarks) and landmarks.shape[1] == n_dims
            if fits and origin == obsm_key and np.isfinite(landmarks).all():
                return landmarks
        passed_over.append((key, _why_not(origin, obsm_key)))
    for key, why in passed_over:
        _LOGGER.info("Landmarks stored in adata.uns[%r] are not used again: %s.", key, why)
    return None


def _why_not(origin: object, obsm_key: str) -> str:
    if origin is None:
        return "they do not say which embedding they are points of, as those stored by kompot 0.8.0 do not"
    if origin != obsm_key:
        return f"they are points of adata.obsm[{origin!r}], not of adata.obsm[{obsm_key!r}]"
    return f"they are no finite points in the dimensions of adata.obsm[{obsm_key!r}]"


def note_unused(parameters: GPParameters, landmarks: Float64 | None) -> None:
    """Say where landmarks that were found were not used, because they do not represent the kernel of this run."""
    found = parameters.stored_landmarks
    if found is not None and landmarks is not None and not np.array_equal(found, landmarks):
        _LOGGER.info(
            "Landmarks stored by an earlier run were not used again: they do not represent the cells of this run to "
            "the tolerance. New ones were chosen."
        )
