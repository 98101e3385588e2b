"""Run records, overwriting, and what is never recorded."""

import getpass
import json
import os
import platform
import warnings
from pathlib import Path

import numpy as np
import pytest

import kompot
from adata_helpers import QUIET, assert_unchanged, last_run, small_adata, snapshot
from kompot.anndata.history import get_field_owners, get_run_history
from kompot.anndata.record_values import decode, encodable
from kompot.errors import OverwriteWarning, RunRecordWarning

FDR = kompot.FDRSettings(null_genes=10)
OUTPUT = kompot.OutputSettings(**QUIET)


def run(adata, first="A", second="B", **kwargs):
    kompot.de(adata, "condition", first, second, **{"fdr": FDR, "output": OUTPUT, **kwargs})


def test_every_run_is_appended():
    adata = small_adata()
    run(adata)
    run(adata, "B", "A", storage=kompot.StorageSettings(overwrite=True))
    run(adata, storage=kompot.StorageSettings(result_key="other"))
    history = get_run_history(adata, "de")
    assert [entry["result_key"] for entry in history] == ["kompot_de", "kompot_de", "other"]
    assert [entry["params"]["condition1"] for entry in history] == ["A", "B", "A"]
    assert json.loads(adata.uns["kompot_de"]["last_run_info"]) == history[-1]


def test_the_record_is_strict_json_with_the_promised_keys():
    adata = small_adata()
    run(adata)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    entry = json.loads(adata.uns["kompot_de"]["run_history"], parse_constant=refuse)[0]
    promised = [
        "timestamp",
        "function",
        "result_key",
        "analysis_type",
        "lfc_key",
        "mahalanobis_key",
        "ptp_key",
        "fdr_keys",
        "fdr_results",
        "smoothed_layer_keys",
        "field_names",
        "field_mapping",
        "uses_sample_variance",
        "underrepresentation",
        "auto_filtered",
        "has_groups",
        "params",
        "environment",
        "kompot_version",
    ]
    assert set(promised) <= set(entry)
    assert set(entry["params"]) == {
        *("groupby", "condition1", "condition2", "obsm_key", "layer", "genes", "sample_col"),
        *("gp", "fdr", "filter", "storage", "output"),
    }
    assert entry["fdr_keys"]["is_de_key"] == "kompot_de_A_to_B_is_de"


def test_no_hit_is_null_not_infinity():
    adata = small_adata()
    run(adata, fdr=kompot.FDRSettings(null_mahalanobis=np.full(9, 1e4)))
    assert last_run(adata)["fdr_results"]["min_significant_mahalanobis"] is None
    assert last_run(adata)["fdr_results"]["n_significant"] == 0


def test_the_mapping_lists_what_is_there_and_nothing_else():
    adata = small_adata()
    before = {place: set(getattr(adata, place)) for place in ("obs", "var", "layers")}
    run(adata)
    mapping = last_run(adata)["field_mapping"]
    for place, names in before.items():
        new = set(getattr(adata, place)) - names
        assert {name for name, item in mapping.items() if item["location"] == place} == new


def test_owners_of_fields():
    adata = small_adata()
    run(adata)
    run(adata, genes=["g1"], fdr=kompot.FDRSettings(null_genes=0), storage=kompot.StorageSettings(overwrite=True))
    owners = get_field_owners(adata, "de")
    assert owners["var"]["kompot_de_A_to_B_mahalanobis"] == 1
    assert owners["var"]["kompot_de_A_to_B_is_de"] == 0
    assert owners["uns"]["kompot_de"] == 1


def test_settings_are_recorded_as_given_and_resolved():
    adata = small_adata()
    run(
        adata,
        gp=kompot.GPSettings(sigma=0.5, landmarks=np.random.default_rng(0).normal(size=(30, 3))),
        fdr=kompot.FDRSettings(null_mahalanobis=np.ones(4), combine_with_internal=True, null_genes=7),
        genes=["g3", "g1"],
        mu=0.25,
    )
    params = last_run(adata)["params"]
    assert params["gp"]["sigma"] == 0.5
    assert params["gp"]["landmarks"] == "<array shape=(30, 3)>"
    assert params["fdr"]["null_mahalanobis"] == "<array shape=(4,)>"
    assert params["fdr"]["combine_with_internal"] is True
    assert params["genes"] == ["g1", "g3"]
    assert params["extra_kwargs"] == {"mu": 0.25}
    assert adata.uns["kompot_de"]["landmarks_info"]["source"] == "provided"


def test_nothing_that_identifies_the_user_or_the_host():
    adata = small_adata()
    run(adata)
    text = json.dumps(adata.uns, default=str)
    for secret in (getpass.getuser(), platform.node(), str(Path.cwd()), str(os.getpid()), platform.release()):
        assert f'"{secret}"' not in text.replace("\\", "")
        assert len(secret) < 6 or secret not in text
    assert set(last_run(adata)["environment"]) == {"timestamp", "platform", "python_version", "package_versions"}


def test_overwriting_warns_and_names_the_earlier_run():
    adata = small_adata()
    run(adata)
    when = last_run(adata)["timestamp"]
    with pytest.warns(OverwriteWarning, match=f"run 0 of de, {when}, A to B.*and 4 more") as caught:
        run(adata)
    assert caught[0].filename == __file__
    assert len(get_run_history(adata, "de")) == 2


def test_overwriting_can_be_forbidden():
    adata = small_adata()
    run(adata)
    before = snapshot(adata)
    with pytest.raises(ValueError, match="Nothing was computed"):
        run(adata, storage=kompot.StorageSettings(overwrite=False))
    assert_unchanged(adata, before)
    run(adata, storage=kompot.StorageSettings(overwrite=False, result_key="new"))


def test_no_warning_where_nothing_is_replaced():
    adata = small_adata()
    run(adata)
    run(adata, storage=kompot.StorageSettings(result_key="second"))
    run(adata, output=kompot.OutputSettings(inplace=False, **QUIET))


def test_a_foreign_column_of_the_same_name_is_reported_too():
    adata = small_adata()
    adata.var["kompot_de_A_to_B_mean_lfc"] = 1.0
    with pytest.warns(OverwriteWarning, match=r"Results exist already: var\['kompot_de_A_to_B_mean_lfc'\]"):
        run(adata)


@pytest.mark.parametrize(
    "stored",
    ["[]", "junk", [{"a": 1}], ['{"a": 1}'], '[{"a": 1}, 3, null]', {"not": "a list"}],
    ids=["empty", "junk", "native", "texts", "broken", "mapping"],
)
def test_histories_of_other_forms_can_be_read_and_continued(stored):
    adata = small_adata()
    adata.uns["kompot_de"] = {"run_history": stored}
    earlier = get_run_history(adata, "de")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunRecordWarning)
        run(adata)
    assert get_run_history(adata, "de")[:-1] == earlier
    assert len(get_run_history(adata, "de")) == len(earlier) + 1
    assert all(isinstance(entry, dict) for entry in earlier)


def test_other_contents_of_uns_are_kept():
    adata = small_adata()
    adata.uns["kompot_de"] = {"mine": 1}
    run(adata)
    assert adata.uns["kompot_de"]["mine"] == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.bool_(True), True),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (float("nan"), None),
        (-np.inf, "-Infinity"),
        ((1, [2, {3: "x"}]), [1, [2, {"3": "x"}]]),
        (np.zeros((2, 5)), "<array shape=(2, 5)>"),
        (np.sin, "<object of type ufunc>"),
        ({"b", "a"}, ["a", "b"]),
    ],
)
def test_encoding(value, expected):
    assert encodable(value) == expected
    assert json.loads(json.dumps(encodable(value))) == expected


def test_decoding_takes_text_or_objects():
    assert decode('{"a": 1}') == {"a": 1}
    assert decode({"a": 1}) == {"a": 1}
    assert decode("not json") == "not json"
