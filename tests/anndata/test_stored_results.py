"""False discovery rates and directions of stored runs, without fitting."""

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import assert_unchanged, small_adata, snapshot
from kompot.anndata.history import get_field_owners
from kompot.anndata.run_info import RunInfo
from kompot.errors import NullDistributionWarning, RunRecordWarning
from kompot.stats.fdr import false_discovery_rates
from record_helpers import (
    FDR,
    analysed,
    published_entry,
    run_da,
    run_de,
    with_published_record,
)

OTHER = kompot.StorageSettings(result_key="other")
EXTRA = kompot.StorageSettings(store_additional_stats=True)
NAMES = {
    "pvalue": "kompot_de_A_to_B_mahalanobis_pvalue",
    "local_fdr": "kompot_de_A_to_B_mahalanobis_local_fdr",
    "tail_fdr": "kompot_de_A_to_B_mahalanobis_tail_fdr",
    "is_de": "kompot_de_A_to_B_is_de",
}
DISTANCE = "kompot_de_A_to_B_mahalanobis"
NULL = np.random.default_rng(0).chisquare(4, size=300)


def test_rates_of_arrays_are_those_of_the_engine():
    real = np.array([0.5, np.nan, 12.0, 40.0])
    table = kompot.compute_fdr(real, NULL, threshold=0.3, gene_names=list("abcd"))
    expected = false_discovery_rates(real, NULL, 0.3)
    assert list(table) == ["mahalanobis", "pvalue", "local_fdr", "tail_fdr", "is_de"]
    assert table.index.tolist() == list("abcd")
    for name in ("pvalue", "local_fdr", "tail_fdr", "is_de"):
        np.testing.assert_array_equal(table[name], getattr(expected, name))
    assert table["is_de"].dtype == bool
    assert kompot.compute_fdr(real, NULL).index.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"real": [[1.0]]}, ValueError, "real must be a vector"),
        ({"real": [-1.0]}, ValueError, "non-negative"),
        ({"real": ["a"]}, TypeError, "real numbers"),
        ({"null": []}, ValueError, "null must be a vector"),
        ({"null": [1.0, np.nan, 2.0, np.nan]}, ValueError, r"^null must .* 2 of 4 are NaN \(the first at index 1\)"),
        ({"null": [1.0, np.inf]}, ValueError, r"^null must .* 1 of 2 are infinite \(the first at index 1\)"),
        ({"null": [-1.0, 1.0]}, ValueError, r"^null must .* 1 of 2 are negative \(the first at index 0\)"),
        ({"null": [True, False]}, ValueError, "^null must be a vector"),
        ({"null": [0.0, 0.0]}, ValueError, "All 2 null genes are at distance 0, so every gene that varies would be"),
        ({"real": [1.0, np.inf]}, ValueError, "^real must .* 1 of 2 are infinite"),
        ({"threshold": 0}, ValueError, "threshold"),
        ({"gene_names": ["a", "b"]}, ValueError, "needed 1 names, came 2"),
    ],
)
def test_bad_arrays(kwargs, error, message):
    with pytest.raises(error, match=message):
        kompot.compute_fdr(**{"real": [1.0], "null": [1.0], **kwargs})


EXTERNAL = {
    "settings": lambda _, null: kompot.FDRSettings(null_mahalanobis=null),
    "assignment": lambda _, null: setattr(kompot.FDRSettings(), "null_mahalanobis", null),
    "arrays": lambda _, null: kompot.compute_fdr([1.0, 2.0], null),
    "stored run": kompot.recompute_fdr,
}


@pytest.mark.parametrize("give", EXTERNAL.values(), ids=EXTERNAL)
@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (np.inf, "infinite"), (-1.0, "negative")])
def test_null_distances_meet_one_rule_wherever_they_are_given(give, value, what):
    adata = small_adata()
    run_de(adata)
    before = snapshot(adata)
    null = np.where(np.isin(np.arange(50), [7, 9, 30]), value, NULL[:50])
    message = rf"null.* must be a vector .* distance, but 3 of 50 are {what} \(the first at index 7\)"
    with pytest.raises(ValueError, match=message):
        give(adata, null)
    assert_unchanged(adata, before)


def test_stored_distances_meet_it_too():
    adata = small_adata()
    run_de(adata)
    stored = adata.var[DISTANCE].copy()
    for value, what in ((np.inf, "infinite"), (-1.0, "negative")):
        adata.var[DISTANCE] = stored.where(stored.index != "g4", value)
        for function in (kompot.extract_null_distribution, lambda adata: kompot.recompute_fdr(adata, NULL)):
            with pytest.raises(ValueError, match=rf"^adata.var\['.*'\] must .* 1 of 25 are {what} .* index 4"):
                function(adata)
    adata.var[DISTANCE] = stored.where(~stored.index.isin(["g4", "g7"]))
    with pytest.raises(ValueError, match=r"Run 0 has no distance \(NaN\) for 2 of the genes it analysed: g4, g7"):
        kompot.extract_null_distribution(adata)
    table = kompot.recompute_fdr(adata, NULL)
    assert table.index[table["local_fdr"].isna()].tolist() == ["g4", "g7"]
    adata.var[DISTANCE] = np.nan
    with pytest.raises(ValueError, match="Run 0 has no distance"):
        kompot.extract_null_distribution(adata)


def test_null_distances_that_are_all_zero_or_all_alike():
    adata = small_adata()
    run_de(adata)
    before = snapshot(adata)
    with pytest.raises(ValueError, match="All 30 null genes are at distance 0"):
        kompot.recompute_fdr(adata, np.zeros(30))
    with pytest.raises(ValueError, match="All 30 null genes are at distance 0"):
        run_de(adata, fdr=kompot.FDRSettings(null_mahalanobis=np.zeros(30)), storage=OTHER)
    assert_unchanged(adata, before)
    with pytest.warns(
        NullDistributionWarning, match="All 30 null distances are 0.01, which is no distribution: the 25"
    ):
        kompot.recompute_fdr(adata, np.full(30, 0.01))


def test_all_columns_and_the_record_follow():
    adata = small_adata()
    run_de(adata, storage=EXTRA)
    before = adata.var[NAMES["local_fdr"]].copy()
    table = kompot.recompute_fdr(adata, NULL, threshold=0.2)
    expected = false_discovery_rates(adata.var["kompot_de_A_to_B_mahalanobis"].to_numpy(), NULL, 0.2)
    for column, name in NAMES.items():
        np.testing.assert_array_equal(adata.var[name], getattr(expected, column))
        np.testing.assert_array_equal(table[column], adata.var[name])
    assert not np.allclose(before, adata.var[NAMES["local_fdr"]])
    run = RunInfo(adata)
    assert run.run_info["fdr_results"]["n_significant"] == expected.is_de.sum()
    assert run.run_info["fdr_results"]["fdr_threshold"] == 0.2
    assert run.params["fdr"]["threshold"] == 0.2
    assert [step["function"] for step in run.run_info["updates"]] == ["recompute_fdr"]
    assert len(kompot.runs(adata)) == 1
    with pytest.warns(RunRecordWarning, match=r"fdr\.null_mahalanobis"):
        arguments = run.call_args()
    arguments["fdr"].null_mahalanobis = NULL
    arguments["storage"].overwrite = True
    kompot.de(adata, **arguments)
    for column, name in NAMES.items():
        np.testing.assert_allclose(table[column].astype(float), adata.var[name].astype(float), rtol=1e-9)


def test_columns_that_were_not_stored_are_not_made():
    adata = small_adata()
    run_de(adata)
    kompot.recompute_fdr(adata, NULL)
    assert NAMES["pvalue"] not in adata.var
    assert NAMES["tail_fdr"] not in adata.var


def test_a_run_without_null_genes_gets_its_rates():
    adata = small_adata()
    run_de(adata, fdr=kompot.FDRSettings(null_genes=0))
    assert NAMES["is_de"] not in adata.var
    kompot.recompute_fdr(adata, NULL)
    run = RunInfo(adata)
    assert adata.var[NAMES["is_de"]].dtype == bool
    assert {NAMES["is_de"], NAMES["local_fdr"]} <= set(run.adata_fields["var"])
    assert get_field_owners(adata, "de")["var"][NAMES["is_de"]] == 0
    kompot.cleanup(adata, keep_var_fields=["mahalanobis"])
    assert NAMES["is_de"] not in adata.var


def test_a_table_only():
    adata = small_adata()
    run_de(adata)
    before = snapshot(adata)
    table = kompot.recompute_fdr(adata, NULL, inplace=False)
    assert_unchanged(adata, before)
    assert table.index.equals(adata.var_names)


def test_genes_that_were_not_analysed_have_no_rate():
    adata = small_adata()
    run_de(adata, genes=["g3", "g0"])
    table = kompot.recompute_fdr(adata, NULL)
    assert table.index[table["local_fdr"].notna()].tolist() == ["g0", "g3"]
    assert not table.loc["g1", "is_de"]
    assert RunInfo(adata).run_info["fdr_results"]["n_total"] == 2
    assert kompot.extract_null_distribution(adata).shape == (2,)


def test_a_comparison_of_nothing_as_the_null():
    adata = small_adata()
    adata.obs["half"] = np.where(np.arange(adata.n_obs) % 2, "x", "y")
    run_de(adata)
    kompot.de(
        adata,
        "half",
        "x",
        "y",
        fdr=kompot.FDRSettings(null_genes=0),
        output=kompot.OutputSettings(progress=False),
        storage=kompot.StorageSettings(result_key="null"),
    )
    null = kompot.extract_null_distribution(adata, result_key="null")
    np.testing.assert_array_equal(null, adata.var["null_x_to_y_mahalanobis"])
    np.testing.assert_array_equal(null, kompot.extract_null_distribution(adata, run_id=1))
    table = kompot.recompute_fdr(adata, null, result_key="kompot_de")
    assert table.loc["g0", "is_de"]
    assert adata.var[NAMES["is_de"]].equals(table["is_de"])


def test_runs_that_are_not_there():
    adata = small_adata()
    with pytest.raises(ValueError, match="no run of type 'de'"):
        kompot.recompute_fdr(adata, NULL)
    run_de(adata)
    for function in (lambda **kw: kompot.recompute_fdr(adata, NULL, **kw), kompot.extract_null_distribution):
        kwargs = {} if function is not kompot.extract_null_distribution else {"adata": adata}
        with pytest.raises(ValueError, match="run_id=3 not found"):
            function(**kwargs, run_id=3)
        with pytest.raises(ValueError, match="there are 0 runs of type 'de' with that key"):
            function(**kwargs, result_key="other")


def test_distances_of_another_run_are_not_judged():
    adata = small_adata()
    run_de(adata)
    run_de(adata)
    before = snapshot(adata)
    with pytest.raises(ValueError, match="holds results of run 1 of de, which replaced those of run 0"):
        kompot.recompute_fdr(adata, NULL, run_id=0)
    with pytest.raises(ValueError, match="replaced those of run 0"):
        kompot.extract_null_distribution(adata, run_id=0)
    assert_unchanged(adata, before)
    del adata.var["kompot_de_A_to_B_mahalanobis"]
    with pytest.raises(ValueError, match="has no column 'kompot_de_A_to_B_mahalanobis'"):
        kompot.recompute_fdr(adata, NULL)


def test_a_run_without_distances():
    adata = small_adata()
    output = kompot.OutputSettings(compute_mahalanobis=False, progress=False)
    run_de(adata, output=output, fdr=kompot.FDRSettings(null_genes=0))
    with pytest.raises(ValueError, match="has no column None"):
        kompot.recompute_fdr(adata, NULL)


def test_a_run_of_the_published_package():
    adata = with_published_record(
        published_entry(
            field_names={
                "mahalanobis_key": "kompot_de_A_to_B_mahalanobis",
                **{
                    f"{key}_key": NAMES[name]
                    for key, name in (("mahalanobis_local_fdr", "local_fdr"), ("is_de", "is_de"))
                },
            }
        )
    )
    table = kompot.recompute_fdr(adata, NULL)
    assert adata.var[NAMES["is_de"]].sum() == table["is_de"].sum() > 0
    assert RunInfo(adata).get_summary()["n_significant"] == table["is_de"].sum()


def test_directions_with_other_thresholds():
    adata = small_adata(n_cells=200)
    run_da(adata)
    assert kompot.update_direction(adata, 0.01, 0.49) is None
    lfc, ptp = adata.obs["kompot_da_A_to_B_lfc"], adata.obs["kompot_da_A_to_B_neg_log10_lfc_ptp"]
    changed = (lfc.abs() > 0.01) & (10.0**-ptp < 0.49)
    expected = np.where(changed, np.where(lfc > 0, "up", "down"), "neutral")
    column = adata.obs["kompot_da_A_to_B_lfc_direction"]
    assert (column.astype(str) == expected).all()
    assert (expected != "neutral").any()
    assert column.cat.categories.tolist() == ["up", "neutral", "down"]
    assert list(adata.uns["kompot_da_A_to_B_lfc_direction_colors"]) == ["#d73027", "#d3d3d3", "#4575b4"]
    run = RunInfo(adata, analysis_type="da")
    assert run.run_info["direction_counts"] == pd.Series(expected).value_counts().to_dict() | {
        name: 0 for name in ("up", "neutral", "down") if name not in expected
    }
    again = adata.copy()
    run_da(again, threshold=run.to_settings()["threshold"])
    assert again.obs["kompot_da_A_to_B_lfc_direction"].equals(column)


def test_one_threshold_leaves_the_other():
    adata = small_adata()
    run_da(adata, threshold=kompot.DAThresholdSettings(lfc_threshold=0.2, ptp_threshold=0.3))
    changed = kompot.update_direction(adata, ptp_threshold=0.4, inplace=False)
    settings = [RunInfo(part, analysis_type="da").to_settings()["threshold"] for part in (adata, changed)]
    assert settings == [kompot.DAThresholdSettings(0.2, 0.3), kompot.DAThresholdSettings(0.2, 0.4)]


def test_directions_that_cannot_be_updated():
    adata = small_adata()
    with pytest.raises(ValueError, match="no run of type 'da'"):
        kompot.update_direction(adata)
    run_da(adata)
    before = snapshot(adata)
    with pytest.raises(ValueError, match="ptp_threshold"):
        kompot.update_direction(adata, ptp_threshold=2.0)
    assert_unchanged(adata, before)
    run_da(adata)
    with pytest.raises(ValueError, match="replaced those of run 0"):
        kompot.update_direction(adata, 0.5, run_id=0)
    del adata.obs["kompot_da_A_to_B_lfc"]
    with pytest.raises(ValueError, match="has no column 'kompot_da_A_to_B_lfc'"):
        kompot.update_direction(adata, 0.5)


def test_other_analyses_are_left_alone():
    adata = analysed()
    before = snapshot(adata)
    kompot.recompute_fdr(adata, NULL)
    after = snapshot(adata)
    for place in ("obs", "layers", "obsm"):
        assert str(before[place]) == str(after[place])
    assert FDR.null_genes == 10
