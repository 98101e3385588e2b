"""What a run keeps in `adata.uns`: its record, and the landmarks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from kompot._typing import Float64
from kompot.anndata.history import storage_key, timestamp, with_run
from kompot.anndata.store import Change
from kompot.gp.parameters import GPParameters


def record_changes(
    adata: AnnData, analysis_type: str, result_key: str, record: dict[str, Any], landmarks: dict[str, Any]
) -> list[Change]:
    """What a run writes into `adata.uns`: its record, and what is kept of the landmarks.

    Parameters
    ----------
    adata
        Holds the earlier runs.
    analysis_type
        "de", "da" or "smooth".
    result_key
        Prefix of the run's names.
    record
        Entry of the run in the history.
    landmarks
        From `landmark_entry`; may be empty.

    Returns
    -------
    list[Change]
        One per key, with what else the keys held.
    """
    entries = {storage_key(analysis_type): with_run(adata, analysis_type, record)}
    base = entries.get(result_key, dict(adata.uns.get(result_key, {})))
    # A description must not part from the landmarks that it describes: those that stay keep theirs.
    entries[result_key] = base if "landmarks" in base and "landmarks" not in landmarks else {**base, **landmarks}
    common = entries[storage_key(analysis_type)]
    if "landmarks_info" in landmarks and "landmarks" not in common:
        common["landmarks_info"] = landmarks["landmarks_info"]
    return [Change("uns", key, value) for key, value in entries.items()]


def landmark_entry(landmarks: Float64, parameters: GPParameters, obsm_key: str, *, keep: bool) -> dict[str, Any]:
    """Description of the landmarks, and the landmarks themselves if they shall be kept.

    Parameters
    ----------
    landmarks
        m x n_dims.
    parameters
        Of the run; they tell where the landmarks come from.
    obsm_key
        Coordinates that they are points of.
    keep
        `StorageSettings.store_landmarks`.

    Returns
    -------
    dict[str, Any]
        `landmarks_info` and perhaps `landmarks`.
    """
    info = {
        "shape": str(landmarks.shape),
        "dtype": str(landmarks.dtype),
        "source": _source(landmarks, parameters),
        "obsm_key": obsm_key,
        "n_landmarks": len(landmarks),
        "timestamp": timestamp(),
    }
    return {"landmarks_info": info, **({"landmarks": landmarks.copy()} if keep else {})}


def landmark_record(landmarks: Float64 | None, parameters: GPParameters) -> dict[str, Any]:
    """Where the landmarks of a run come from, for its record.

    Parameters
    ----------
    landmarks
        m x n_dims; None where there are none.
    parameters
        Of the run.

    Returns
    -------
    dict[str, Any]
        `source` ("computed", "provided" or "reused"), `digest` of the landmarks, and of those `found` in the object.
    """
    if landmarks is None:
        return {}
    found = parameters.stored_landmarks
    return {
        "source": _source(landmarks, parameters),
        "digest": landmark_digest(landmarks),
        "found": None if found is None else landmark_digest(found),
    }


def landmark_digest(landmarks: Float64) -> str:
    """Short hash by which landmarks can be recognised."""
    return hashlib.sha256(np.ascontiguousarray(landmarks, dtype=np.float64).tobytes()).hexdigest()[:16]


def names_digest(names: pd.Index[str]) -> str:
    """Short hash of the names of cells or genes, in order."""
    return hashlib.sha256(np.ascontiguousarray(text_hashes(names)).tobytes()).hexdigest()[:16]


def text_hashes(texts: Iterable[Any]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """A hash of each text; of any, unlike that of pandas, which refuses half a surrogate pair."""
    encoded = [str(text).encode("utf-8", "surrogatepass") for text in texts]
    return pd.util.hash_array(np.array(encoded, dtype=object))


def _source(landmarks: Float64, parameters: GPParameters) -> str:
    if parameters.landmarks is not None:
        return "provided"
    found = parameters.stored_landmarks
    return "reused" if found is not None and np.array_equal(landmarks, found) else "computed"
