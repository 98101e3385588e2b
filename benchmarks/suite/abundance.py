"""`kompot.da` and `kompot.smooth_expression` as a whole."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd

import kompot
from abundance import clouds
from far_cells import clouds_and_far_cells

from .data import simulated


class DifferentialAbundance:
    """Time and memory of a call on simulated coordinates."""

    params = (10_000, 50_000)
    param_names = ("n_cells",)
    timeout = 600
    number = 1

    def setup(self, n_cells: int) -> None:
        X, condition, truth = clouds(n_cells)
        obs = pd.DataFrame({"condition": np.array(["A", "B"])[condition]}, index=np.arange(n_cells).astype(str))
        self.adata = ad.AnnData(obs=obs, obsm={"DM_EigenVectors": X})
        self.time_da(n_cells)
        found = self.adata.obs["kompot_da_A_to_B_lfc"]
        if np.corrcoef(found, truth)[0, 1] < 0.8:
            raise AssertionError("the log fold changes do not follow the densities that were simulated")

    def time_da(self, n_cells: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kompot.da(self.adata, "condition", "A", "B")

    def peakmem_da(self, n_cells: int) -> None:
        self.time_da(n_cells)


class FarCells:
    """Time of a call where one cell in a thousand is far from all others, and the number of features it takes."""

    params = (0, 1, 2)
    param_names = ("seed",)
    timeout = 600
    number = 1
    n_cells, share = 16_291, 0.001

    def setup(self, seed: int) -> None:
        X, condition, _ = clouds_and_far_cells(self.n_cells, self.share)
        obs = pd.DataFrame({"condition": np.array(["A", "B"])[condition]}, index=np.arange(self.n_cells).astype(str))
        self.adata = ad.AnnData(obs=obs, obsm={"DM_EigenVectors": X})
        self.time_da(seed)
        fit = kompot.RunInfo(self.adata, analysis_type="da").approximation
        if fit["capped"] or fit["lost_degrees"] > fit["allowed_degrees"]:
            raise ValueError(f"the features miss their tolerance: {fit}")

    def time_da(self, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kompot.da(self.adata, "condition", "A", "B", gp=kompot.GPSettings(random_state=seed))

    def track_features(self, seed: int) -> int:
        return int(kompot.RunInfo(self.adata, analysis_type="da").approximation["rank"])


class Smoothing:
    """Time of smoothing one condition, with and without the variances."""

    params = ([False, True],)
    param_names = ("variances",)
    timeout = 600
    number = 1

    def setup(self, variances: bool) -> None:
        self.adata = simulated(2_000, 500)
        self.time_smooth(variances)
        smoothed = self.adata.layers["kompot_smooth_Young_smoothed"]
        means = np.asarray(self.adata.X[(self.adata.obs["condition"] == "Young").to_numpy()].mean(axis=0)).ravel()
        if np.corrcoef(smoothed.mean(axis=0), means)[0, 1] < 0.99:
            raise AssertionError("smoothed expression does not have the means of the genes")

    def time_smooth(self, variances: bool) -> None:
        kompot.smooth_expression(
            self.adata,
            "condition",
            "Young",
            sample_col="donor" if variances else None,
            gp=kompot.GPSettings(use_empirical_variance=variances),
            storage=kompot.StorageSettings(overwrite=True),
            output=kompot.OutputSettings(progress=False),
        )
