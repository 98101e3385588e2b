"""Removing fields of runs, and which are still there."""

import json

import numpy as np
import pytest

import kompot
from adata_helpers import assert_unchanged, small_adata, snapshot
from kompot.anndata import store
from kompot.anndata.fields import DE_FIELDS, named_fields
from kompot.anndata.layers import layer_names
from kompot.anndata.run_info import RunInfo
from kompot.errors import OverwriteWarning, RunRecordWarning
from record_helpers import (
    OUTPUT,
    analysed,
    published_entry,
    run_da,
    run_de,
    run_smooth,
    with_donors,
    with_published_record,
)

EVERYTHING = kompot.StorageSettings(store_additional_stats=True, store_posterior_covariance=True)
GROUPS = kompot.FilterSettings(groups="cell_type")


def full():
    """One de run that writes fields of every place."""
    adata = with_donors(small_adata())
    run_de(adata, storage=EVERYTHING, filter=GROUPS)
    return adata


def names(adata, place):
    return {str(name) for name in getattr(adata, place) if str(name).startswith("kompot")}


def test_by_default_large_fields_of_all_runs_go():
    adata = full()
    run_de(adata, "B", "A")
    before = {place: names(adata, place) for place in ("obs", "var", "uns")}
    assert kompot.cleanup(adata) is None
    for place in ("layers", "varm", "obsp"):
        assert names(adata, place) == set()
    assert {place: names(adata, place) for place in ("obs", "var", "uns")} == before
    missing = RunInfo(adata, 0, "de").missing_fields
    assert {item["location"] for item in missing} == {"layers", "varm", "obsp"}
    assert "counts" in adata.layers


KEEP = {
    "layers": ("keep_layers", "fold_change", {"kompot_de_A_to_B_fold_change"}),
    "var": ("keep_var_fields", "is_de", {"kompot_de_A_to_B_is_de"}),
    "obs": ("keep_obs_fields", "std", {"kompot_de_A_std", "kompot_de_B_std"}),
    "obsp": ("keep_obsp_fields", "covariance", {"kompot_de_A_to_B_posterior_covariance"}),
    "varm": ("keep_varm_fields", "local_fdr", {"kompot_de_A_to_B_mahalanobis_local_fdr_groups"}),
}
REMOVED_BY_DEFAULT = {"layers": True, "var": False, "obs": False, "obsp": True, "varm": True}


@pytest.mark.parametrize("place", KEEP)
def test_every_form_of_every_argument(place):
    argument, kind, of_kind = KEEP[place]
    everything = names(full(), place)
    assert of_kind <= everything
    expected = {True: everything, False: set(), None: set()}
    for value, left in expected.items():
        adata = full()
        kompot.cleanup(adata, **{argument: value})
        assert names(adata, place) == left, value
    adata = full()
    kompot.cleanup(adata)
    assert names(adata, place) == (set() if REMOVED_BY_DEFAULT[place] else everything)
    for several in ([kind], (kind,), {kind}):
        adata = full()
        kompot.cleanup(adata, **{argument: several})
        assert names(adata, place) == of_kind
    adata = full()
    kompot.cleanup(adata, **{argument: []})
    assert names(adata, place) == set()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("fold_change", TypeError, "keep_layers must be None, True, False or a list"),
        (3, TypeError, "keep_layers must be"),
        (["fold_chang"], ValueError, "no type 'fold_chang' of fields. Did you mean 'fold_change'"),
    ],
)
def test_arguments_that_would_keep_or_remove_something_else(value, error, message):
    adata = full()
    before = snapshot(adata)
    with pytest.raises(error, match=message):
        kompot.cleanup(adata, keep_layers=value)
    assert_unchanged(adata, before)


def test_changes_of_abundance():
    adata = analysed()
    kompot.cleanup(adata, analysis_type="da")
    assert len(names(adata, "obs")) == 8
    kompot.cleanup(adata, analysis_type="da", keep_obs_fields=["log_fold_change"])
    assert {name for name in names(adata, "obs") if "_da_" in name} == {"kompot_da_A_to_B_lfc"}
    assert "kompot_da_A_to_B_lfc_direction_colors" not in adata.uns
    status = kompot.get_field_status(adata, analysis_type="da")
    assert status["obs"]["log_fold_change"] == {"kompot_da_A_to_B_lfc": True}
    assert status["uns"]["colors"] == {"kompot_da_A_to_B_lfc_direction_colors": False}
    assert status["obs"]["density"] == {"kompot_da_A_log_density": False, "kompot_da_B_log_density": False}


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (None, {"kompot_smooth_A_smoothed"}),
        (False, set()),
        (True, {"kompot_smooth_A_smoothed", "kompot_smooth_A_std", "kompot_smooth_A_sample_variance"}),
        (["sample_variance"], {"kompot_smooth_A_sample_variance"}),
    ],
)
@pytest.mark.parametrize("kind", ["smooth", "impute"])
def test_smoothed_layers(kind, value, left):
    adata = with_donors(small_adata())
    run_smooth(adata, sample_col="donor")
    kompot.cleanup(adata, analysis_type=kind, keep_layers=value)
    assert names(adata, "layers") == left


def three_runs():
    adata = small_adata()
    for key in ("first", "second", "third"):
        run_de(adata, storage=kompot.StorageSettings(result_key=key))
    return adata


@pytest.mark.parametrize(
    ("run_ids", "left"),
    [
        (0, {"second", "third"}),
        (-1, {"first", "second"}),
        (np.int64(1), {"first", "third"}),
        ([0, -1], {"second"}),
        (range(2), {"third"}),
        ([], {"first", "second", "third"}),
        (None, set()),
    ],
    ids=["first", "last", "numpy", "two", "range", "none", "all"],
)
def test_some_of_several_runs(run_ids, left):
    adata = three_runs()
    kompot.cleanup(adata, run_ids)
    assert {name.split("_")[0] for name in layer_names(adata) if name != "counts"} == left


@pytest.mark.parametrize(
    ("run_ids", "error"), [(3, ValueError), ([0, -4], ValueError), ("0", TypeError), ([0.0], TypeError)]
)
def test_unknown_runs_change_nothing(run_ids, error):
    adata = three_runs()
    before = snapshot(adata)
    with pytest.raises(error, match="run_id"):
        kompot.cleanup(adata, run_ids)
    assert_unchanged(adata, before)


def test_a_copy_on_demand():
    adata = full()
    before = snapshot(adata)
    smaller = kompot.cleanup(adata, inplace=False)
    assert_unchanged(adata, before)
    assert names(smaller, "layers") == set()


def test_objects_without_runs():
    adata = small_adata()
    with pytest.warns(RunRecordWarning, match="nothing was removed"):
        assert kompot.cleanup(adata) is None
    with pytest.warns(RunRecordWarning, match="nothing was removed"):
        assert kompot.cleanup(adata, inplace=False).shape == adata.shape
    with pytest.raises(ValueError, match="There is no run"):
        kompot.cleanup(adata, 0)
    with pytest.raises(ValueError, match="analysis_type must be one of"):
        kompot.cleanup(adata, analysis_type="dea")


def test_fields_of_a_later_run_stay_and_that_is_said():
    adata = small_adata()
    run_de(adata)
    run_de(adata)
    before = snapshot(adata)
    with pytest.warns(RunRecordWarning, match=r"later runs wrote them again \(run 1 of de\).*A_smoothed"):
        kompot.cleanup(adata, 0)
    assert_unchanged(adata, before)
    kompot.cleanup(adata, [0, 1])
    assert names(adata, "layers") == set()


def test_a_field_that_another_type_of_analysis_replaced_stays():
    adata = small_adata()
    storage = kompot.StorageSettings(result_key="age")
    run_de(adata, storage=storage)
    with pytest.warns(OverwriteWarning, match="run 0 of de"):
        kompot.smooth_expression(adata, "condition", "A", storage=storage, output=OUTPUT)
    assert [item["field"] for item in RunInfo(adata, 0, "de").overwritten_fields] == ["age_A_smoothed"]
    assert RunInfo(adata, 0, "de").overwritten_fields[0]["current_analysis_type"] == "smooth"
    assert kompot.runs(adata).set_index("analysis_type")["overwritten"].to_dict() == {"de": 1, "smooth": 0}
    with pytest.warns(RunRecordWarning, match=r"run 0 of smooth.*age_A_smoothed"):
        kompot.cleanup(adata)
    assert "age_A_smoothed" in adata.layers
    assert "age_B_smoothed" not in adata.layers
    assert not RunInfo(adata, 0, "smooth").missing_fields


def test_a_record_that_does_not_say_what_was_written():
    adata = small_adata()
    run_de(adata)
    entry = json.loads(adata.uns["kompot_de"]["run_history"])[0]
    adata.uns["kompot_de"]["run_history"] = json.dumps([{**entry, "field_mapping": None}])
    before = snapshot(adata)
    with pytest.warns(RunRecordWarning, match="does not say which fields"):
        kompot.cleanup(adata, 0)
    assert_unchanged(adata, before)


def test_a_run_that_wrote_nothing_is_no_riddle():
    adata = small_adata()
    run_smooth(adata, storage=kompot.StorageSettings(store_layers=False))
    kompot.cleanup(adata, analysis_type="smooth")
    assert RunInfo(adata).adata_fields == {}


def test_owners_that_never_wrote_a_field_do_not_count():
    # kompot 0.8.0 assigns fields to the latest run whether it wrote them or not.
    adata = small_adata()
    run_de(adata, storage=kompot.StorageSettings(store_additional_stats=True))
    run_de(adata)
    ptp = "kompot_de_A_to_B_neg_log10_ptp"
    owners = json.loads(adata.uns["kompot_de"]["anndata_fields"])
    owners["var"][ptp] = 1
    adata.uns["kompot_de"]["anndata_fields"] = json.dumps(owners)
    assert ptp not in [item["field"] for item in RunInfo(adata, 0, "de").overwritten_fields]
    with pytest.warns(RunRecordWarning):
        kompot.cleanup(adata, 0, keep_var_fields=False)
    assert ptp not in adata.var


def test_only_what_was_really_replaced_stays():
    adata = small_adata()
    run_de(adata, storage=kompot.StorageSettings(store_additional_stats=True))
    run_de(adata)
    with pytest.warns(RunRecordWarning, match="A_to_B_fold_change"):
        kompot.cleanup(adata, 0)
    assert "kompot_de_A_to_B_fold_change_zscores" not in adata.layers
    assert "kompot_de_A_to_B_fold_change" in adata.layers


def test_cleaning_up_a_view_leaves_its_parent():
    adata = full()
    view = adata[:50]
    kompot.cleanup(view)
    assert names(view, "layers") == set()
    assert names(adata, "layers")


@pytest.mark.parametrize("at", [1, 3, 12])
def test_an_interrupt_leaves_everything(monkeypatch, at):
    adata = full()
    before = snapshot(adata)
    calls = []
    apply = store._apply

    def interrupted(target, change, value):
        calls.append(change)
        if len(calls) == at:
            raise KeyboardInterrupt
        apply(target, change, value)

    monkeypatch.setattr(store, "_apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kompot.cleanup(adata, keep_var_fields=False, keep_obs_fields=False)
    assert_unchanged(adata, before)


def test_states_of_fields():
    adata = full()
    del adata.layers["kompot_de_A_smoothed"]
    status = kompot.get_field_status(adata)
    assert status["layers"]["smoothed"] == {"kompot_de_A_smoothed": False, "kompot_de_B_smoothed": True}
    assert status["varm"]["local_fdr"] == {"kompot_de_A_to_B_mahalanobis_local_fdr_groups": True}
    assert status["obsp"]["covariance"] == {"kompot_de_A_to_B_posterior_covariance": True}
    mapping = RunInfo(adata).run_info["field_mapping"]
    listed = {name for kinds in status.values() for fields in kinds.values() for name in fields}
    assert listed == set(mapping)


def test_states_of_an_unknown_run(caplog):
    adata = small_adata()
    assert kompot.get_field_status(adata) == {}
    run_da(adata)
    assert kompot.get_field_status(adata, 4, "da") == {}
    assert [(record.name.split(".")[0], record.levelname) for record in caplog.records] == [("kompot", "ERROR")] * 2
    assert "There is no run of type 'de'" in caplog.text
    assert "run_id=4 not found" in caplog.text
    with pytest.raises(ValueError, match="analysis_type must be one of"):
        kompot.get_field_status(adata, analysis_type="dea")
    with pytest.raises(TypeError, match="run_id must be an integer"):
        kompot.get_field_status(adata, "0", "da")


@pytest.mark.parametrize("form", ["text", "native", "list of texts"])
def test_records_of_the_published_package(form):
    adata = with_published_record(published_entry(), form)
    assert kompot.get_field_status(adata)["var"]["mahalanobis"] == {"kompot_de_A_to_B_mahalanobis": True}
    kompot.cleanup(adata, keep_var_fields=False)
    assert names(adata, "var") == set()


@pytest.mark.parametrize("kept", [["imputed"], ["smoothed"], {"imputed", "std"}])
def test_old_names_of_types_of_fields(kept):
    adata = small_adata()
    run_smooth(adata)
    kompot.cleanup(adata, analysis_type="smooth", keep_layers=kept)
    assert "kompot_smooth_A_smoothed" in adata.layers
    assert ("kompot_smooth_A_std" in adata.layers) == ("std" in kept)
    run_de(adata)
    kompot.cleanup(adata, keep_layers=kept if "std" not in kept else ["imputed"])
    assert {name for name in names(adata, "layers") if "_de_" in name} == {
        "kompot_de_A_smoothed",
        "kompot_de_B_smoothed",
    }


def test_fields_of_older_names_are_removed():
    entry = published_entry()
    old = {f"kompot_de_{label}_imputed": {"location": "layers", "type": "imputed"} for label in "AB"}
    adata = with_published_record({**entry, "field_mapping": entry["field_mapping"] | old})
    for name in old:
        adata.layers[name] = adata.X.copy()
    kompot.cleanup(adata, keep_layers=["imputed"])
    assert names(adata, "layers") == set(old)
    kompot.cleanup(adata)
    assert names(adata, "layers") == set()


def with_fields(mapping, kind="de", **changes):
    """An object in which a record says that its run wrote some fields, all of which there are."""
    adata = small_adata()
    entry = published_entry(**changes)
    entry["field_mapping"] = {name: {"location": place, "type": "smoothed"} for place, name in mapping}
    for place, name in mapping:
        part = getattr(adata, place)
        if name not in part:
            part[name] = np.zeros(
                {"layers": adata.shape, "var": adata.n_vars, "obs": adata.n_obs}.get(place, (120, 120))
            )
    adata.uns[f"kompot_{kind}"] = {"run_history": json.dumps([entry])}
    return adata


OF_THE_USER = [
    ("layers", "counts"),
    ("layers", "kompot_de_counts"),
    ("layers", "kompot_de_A_smoothed_by_me"),
    ("layers", "kompot_de_C_smoothed"),
    ("layers", "my_kompot_de_A_smoothed"),
    ("layers", "kompot_de_A_to_B_mahalanobis"),
    ("var", "gene_name"),
    ("var", "kompot_de_A_smoothed"),
    ("var", "kompot_de_A_to_C_mean_lfc"),
    ("var", "kompot_de_B_to_A_mean_lfc"),
    ("obs", "condition"),
    ("obs", "kompot_da_A_to_B_lfc"),
    ("obsp", "connectivities"),
]


@pytest.mark.parametrize("result_key", ["kompot_de", "", "counts", None, ["kompot_de"], "connectivities", "."])
@pytest.mark.parametrize("kind", ["de", "da", "smooth"])
def test_what_no_run_can_have_written_stays_whatever_the_record_says(kind, result_key):
    adata = with_fields(OF_THE_USER, kind, result_key=result_key)
    before = snapshot(adata)
    with pytest.warns(RunRecordWarning, match=r"layers\['counts'\] \(run 0\).*and 3 more. If they are results"):
        kompot.cleanup(adata, None, kind, False, False, False, False, False)
    assert_unchanged(adata, before)


def test_what_is_kept_anyway_needs_no_warning():
    adata = with_fields([("var", "gene_name"), ("layers", "counts")])
    kompot.cleanup(adata, keep_layers=True)
    assert {"gene_name"} <= set(adata.var)


def fold_change_name(condition1, condition2):
    """Where labels are too long for a file, they are shortened."""
    return named_fields(DE_FIELDS, "age", condition1, condition2)["fold_change_key"].name


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (("A", "B"), "age_A_to_B_fold_change"),
        (("T cell", "B-cell/x"), "age_T_cell_to_B_cell_x_fold_change"),
        (("a\0b", "\ud800"), "age_a_b_to___fold_change"),
        (("", "."), "age__to___fold_change"),
        ((0.5, True), "age_0_5_to_True_fold_change"),
        (("A", "A."), "age_A_to_A_2_fold_change"),
        (("A", "A."), "age_A_to_A__fold_change_2"),
        (("x" * 300, "B"), fold_change_name("x" * 300, "B")),
        (("ö" * 130, "B"), fold_change_name("ö" * 130, "B")),
        (("long" * 90, "longer" * 90), fold_change_name("long" * 90, "longer" * 90)),
        ((None, ["A"]), "age_anything_to_else_fold_change"),
        (("größe", "Δ"), "age_größe_to_Δ_fold_change"),
        (("(0, 10]", "(10, 20]"), "age_(0,_10]_to_(10,_20]_fold_change"),
    ],
)
def test_names_with_labels_of_every_kind(labels, name):
    changes = {"condition1": labels[0], "condition2": labels[1]}
    params = published_entry()["params"] | changes
    adata = with_fields([("layers", name)], result_key="age", params=params)
    kompot.cleanup(adata)
    assert name not in adata.layers
    adata = with_fields([("layers", name)], result_key="another", params=params)
    with pytest.warns(RunRecordWarning, match="Not removed"):
        kompot.cleanup(adata)
    assert name in adata.layers


def test_names_of_smoothing_without_conditions():
    adata = small_adata()
    kompot.smooth_expression(adata, output=OUTPUT)
    kompot.cleanup(adata, analysis_type="smooth", keep_layers=False)
    assert names(adata, "layers") == set()


def test_colours_go_with_directions_only():
    adata = small_adata()
    run_da(adata)
    run_de(adata)
    adata.uns["kompot_de_A_std_colors"] = ["#000000"]
    adata.uns["kompot_da_A_to_B_lfc_colors"] = ["#000000"]
    kompot.cleanup(adata, keep_obs_fields=False)
    kompot.cleanup(adata, analysis_type="da", keep_obs_fields=False)
    assert "kompot_da_A_to_B_lfc_direction_colors" not in adata.uns
    assert {"kompot_de_A_std_colors", "kompot_da_A_to_B_lfc_colors"} <= set(adata.uns)
