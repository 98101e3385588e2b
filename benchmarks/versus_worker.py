"""One of the two packages of `versus_kompot08.py` on one file, in its own process and environment.

Uses only what both packages share: the call `analysis(adata, groupby, condition1, condition2, obsm_key=..., ...)`
and the settings classes. A new analysis is a new function with an entry in `ANALYSES`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import warnings
from typing import Any

import anndata as ad
import numpy as np

import kompot
from measure import Watch, peak_mb


def de(adata: ad.AnnData, settings: dict[str, Any], shared: dict[str, float]) -> None:
    """Differential expression, everything stored in `adata`."""
    kompot.de(
        adata,
        **settings["data"],
        gp=kompot.GPSettings(sigma=settings["sigma"], ls=shared.get("ls"), n_landmarks=settings["n_landmarks"]),
        fdr=kompot.FDRSettings(null_genes=settings["null_genes"]),
        output=kompot.OutputSettings(progress=False),
    )


def de_results(adata: ad.AnnData, settings: dict[str, Any]) -> dict[str, Any]:
    """What is compared: arrays by name."""
    first, second = (_cleaned(settings["data"][name]) for name in ("condition1", "condition2"))
    prefix = f"kompot_de_{first}_to_{second}_"
    return {
        "mahalanobis": adata.var[prefix + "mahalanobis"].to_numpy(),
        "mean_lfc": adata.var[prefix + "mean_lfc"].to_numpy(),
        "is_de": adata.var[prefix + "is_de"].to_numpy().astype(bool),
    }


def da(adata: ad.AnnData, settings: dict[str, Any], shared: dict[str, float]) -> None:
    """Differential abundance; the same dimension, prior mean and length scale for both conditions and packages."""
    ours = {} if kompot.__version__ == "0.8.0" else {"calibrate_offset": False}
    kompot.da(adata, **settings["data"], gp=kompot.GPSettings(n_landmarks=settings["n_landmarks"]), **shared, **ours)


def da_results(adata: ad.AnnData, settings: dict[str, Any]) -> dict[str, Any]:
    """What is compared: arrays by name."""
    first, second = (_cleaned(settings["data"][name]) for name in ("condition1", "condition2"))
    prefix = f"kompot_da_{first}_to_{second}_"
    return {name: adata.obs[prefix + name].to_numpy() for name in ("lfc", "lfc_zscore")}


def da_record(adata: ad.AnnData) -> dict[str, Any]:
    """Parameters of the densities, where the package records them."""
    fits = last_run(adata, "da").get("density", {}).get("fits", [{}])
    return {name: fits[0].get(name) for name in ("ls", "d", "mu", "rank")}


def smooth_expression(adata: ad.AnnData, settings: dict[str, Any], shared: dict[str, float]) -> None:
    """Smoothed expression of condition 1."""
    data = settings["data"]
    kompot.smooth_expression(
        adata,
        data["groupby"],
        data["condition1"],
        obsm_key=data["obsm_key"],
        gp=kompot.GPSettings(sigma=settings["sigma"], ls=shared.get("ls"), n_landmarks=settings["n_landmarks"]),
        output=kompot.OutputSettings(progress=False),
    )


def smooth_expression_results(adata: ad.AnnData, settings: dict[str, Any]) -> dict[str, Any]:
    """What is compared: arrays by name."""
    prefix = f"kompot_smooth_{_cleaned(settings['data']['condition1'])}_"
    return {name: np.asarray(adata.layers[prefix + name])[:, :500] for name in ("smoothed", "std")}


def smooth_expression_record(adata: ad.AnnData) -> dict[str, Any]:
    """Length scale and number of features, where the package records them."""
    last = last_run(adata, "smooth")
    return {"ls": last.get("ls"), "rank": last.get("approximation", {}).get("rank")}


def last_run(adata: ad.AnnData, analysis_type: str) -> dict[str, Any]:
    """The record of the latest run."""
    history = adata.uns[f"kompot_{analysis_type}"]["run_history"]
    runs = json.loads(history) if isinstance(history, str) else history
    return json.loads(runs[-1]) if isinstance(runs[-1], str) else runs[-1]


def _cleaned(label: str) -> str:
    return label.translate(str.maketrans(" -./", "____"))


def de_record(adata: ad.AnnData) -> dict[str, Any]:
    """Length scale and number of features, where the package records them."""
    approximation = last_run(adata, "de").get("approximation", {})
    return {name: approximation.get(name) for name in ("ls", "rank")}


ANALYSES = {
    "de": (de, de_results, de_record),
    "da": (da, da_results, da_record),
    "smooth_expression": (smooth_expression, smooth_expression_results, smooth_expression_record),
}


def run(analysis: str, path: str, output: str, calls: int, **settings: Any) -> dict[str, Any]:
    """Time the calls of an analysis in this process, and save the results of the last one."""
    compute, results, record = ANALYSES[analysis]
    seconds, increase = [], 0.0
    for _ in range(calls):
        adata = ad.read_h5ad(path)
        with Watch() as watch:
            compute(adata, settings, settings["shared"])
        seconds.append(watch.seconds)
        increase = max(increase, watch.increase_mb)
    np.savez(output, **results(adata, settings))
    versions = {name: importlib.metadata.version(name) for name in ("kompot", "numpy", "scipy", "anndata")}
    return {
        "seconds": seconds,
        "peak_mb": peak_mb(),
        "increase_mb": increase,
        "versions": versions,
        "record": record(adata),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # both packages warn of null genes drawn with replacement
    print(json.dumps(run(**json.loads(sys.argv[1]))))
