"""Results are saved and read back whatever the labels of conditions, groups and samples are."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st

import kompot
from adata_helpers import last_run
from helpers import LAWS
from kompot.anndata.layers import layer_names
from kompot.anndata.run_info import RunInfo
from name_helpers import KEPT, TEXTS
from record_helpers import OUTPUT

N_CELLS, N_GENES = 60, 5
LABELS = st.one_of(
    TEXTS,
    st.sampled_from([*KEPT, "_index", "gene", ".zarray", "zarr.json", "..", ""]),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-1, 1, width=16),
    st.sampled_from([pd.Timestamp("2020-01-01"), pd.Interval(0, 10), pd.Interval(10, 20)]),
)
# Writing to zarr takes two seconds, so there are few; smaller ones would not be clearer.
EXAMPLES = settings(LAWS, max_examples=2, phases=[Phase.explicit, Phase.generate])


def labelled(conditions):
    """A small object whose cells have these two conditions and donors named after them, the genes' index a name."""
    rng = np.random.default_rng(0)
    codes = np.arange(N_CELLS) % 2
    donors = [f"{conditions[code]}/{i % 3}" for i, code in enumerate(codes)]
    Y = rng.poisson(1.0, (N_CELLS, N_GENES)) + codes[:, None] * np.array([3, 0, 0, 0, 0])
    return ad.AnnData(
        np.log1p(Y).astype(np.float32),
        obs=pd.DataFrame(
            {
                "condition": pd.Categorical.from_codes(codes, pd.Index(conditions, dtype=object)),
                "donor": pd.Series(donors, dtype=object).array,
            },
            index=[f"cell{i}" for i in range(N_CELLS)],
        ),
        var=pd.DataFrame(index=pd.Index([f"g{i}" for i in range(N_GENES)], name="gene")),
        obsm={"DM_EigenVectors": np.linspace(-1, 1, N_CELLS)[:, None] ** [1, 2]},
    )


def analysed(conditions, groups, key=None, **kwargs):
    """The object with a run of each type, without the labels themselves, which AnnData may be unable to write."""
    adata = labelled(conditions)
    common = {"groupby": "condition", "output": OUTPUT, "sample_col": kwargs.get("sample_col")}
    storage = {"storage": kompot.StorageSettings(result_key=key)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = {"condition1": conditions[0], "condition2": conditions[1]}
        kompot.da(adata, **common, **both, **storage)
        kompot.de(
            adata,
            **common,
            **both,
            fdr=kompot.FDRSettings(null_genes=8),
            filter=kompot.FilterSettings(groups=groups),
            storage=kompot.StorageSettings(
                result_key=key, store_additional_stats=True, store_posterior_covariance=True
            ),
        )
        kompot.smooth_expression(adata, condition=conditions[1], **common, **storage)
    adata.obs = adata.obs.drop(columns=["condition", "donor"])
    return adata


def saved(adata, folder, suffix):
    """The object after it was written and read."""
    path = folder / f"{len(list(folder.iterdir()))}.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if suffix == "h5ad":
            adata.write_h5ad(path)
            return ad.read_h5ad(path)
        adata.write_zarr(path)
        return ad.read_zarr(path)


def plain(value):
    """A value of uns with lists as files give them back: as arrays."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def assert_same_object(found, expected):
    """All fields and records are the same."""
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    pd.testing.assert_frame_equal(found.var, expected.var)
    for place in ("layers", "varm", "obsp"):
        one, two = getattr(found, place), getattr(expected, place)
        assert set(one) == set(two)
        for name, value in two.items():
            assert list(getattr(one[name], "columns", [])) == list(getattr(value, "columns", []))
            np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(value), err_msg=name)
    assert set(found.uns) == set(expected.uns)
    for name, value in expected.uns.items():
        if name.endswith("_colors"):
            assert list(found.uns[name]) == list(value)
        else:
            assert plain(found.uns[name]) == plain(value)
    pd.testing.assert_frame_equal(kompot.runs(found), kompot.runs(expected))


def group_masks(labels):
    return {label: np.arange(N_CELLS) // 2 % len(labels) == i for i, label in enumerate(labels)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("saved")


@EXAMPLES
@given(st.lists(LABELS, min_size=2, max_size=2), st.lists(LABELS, min_size=1, max_size=4, unique_by=str))
@example(["T/cell", "T-cell"], ["B/T", "B_T", "B\\T", ""])
@example(["\ud800", "\0"], ["gene", "_index", "\udfff", ".."])
@example(["x" * 300, "x" * 299 + "/"], ["ä" * 300, "ä" * 301, pd.Interval(0, 10)])
def test_results_come_back_from_files(folder, conditions, groups):
    assume(conditions[0] != conditions[1] and str(conditions[0]) != str(conditions[1]))
    assume(len(set(groups)) == len(groups))  # True is 1
    adata = analysed(conditions, group_masks(groups))
    for suffix in ("h5ad", "zarr"):
        read = saved(adata, folder, suffix)
        assert_same_object(read, adata)
        for kind in ("de", "da", "smooth"):
            assert RunInfo(read, analysis_type=kind).missing_fields == []
    record, names = last_run(adata), [str(label) for label in groups]
    columns = record["groups_summary"]["columns"]
    assert names == list(columns) == record["subset_names"]
    for name, entry in record["field_mapping"].items():
        if entry["location"] == "varm":
            assert entry["contains_subsets"] == names
            assert list(adata.varm[name]) == list(columns.values())


def test_the_longest_result_key(folder):
    adata = analysed(["x" * 300, "y" * 300], group_masks(["a"]), key="k" * 190, sample_col="donor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 0.13 on, AnnData writes no other format
        with ad.settings.override(zarr_write_format=3):
            assert_same_object(saved(adata, folder, "zarr"), adata)
    assert max(map(len, adata.varm)) == 255


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_names_that_stay_can_be_written(folder, suffix):
    adata = labelled(["A", "B"])
    adata.varm["table"] = pd.DataFrame(1.0, index=adata.var_names, columns=KEPT)
    for name in KEPT:
        adata.obs[name] = 1.0
        adata.layers[name] = np.ones(adata.shape)
        adata.uns[name] = {"a": "b"}
    read = saved(adata, folder, suffix)
    assert list(read.obs) == list(adata.obs)
    assert list(read.varm["table"]) == KEPT
    assert set(layer_names(read)) == set(read.uns) == set(KEPT)


def test_results_that_are_returned_have_the_labels():
    groups = group_masks(["B/T", "\ud800", "_index"])
    output = kompot.OutputSettings(progress=False, inplace=False, return_full_results=True)
    results = kompot.de(
        labelled(["\0", "x" * 300]),
        "condition",
        "\0",
        "x" * 300,
        fdr=kompot.FDRSettings(null_genes=5),
        filter=kompot.FilterSettings(groups=groups, check_representation=False),
        output=output,
    )
    for frame in results["groups"].values():
        assert list(frame) == list(groups)
    assert results["field_names"]["smoothed_key_1"] == "kompot_de___smoothed"


CONDITIONS = {
    "twins, shortened": (["T cell" + "x" * 300, "T-cell" + "x" * 300], None),
    "long key": (["x" * 300, "y" * 300], "k" * 190),
    "long key and middling labels": (["x" * 40, "y" * 40], "k" * 150),
    "three bytes each": (["漢" * 60, "字" * 60], None),
    "twins": (["T cell", "T-cell"], None),
    "hardly any": (["", "\0"], None),
}


@pytest.mark.filterwarnings("ignore::kompot.errors.OffsetWarning")
@pytest.mark.parametrize("case", CONDITIONS)
def test_readers_find_the_fields(case):
    """They take the names from the record."""
    conditions, key = CONDITIONS[case]
    adata = analysed(conditions, group_masks(["a/b"]), key=key)
    run = last_run(adata)
    assert run["abundance_weights"]["run_id"] == 0
    name = run["mahalanobis_key"]
    np.testing.assert_array_equal(kompot.extract_null_distribution(adata), adata.var[name])
    table = kompot.recompute_fdr(adata, np.linspace(0, 3, 50), threshold=0.5)
    assert (adata.var[run["fdr_keys"]["is_de_key"]] == table["is_de"]).all()
    direction = last_run(adata, "da")["direction_key"]
    del adata.uns[direction + "_colors"]
    kompot.update_direction(adata, lfc_threshold=0.0, ptp_threshold=1.0)
    assert (adata.obs[direction] != "neutral").any()
    assert len(adata.uns[direction + "_colors"]) == 3
    status = kompot.get_field_status(adata)
    assert all(present for kinds in status.values() for names in kinds.values() for present in names.values())
    for kind in ("smooth", "da", "de"):
        kompot.cleanup(adata, None, kind, *[False] * 5)
    assert not any(map(len, (layer_names(adata), adata.varm, adata.obsp, adata.obs.columns, adata.var.columns)))
    assert set(adata.uns) - {key} == {"kompot_de", "kompot_da", "kompot_smooth"}


def test_a_run_made_again_writes_the_same_names():
    adata = labelled(["T-cell", "T\0cell"])
    for first, second in (("T-cell", "T\0cell"), ("T\0cell", "T-cell")):
        storage = kompot.StorageSettings(overwrite=True)
        fdr = kompot.FDRSettings(null_genes=0)
        kompot.de(adata, "condition", first, second, fdr=fdr, storage=storage, output=OUTPUT)
    one, two = (RunInfo(adata, i).field_names for i in (0, 1))
    assert (one["smoothed_key_1"], one["smoothed_key_2"]) == (two["smoothed_key_2"], two["smoothed_key_1"])
    assert one["mean_lfc_key"] == "kompot_de_T_cell_to_T_cell_2_mean_lfc"
    assert two["mean_lfc_key"] == "kompot_de_T_cell_2_to_T_cell_mean_lfc"


def test_labels_that_the_terminal_has_no_form_for_are_printed(capsys):
    kompot.check_underrepresentation(labelled(["A", "B"]), "condition", {"\ud800": [1]}, warn=False, print_summary=True)
    assert "\\ud800" in capsys.readouterr().out


def test_cells_whose_names_have_no_form_in_utf_8():
    adata = labelled(["A", "B"])
    adata.obs_names = ["\ud800", *adata.obs_names[1:]]
    groups = {"some": list(range(30))}
    kompot.de(adata, "condition", "A", "B", filter=kompot.FilterSettings(groups=groups), output=OUTPUT)
    assert RunInfo(adata).unrecoverable == []


def test_samples_whose_labels_have_no_form_in_utf_8():
    adata = labelled(["\ud800", "\udfff"])
    output = kompot.OutputSettings(progress=False, inplace=False, return_full_results=True)
    results = kompot.de(adata, "condition", "\ud800", "\udfff", sample_col="donor", output=output)
    assert results["field_names"]["mean_lfc_key"] == "kompot_de___to___2_mean_lfc"


def test_values_kept_for_other_genes_are_those_of_the_same_group():
    """The column of a group can have another number in the earlier run."""
    adata = labelled(["A", "B"])
    groups = group_masks(["a_b", "a/b", "c"])
    fdr = kompot.FDRSettings(null_genes=0)
    call = {"groupby": "condition", "condition1": "A", "condition2": "B", "fdr": fdr, "output": OUTPUT}
    kompot.de(adata, **call, filter=kompot.FilterSettings(groups=groups))
    name = last_run(adata)["field_names"]["mean_lfc_varm_key"]
    before = adata.varm[name].copy()
    assert list(before) == ["a_b", "a_b_2", "c"]
    filters = kompot.FilterSettings(groups={"a/b": groups["a/b"]})
    storage = kompot.StorageSettings(overwrite=True)
    kompot.de(adata, **call, filter=filters, genes=["g0"], storage=storage)
    assert list(adata.varm[name]) == ["a_b"]
    np.testing.assert_allclose(adata.varm[name]["a_b"], before["a_b_2"], rtol=1e-6)


def test_conditions_that_lack_cells_are_recorded_as_their_text():
    young, old = pd.Interval(0, 10), pd.Interval(10, 20)
    adata = labelled([young, old])
    filters = kompot.FilterSettings(groups={"one": np.arange(N_CELLS) % 2 == 0})
    with pytest.warns(kompot.errors.RepresentationWarning):
        kompot.de(adata, "condition", young, old, filter=filters, output=OUTPUT)
    assert last_run(adata)["underrepresentation"] == {"one": ["(10, 20]"]}
