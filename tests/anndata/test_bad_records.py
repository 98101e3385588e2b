"""Records may come from elsewhere and hold anything: every reader says so in words or goes on, and nothing is lost."""

import json
import warnings

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

import kompot
from adata_helpers import assert_unchanged, last_run, small_adata, snapshot
from kompot.anndata.history import get_field_owners, get_run_history
from kompot.anndata.record_values import decode, encodable, readable
from kompot.anndata.run_info import RunInfo
from kompot.errors import KompotWarning, RunRecordWarning
from record_helpers import FDR, OUTPUT, published_entry, run_da, run_de, run_smooth

REPLACE = kompot.StorageSettings(overwrite=True)
DEEP_TEXT = "[" * 10_000 + "1" + "]" * 10_000
LONG = 10**5000


def nested(depth):
    value = "bottom"
    for _ in range(depth):
        value = {"a": value}
    return value


def cyclic():
    value = {"groupby": "condition"}
    value["self"] = value["again"] = [value]
    return value


ENTRY = published_entry()
ENTRY_TEXT = json.dumps(ENTRY)


def entry_with(**changes):
    return json.dumps([{**ENTRY, **changes}])


def params_with(**changes):
    return entry_with(params={**ENTRY["params"], **changes})


BAD = {
    "nested 10,000 deep": DEEP_TEXT,
    "nested 10,000 deep in an entry": f'[{{"params": {DEEP_TEXT}}}]',
    "text nested deep in an entry": [json.dumps({"params": DEEP_TEXT, "field_mapping": DEEP_TEXT})],
    "nested 300 deep": json.dumps([{**ENTRY, "params": nested(300)}]),
    "nested objects": [{**ENTRY, "params": nested(5000)}],
    "cycle": [{**ENTRY, "params": cyclic()}],
    "cyclic history": cyclic(),
    "long number": params_with(gp={"sigma": 1}).replace('"sigma": 1', f'"sigma": {"9" * 5000}'),
    "number beyond floats": params_with(gp={"sigma": 10**400}, n_genes=10**400, n_cells=10**400).replace(
        '"fdr_threshold": 0.05', f'"fdr_threshold": {10**400}'
    ),
    "numbers beyond floats in the approximation": entry_with(
        approximation=dict.fromkeys(["ls", "rank", "residual_mean", "n_genes", "n_null"], 10**400),
        landmarks={"source": 10**400},
    ),
    "long number among counts": entry_with(fdr_results={"n_significant": 7}).replace(": 7", ": " + "9" * 5000),
    "long number as object": [{**ENTRY, "params": {"n_genes": LONG, LONG: 1}, "timestamp": LONG}],
    "large float": entry_with(approximation={"ls": 1, "n_genes": 7}).replace(": 7", ": 1e999"),
    "NaN and infinity": entry_with(approximation={"ls": float("nan"), "n_genes": float("inf"), "rank": float("nan")}),
    "bytes": ENTRY_TEXT.encode(),
    "bytes in an entry": [{"timestamp": b"2025", b"params": {b"groupby": b"\xff"}, "lfc_key": b"a"}],
    "array of objects": np.array([{"a": 1}, ENTRY_TEXT, None, 3], dtype=object),
    "matrix": np.zeros((2, 2)),
    "array of numbers": np.arange(3),
    "scalar array": np.array("junk"),
    "tuple": (ENTRY_TEXT, ("a", "b")),
    "set": {"a", "b"},
    "frame": pd.DataFrame({"a": [1]}),
    "series in an entry": [{**ENTRY, "params": pd.Series([1]), "field_mapping": pd.Series({"a": 1})}],
    "sets in an entry": [{**ENTRY, "params": {"genes": {"a"}, "groupby": frozenset("a")}}],
    "keys that are no text": [{1: 2, None: 3, ("a",): 4, "params": {2.5: 1}}],
    "dictionary": {"0": ENTRY},
    "number": 7,
    "true": "true",
    "lone surrogates": json.dumps([{**ENTRY, "timestamp": "\ud800"}]),
    "entries that are none": json.dumps([None, 3, "text", [], ENTRY]),
    "mapping that is a list": entry_with(field_mapping=[["a", "b"]]),
    "mapping of lists": entry_with(field_mapping={"a": [1], "b": "junk", "c": None}),
    "places that there are not": entry_with(
        field_mapping={"a": {"location": "X"}, "b": {"location": ["obs"]}, "c": {"location": "__dict__"}}
    ),
    "types that are lists": entry_with(field_mapping={"a": {"location": "var", "type": [1], "description": {}}}),
    "no text as time": entry_with(timestamp={"a": 1}),
    "number as time": entry_with(timestamp=3),
    "lists everywhere": json.dumps([{key: [1, [2]] for key in [*ENTRY, "updates", "landmarks", "density"]}]),
    "numbers everywhere": json.dumps([dict.fromkeys([*ENTRY, "updates", "landmarks", "density"], 3)]),
    "texts everywhere": json.dumps([dict.fromkeys([*ENTRY, "updates", "landmarks", "density"], "<b>text</b>")]),
    "dictionaries everywhere": json.dumps([{key: {"a": {"b": [1]}} for key in [*ENTRY, "updates", "landmarks"]}]),
    "parts of other kinds": entry_with(
        approximation={
            "rank": "a",
            "residual_mean": "b",
            "n_cells": ["c", None],
            "n_null": "d",
            "n_genes": -4,
            "ls": [],
        },
        direction_counts={"up": "many", "down": None},
        fdr_results={"n_significant": "2", "fdr_threshold": {}},
        updates=[3, {"function": "recompute_fdr", "timestamp": 3}],
        underrepresentation={"T": 3},
        auto_filtered=True,
        subset_names={"a": 1},
        skipped_samples=4,
        landmarks={"source": "reused"},
        positions={"cells": [], "genes": 3},
        abundance_weights={"run_id": []},
        density={"fits": {"ls": 1}},
    ),
    "parameters of other kinds": params_with(
        groupby=["condition"],
        condition1={"a": 1},
        genes={"g1": 1},
        obsm_key=3,
        layer=["counts"],
        sample_col=True,
        gp=[1],
        fdr={"null_mahalanobis": "(" + "9" * 5000 + ",)", "threshold": []},
        filter={"cell_filter": {"a": {"b": "<array shape=(3,)>"}, "__underrepresentation_data": 3}},
        storage="junk",
        model=7,
        extra_kwargs=[1],
        landmarks=3,
    ),
    "keys of fields of other kinds": entry_with(
        mahalanobis_key=["a"], lfc_key={"a": 1}, field_names=[1], result_key=["kompot_de"], direction_key=3
    ),
    "landmarks given": entry_with(landmarks={"source": "provided"}),
}


def fields_of(adata):
    """Names of all fields and the columns, without the records, which may be anything here."""
    names = {place: list(getattr(adata, place)) for place in ("layers", "obsm", "varm", "obsp", "uns")}
    return names, adata.obs.copy(), adata.var.copy()


def assert_same_fields(adata, before):
    names, *frames = fields_of(adata)
    assert names == before[0]
    for one, two in zip(frames, before[1:], strict=True):
        pd.testing.assert_frame_equal(one, two)


def spoilt(stored, kind="de"):
    """An object of which the record of one type of analysis is bad."""
    adata = small_adata()
    adata.uns[f"kompot_{kind}"] = {"run_history": stored, "anndata_fields": '{"var": {"a": [1], "b": 99}, "obs": 3}'}
    return adata


def look_at_everything(adata, kind):
    """Every reader of records, on every run."""
    table = kompot.runs(adata)
    repr(table), table._repr_html_()
    for run_id in range(len(get_run_history(adata, kind))):
        run = RunInfo(adata, run_id, kind)
        assert "<b>text" not in run._repr_html_()
        for text in (repr(run), str(run), run._repr_html_()):
            text.encode(errors="replace")
        run.get_summary(), run.get_data(), run.get_raw_data(), run.to_settings()
        assert isinstance(run.unrecoverable, list)
        arguments = run.call_args()
        assert "adata" not in arguments
        other = run.compare_with(0)
        repr(other), str(other), other._repr_html_(), other.get_summary()
        kompot.get_field_status(adata, run_id, kind)
    get_field_owners(adata, kind)


@pytest.mark.filterwarnings("ignore::kompot.errors.KompotWarning")
@pytest.mark.parametrize("kind", ["de", "da", "smooth"])
@pytest.mark.parametrize("stored", BAD.values(), ids=BAD)
def test_readers_of_bad_records(stored, kind):
    look_at_everything(spoilt(stored, kind), kind)


@pytest.mark.filterwarnings("ignore::kompot.errors.KompotWarning")
@pytest.mark.parametrize("stored", BAD.values(), ids=BAD)
def test_functions_that_act_on_bad_records(stored):
    adata = spoilt(stored)
    user = fields_of(adata)
    kompot.cleanup(adata, keep_var_fields=False, keep_obs_fields=False)
    assert_same_fields(adata, user)
    for act in (
        lambda: kompot.recompute_fdr(adata, [1.0, 2.0]),
        lambda: kompot.extract_null_distribution(adata),
        lambda: kompot.update_direction(spoilt(stored, "da")),
    ):
        with pytest.raises(ValueError, match=r"There is no run|has no column|cannot have written"):
            act()
    assert_same_fields(adata, user)


@pytest.mark.filterwarnings("ignore::kompot.errors.KompotWarning")
@pytest.mark.parametrize("stored", BAD.values(), ids=BAD)
@pytest.mark.parametrize("run", [run_de, run_da, run_smooth], ids=["de", "da", "smooth"])
def test_analyses_go_on_and_keep_what_was_there(stored, run, tmp_path):
    kind = run.__name__.removeprefix("run_")
    adata = spoilt(stored, kind)
    earlier = get_run_history(adata, kind)
    run(adata)
    assert get_run_history(adata, kind)[:-1] == earlier
    assert RunInfo(adata, -1, kind).missing_fields == []
    look_at_everything(adata, kind)
    adata.write_h5ad(tmp_path / "after.h5ad")


@pytest.mark.parametrize("stored", ["junk", DEEP_TEXT, f'[{{"params": {DEEP_TEXT}}}]'], ids=["junk", "deep", "inside"])
def test_what_cannot_be_read_is_kept_and_shown_and_said_once(stored):
    adata = spoilt(stored)
    (marked,) = get_run_history(adata, "de")
    text = marked["unreadable"]
    assert text in stored or stored == text
    with pytest.warns(RunRecordWarning, match=r"cannot be read as the record of a run \(entries 0\)"):
        run_de(adata)
    run_de(adata, storage=REPLACE)
    history = json.loads(adata.uns["kompot_de"]["run_history"])
    assert history[0] == {"unreadable": text}
    assert [entry["timestamp"] for entry in history[1:]] == sorted(entry["timestamp"] for entry in history[1:])
    assert kompot.runs(adata)["conditions"].tolist() == ["unreadable record", "A to B", "A to B"]
    run = RunInfo(adata, 0)
    assert "cannot be read" in str(run)
    assert "unreadable record" in run._repr_html_()
    assert run.unrecoverable == ["groupby", "condition1", "condition2"]


def test_one_bad_entry_does_not_spoil_the_others():
    adata = small_adata()
    run_de(adata)
    good = last_run(adata)
    long = ENTRY_TEXT.replace('"sigma": 0.5', '"sigma": ' + "9" * 5000)
    deep = json.dumps({"params": nested(300)})
    adata.uns["kompot_de"]["run_history"] = f"[{deep}, {long}, {json.dumps(good)}]"
    runs = kompot.runs(adata)
    assert sorted(runs["conditions"]) == ["A to B", "A to B", "unreadable record"]
    assert RunInfo(adata, 2).run_info["field_mapping"] == good["field_mapping"]
    assert json.loads(RunInfo(adata, 0).run_info["unreadable"]) == {"params": nested(300)}
    assert RunInfo(adata, 1).run_info["params"]["gp"]["sigma"] == "9" * 5000
    assert "gp.sigma" in RunInfo(adata, 1).unrecoverable
    assert RunInfo(adata, 1).to_settings()["gp"].sigma == 1.0


def test_many_runs():
    adata = small_adata()
    adata.uns["kompot_de"] = {"run_history": json.dumps([{"timestamp": "2024", "params": {}}] * 20_000)}
    run_de(adata)
    assert RunInfo(adata).adjusted_run_id == 20_000
    assert len(get_run_history(adata, "de")) == 20_001


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (LONG, "<object: number of 16610 bits>"),
        ({LONG: 1}, {"<object: number of 16610 bits>": 1}),
        (b"a", "<object of type bytes>"),
        (np.ma.masked_array([1.0]), "<array shape=(1,)>"),
    ],
    ids=["number", "key", "bytes", "masked"],
)
def test_values_of_odd_types_become_notes(value, expected):
    assert encodable(value) == expected


@pytest.mark.parametrize("value", [nested(10_000), cyclic(), [nested(100)]], ids=["deep", "cyclic", "list"])
def test_values_nested_deep_end_in_a_note(value):
    assert "nested too deep" in json.dumps(encodable(value))
    with pytest.raises(ValueError, match="more than 50 deep"):
        readable(value)


def test_settings_that_no_record_holds_do_not_stop_a_run():
    adata = small_adata()
    kompot.de(adata, "condition", "A", "B", fdr=FDR, output=OUTPUT, gp=kompot.GPSettings(random_state=3))
    assert last_run(adata)["params"]["gp"]["random_state"] == 3


def test_texts_that_are_no_json_stay_texts():
    assert decode(DEEP_TEXT) == DEEP_TEXT
    assert decode("9" * 5000) == "9" * 5000


BAD_LANDMARKS = {
    "ragged": [[1.0, 2.0, 3.0], [1.0]],
    "text": "junk",
    "objects": np.array([[object()] * 3]),
    "complex": np.ones((4, 3)) * 1j,
    "NaN": np.full((4, 3), np.nan),
    "beyond all coordinates": np.full((4, 3), 1e200),
    "masked": np.ma.masked_array(np.ones((4, 3)), True),
    "none": np.empty((0, 3)),
    "cube": np.ones((2, 3, 3)),
    "more than there could be": np.ones((200_000, 3)),
    "dictionary": {"a": 1},
}


@pytest.mark.filterwarnings("ignore::kompot.errors.KompotWarning")
@pytest.mark.parametrize("landmarks", BAD_LANDMARKS.values(), ids=BAD_LANDMARKS)
@pytest.mark.parametrize("info", [{"obsm_key": "DM_EigenVectors"}, {"obsm_key": np.array(["a", "b"])}, 3])
def test_landmarks_that_are_none(landmarks, info):
    adata, plain = small_adata(), small_adata()
    adata.uns["kompot_de"] = {"landmarks": landmarks, "landmarks_info": info}
    for run in (run_de, run_da):
        run(adata)
        run(plain)
    pd.testing.assert_frame_equal(adata.var, plain.var)
    assert last_run(adata)["landmarks"]["found"] is None
    adata.uns["kompot_smooth"] = {"landmarks": landmarks}
    run_smooth(adata)
    look_at_everything(adata, "smooth")
    look_at_everything(adata, "de")


def changed(adata, kind, change):
    """The last record of the object after a change."""
    entry = last_run(adata, kind)
    change(entry)
    adata.uns[f"kompot_{kind}"]["run_history"] = json.dumps([entry])


NULL = np.linspace(0.1, 6, 50)
ACTS = {
    "rates into the user's column": (
        run_de,
        lambda entry: entry["field_names"].update(is_de_key="gene_name"),
        lambda adata: kompot.recompute_fdr(adata, NULL),
        r"says 'gene_name' \(str\) for is_de_key, which the run cannot have written into adata.var",
    ),
    "rates into another field": (
        run_de,
        lambda entry: entry["field_names"].update(is_de_key="kompot_de_A_to_B_mean_lfc"),
        lambda adata: kompot.recompute_fdr(adata, NULL),
        "for is_de_key, which the run cannot have written",
    ),
    "further rates": (
        run_de,
        lambda entry: (
            entry["field_names"].update(mahalanobis_pvalue_key="gene_name"),
            entry["field_mapping"].update(gene_name={"location": "var"}),
        ),
        lambda adata: kompot.recompute_fdr(adata, NULL),
        "for mahalanobis_pvalue_key, which the run cannot have written",
    ),
    "no names": (
        run_de,
        lambda entry: entry.pop("field_names"),
        lambda adata: kompot.recompute_fdr(adata, NULL),
        "says None .* for mahalanobis_local_fdr_key, which the run cannot",
    ),
    "lists as names": (
        run_de,
        lambda entry: entry["field_names"].update(is_de_key=["a"], mahalanobis_pvalue_key={"a": 1}),
        lambda adata: kompot.recompute_fdr(adata, NULL),
        "for is_de_key, which the run cannot",
    ),
    "distances of the user": (
        run_de,
        lambda entry: entry.update(mahalanobis_key="length"),
        kompot.extract_null_distribution,
        "says 'length' .* for mahalanobis_key, which the run cannot have written",
    ),
    "directions into the user's column": (
        run_da,
        lambda entry: entry.update(direction_key="condition"),
        kompot.update_direction,
        "says 'condition' .* for direction_key, which the run cannot have written into adata.obs",
    ),
    "directions nowhere": (
        run_da,
        lambda entry: entry.pop("direction_key"),
        kompot.update_direction,
        "says None .* for direction_key",
    ),
    "changes of the user": (
        run_da,
        lambda entry: entry.update(lfc_key="age"),
        kompot.update_direction,
        "says 'age' .* for lfc_key, which the run cannot have written",
    ),
}


@pytest.mark.parametrize(("run", "change", "act", "message"), ACTS.values(), ids=ACTS)
def test_columns_that_a_run_cannot_have_written_are_not_written_again(run, change, act, message):
    adata = small_adata()
    adata.var["gene_name"], adata.var["length"], adata.obs["age"] = "a", 1.0, 1.0
    run(adata)
    changed(adata, run.__name__.removeprefix("run_"), change)
    before = snapshot(adata)
    with pytest.raises(ValueError, match=message):
        act(adata)
    assert_unchanged(adata, before)


def test_columns_that_hold_no_numbers():
    adata = small_adata()
    run_de(adata)
    adata.var["kompot_de_A_to_B_mahalanobis"] = "far"
    with pytest.raises(ValueError, match="must hold numbers, came dtype"):
        kompot.extract_null_distribution(adata)


def test_weights_are_those_of_a_run_that_can_have_written_them():
    adata, plain = small_adata(), small_adata()
    adata.obs["age"] = np.linspace(0, 3, adata.n_obs)
    run_da(adata)
    changed(adata, "da", lambda entry: entry.update(lfc_key="age"))
    for each in (adata, plain):
        run_de(each)
    assert last_run(adata)["abundance_weights"] is None
    pd.testing.assert_frame_equal(adata.var[list(plain.var)], plain.var)


@pytest.mark.parametrize("updates", [3, "junk", {"a": 1}, None])
def test_updates_of_any_kind(updates):
    adata = small_adata()
    run_de(adata)
    run_da(adata)
    for kind in ("de", "da"):
        changed(adata, kind, lambda entry: entry.update(updates=updates))
    kompot.recompute_fdr(adata, NULL)
    kompot.update_direction(adata)
    assert [step["function"] for step in last_run(adata)["updates"]] == ["recompute_fdr"]
    assert [step["function"] for step in last_run(adata, "da")["updates"]] == ["update_direction"]


FOREIGN = {
    "adata": "x.h5ad",
    "disk_storage_dir": "/data/elsewhere",
    "path": "/etc/passwd",
    "dry_run": True,
    "model": "x",
    "groupby": "other",
    "stored_landmarks": [[1.0, 2.0, 3.0]],
    "cov_func": "Matern52(ls=1.0)",
    "cov_func_curry": "os.system",
    "optimizer": "/etc/passwd",
    "L": "[[1.0]]",
    "sigma": "0.5",
    "mu": [1, 2],
    "landmarks": "/data/landmarks.npy",
    "nn_distances": [["a"]],
    "jitter": -1.0,
    "tolerance": {"a": 1},
    "d_method": "/etc/passwd",
}
TAKEN = {"tolerance": 1e-3, "optimizer": "L-BFGS-B", "jitter": 1e-6, "mu": 0.5}


@pytest.mark.parametrize("kind", ["de", "da", "smooth"])
def test_arguments_are_those_of_the_function_and_no_paths(kind):
    adata = spoilt(
        params_with(extra_kwargs=FOREIGN, path="/etc", adata="x", storage={"disk_storage_dir": "/data"}), kind
    )
    run = RunInfo(adata, analysis_type=kind)
    lost = run.unrecoverable
    assert {f"extra_kwargs.{name}" for name in FOREIGN} <= set(lost)
    assert "storage.disk_storage_dir" in lost
    with pytest.warns(RunRecordWarning, match=r"extra_kwargs\.path"):
        arguments = run.call_args()
    assert not set(FOREIGN) - {"groupby"} & set(arguments)
    assert arguments.get("groupby") == "condition"
    assert arguments["storage"].disk_storage_dir is None
    assert "/etc" not in str(arguments)
    assert "/data" not in str(arguments)


@pytest.mark.parametrize("kind", ["de", "da", "smooth"])
def test_keywords_that_an_estimator_takes_come_back(kind):
    taken = TAKEN | ({"sync_parameters": False, "d": 2.0, "d_method": "embedding"} if kind == "da" else {})
    adata = spoilt(params_with(extra_kwargs=taken), kind)
    run = RunInfo(adata, analysis_type=kind)
    assert not [name for name in run.unrecoverable if "extra_kwargs" in name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunRecordWarning)
        arguments = run.call_args()
    assert {name: arguments[name] for name in taken} == taken


def test_arguments_of_other_kinds_are_lost():
    wrong = {"groupby": ["a"], "obsm_key": 3, "layer": {"a": 1}, "sample_col": True, "genes": [1], "condition1": ["A"]}
    run = RunInfo(spoilt(params_with(**wrong)))
    assert set(wrong) <= set(run.unrecoverable)
    with pytest.warns(RunRecordWarning, match="obsm_key"):
        assert not set(wrong) & set(run.call_args())


def json_like():
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.just(10**1000)
        | st.floats()
        | st.text(max_size=8)
        | st.binary(max_size=4)
        | st.sampled_from(["<array shape=(3,)>", "Infinity", '{"a": 1}', "[1", "obs", "var", "condition", "A", "2025"])
    )
    keys = st.sampled_from(
        [*ENTRY, *ENTRY["params"], *ENTRY["params"]["gp"], "location", "type", "updates", "landmarks"]
    )
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner)
            | st.dictionaries(keys | st.text(max_size=3), inner, max_size=5)
            | st.dictionaries(st.integers() | st.none(), inner, max_size=2)
        ),
        max_leaves=15,
    )


ADATA = small_adata(n_cells=20, n_genes=4)
FIELDS = [
    *ENTRY,
    *("updates", "landmarks", "density", "approximation", "direction_counts", "subset_names", "lfc_key", "positions"),
    *("abundance_weights", "skipped_samples", "auto_filtered", "underrepresentation", "direction_key"),
]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["de", "da", "smooth"]),
    json_like() | st.lists(st.dictionaries(st.sampled_from(FIELDS), json_like(), max_size=8), min_size=1, max_size=2),
)
def test_any_record_can_be_looked_at(kind, stored):
    adata = ADATA.copy()
    adata.uns[f"kompot_{kind}"] = {"run_history": stored}
    before = fields_of(adata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KompotWarning)
        look_at_everything(adata, kind)
        kompot.cleanup(adata, analysis_type=kind, keep_var_fields=False, keep_obs_fields=False)
    assert_same_fields(adata, before)
