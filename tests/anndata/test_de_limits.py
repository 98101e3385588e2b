"""Calls of `kompot.de` that cannot do what they ask for: said before any work."""

import anndata as ad
import numpy as np
import pytest

import kompot
from adata_helpers import QUIET, assert_unchanged, small_adata, snapshot
from kompot.errors import UnusedParameterWarning

OUTPUT = kompot.OutputSettings(**QUIET)
NO_FDR = kompot.FDRSettings(null_genes=0)
NO_DISTANCES = kompot.OutputSettings(compute_mahalanobis=False, **QUIET)


def run(adata, **options):
    return kompot.de(adata, "condition", "A", "B", **{"fdr": NO_FDR, "output": OUTPUT, **options})


UNUSED = {
    "null genes without distances": (
        {"fdr": kompot.FDRSettings(null_genes=5), "output": NO_DISTANCES},
        "fdr.null_genes",
    ),
    "null distances without distances": (
        {"fdr": kompot.FDRSettings(null_mahalanobis=np.ones(3)), "output": NO_DISTANCES},
        "fdr.null_mahalanobis",
    ),
    "combined with nothing": (
        {"fdr": kompot.FDRSettings(null_genes=5, combine_with_internal=True)},
        "fdr.combine_with_internal",
    ),
    "cells of no groups": ({"filter": kompot.FilterSettings(min_cells=9)}, "filter.min_cells"),
    "groups that nobody looks at": (
        {"filter": kompot.FilterSettings(groups="condition", check_representation=False, min_percentage=5.0)},
        "filter.min_percentage",
    ),
    "samples of nothing": (
        {"output": kompot.OutputSettings(allow_single_condition_variance=True, **QUIET)},
        "output.allow_single_condition_variance",
    ),
}


@pytest.mark.parametrize(("options", "name"), UNUSED.values(), ids=UNUSED)
def test_settings_without_effect_are_named(options, name):
    with pytest.warns(UnusedParameterWarning, match=f"here: {name}"):
        run(small_adata(), **options)


@pytest.mark.parametrize("analysis", ["de", "da", "smooth"])
def test_a_view_of_an_object_on_disk_cannot_be_written_to(tmp_path, analysis):
    small_adata().write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    try:
        view = backed[:100]
        labels = ("condition", "A") if analysis == "smooth" else ("condition", "A", "B")
        function = {"de": kompot.de, "da": kompot.da, "smooth": kompot.smooth_expression}[analysis]
        with pytest.raises(ValueError, match=r"view of an object on disk.*to_memory\(\)"):
            function(view, *labels)
        copied = run(view, output=kompot.OutputSettings(copy=True, **QUIET))
        assert "kompot_de_A_to_B_mahalanobis" in copied.var
    finally:
        backed.file.close()


def test_the_covariance_is_returned_where_nothing_is_written():
    adata = small_adata()
    storage = kompot.StorageSettings(store_posterior_covariance=True)
    before = snapshot(adata)
    found = run(adata, storage=storage, output=kompot.OutputSettings(inplace=False, **QUIET))
    assert_unchanged(adata, before)
    run(adata, storage=storage)
    np.testing.assert_array_equal(found["posterior_covariance"], adata.obsp["kompot_de_A_to_B_posterior_covariance"])


def test_null_genes_at_all_cells_that_do_not_fit(monkeypatch):
    monkeypatch.setattr("kompot.anndata.layer_storage.available_bytes", lambda: 90_000)
    full = kompot.OutputSettings(return_full_results=True, **QUIET)
    storage, fdr = kompot.StorageSettings(store_layers=False), kompot.FDRSettings(null_genes=20)
    run(small_adata(), fdr=fdr, storage=storage, output=full)
    monkeypatch.setattr("kompot.anndata.layer_storage.available_bytes", lambda: 30_000)
    with pytest.raises(MemoryError, match="null genes at all cells"):
        run(small_adata(), fdr=fdr, storage=storage, output=full)


def test_parameters_of_our_own_are_no_keywords():
    with pytest.raises(TypeError, match="stored_landmarks"):
        run(small_adata(), stored_landmarks=np.zeros((3, 3)))


@pytest.mark.filterwarnings("ignore::kompot.errors.OffsetWarning")
def test_huge_changes_of_abundance_weigh_without_overflow():
    adata = small_adata()
    kompot.da(adata, "condition", "A", "B")
    lfc = np.zeros(adata.n_obs)
    lfc[7] = 1000.0
    adata.obs["kompot_da_A_to_B_lfc"] = lfc
    run(adata)
    change = adata.layers["kompot_de_A_to_B_fold_change"][7]
    np.testing.assert_allclose(adata.var["kompot_de_A_to_B_weighted_mean_lfc"], change, rtol=1e-5, atol=1e-6)
    adata.obs["kompot_da_A_to_B_lfc"] = "text"
    run(adata, storage=kompot.StorageSettings(result_key="other"))
    assert "other_A_to_B_weighted_mean_lfc" not in adata.var
