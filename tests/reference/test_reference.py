"""Agreement with numbers measured with the published package kompot 0.8.0 (mellon 1.7.1) on real data.

The data sets and numbers lie beside the checkout (`../shared`); without them these tests are skipped. The published
package's jitter and shortcuts differ from ours, so the aim is agreement within the tolerances stated, not equality.
"""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import kompot
from adata_helpers import QUIET

SHARED = Path(__file__).parents[2].parent / "shared"
DATA_SETS = ("kang18_ifnb_8donors", "glioblastoma_panobinostat")
pytestmark = [
    pytest.mark.reference,
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="needs the data sets and reference numbers beside the checkout"),
]


@pytest.fixture(scope="module", params=DATA_SETS)
def measured(request):
    """Our run with the reference's length scale, and the reference."""
    name = request.param
    reference = SHARED / "reference" / f"{name}.DM_EigenVectors"
    settings = json.loads(Path(f"{reference}.json").read_text())
    adata = ad.read_h5ad(SHARED / "data" / f"{name}.h5ad")
    results = kompot.de(
        adata,
        "condition",
        *settings["conditions"],
        gp=kompot.GPSettings(ls=settings["de"]["ls"]),
        output=kompot.OutputSettings(return_full_results=True, **QUIET),
    )
    genes = pd.read_csv(f"{reference}.de.csv.gz", index_col=0).loc[adata.var_names]
    cells = pd.read_csv(f"{reference}.cells.csv.gz", index_col=0).loc[adata.obs_names]
    return adata, results, genes, cells, settings


def test_distances(measured):
    _, results, genes, _, _ = measured
    ours, theirs = results["table"]["mahalanobis"], genes["mahalanobis"]
    assert np.median(np.abs(ours - theirs) / theirs) < 1e-3
    assert spearmanr(ours, theirs).statistic > 0.9999


def test_tail_probabilities(measured):
    _, results, genes, _, _ = measured
    ours = results["table"]["neg_log10_ptp"].to_numpy()
    theirs = genes["neg_log10_ptp"].to_numpy()
    # The published package underflows to infinity far in the tail.
    finite = np.isfinite(theirs)
    np.testing.assert_allclose(ours[finite], theirs[finite], rtol=5e-3, atol=1e-3)
    assert np.isfinite(ours).all()
    assert ours[~finite].min(initial=np.inf) > ours[finite].max()


def test_mean_fold_changes(measured):
    _, results, genes, _, _ = measured
    np.testing.assert_allclose(results["table"]["mean_lfc"], genes["mean_lfc"], atol=1e-4)


def test_standard_deviations_of_cells(measured):
    adata, _, _, cells, settings = measured
    for label in settings["conditions"]:
        column = next(name for name in cells if name.endswith("std") and label in name)
        ours = adata.obs[f"kompot_de_{label}_std"]
        assert np.median(np.abs(ours - cells[column]) / cells[column]) < 1e-2


def test_the_same_genes_are_called(measured):
    # The null genes are other draws, so only the order of magnitude and the overlap can be compared.
    _, results, genes, _, _ = measured
    ours = results["table"]["is_de"].to_numpy()
    theirs = genes["is_de_null_dependent"].astype(bool).to_numpy()
    assert (ours & theirs).sum() > 0.95 * min(ours.sum(), theirs.sum())
    assert 0.6 < ours.sum() / theirs.sum() < 1.7


@pytest.mark.parametrize(
    ("name", "conditions", "expected"),
    [
        ("kang18_ifnb_8donors", ("ctrl", "stim"), {"ISG15", "ISG20", "IFI6", "IFIT3", "LY6E"}),
        ("glioblastoma_panobinostat", ("ctrl", "panobinostat"), set()),
        ("onek1k_bcell_100donors", ("female", "male"), set()),
    ],
)
def test_every_file_with_expression_runs(name, conditions, expected):
    adata = ad.read_h5ad(SHARED / "data" / f"{name}.h5ad")
    kompot.de(adata, "condition", *conditions, output=kompot.OutputSettings(**QUIET))
    distances = adata.var[f"kompot_de_{conditions[0]}_to_{conditions[1]}_mahalanobis"]
    assert np.isfinite(distances).all()
    assert expected <= set(distances.nlargest(20).index)


def test_a_file_without_genes_says_what_is_missing():
    adata = ad.read_h5ad(SHARED / "data" / "hspc_ikbko_da.h5ad")
    with pytest.raises(ValueError, match="adata has no genes"):
        kompot.de(adata, "condition", "WT", "IkBKO")
