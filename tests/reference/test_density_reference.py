"""Agreement of the densities with numbers measured with the published package kompot 0.8.0 (mellon 1.7.1).

The data sets and numbers lie beside the checkout (`../shared`); without them these tests are skipped. The parameters
(`d`, `mu`, `ls` of each condition) are the reference's, and no offset is removed: what remains is single precision
and the optimiser's early stop on its side, the features' tolerance on ours.
"""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from kompot import DensityEstimator
from kompot.differential import DifferentialAbundance

SHARED = Path(__file__).parents[2].parent / "shared"
DATA_SETS = ("kang18_ifnb_8donors", "glioblastoma_panobinostat")
pytestmark = [
    pytest.mark.reference,
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="needs the data sets and reference numbers beside the checkout"),
]


@pytest.fixture(scope="module", params=DATA_SETS)
def measured(request):
    """Cell states, our two densities with the reference's parameters, and the reference."""
    reference = SHARED / "reference" / f"{request.param}.DM_EigenVectors"
    settings = json.loads(Path(f"{reference}.json").read_text())
    adata = ad.read_h5ad(SHARED / "data" / f"{request.param}.h5ad")
    X = np.asarray(adata.obsm["DM_EigenVectors"], dtype=np.float64)
    cells = pd.read_csv(f"{reference}.cells.csv.gz", index_col=0).loc[adata.obs_names]
    masks = [(adata.obs["condition"] == label).to_numpy() for label in settings["conditions"]]
    predictors = []
    for number, mask in enumerate(masks, start=1):
        parameters = {name: settings["da"][f"{name}_{number}"] for name in ("d", "mu", "ls")}
        predictors.append(DensityEstimator(**parameters).fit(X[mask]).predictor)
    return X, masks, predictors, cells, settings


def test_log_densities(measured):
    X, _, predictors, cells, settings = measured
    for label, predictor in zip(settings["conditions"], predictors, strict=True):
        difference = np.abs(predictor(X, normalize=True) - cells[f"kompot_da_{label}_log_density"])
        assert difference.max() < 0.01
        assert difference.median() < 1e-3


def test_log_fold_changes(measured):
    X, _, (first, second), cells, _ = measured
    lfc = second(X, normalize=True) - first(X, normalize=True)
    np.testing.assert_allclose(lfc, cells["da_lfc"], atol=0.01)
    assert np.median(np.abs(lfc - cells["da_lfc"])) < 1e-3


def test_log_fold_changes_of_the_analysis_with_these_densities(measured):
    X, masks, predictors, cells, _ = measured
    condition = np.where(masks[0], 0, np.where(masks[1], 1, -1))
    analysis = DifferentialAbundance(calibrate_offset=False)
    found = analysis.fit_cells(X, condition, predictors=tuple(predictors)).predict(X)
    np.testing.assert_allclose(found.lfc, cells["da_lfc"], atol=0.01)


def test_estimated_parameters(measured):
    # The reference estimates d on a random sample of cells: 500 of them scatter by some hundredths.
    X, masks, _, _, settings = measured
    for number, mask in enumerate(masks, start=1):
        predictor = DensityEstimator(ls_factor=10.0).fit(X[mask]).predictor
        assert predictor.features.kernel.length_scale == pytest.approx(settings["da"][f"ls_{number}"], rel=1e-3)
        assert predictor.d == pytest.approx(settings["da"][f"d_{number}"], abs=0.1)
        assert predictor.posterior.mu == pytest.approx(settings["da"][f"mu_{number}"], abs=0.3)
