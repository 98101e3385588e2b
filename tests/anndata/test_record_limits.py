"""What records hold of labels, filters and references, and what they say they cannot give back."""

import json

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import last_run, small_adata
from kompot.anndata.run_info import RunInfo
from kompot.errors import OverwriteWarning, RunRecordWarning
from record_helpers import (
    FDR,
    OUTPUT,
    assert_same_results,
    published_entry,
    run_da,
    run_de,
    run_smooth,
    with_donors,
    with_published_record,
)

REPLACE = kompot.StorageSettings(overwrite=True)


def binned(adata):
    """The object with ages in intervals, of which "A" is the younger."""
    adata.obs["age"] = pd.cut(np.where(adata.obs["condition"] == "A", 5, 15), [0, 10, 20])
    return adata


YOUNG, OLD = pd.Interval(0, 10), pd.Interval(10, 20)


@pytest.mark.filterwarnings("ignore::kompot.errors.OffsetWarning")
@pytest.mark.parametrize("kind", ["de", "da", "smooth"])
def test_labels_that_json_has_no_form_for(kind):
    adata = binned(small_adata())
    call = {
        "de": lambda **again: kompot.de(adata, **again),
        "da": lambda **again: kompot.da(adata, **again),
        "smooth": lambda **again: kompot.smooth_expression(adata, **again),
    }[kind]
    labels = {"condition": YOUNG} if kind == "smooth" else {"condition1": YOUNG, "condition2": OLD}
    call(groupby="age", **labels, output=OUTPUT, **({"fdr": FDR} if kind == "de" else {}))
    run, expected = RunInfo(adata, analysis_type=kind), adata.copy()
    assert run.conditions == ("(0, 10]" if kind == "smooth" else "(0, 10] to (10, 20]")
    assert run.unrecoverable == []
    arguments = run.call_args()
    assert arguments["groupby"] == "age"
    arguments["storage"].overwrite = True
    call(**arguments)
    assert_same_results(adata, expected)


@pytest.mark.parametrize("form", [np.array, pd.Index, pd.Categorical], ids=["array", "index", "categorical"])
@pytest.mark.parametrize("argument", ["cell_filter", "groups"])
def test_arrays_of_labels_are_recorded(form, argument):
    adata = with_donors(small_adata())
    labels = form(["T", "B"]) if argument == "groups" else form(["T"])
    run_de(adata, filter=kompot.FilterSettings(**{argument: {"cell_type": labels}}))
    assert last_run(adata)["params"]["filter"][argument] == {"cell_type": list(labels)}
    expected, run = adata.copy(), RunInfo(adata)
    assert run.unrecoverable == []
    run_de(adata, storage=REPLACE, filter=run.call_args()["filter"])
    assert_same_results(adata, expected)


def test_masks_are_not():
    adata = with_donors(small_adata())
    run_de(adata, filter=kompot.FilterSettings(cell_filter=np.arange(120) > 5))
    assert last_run(adata)["params"]["filter"]["cell_filter"] == "<array shape=(120,)>"
    assert RunInfo(adata).unrecoverable == ["filter.cell_filter"]


def test_numbers_of_cells_mean_nothing_in_another_order():
    adata = small_adata()
    run_de(adata, filter=kompot.FilterSettings(cell_filter=list(range(90))))
    assert RunInfo(adata).unrecoverable == []
    (lost,) = RunInfo(adata[::-1].copy()).unrecoverable
    assert "cells by number" in lost
    with pytest.warns(RunRecordWarning, match="cells by number"):
        RunInfo(adata[5:].copy()).call_args()


BY_ORDER = {
    "indices": ({"a": list(range(50))}, False),
    "a set of indices": ({"a": set(range(50))}, False),
    "a range": ({"a": range(50)}, False),
    "a mask of 0 and 1": ({"a": [int(i % 3 > 0) for i in range(90)]}, False),
    "a mask of booleans": ({"a": [i % 3 > 0 for i in range(90)]}, False),
    "labels in a list": ([["xyz"[i % 3] for i in range(90)]], False),
    "whole numbers in a list": ([[i % 3 for i in range(90)]], False),
    "an array of labels": (np.array(list("xyz" * 30)), True),
    "categories in a list": ([pd.Categorical(list("xyz" * 30), categories=["z", "y", "x"])], True),
    "an array of whole numbers": (np.arange(90) % 3, True),
}


@pytest.mark.filterwarnings("ignore::kompot.errors.RepresentationWarning")
@pytest.mark.parametrize(("groups", "lost"), BY_ORDER.values(), ids=BY_ORDER)
def test_groups_that_go_by_the_order_of_cells(groups, lost):
    adata = small_adata(n_cells=90)
    run_de(adata, filter=kompot.FilterSettings(groups=groups))
    run = RunInfo(adata)
    if lost:
        assert run.unrecoverable == ["filter.groups"]
        return
    assert run.unrecoverable == []
    expected = adata.copy()
    run_de(adata, storage=REPLACE, filter=run.call_args()["filter"])
    assert_same_results(adata, expected)
    assert "cells by number" in RunInfo(adata[::-1].copy()).unrecoverable[0]


def test_numbers_that_are_values_mean_the_same_in_any_order():
    adata = with_donors(small_adata())
    adata.obs["batch"] = np.arange(120) % 3
    groups = {"first": {"batch": [0, 1]}}
    run_de(adata, filter=kompot.FilterSettings(cell_filter={"batch": [0, 1]}, groups=groups))
    assert RunInfo(adata[::-1].copy()).unrecoverable == []
    run_de(adata, filter=kompot.FilterSettings(groups={"some": list(range(50))}))
    assert "cells by number" in RunInfo(adata[::-1].copy()).unrecoverable[0]


def test_numbers_of_genes_mean_nothing_among_others():
    adata = small_adata()
    run_de(adata, fdr=kompot.FDRSettings(null_genes=[5, 6, 7, 8, 9]))
    assert RunInfo(adata).unrecoverable == []
    (lost,) = RunInfo(adata[:, 1:].copy()).unrecoverable
    assert "genes by number" in lost


def test_weights_that_are_gone():
    adata = small_adata()
    run_da(adata)
    run_de(adata)
    assert RunInfo(adata, analysis_type="de").unrecoverable == []
    assert last_run(adata)["abundance_weights"]["run_id"] == 0
    kompot.cleanup(adata, analysis_type="da", keep_obs_fields=False)
    (lost,) = RunInfo(adata, analysis_type="de").unrecoverable
    assert "kompot.da" in lost


def test_a_run_that_refused_to_overwrite_can_be_made_again():
    adata = small_adata()
    run_de(adata, storage=kompot.StorageSettings(overwrite=False))
    run_de(adata, storage=RunInfo(adata).call_args()["storage"])
    assert len(kompot.runs(adata)) == 2


def test_thresholds_without_limit():
    adata = small_adata()
    run_da(adata, threshold=kompot.DAThresholdSettings(lfc_threshold=np.inf))
    assert json.loads(adata.uns["kompot_da"]["run_history"])[0]["params"]["threshold"]["lfc_threshold"] == "Infinity"
    assert RunInfo(adata).to_settings()["threshold"].lfc_threshold == np.inf
    kompot.update_direction(adata, ptp_threshold=0.2)
    assert RunInfo(adata).to_settings()["threshold"].lfc_threshold == np.inf
    assert (adata.obs["kompot_da_A_to_B_lfc_direction"] == "neutral").all()


def test_thresholds_of_older_records():
    adata = small_adata()
    run_da(adata)
    entry = last_run(adata, "da")
    params = {name: value for name, value in entry["params"].items() if name != "threshold"}
    params |= {"log_fold_change_threshold": 0.01, "ptp_threshold": 1.0}
    adata.uns["kompot_da"]["run_history"] = json.dumps([{**entry, "params": params}])
    kompot.update_direction(adata)
    assert RunInfo(adata).to_settings()["threshold"].lfc_threshold == 0.01
    lfc = adata.obs["kompot_da_A_to_B_lfc"]
    expected = np.where(lfc > 0.01, "up", np.where(lfc < -0.01, "down", "neutral"))
    assert (adata.obs["kompot_da_A_to_B_lfc_direction"] == expected).all()


def test_code_that_older_versions_wrote_as_text_is_lost():
    entry = published_entry()
    entry["params"]["extra_kwargs"] = {"cov_func": "Matern52(ls=1.0)", "mu": 0.5}
    run = RunInfo(with_published_record(entry))
    assert run.unrecoverable == ["extra_kwargs.cov_func"]
    with pytest.warns(RunRecordWarning, match="cov_func"):
        arguments = run.call_args()
    assert arguments["mu"] == 0.5
    assert "cov_func" not in arguments


def test_a_record_without_conditions_says_so():
    entry = published_entry()
    del entry["params"]["condition2"]
    assert RunInfo(with_published_record(entry)).unrecoverable == ["condition2"]


DAMAGE = {
    "no dictionary": lambda uns: uns.update(kompot_da=3),
    "nothing": lambda uns: uns.update(kompot_da=None),
    "owners that are text": lambda uns: uns["kompot_de"].update(anndata_fields='{"var": "junk"}'),
    "history that is empty": lambda uns: uns.update(kompot_smooth={"run_history": ""}),
    "landmarks that are text": lambda uns: uns["kompot_de"].update(landmarks="junk"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_records_are_read_as_far_as_they_go(damage):
    adata = small_adata()
    run_de(adata)
    damage(adata.uns)
    assert len(kompot.runs(adata)) == 1
    assert RunInfo(adata).field_names
    assert kompot.get_field_status(adata)["layers"]["smoothed"]
    run_de(adata, storage=REPLACE)
    assert RunInfo(adata).adjusted_run_id == 1


def test_an_imputed_layer_of_older_records_is_a_smoothed_one():
    adata = small_adata()
    run_smooth(adata)
    entry = last_run(adata, "smooth")
    entry["field_mapping"]["kompot_smooth_A_smoothed"]["type"] = "imputed"
    adata.uns["kompot_smooth"]["run_history"] = json.dumps([entry])
    kompot.cleanup(adata, analysis_type="smooth")
    assert "kompot_smooth_A_smoothed" in adata.layers
    assert "kompot_smooth_A_std" not in adata.layers


def test_landmarks_and_their_description_stay_together():
    adata = small_adata()
    adata.obsm["other"] = adata.obsm["DM_EigenVectors"][:, ::-1].copy()
    landmarks = np.array(adata.obsm["DM_EigenVectors"][::5])
    gp = kompot.GPSettings(landmarks=landmarks)
    run_de(adata, gp=gp, storage=kompot.StorageSettings(store_landmarks=True))
    landmarks += 1.0  # the object has its own
    kept = dict(adata.uns["kompot_de"]["landmarks_info"])
    run_de(adata, obsm_key="other", storage=REPLACE)
    np.testing.assert_array_equal(adata.uns["kompot_de"]["landmarks"], adata.obsm["DM_EigenVectors"][::5])
    assert adata.uns["kompot_de"]["landmarks_info"] == kept


def test_other_fields_of_a_replaced_run_are_named():
    adata = small_adata()
    run_de(adata)
    with pytest.warns(
        OverwriteWarning, match=r"so that they stay as they are: var\['kompot_de_A_to_B_mahalanobis_local"
    ):
        kompot.de(adata, "condition", "A", "B", fdr=kompot.FDRSettings(null_genes=0), output=OUTPUT)


def test_a_run_without_rates_owns_those_that_it_is_given():
    adata = small_adata()
    run_de(adata)
    run_de(adata, fdr=kompot.FDRSettings(null_genes=0))
    kompot.recompute_fdr(adata, np.linspace(0, 6, 300))
    assert "kompot_de_A_to_B_is_de" in [item["field"] for item in RunInfo(adata, 0, "de").overwritten_fields]
    assert RunInfo(adata, 1, "de").overwritten_fields == []
    kompot.cleanup(adata, 1, keep_var_fields=False)
    assert not [name for name in adata.var if name.startswith("kompot_de")]


def test_the_path_that_was_promised():
    assert kompot.anndata.utils.RunInfo is kompot.RunInfo
