"""Landmarks that an earlier run left in the object (`StorageSettings.store_landmarks`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from anndata import AnnData

from kompot._typing import Float64
from kompot.anndata.history import storage_key


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
    for key in dict.fromkeys((result_key, storage_key(analysis_type), storage_key(other))):
        entry = adata.uns.get(key)
        if not isinstance(entry, Mapping) or "landmarks" not in entry:
            continue
        info, landmarks = entry.get("landmarks_info", {}), np.asarray(entry["landmarks"])
        if landmarks.dtype.kind not in "fiu":
            continue
        landmarks = landmarks.astype(np.float64)
        fits = landmarks.ndim == 2 and len(landmarks) and landmarks.shape[1] == n_dims
        if fits and isinstance(info, Mapping) and info.get("obsm_key") == obsm_key and np.isfinite(landmarks).all():
            return landmarks
    return None
