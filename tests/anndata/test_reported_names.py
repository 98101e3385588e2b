"""`field_names`, the key of the posterior covariance and the description of landmarks, where scripts look for them."""

import numpy as np
import pytest

import kompot
from adata_helpers import QUIET, last_run, small_adata
from kompot.anndata.run_info import RunInfo
from record_helpers import run_da, run_de, run_smooth, with_donors

BOTH = kompot.OutputSettings(return_full_results=True, **QUIET)
RUNS = {"de": run_de, "da": run_da, "smooth": run_smooth}
PLACES = ("obs", "var", "layers", "varm", "obsp")
IMPACTED = {
    "de": {
        *(
            "mahalanobis_key",
            "ptp_key",
            "mahalanobis_pvalue_key",
            "mahalanobis_local_fdr_key",
            "mahalanobis_tail_fdr_key",
        ),
        *("is_de_key", "fold_change_zscores_key", "std_key_1", "std_key_2"),
        *("mahalanobis_varm_key", "mahalanobis_local_fdr_varm_key", "is_de_varm_key", "ptp_varm_key"),
    },
    "da": {"zscore_key", "ptp_key", "direction_key", "colors_key"},
    "smooth": {"std_key", "sample_variance_key"},
}


@pytest.mark.parametrize("sample_col", [None, "donor"], ids=["cells", "samples"])
@pytest.mark.parametrize("kind", RUNS)
def test_records_and_results_hold_the_same_names(kind, sample_col):
    adata = with_donors(small_adata())
    before = {place: set(getattr(adata, place)) for place in PLACES}
    result = RUNS[kind](adata, sample_col=sample_col, output=BOTH)
    names = result["field_names"]
    assert RunInfo(adata).field_names == last_run(adata, kind)["field_names"] == names
    assert names["has_groups"] is False
    assert set(names["sample_variance_impacted_fields"]) == (IMPACTED[kind] if sample_col else set())
    written = {place: set(getattr(adata, place)) - before[place] for place in PLACES}
    patterns = {place: set(found) for place, found in names["all_patterns"].items() if place != "uns"}
    assert patterns == {place: found for place, found in written.items() if found}
    assert set().union(*patterns.values()) <= set(filter(lambda value: isinstance(value, str), names.values()))


def test_groups():
    adata = with_donors(small_adata())
    result = run_de(adata, output=BOTH, filter=kompot.FilterSettings(groups="cell_type"))
    assert result["field_names"]["has_groups"] is True
    assert result["field_names"]["all_patterns"]["varm"] == list(adata.varm)


@pytest.mark.parametrize("stored", [True, False])
def test_the_posterior_covariance(stored):
    adata = small_adata()
    run_de(adata, storage=kompot.StorageSettings(store_posterior_covariance=stored))
    assert ("posterior_covariance_key" in last_run(adata)) == stored
    if stored:
        assert last_run(adata)["posterior_covariance_key"] in adata.obsp


@pytest.mark.parametrize("result_key", [None, "mine"])
@pytest.mark.parametrize("kind", ["de", "da"])
def test_landmarks_are_described_under_both_keys(kind, result_key, tmp_path):
    adata = small_adata()
    RUNS[kind](adata, storage=kompot.StorageSettings(result_key=result_key))
    own, common = (
        adata.uns[result_key or f"kompot_{kind}"]["landmarks_info"],
        adata.uns[f"kompot_{kind}"]["landmarks_info"],
    )
    assert own == common
    assert {"shape", "dtype", "source", "n_landmarks", "timestamp"} <= set(own)
    n_landmarks = own["n_landmarks"]
    assert own["shape"] == ([n_landmarks, 3] if kind == "da" else str((n_landmarks, 3)))
    adata.write_h5ad(tmp_path / "out.h5ad")


@pytest.mark.parametrize("kind", ["de", "da"])
def test_stored_landmarks_keep_their_description(kind):
    adata = small_adata()
    common = f"kompot_{kind}"
    RUNS[kind](adata, storage=kompot.StorageSettings(store_landmarks=True))
    before = dict(adata.uns[common]["landmarks_info"])
    adata.obsm["DM_EigenVectors"] = adata.obsm["DM_EigenVectors"][:, :2].copy()
    RUNS[kind](adata, storage=kompot.StorageSettings(result_key="mine"))
    assert adata.uns[common]["landmarks_info"] == before
    assert np.shape(adata.uns[common]["landmarks"]) == (before["n_landmarks"], 3)
    assert adata.uns["mine"]["landmarks_info"]["n_landmarks"] != before["n_landmarks"]
