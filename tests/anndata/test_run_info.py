"""RunInfo, RunComparison and the list of runs."""

import json
import re
from html.parser import HTMLParser

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import small_adata
from kompot.anndata.utils import RunComparison, RunInfo
from kompot.errors import RunRecordWarning
from record_helpers import (
    FDR,
    OUTPUT,
    analysed,
    assert_same_results,
    published_entry,
    run_da,
    run_de,
    run_smooth,
    with_donors,
    with_published_record,
)

ANALYSES = {"de": kompot.de, "da": kompot.da, "smooth": kompot.smooth_expression}
AGAIN = kompot.StorageSettings(overwrite=True)


def test_the_promised_path_is_the_same_class():
    assert kompot.RunInfo is RunInfo
    assert kompot.RunComparison is RunComparison


@pytest.mark.parametrize("asked", [None, -1, 1, np.int64(-1)])
def test_the_last_run_by_any_id(asked):
    adata = small_adata()
    run_de(adata)
    run_de(adata, "B", "A")
    run = RunInfo(adata, asked, "de")
    assert run.adjusted_run_id == 1
    assert run.conditions == "B to A"
    assert run.run_id == (-1 if asked is None else asked)
    assert run.storage_key == "kompot_de"
    assert run.run_info["adjusted_run_id"] == 1


@pytest.mark.parametrize("asked", [2, -3, 99])
def test_missing_ids_say_which_there_are(asked):
    adata = small_adata()
    run_de(adata)
    run_de(adata, "B", "A")
    with pytest.raises(ValueError, match=f"run_id={asked} not found: the runs of type 'de' are 0 to 1"):
        RunInfo(adata, asked, "de")


@pytest.mark.parametrize("asked", ["x", 1.0, True])
def test_ids_must_be_integers(asked):
    with pytest.raises(TypeError, match="run_id must be an integer"):
        RunInfo(analysed(), asked, "de")


def test_objects_without_runs_and_unknown_types():
    adata = small_adata()
    with pytest.raises(ValueError, match="There is no run of kompot"):
        RunInfo(adata)
    with pytest.raises(ValueError, match="no run of type 'da'"):
        RunInfo(adata, analysis_type="da")
    with pytest.raises(ValueError, match="must be one of 'de', 'da', 'smooth'"):
        RunInfo(adata, analysis_type="deseq")
    with pytest.raises(TypeError, match="AnnData"):
        RunInfo({"uns": {}})


def test_the_type_is_that_of_the_latest_run():
    adata = small_adata()
    run_da(adata)
    assert RunInfo(adata).analysis_type == "da"
    run_de(adata)
    assert RunInfo(adata).analysis_type == "de"
    run_da(adata, "B", "A")
    assert RunInfo(adata).analysis_type == "da"


@pytest.mark.parametrize("kind", ANALYSES)
def test_attributes_and_data(kind):
    adata = analysed()
    run = RunInfo(adata, analysis_type=kind)
    assert run.environment["package_versions"]["numpy"] == np.__version__
    assert run.missing_fields == []
    assert run.overwritten_fields == []
    data = run.get_data()["field_data"]
    assert {place: sorted(fields) for place, fields in data.items()} == run.adata_fields
    for place, fields in data.items():
        for name, value in fields.items():
            stored = getattr(adata, place)[name]
            assert value is stored or np.array_equal(np.asarray(value), np.asarray(stored)), name
    raw = run.get_raw_data()
    raw["params"].clear()
    assert run.params["groupby"] == "condition"


def test_group_results_are_part_of_the_data():
    adata = with_donors(small_adata())
    run_de(adata, filter=kompot.FilterSettings(groups="cell_type"))
    data = RunInfo(adata).get_data()["field_data"]
    assert list(data["varm"]["kompot_de_A_to_B_mahalanobis_groups"]) == ["B", "T"]
    summary = RunInfo(adata).get_summary()
    assert (summary["groups_count"], summary["groups"], summary["has_groups"]) == (2, "B, T", True)


def test_the_summary_says_what_was_done():
    adata = analysed()
    summary = RunInfo(adata, analysis_type="de").get_summary()
    counts = adata.obs["condition"].value_counts()
    assert summary["conditions"] == "A to B"
    assert summary["n_cells"] == [counts["A"], counts["B"]]
    assert summary["n_genes"] == adata.n_vars
    assert summary["n_significant"] == adata.var["kompot_de_A_to_B_is_de"].sum()
    assert summary["result_key"] == "kompot_de"
    assert summary["field_count"] == 9
    assert RunInfo(adata, analysis_type="smooth").get_summary()["n_cells"] == counts["A"]


def test_overwritten_and_missing_fields():
    adata = small_adata()
    run_de(adata)
    run_de(adata, "A", "B", fdr=kompot.FDRSettings(null_genes=0))
    del adata.var["kompot_de_A_to_B_mean_lfc"]
    first = RunInfo(adata, 0, "de")
    assert {item["field"]: item["current_run_id"] for item in first.overwritten_fields} == dict.fromkeys(
        [name for names in RunInfo(adata, 1, "de").adata_fields.values() for name in names], 1
    )
    assert [item["field"] for item in first.missing_fields] == ["kompot_de_A_to_B_mean_lfc"]
    assert first.missing_fields[0]["location"] == "var"
    assert RunInfo(adata, 1, "de").overwritten_fields == []


def assert_reproduced(adata, kind, **edits):
    """`call_args` makes the same results on an object without them, with no warning."""
    run = RunInfo(adata, analysis_type=kind)
    assert run.unrecoverable == []
    arguments = run.call_args() | edits
    fresh = adata.copy()
    for place in ("obs", "var", "layers", "varm", "uns"):
        container = getattr(fresh, place)
        for name in [name for name in container if str(name).startswith("kompot")]:
            del container[name]
    ANALYSES[kind](fresh, **arguments)
    names = RunInfo(adata, analysis_type=kind).adata_fields
    for place, fields in names.items():
        if place == "uns":
            continue
        for name in fields:
            one, two = (np.asarray(getattr(part, place)[name]) for part in (adata, fresh))
            if one.dtype.kind == "f":
                np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-9, err_msg=name)
            else:
                assert (one == two).all(), name


CALLS = {
    "plain": ("de", {}),
    "all settings": (
        "de",
        {
            "gp": kompot.GPSettings(sigma=0.5, ls_factor=4.0, n_landmarks=20, random_state=3, eps=1e-6),
            "fdr": kompot.FDRSettings(null_genes=7, null_seed=1, threshold=0.2),
            "filter": kompot.FilterSettings(cell_filter={"cell_type": {"T", "B"}}, groups="cell_type", min_cells=1),
            "storage": kompot.StorageSettings(result_key="kompot_other", store_additional_stats=True),
            "layer": "counts",
            "genes": ["g3", "g0", "g1"],
            "mu": 0.1,
        },
    ),
    "donors": ("de", {"sample_col": "donor", "fdr": kompot.FDRSettings(null_genes=12)}),
    "empirical variance": ("de", {"gp": kompot.GPSettings(use_empirical_variance=True, n_landmarks=15)}),
    "null columns": ("de", {"fdr": kompot.FDRSettings(null_genes=[4, 9, 11])}),
    "groups of indices": ("de", {"filter": kompot.FilterSettings(groups={"few": list(range(20, 60))})}),
    "stored landmarks": ("de", {"storage": kompot.StorageSettings(store_landmarks=True)}),
    "abundance": ("da", {"sync_parameters": False}),
    "abundance, donors": (
        "da",
        {
            "sample_col": "donor",
            "threshold": kompot.DAThresholdSettings(lfc_threshold=0.3, ptp_threshold=0.2),
            "gp": kompot.GPSettings(n_landmarks=40),
        },
    ),
    "smooth": ("smooth", {"gp": kompot.GPSettings(sigma=0.7, use_empirical_variance=True), "genes": ["g2", "g0"]}),
    "smooth, donors": ("smooth", {"sample_col": "donor"}),
}


@pytest.mark.filterwarnings("ignore::kompot.errors.ApproximationWarning", "ignore::kompot.errors.OffsetWarning")
@pytest.mark.parametrize(("kind", "kwargs"), CALLS.values(), ids=CALLS)
def test_call_args_reproduce_the_run(kind, kwargs):
    adata = with_donors(small_adata())
    {"de": run_de, "da": run_da, "smooth": run_smooth}[kind](adata, **kwargs)
    assert_reproduced(adata, kind)


def test_settings_from_a_record_can_be_edited():
    adata = analysed()
    arguments = RunInfo(adata, analysis_type="de").call_args()
    arguments["fdr"].threshold = 0.01
    arguments["storage"] = AGAIN
    kompot.de(adata, **arguments)
    assert RunInfo(adata).to_settings()["fdr"].threshold == 0.01
    assert set(RunInfo(adata, analysis_type="smooth").to_settings()) == {"gp", "storage", "output"}


def test_smooth_of_a_condition_that_is_false():
    adata = small_adata(conditions=("A", "B"))
    adata.obs["treated"] = adata.obs["condition"] == "B"
    kompot.smooth_expression(adata, "treated", False, output=OUTPUT)
    assert RunInfo(adata).call_args()["condition"] is False
    assert RunInfo(adata).conditions == "False"


LANDMARKS = np.random.default_rng(0).normal(size=(30, 3))
LOST = {
    "landmarks": ({"gp": kompot.GPSettings(landmarks=LANDMARKS)}, "gp.landmarks"),
    "external null": ({"fdr": kompot.FDRSettings(null_mahalanobis=np.arange(5))}, "fdr.null_mahalanobis"),
    "mask": ({"filter": kompot.FilterSettings(cell_filter=np.arange(120) < 110)}, "filter.cell_filter"),
    "groups": ({"filter": kompot.FilterSettings(groups={"a": np.arange(120) < 60})}, "filter.groups"),
}


@pytest.mark.parametrize(("kwargs", "lost"), LOST.values(), ids=LOST)
def test_what_a_record_cannot_give_back_is_said(kwargs, lost):
    adata = small_adata()
    run_de(adata, **kwargs)
    run = RunInfo(adata)
    assert run.unrecoverable == [lost]
    with pytest.warns(RunRecordWarning, match=f"lacks: {re.escape(lost)}"):
        arguments = run.call_args()
    name, key = lost.split(".")
    assert arguments[name].is_default(key)


def test_injected_models_are_said_to_be_lost():
    adata = small_adata()
    full = kompot.OutputSettings(return_full_results=True, progress=False)
    model = run_smooth(adata, output=full)["model"]
    run_smooth(adata, model=kompot.ModelSettings(model1=model))
    assert RunInfo(adata).unrecoverable == ["model.model1"]


def test_stored_landmarks_of_the_user_are_given_back():
    adata = small_adata()
    run_de(adata, gp=kompot.GPSettings(landmarks=LANDMARKS), storage=kompot.StorageSettings(store_landmarks=True))
    run = RunInfo(adata)
    assert run.unrecoverable == []
    np.testing.assert_array_equal(run.call_args()["gp"].landmarks, LANDMARKS)


def test_landmarks_that_a_rerun_would_not_have():
    adata = small_adata(n_cells=200)
    keep = kompot.StorageSettings(store_landmarks=True)
    run_da(adata, storage=keep)
    run_de(adata)
    reused = RunInfo(adata, analysis_type="de")
    assert reused.run_info["landmarks"]["found"] is not None
    assert reused.unrecoverable == []
    run_de(adata, gp=kompot.GPSettings(landmarks=LANDMARKS), storage=keep)
    assert reused.unrecoverable[0].startswith("its own landmarks, because another run stored others")
    del adata.uns["kompot_de"]["landmarks"], adata.uns["kompot_da"]["landmarks"]
    run = RunInfo(adata, 0, "de")
    if run.run_info["landmarks"]["source"] == "reused":
        assert run.unrecoverable == ["landmarks stored by an earlier run, which are gone"]


FORMS = ("text", "native", "list of texts")


@pytest.mark.parametrize("form", FORMS)
def test_records_of_the_published_package_can_be_read(form):
    adata = with_published_record(published_entry(), form)
    run = RunInfo(adata)
    assert run.adata_fields == {"var": ["kompot_de_A_to_B_mahalanobis"]}
    assert run.get_summary()["n_significant"] == 2
    assert run.overwritten_fields == []
    assert "2 of 25 genes" in str(run)
    assert "<b>host" not in run._repr_html_()
    arguments = run.call_args()
    assert arguments["gp"].sigma == 0.5
    assert arguments["gp"].n_landmarks == 500
    kompot.de(adata, **arguments | {"storage": AGAIN})
    assert len(kompot.runs(adata)) == 2


def test_flat_and_renamed_parameters_of_older_records():
    entry = published_entry(
        params={
            "groupby": "condition",
            "condition1": "A",
            "condition2": "B",
            "obsm_key": "DM_EigenVectors",
            "sigma": 0.25,
            "ls_factor": 3.0,
            "null_genes": 50,
            "fdr_threshold": 0.1,
            "batch_size": -4,
            "genes": "Index(['g1'],\n dtype='object')",
        }
    )
    run = RunInfo(with_published_record(entry))
    settings = run.to_settings()
    assert (settings["gp"].sigma, settings["gp"].ls_factor) == (0.25, 3.0)
    assert (settings["fdr"].null_genes, settings["fdr"].threshold) == (50, 0.1)
    assert run.unrecoverable == ["gp.batch_size", "genes"]


def test_landmarks_noted_as_true_by_the_published_package():
    entry = published_entry()
    entry["params"]["gp"]["landmarks"] = True
    run = RunInfo(with_published_record(entry))
    assert run.to_settings()["gp"].landmarks is None
    assert run.unrecoverable == ["gp.landmarks"]


def test_smoothing_runs_under_their_old_name():
    adata = small_adata()
    entry = {
        "timestamp": "2024-01-01T00:00:00",
        "analysis_type": "impute",
        "params": {"groupby": "condition", "condition": "A", "obsm_key": "DM_EigenVectors", "sigma": 2.0},
    }
    adata.uns["kompot_impute"] = {"run_history": json.dumps([entry])}
    assert RunInfo(adata, analysis_type="impute").conditions == "A"
    assert RunInfo(adata).to_settings()["gp"].sigma == 2.0
    run_smooth(adata)
    assert [RunInfo(adata, i, "smooth").params["sigma"] for i in (0, 1)] == [2.0, 1.0]


def test_an_entry_with_next_to_nothing():
    adata = small_adata()
    adata.uns["kompot_de"] = {"run_history": json.dumps([{"params": {}}, 3])}
    for run_id in (0, 1):
        run = RunInfo(adata, run_id)
        known = "unreadable record" if run_id else "unknown to unknown"
        assert run.conditions == known
        assert run.get_summary()["field_count"] == 0
        assert known in str(run)
        assert known in run._repr_html_()


@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore::kompot.errors.OffsetWarning")
@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_records_survive_files(tmp_path, suffix):
    adata = analysed()
    path = tmp_path / f"cells.{suffix}"
    getattr(adata, f"write_{suffix}")(path)
    back = getattr(ad, f"read_{suffix}")(path)
    for kind in ANALYSES:
        before, after = RunInfo(adata, analysis_type=kind), RunInfo(back, analysis_type=kind)
        assert before.get_raw_data() == after.get_raw_data()
        assert after.missing_fields == []
        assert_reproduced(back, kind)
    run_de(back, "B", "A")
    assert [len(table) for table in (kompot.runs(adata), kompot.runs(back))] == [3, 4]


@pytest.mark.parametrize("merge", ["same", "unique", "first"])
def test_records_survive_concatenation(merge):
    adata = analysed()
    both = ad.concat([adata[:60], adata[60:]], merge="same", uns_merge=merge)
    for kind in ANALYSES:
        run = RunInfo(both, analysis_type=kind)
        assert run.get_raw_data() == RunInfo(adata, analysis_type=kind).get_raw_data()
        assert run.missing_fields == []


def test_records_survive_subsetting():
    adata = analysed()
    for part in (adata[::2, 3:9], adata[::2, 3:9].copy()):
        for kind in ANALYSES:
            assert RunInfo(part, analysis_type=kind).missing_fields == []
        table = kompot.get_field_status(part)
        assert all(table["layers"]["smoothed"].values())
    view = adata[:100]
    run_de(view, "B", "A")
    assert len(kompot.runs(view)) == 4
    assert len(kompot.runs(adata)) == 3


def test_comparison_of_two_runs():
    adata = small_adata()
    run_de(adata)
    run_de(adata, gp=kompot.GPSettings(sigma=0.5), genes=["g1", "g2"], fdr=kompot.FDRSettings(null_genes=0))
    comparison = RunInfo(adata, 0, "de").compare_with(-1)
    assert comparison.param_comparison["different"] == {
        "genes": {"run1": None, "run2": ["g1", "g2"]},
        "gp.sigma": {"run1": 1.0, "run2": 0.5},
        "fdr.null_genes": {"run1": 10, "run2": 0},
    }
    assert comparison.param_comparison["same"]["groupby"] == "condition"
    fields = comparison.field_comparison
    assert fields["by_location"]["var"]["only_in_run1"] == [
        "kompot_de_A_to_B_is_de",
        "kompot_de_A_to_B_mahalanobis_local_fdr",
    ]
    assert fields["totals"] == {"same": 7, "only_in_run1": 2, "only_in_run2": 0}
    summary = comparison.get_summary()
    assert summary["run1"]["result_key"] == "kompot_de"
    assert summary["parameters"]["different_count"] == 3
    assert repr(comparison) == "RunComparison(analysis_type='de', run1=0, run2=1, same_fields=7, different_params=3)"
    assert "gp.sigma" in str(comparison)
    with pytest.raises(ValueError, match="run_id=5 not found"):
        RunComparison(adata, 0, 5, "de")


class Visible(HTMLParser):
    """Text and tags of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):  # noqa: ARG002  the parser's signature
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_what_a_notebook_shows():
    adata = analysed()
    page = Visible(RunInfo(adata, analysis_type="de")._repr_html_())
    text = " ".join("".join(page.text).split())
    n_hits, rank = adata.var["kompot_de_A_to_B_is_de"].sum(), RunInfo(adata, 0, "de").approximation["rank"]
    for part in (
        "A to B",
        f"{n_hits} of 25 genes",
        f"{rank} (prior variance missed",
        "all fields present",
        "25, 10 null",
    ):
        assert part in text, part
    assert page.tags.count("details") == 4
    assert 'class="kompot-view kompot-runinfo"' in RunInfo(adata)._repr_html_()


def test_html_shows_states_of_fields():
    adata = small_adata()
    run_de(adata)
    run_de(adata)
    del adata.var["kompot_de_A_to_B_is_de"]
    page = "".join(Visible(RunInfo(adata, 0, "de")._repr_html_()).text)
    assert "fields missing: 1" in page
    assert "fields overwritten: 8" in page
    assert "overwritten by run 1" in page
    assert "9 written: 0 present, 8 overwritten by later runs, 1 missing" in page


def test_nothing_that_a_user_named_becomes_markup():
    evil = "<script>alert(1)</script>"
    adata = small_adata(conditions=(evil, "B"))
    adata.obs["<i>x</i>"] = adata.obs["condition"]
    run_smooth(adata, evil)
    run_de(adata, evil, "B")
    kompot.de(adata, "<i>x</i>", evil, "B", fdr=FDR, output=OUTPUT, storage=AGAIN)
    pages = [RunInfo(adata, analysis_type=kind)._repr_html_() for kind in ("de", "smooth")]
    pages.append(RunInfo(adata, 0, "de").compare_with(1)._repr_html_())
    allowed = {"div", "style", "h3", "details", "summary", "table", "tr", "th", "td", "span", "p", "wbr"}
    for page in pages:
        assert set(Visible(page).tags) <= allowed
        assert evil in "".join(Visible(page).text)
    assert RunInfo(adata, 0, "de").call_args()["condition1"] == evil


def test_text_of_a_run():
    adata = analysed()
    text = str(RunInfo(adata, analysis_type="da"))
    n_up = (adata.obs["kompot_da_A_to_B_lfc_direction"] == "up").sum()
    assert f"{n_up} cells up" in text
    assert "kompot_da_A_to_B_lfc_direction_colors  present" in text
    assert repr(RunInfo(adata, 0, "de")).startswith("RunInfo(analysis_type='de', run_id=0, timestamp=")


def test_the_list_of_runs():
    adata = analysed()
    run_de(adata, "B", "A")
    del adata.layers["kompot_de_A_smoothed"]
    table = kompot.runs(adata)
    assert table[["analysis_type", "run_id"]].to_numpy().tolist() == [["de", 0], ["da", 0], ["smooth", 0], ["de", 1]]
    assert table["conditions"].tolist() == ["A to B", "A to B", "A", "B to A"]
    assert table["missing"].tolist() == [1, 0, 0, 1]
    assert table["overwritten"].tolist() == [4, 0, 0, 0]
    assert table["n_genes"].isna().tolist() == [False, True, False, False]
    assert kompot.runs(small_adata()).empty
    assert_same_results(adata, adata.copy())
    assert isinstance(table, pd.DataFrame)
