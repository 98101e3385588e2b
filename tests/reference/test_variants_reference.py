"""Replicates, groups and empirical variance against numbers measured with kompot 0.8.0 on real data."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import linalg
from scipy.stats import spearmanr

import kompot
from adata_helpers import QUIET

SHARED = Path(__file__).parents[2].parent / "shared"
pytestmark = [
    pytest.mark.reference,
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="needs the data sets and reference numbers beside the checkout"),
]
NO_FDR = kompot.FDRSettings(null_genes=0)
OUTPUT = kompot.OutputSettings(inplace=False, return_full_results=True, **QUIET)


@pytest.fixture(scope="module", params=["kang18_ifnb_8donors", "glioblastoma_panobinostat"])
def case(request):
    """Data, settings and a function that reads the reference's tables."""
    reference = SHARED / "reference" / f"{request.param}.DM_EigenVectors"
    settings = json.loads(Path(f"{reference}.json").read_text())
    adata = ad.read_h5ad(SHARED / "data" / f"{request.param}.h5ad")
    return adata, settings, lambda name: pd.read_csv(f"{reference}.{name}.csv.gz", index_col=0)


def run(case, ls, **options):
    adata, settings, _ = case
    gp = kompot.GPSettings(ls=ls, **options.pop("gp", {}))
    return kompot.de(adata, "condition", *settings["conditions"], gp=gp, fdr=NO_FDR, output=OUTPUT, **options)


def test_distances_with_replicates(case):
    _, settings, table = case
    expected = table("de_sample_variance")
    ls = settings["de_sample_variance"]["ls"]
    found = run(case, ls, genes=list(expected.index), sample_col="sample")["table"].loc[expected.index]
    relative = np.abs(found["mahalanobis"] / expected["mahalanobis"] - 1)
    assert relative.median() < 1e-3
    assert relative.max() < 5e-3
    np.testing.assert_allclose(found["mean_lfc"], expected["mean_lfc"], atol=1e-4)


def test_groups(case):
    adata, settings, table = case
    expected = table("de").loc[adata.var_names]
    groups = run(case, settings["de"]["ls"], filter=kompot.FilterSettings(groups="cell_type"))["groups"]
    names = [name.split(":")[1] for name in expected if name.startswith("group_mahalanobis:")]
    assert set(names) == set(groups["mahalanobis"])
    for name in names:
        ours, theirs = groups["mahalanobis"][name], expected[f"group_mahalanobis:{name}"]
        assert np.median(np.abs(ours - theirs) / theirs) < 1e-2, name
        assert spearmanr(ours, theirs).statistic > 0.999, name
        np.testing.assert_allclose(groups["mean_lfc"][name], expected[f"group_mean_lfc:{name}"], atol=1e-4)


def test_empirical_variance_is_exact_where_the_reference_approximates(case):
    adata, settings, table = case
    expected = table("de_empirical_variance")
    genes = list(expected.index)[::30]
    entry = settings["de_empirical_variance"]
    options = {"use_empirical_variance": True, "n_landmarks": entry["n_landmarks"]}
    results = run(case, entry["ls"], genes=genes, gp=options)
    model, columns = results["model"], [adata.var_names[adata.var_names.isin(genes)].get_loc(gene) for gene in genes]
    points = model.points
    assert len(points) == entry["n_landmarks"]
    # The covariance of each gene written out at the points: what the distance is meant to be.
    models = (model.model1, model.model2)
    noise = sum(one.empirical_variance(points) for one in models)
    Sigma = sum(one.predictor.covariance(points, diag=False) for one in models)
    change = np.subtract(*[one.predictor(points) for one in reversed(models)])
    exact = []
    for column in columns:
        L = np.linalg.cholesky(Sigma + np.diag(noise[:, column]))
        exact.append(np.linalg.norm(linalg.solve_triangular(L, change[:, column], lower=True)))
    found = results["table"].loc[genes, "mahalanobis"]
    np.testing.assert_allclose(found, exact, rtol=1e-3)
    # The reference's numbers are of another kind, not only less precise.
    assert np.median(np.abs(found / expected.loc[genes, "mahalanobis"] - 1)) > 0.5
