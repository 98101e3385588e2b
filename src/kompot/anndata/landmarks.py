"""What is kept of the landmarks in `adata.uns[result_key]`."""

from __future__ import annotations

from typing import Any

from kompot._typing import Float64
from kompot.anndata.history import timestamp


def landmark_entry(landmarks: Float64, *, given: bool, keep: bool) -> dict[str, Any]:
    """Description of the landmarks, and the landmarks themselves if they shall be kept.

    Parameters
    ----------
    landmarks
        m x n_dims.
    given
        Whether the user brought them.
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
        "source": "provided" if given else "computed",
        "n_landmarks": len(landmarks),
        "timestamp": timestamp(),
    }
    return {"landmarks_info": info, **({"landmarks": landmarks} if keep else {})}
