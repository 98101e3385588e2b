"""Where the null distribution of `kompot.de` comes from."""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import kompot
from adata_helpers import QUIET, last_run, small_adata
from kompot.errors import NullDistributionWarning
from kompot.stats.fdr import false_discovery_rates


def run(adata, fdr, **kwargs):
    output = kompot.OutputSettings(inplace=False, return_full_results=True, **QUIET)
    return kompot.de(adata, "condition", "A", "B", fdr=fdr, output=output, **kwargs)


def external_expression(adata, n_null, seed=5):
    rng = np.random.default_rng(seed)
    counts = adata.obs["condition"].value_counts()
    return tuple(rng.normal(size=(counts[label], n_null)) for label in "AB")


def test_auto_means_two_thousand_without_a_warning():
    adata = small_adata()
    kompot.de(adata, "condition", "A", "B", output=kompot.OutputSettings(**QUIET))
    assert last_run(adata)["params"]["fdr"]["null_genes"] == 2000
    assert last_run(adata)["approximation"]["n_null"] == 2000


def test_more_null_genes_than_genes_asked_for_is_a_warning():
    with pytest.warns(NullDistributionWarning, match="30 null genes were asked for, but the data have 25"):
        result = run(small_adata(), kompot.FDRSettings(null_genes=30))
    assert result["null"]["n_null"] == 30


def test_each_gene_is_drawn_once_where_there_are_enough():
    genes = run(small_adata(), kompot.FDRSettings(null_genes=25))["null"]["gene_indices"]
    assert sorted(genes) == list(range(25))


def test_null_genes_are_drawn_from_all_genes_even_for_a_subset():
    genes = run(small_adata(), kompot.FDRSettings(null_genes=25), genes=["g2"])["null"]["gene_indices"]
    assert sorted(genes) == list(range(25))


def test_external_distances_replace_the_internal_ones():
    adata = small_adata()
    null = np.linspace(0.5, 4, 50)
    result = run(adata, kompot.FDRSettings(null_mahalanobis=null))
    expected = false_discovery_rates(result["table"]["mahalanobis"].to_numpy(), null)
    np.testing.assert_array_equal(result["table"]["local_fdr"], expected.local_fdr)
    np.testing.assert_array_equal(result["null"]["mahalanobis"], null)
    assert result["null"]["source"] == "external"
    assert result["null"]["gene_names"] == []


def test_external_and_internal_together():
    adata = small_adata()
    null = np.linspace(0.5, 4, 50)
    fdr = kompot.FDRSettings(null_genes=10, null_mahalanobis=null, combine_with_internal=True)
    result = run(adata, fdr)["null"]
    internal = run(adata, kompot.FDRSettings(null_genes=10))["null"]["mahalanobis"]
    np.testing.assert_allclose(result["mahalanobis"], np.concatenate([internal, null]))
    assert result["source"] == "combined"


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_external_expression_is_fitted_like_genes(kind):
    adata = small_adata()
    first, second = external_expression(adata, 6)
    result = run(adata, kompot.FDRSettings(null_expression=(kind(first), kind(second))))
    X = adata.obsm["DM_EigenVectors"]
    A, B = (adata.obs["condition"] == label for label in "AB")
    model = kompot.DifferentialExpression().fit(X[A], first, X[B], second)
    np.testing.assert_allclose(result["null"]["mahalanobis"], model.mahalanobis_distances(), rtol=1e-6)
    assert result["null"]["gene_names"] == [f"NULL_EXT_{i}" for i in range(6)]
    assert len(result["table"]) == adata.n_vars


def test_columns_declared_null_are_used_as_they_are_and_stripped():
    adata = small_adata()
    everything = run(adata, kompot.FDRSettings(null_genes=0))["table"]["mahalanobis"]
    result = run(adata, kompot.FDRSettings(null_genes=[20, 3, 24]))
    np.testing.assert_allclose(result["null"]["mahalanobis"], everything.iloc[[3, 20, 24]], rtol=1e-5)
    assert len(result["table"]) == 22
    assert not {"g3", "g20", "g24"} & set(result["table"].index)
    kompot.de(
        adata,
        "condition",
        "A",
        "B",
        fdr=kompot.FDRSettings(null_genes=[20, 3, 24]),
        output=kompot.OutputSettings(**QUIET),
    )
    assert adata.var["kompot_de_A_to_B_mahalanobis"].isna().sum() == 3
    assert np.isnan(adata.layers["kompot_de_A_smoothed"][:, [3, 20, 24]]).all()


def test_combining_with_nothing_is_a_warning():
    fdr = kompot.FDRSettings(null_genes=0, null_mahalanobis=np.linspace(0.5, 4, 5), combine_with_internal=True)
    with pytest.warns(NullDistributionWarning, match="combine_with_internal has no effect"):
        run(small_adata(), fdr)


def test_null_genes_do_not_depend_on_the_order_of_cells_or_genes_chunks():
    adata = small_adata()
    expected = run(adata, kompot.FDRSettings(null_genes=15))["null"]["mahalanobis"]
    shuffled = adata[np.random.default_rng(3).permutation(adata.n_obs)].copy()
    actual = run(shuffled, kompot.FDRSettings(null_genes=15), gp=kompot.GPSettings(batch_size=11))["null"][
        "mahalanobis"
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_declared_columns_beside_an_external_null():
    adata, null = small_adata(), np.linspace(0.5, 4, 50)
    replaced = run(adata, kompot.FDRSettings(null_genes=[3, 20], null_mahalanobis=null))
    np.testing.assert_array_equal(replaced["null"]["mahalanobis"], null)
    assert not {"g3", "g20"} & set(replaced["table"].index)
    both = run(adata, kompot.FDRSettings(null_genes=[3, 20], null_mahalanobis=null, combine_with_internal=True))
    assert both["null"]["n_null"] == 52


def test_declared_columns_are_stripped_without_distances_too():
    output = kompot.OutputSettings(inplace=False, compute_mahalanobis=False, **QUIET)
    fdr = kompot.FDRSettings(null_genes=[3])
    table = kompot.de(small_adata(), "condition", "A", "B", fdr=fdr, output=output)["table"]
    assert "g3" not in table.index


def test_an_invalid_null_gene_on_disk_is_an_error(tmp_path):
    adata = small_adata()
    Y = adata.X.toarray()
    Y[3, 2] = np.nan
    adata.X = sparse.csr_matrix(Y)
    adata.write_h5ad(tmp_path / "bad.h5ad")
    backed = ad.read_h5ad(tmp_path / "bad.h5ad", backed="r")
    with pytest.raises(ValueError, match="NaN or infinite values in 1 of the genes used: g2"):
        run(backed, kompot.FDRSettings(null_genes=25), genes=["g5"])
    backed.file.close()


def test_null_distances_instead_of_declared_columns_have_no_fdr_in_groups():
    adata = small_adata()
    adata.obs["side"] = np.where(adata.obsm["DM_EigenVectors"][:, 0] > 0, "right", "left")
    fdr = kompot.FDRSettings(null_genes=[3, 4], null_mahalanobis=np.linspace(1, 3, 50))
    kompot.de(adata, "condition", "A", "B", fdr=fdr, filter=kompot.FilterSettings(groups="side"))
    assert adata.var["kompot_de_A_to_B_mahalanobis_local_fdr"].notna().sum() == adata.n_vars - 2
    assert adata.varm["kompot_de_A_to_B_mahalanobis_groups"].notna().sum().tolist() == [adata.n_vars - 2] * 2
    assert "kompot_de_A_to_B_mahalanobis_local_fdr_groups" not in adata.varm
