"""Predictors in one file: NumPy's npz format, without pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kompot._files import whole_file
from kompot.gp.features import Features
from kompot.gp.kernels import kernel_from_dict
from kompot.gp.regression import Posterior

_FORMAT = 1


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
            allow_pickle=False,
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
        The last with the `extra` entries.

    Raises
    ------
    ValueError
        If the file is something else, of another class or of a newer version.
    """
    name = Path(path).name
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{name} was not written by {kind}.save.")
    with np.load(path, allow_pickle=False) as file:
        if "settings" not in file or "posterior_factor" not in file:
            raise ValueError(f"{name} was not written by {kind}.save.")
        settings = json.loads(str(file["settings"]))
        if settings["format"] > _FORMAT:
            raise ValueError(f"{name} was written by a newer version of kompot; upgrade to read it.")
        if settings["kind"] != kind:
            raise ValueError(f"{name} holds a {settings['kind']}, not a {kind}; read it with {settings['kind']}.load.")
        kernel = kernel_from_dict(settings["kernel"])
        features = Features(kernel, file["landmarks"], file["feature_factor"], settings["triangular"])
        posterior = Posterior(file["coef"], file["posterior_factor"], settings["sigma"], settings["mu"])
    return features, posterior, settings
