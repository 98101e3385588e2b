"""Predictors in one file: NumPy's npz format, without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kompot import _checks as check
from kompot._files import whole_file
from kompot._typing import Float64
from kompot.gp.archive import DamagedFileError, read_arrays
from kompot.gp.features import Features
from kompot.gp.kernels import kernel_from_dict
from kompot.gp.regression import Posterior

_FORMAT = 1
_KINDS = ("Predictor", "DensityPredictor")
_ARRAYS = ("settings", "landmarks", "feature_factor", "coef", "posterior_factor")


def save_posterior(
    path: str | Path, features: Features, posterior: Posterior, kind: str, extra: dict[str, Any]
) -> None:
    """Write features and posterior to one file.

    Parameters
    ----------
    path
        File to write, used literally; one that is there is replaced when the new one is complete.
    features, posterior
        What to write; the kernel must be one of `kompot.gp.kernels`.
    kind
        Name of the class that will read it.
    extra
        Plain numbers and names that belong to the predictor.
    """
    settings = {
        "format": _FORMAT,
        "kind": kind,
        "kernel": features.kernel.to_dict(),
        "triangular": features.triangular,
        "sigma": posterior.sigma,
        "mu": posterior.mu,
        **extra,
    }
    with whole_file(path) as file:
        np.savez(
            file,
            settings=np.array(json.dumps(settings)),
            landmarks=features.landmarks,
            feature_factor=features.factor,
            coef=posterior.coef,
            posterior_factor=posterior.factor,
        )


def load_posterior(path: str | Path, kind: str) -> tuple[Features, Posterior, dict[str, Any]]:
    """Features, posterior and settings that `save_posterior` wrote.

    Parameters
    ----------
    path
        File to read.
    kind
        Name of the class that reads it.

    Returns
    -------
    tuple[Features, Posterior, dict[str, Any]]
        The last with the `extra` entries, which are not checked here.

    Raises
    ------
    ValueError
        If the file is something else, damaged, of another class, of a newer version, or larger than the memory; names
        the file and what is wrong.
    OSError
        If there is no such file, or it cannot be read.
    """
    with saying_which_file(path, kind):
        arrays = read_arrays(path, _ARRAYS)
        settings = _settings(arrays["settings"])
        if settings["format"] > _FORMAT:
            raise ValueError(f"{path} was written by a newer version of kompot; upgrade to read it.")
        if settings["kind"] not in _KINDS:
            raise DamagedFileError(f"holds a {check.show(settings['kind'])}")
        if settings["kind"] != kind:
            raise ValueError(f"{path} holds a {settings['kind']}, not a {kind}; read it with {settings['kind']}.load.")
        features = _features(arrays["landmarks"], arrays["feature_factor"], settings)
        posterior = _posterior(arrays["coef"], arrays["posterior_factor"], settings, features.rank)
    return features, posterior, settings


@contextmanager
def saying_which_file(path: str | Path, kind: str) -> Iterator[None]:
    """What is wrong with a file, with its name as the user gave it."""
    try:
        yield
    except DamagedFileError as error:
        raise ValueError(f"{path} was not written by {kind}.save: it {error}.") from error


def recorded_setting(settings: dict[str, Any], name: str, verify: Callable[[str, object], Any]) -> Any:
    """One setting of a file, checked."""
    try:
        return verify(name, settings[name])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        wrong = f"lacks {name}" if isinstance(error, KeyError) else f"holds no valid {name} ({error})"
        raise DamagedFileError(wrong) from error


def _settings(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The plain numbers and names; those that every file has are checked."""
    try:
        settings = json.loads(array.item())
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise DamagedFileError(f"holds settings that cannot be read ({error})") from error
    if not isinstance(settings, dict):
        raise DamagedFileError("holds settings that are no dictionary")
    recorded_setting(settings, "format", check.non_negative_int)
    recorded_setting(settings, "kind", check.text)
    return settings


def _features(landmarks: Float64, factor: Float64, settings: dict[str, Any]) -> Features:
    triangular = recorded_setting(settings, "triangular", check.boolean)
    try:
        kernel = kernel_from_dict(settings["kernel"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedFileError(f"holds no kernel ({error!r:.200})") from error
    _require_matrix("landmarks", landmarks)
    if not (np.abs(landmarks) <= check.LARGEST_SCALE).all():
        raise DamagedFileError(f"holds landmarks beyond ±{check.LARGEST_SCALE:g}")
    _require_matrix("feature_factor", factor, n_rows=len(landmarks))
    if triangular:
        _require_triangle("feature_factor", factor)
    return Features(kernel, landmarks, factor, triangular)


def _posterior(coef: Float64, factor: Float64, settings: dict[str, Any], rank: int) -> Posterior:
    _require_matrix("coef", coef, n_rows=rank)
    _require_matrix("posterior_factor", factor, n_rows=rank)
    _require_triangle("posterior_factor", factor)
    sigma = recorded_setting(settings, "sigma", check.positive_float)
    return Posterior(coef, factor, sigma, recorded_setting(settings, "mu", check.moderate_float))


def _require_matrix(name: str, array: Float64, n_rows: int | None = None) -> None:
    """Raise unless an array is a matrix of finite numbers with the right number of rows."""
    if array.dtype.kind != "f" or array.ndim != 2 or 0 in array.shape:
        raise DamagedFileError(f"holds no matrix as {name}, but {check.show(array)}")
    if n_rows is not None and len(array) != n_rows:
        raise DamagedFileError(f"holds {len(array)} rows of {name} where {n_rows} are needed")
    if not np.isfinite(array).all():
        raise DamagedFileError(f"holds NaN or infinite values in {name}")


def _require_triangle(name: str, factor: Float64) -> None:
    """Raise unless a matrix can be a Cholesky factor."""
    if factor.shape[0] != factor.shape[1] or not (np.diagonal(factor) > 0).all():
        raise DamagedFileError(f"holds no square factor with a positive diagonal as {name}")
