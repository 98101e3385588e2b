"""What `kompot.de` writes and returns, against the arrays underneath."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kompot
from adata_helpers import QUIET, assert_unchanged, last_run, small_adata, snapshot
from kompot.anndata.layers import layer_names

NULL = kompot.FDRSettings(null_genes=40)
OUTPUT = kompot.OutputSettings(**QUIET)
K = "kompot_de_A_to_B_"


def run(adata, **kwargs):
    kwargs = {"fdr": kompot.FDRSettings(null_genes=20), "output": kompot.OutputSettings(**QUIET), **kwargs}
    return kompot.de(adata, "condition", "A", "B", **kwargs)


def table_of(adata, **kwargs):
    return run(adata, output=kompot.OutputSettings(inplace=False, **QUIET), **kwargs)["table"]


@pytest.fixture(scope="module")
def done():
    adata = small_adata()
    run(adata, storage=kompot.StorageSettings(store_additional_stats=True))
    return adata


def test_fields_are_those_promised(done):
    before = small_adata()
    assert set(done.var) - set(before.var) == {
        K + name
        for name in (
            "mahalanobis",
            "neg_log10_ptp",
            "mean_lfc",
            "mahalanobis_pvalue",
            "mahalanobis_local_fdr",
            "mahalanobis_tail_fdr",
            "is_de",
        )
    }
    assert set(done.layers) - set(before.layers) == {
        "kompot_de_A_smoothed",
        "kompot_de_B_smoothed",
        K + "fold_change",
        K + "fold_change_zscores",
    }
    assert set(done.obs) - set(before.obs) == {"kompot_de_A_std", "kompot_de_B_std"}
    assert set(done.uns) == {"kompot_de"}
    assert set(done.uns["kompot_de"]) == {"run_history", "last_run_info", "anndata_fields", "landmarks_info"}


def test_types_are_those_promised(done):
    assert done.var[K + "is_de"].dtype == bool
    assert done.var[K + "mahalanobis"].dtype == np.float64
    assert all(done.layers[name].dtype == np.float32 for name in layer_names(done) if name != "counts")
    assert done.obs["kompot_de_A_std"].dtype == np.float64


def test_without_extra_statistics_fewer_fields():
    adata = small_adata()
    run(adata)
    names = {name.removeprefix(K) for name in adata.var}
    assert names == {"mahalanobis", "mean_lfc", "mahalanobis_local_fdr", "is_de"}
    assert K + "fold_change_zscores" not in adata.layers


def test_values_are_those_of_the_array_class(done):
    X, Y = done.obsm["DM_EigenVectors"], done.X.toarray().astype(np.float64)
    A, B = (done.obs["condition"] == label for label in "AB")
    model = kompot.DifferentialExpression().fit(X[A], Y[A], X[B], Y[B])
    at_cells = model.predict(X)
    np.testing.assert_allclose(done.var[K + "mahalanobis"], model.mahalanobis_distances(), rtol=1e-4)
    np.testing.assert_allclose(done.var[K + "mean_lfc"], at_cells.fold_change.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(done.layers["kompot_de_A_smoothed"], at_cells.smoothed_1, atol=1e-5)
    np.testing.assert_allclose(done.layers["kompot_de_B_smoothed"], at_cells.smoothed_2, atol=1e-5)
    np.testing.assert_allclose(done.layers[K + "fold_change"], at_cells.fold_change, atol=1e-5)
    np.testing.assert_allclose(done.layers[K + "fold_change_zscores"], at_cells.zscore, atol=1e-3)
    np.testing.assert_allclose(done.obs["kompot_de_A_std"], at_cells.std_1, rtol=1e-8)
    np.testing.assert_allclose(done.obs["kompot_de_B_std"], at_cells.std_2, rtol=1e-8)


def test_finds_the_genes_that_differ(done):
    assert set(done.var_names[done.var[K + "is_de"]]) == {"g0", "g1"}
    assert (done.var.loc[["g0", "g1"], K + "mean_lfc"] > 0).all()


def test_other_conditions_do_not_matter_to_the_fit_but_are_evaluated():
    adata = small_adata(n_cells=180, others=("C",))
    run(adata)
    two = adata[adata.obs["condition"] != "C"].copy()
    table = table_of(two)
    # The fit is the same; the mean fold change is over all cells, those of C included.
    np.testing.assert_allclose(adata.var[K + "mahalanobis"], table["mahalanobis"], rtol=1e-5)
    mean_lfc = adata.layers[K + "fold_change"].mean(axis=0)
    np.testing.assert_allclose(adata.var[K + "mean_lfc"], mean_lfc, atol=1e-5)
    assert np.isfinite(adata.layers["kompot_de_A_smoothed"]).all()


KINDS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "dense": lambda Y: Y,
    "fortran": np.asfortranarray,
    "float64": lambda Y: Y.astype(np.float64),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_matrix_does_not_matter(kind):
    adata = small_adata()
    expected = table_of(adata)
    adata.X = KINDS[kind](adata.X.toarray())
    pd.testing.assert_frame_equal(table_of(adata), expected, rtol=1e-4, atol=1e-6)


def test_explicit_zeros_do_not_matter():
    adata = small_adata()
    expected = table_of(adata)
    X = adata.X.copy()
    X.data[::7] = 0
    thinned = X.copy()
    thinned.eliminate_zeros()
    adata.X = thinned
    expected = table_of(adata)
    adata.X = X
    assert X.nnz > thinned.nnz
    pd.testing.assert_frame_equal(table_of(adata), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16, np.float16])
def test_integer_and_half_precision_data(dtype):
    adata = small_adata()
    counts = np.round(np.expm1(adata.X.toarray()))
    adata.X = counts.astype(np.float64)
    expected = table_of(adata)
    adata.X = counts.astype(dtype)
    pd.testing.assert_frame_equal(table_of(adata), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 50, None, 10_000])
def test_chunks_do_not_matter(batch_size):
    adata = small_adata()
    table = table_of(adata, gp=kompot.GPSettings(batch_size=batch_size))
    pd.testing.assert_frame_equal(table, table_of(adata), rtol=1e-4, atol=1e-6)


def test_the_order_of_cells_does_not_matter():
    adata = small_adata()
    shuffled = adata[np.random.default_rng(1).permutation(adata.n_obs)].copy()
    pd.testing.assert_frame_equal(table_of(shuffled), table_of(adata), rtol=1e-4, atol=1e-6)


def test_swapping_the_conditions_negates_the_fold_change():
    adata = small_adata()
    there = table_of(adata)
    output = kompot.OutputSettings(inplace=False, **QUIET)
    back = kompot.de(adata, "condition", "B", "A", fdr=kompot.FDRSettings(null_genes=20), output=output)["table"]
    np.testing.assert_allclose(back["mean_lfc"], -there["mean_lfc"], atol=1e-6)
    same = ["mahalanobis", "pvalue", "local_fdr", "tail_fdr", "is_de"]
    pd.testing.assert_frame_equal(back[same], there[same], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_backed_data(tmp_path, kind):
    adata = small_adata()
    adata.X = KINDS[kind](adata.X.toarray())
    adata.write_h5ad(tmp_path / "cells.h5ad")
    expected = table_of(adata)
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    run(backed)
    assert backed.isbacked
    np.testing.assert_allclose(backed.var[K + "mahalanobis"], expected["mahalanobis"], rtol=1e-5)
    np.testing.assert_array_equal(backed.var[K + "is_de"], expected["is_de"])
    backed.file.close()


def test_a_copy_of_backed_data_is_in_memory(tmp_path):
    adata = small_adata()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    copy = run(backed, output=kompot.OutputSettings(copy=True, **QUIET))
    assert not copy.isbacked
    assert K + "mahalanobis" in copy.var
    assert K + "mahalanobis" not in backed.var
    backed.file.close()


def test_lazy_data():
    da = pytest.importorskip("dask.array")
    adata = small_adata()
    expected = table_of(adata)
    adata.X = da.from_array(adata.X.toarray(), chunks=(50, 10))
    pd.testing.assert_frame_equal(table_of(adata), expected, rtol=1e-5)


@pytest.mark.parametrize("path", ["out.h5ad", "out.zarr"])
def test_results_survive_writing_and_reading(done, tmp_path, path):
    if path.endswith("zarr"):
        pytest.importorskip("zarr")
        with warnings.catch_warnings():
            # The two libraries warn of each other's formats, whichever is chosen.
            warnings.simplefilter("ignore")
            done.write_zarr(tmp_path / path)
        back = ad.read_zarr(tmp_path / path)
    else:
        done.write_h5ad(tmp_path / path)
        back = ad.read_h5ad(tmp_path / path)
    np.testing.assert_array_equal(back.var[K + "mahalanobis"], done.var[K + "mahalanobis"])
    assert last_run(back) == last_run(done)
    run(back, storage=kompot.StorageSettings(result_key="again"))
    assert [entry["result_key"] for entry in kompot.anndata.history.get_run_history(back, "de")] == [
        "kompot_de",
        "again",
    ]


def test_a_view_becomes_an_object_of_its_own():
    parent = small_adata()
    before = snapshot(parent)
    view = parent[:100]
    run(view)
    assert K + "mahalanobis" in view.var
    assert_unchanged(parent, before)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({}, "none"),
        ({"return_full_results": True}, "dict"),
        ({"return_null_data": True}, "dict"),
        ({"copy": True}, "adata"),
        ({"copy": True, "return_full_results": True}, "both"),
        ({"inplace": False}, "dict"),
        ({"inplace": False, "copy": True}, "adata"),
    ],
)
def test_what_is_returned(output, expected):
    adata = small_adata()
    before = snapshot(adata)
    result = run(adata, output=kompot.OutputSettings(**output, **QUIET))
    kinds = {"none": type(None), "dict": dict, "adata": ad.AnnData, "both": tuple}
    assert isinstance(result, kinds[expected])
    if output.get("copy") or output.get("inplace") is False:
        assert_unchanged(adata, before)
    else:
        assert K + "mahalanobis" in adata.var
    copy = result[1] if expected == "both" else result
    if output.get("copy"):
        assert K + "mahalanobis" in copy.var


def test_the_dictionary_of_results():
    adata = small_adata()
    output = kompot.OutputSettings(return_full_results=True, **QUIET)
    result = run(adata, output=output, fdr=kompot.FDRSettings(null_genes=12, threshold=0.1))
    table = result["table"]
    assert list(table) == ["mean_lfc", "pvalue", "local_fdr", "tail_fdr", "is_de", "mahalanobis", "neg_log10_ptp"]
    assert list(table.index) == list(adata.var_names)
    assert result["field_names"]["mahalanobis_key"] == K + "mahalanobis"
    assert result["landmarks"].shape[1] == 3
    summary = result["fdr_summary"]
    assert summary["n_significant"] == table["is_de"].sum()
    assert summary["n_total"] == adata.n_vars
    assert summary["fdr_threshold"] == 0.1
    assert summary["min_significant_mahalanobis"] == table.loc[table["is_de"], "mahalanobis"].min()
    np.testing.assert_allclose(result["model"].mahalanobis_distances(), table["mahalanobis"])


def test_null_data_full_and_light():
    adata = small_adata()
    light = run(adata, output=kompot.OutputSettings(inplace=False, return_null_data=True, **QUIET))["null"]
    full = run(adata, output=kompot.OutputSettings(inplace=False, return_full_results=True, **QUIET))["null"]
    assert light["n_null"] == 20
    assert light["source"] == "internal"
    assert light["seed"] == 42
    assert light["gene_names"][3] == f"NULL_3_g{light['gene_indices'][3]}"
    assert "fold_change" not in light
    np.testing.assert_array_equal(light["mahalanobis"], full["mahalanobis"])
    assert full["fold_change"].shape == (adata.n_obs, 20)
    difference = full["condition2_smoothed"] - full["condition1_smoothed"]
    np.testing.assert_allclose(full["fold_change"], difference, atol=1e-5)
    np.testing.assert_allclose(full["table"]["mean_lfc"], full["fold_change"].mean(axis=0), atol=1e-5)
    assert full["fold_change_zscores"].shape == (adata.n_obs, 20)


def test_subset_of_genes():
    adata = small_adata()
    everything = table_of(adata)
    run(adata, genes=["g7", "g0"], storage=kompot.StorageSettings(store_additional_stats=True))
    column = adata.var[K + "mahalanobis"]
    assert list(column.index[column.notna()]) == ["g0", "g7"]
    np.testing.assert_allclose(column[["g0", "g7"]], everything.loc[["g0", "g7"], "mahalanobis"], rtol=1e-5)
    assert not adata.var.loc["g1", K + "is_de"]
    for name in ("kompot_de_A_smoothed", K + "fold_change", K + "fold_change_zscores"):
        analysed = np.isfinite(adata.layers[name]).all(axis=0)
        assert list(adata.var_names[analysed]) == ["g0", "g7"], name
        assert np.isnan(adata.layers[name][:, ~analysed]).all(), name


def test_one_gene_by_name():
    assert list(table_of(small_adata(), genes="g3").index) == ["g3"]


def test_genes_are_reported_in_the_order_of_the_data():
    assert list(table_of(small_adata(), genes=pd.Index(["g9", "g2", "g4"])).index) == ["g2", "g4", "g9"]


def test_a_rerun_on_other_genes_mixes_no_rates():
    adata = small_adata()
    run(adata, genes=["g0", "g1"])
    run(adata, genes=["g5"], storage=kompot.StorageSettings(overwrite=True))
    for name, genes in {"mahalanobis": ["g0", "g1", "g5"], "mahalanobis_local_fdr": ["g5"]}.items():
        column = adata.var[K + name]
        assert list(column.index[column.notna()]) == genes


def test_a_layer_is_used():
    adata = small_adata()
    expected = table_of(adata)
    adata.layers["log"] = adata.X.copy()
    adata.X = sparse.csr_matrix(adata.shape, dtype=np.float32)
    pd.testing.assert_frame_equal(table_of(adata, layer="log"), expected)
    adata.X = None
    pd.testing.assert_frame_equal(table_of(adata, layer="log"), expected)


@pytest.mark.parametrize(
    ("labels", "first", "second"),
    [
        (["young", "old"], "young", "old"),
        ([0, 1], 0, 1),
        ([True, False], True, False),
        ([0.5, 1.5], 0.5, 1.5),
        (["wild type", "knock-out"], "wild type", "knock-out"),
    ],
    ids=["text", "integers", "booleans", "floats", "words"],
)
@pytest.mark.parametrize("categorical", [True, False])
def test_types_of_conditions(labels, first, second, categorical):
    adata = small_adata()
    is_b = (adata.obs["condition"] == "B").to_numpy()
    column = pd.Series(np.array(labels)[is_b.astype(int)], index=adata.obs_names)
    adata.obs["group"] = column.astype("category") if categorical else column
    output = kompot.OutputSettings(**QUIET)
    kompot.de(adata, "group", first, second, fdr=kompot.FDRSettings(null_genes=0), output=output)
    clean = [str(label).replace(" ", "_").replace("-", "_").replace(".", "_") for label in (first, second)]
    expected = table_of(adata, fdr=kompot.FDRSettings(null_genes=0))["mahalanobis"]
    np.testing.assert_allclose(adata.var[f"kompot_de_{clean[0]}_to_{clean[1]}_mahalanobis"], expected)
    assert last_run(adata)["params"]["condition1"] == first


def test_numpy_labels_and_missing_labels():
    adata = small_adata()
    codes = (adata.obs["condition"] == "B").astype(int)
    adata.obs["group"] = codes.astype("Int64")
    adata.obs.loc[adata.obs_names[:5], "group"] = pd.NA
    kompot.de(adata, "group", np.int64(0), np.int64(1), fdr=kompot.FDRSettings(null_genes=0), output=OUTPUT)
    assert last_run(adata)["approximation"]["n_cells"] == [int((codes[5:] == 0).sum()), int((codes[5:] == 1).sum())]


@pytest.mark.parametrize("form", ["frame", "sparse", "float32"])
def test_forms_of_coordinates(form):
    adata = small_adata()
    X = adata.obsm["DM_EigenVectors"]
    expected = table_of(adata)
    forms = {
        "frame": pd.DataFrame(X, index=adata.obs_names, columns=list("abc")),
        "sparse": sparse.csr_matrix(X),
        "float32": X.astype(np.float32),
    }
    adata.obsm["DM_EigenVectors"] = forms[form]
    pd.testing.assert_frame_equal(table_of(adata), expected, rtol=1e-3, atol=1e-5)


def test_a_constant_dimension_is_harmless():
    adata = small_adata()
    expected = table_of(adata).drop(columns="neg_log10_ptp")
    X = adata.obsm["DM_EigenVectors"]
    adata.obsm["DM_EigenVectors"] = np.column_stack([np.full(len(X), 0.3), X])
    pd.testing.assert_frame_equal(table_of(adata).drop(columns="neg_log10_ptp"), expected, rtol=1e-5, atol=1e-8)


def test_a_constant_gene_has_no_distance():
    adata = small_adata()
    Y = adata.X.toarray()
    Y[:, 4] = 0
    adata.X = Y
    table = table_of(adata)
    assert table.loc["g4", "mahalanobis"] == 0
    assert table.loc["g4", "local_fdr"] == 1


def test_two_cells_in_a_condition_are_enough():
    adata = small_adata()
    keep = (adata.obs["condition"] == "A").to_numpy(copy=True)
    keep[np.flatnonzero(~keep)[:2]] = True
    table = table_of(adata[keep].copy())
    assert np.isfinite(table.drop(columns="is_de")).all().all()


def test_without_distances():
    adata = small_adata()
    output = kompot.OutputSettings(compute_mahalanobis=False, return_full_results=True, **QUIET)
    result = run(adata, output=output, fdr=None)
    assert list(result["table"]) == ["mean_lfc"]
    assert "null" not in result
    assert [name.removeprefix(K) for name in adata.var] == ["mean_lfc"]
    assert last_run(adata)["mahalanobis_key"] is None


@pytest.mark.parametrize("null_genes", [0, None, []])
def test_without_fdr(null_genes):
    adata = small_adata()
    run(adata, fdr=kompot.FDRSettings(null_genes=null_genes))
    assert [name.removeprefix(K) for name in adata.var] == ["mahalanobis", "mean_lfc"]
    assert last_run(adata)["fdr_keys"] is None


def test_without_layers():
    adata = small_adata()
    run(adata, storage=kompot.StorageSettings(store_layers=False))
    assert layer_names(adata) == ["counts"]
    assert {"kompot_de_A_std", "kompot_de_B_std"} <= set(adata.obs)


def test_store_landmarks():
    adata = small_adata()
    run(adata, storage=kompot.StorageSettings(store_landmarks=True, result_key="mine"))
    landmarks = adata.uns["mine"]["landmarks"]
    assert str(landmarks.shape) == adata.uns["mine"]["landmarks_info"]["shape"]
    assert len(landmarks) >= last_run(adata)["approximation"]["rank"]
    again = table_of(adata, gp=kompot.GPSettings(landmarks=landmarks))
    # All directions of the landmarks' span, where the first run had dropped the negligible ones.
    np.testing.assert_allclose(again["mahalanobis"], adata.var["mine_A_to_B_mahalanobis"], rtol=2e-3)


def test_length_scale_and_noise_reach_the_model():
    adata = small_adata()
    record_of = kompot.GPSettings(ls=0.7, sigma=0.4)
    run(adata, gp=record_of)
    assert last_run(adata)["approximation"]["ls"] == 0.7
    X, Y = adata.obsm["DM_EigenVectors"], adata.X.toarray().astype(np.float64)
    A, B = (adata.obs["condition"] == label for label in "AB")
    model = kompot.DifferentialExpression(ls=0.7, sigma=0.4).fit(X[A], Y[A], X[B], Y[B])
    np.testing.assert_allclose(adata.var[K + "mahalanobis"], model.mahalanobis_distances(), rtol=1e-4)


def test_extra_parameters_reach_the_model():
    from kompot.gp.kernels import RBF

    adata = small_adata()
    expected = table_of(adata)["mahalanobis"]
    other = table_of(adata, cov_func=RBF(0.5))["mahalanobis"]
    assert np.abs(other / expected - 1).max() > 0.01
    X, Y = adata.obsm["DM_EigenVectors"], adata.X.toarray().astype(np.float64)
    A, B = (adata.obs["condition"] == label for label in "AB")
    model = kompot.DifferentialExpression(cov_func=RBF(0.5)).fit(X[A], Y[A], X[B], Y[B])
    np.testing.assert_allclose(other, model.mahalanobis_distances(), rtol=1e-4)


def test_same_seed_same_result_other_seed_other_null():
    adata = small_adata()
    first, again = table_of(adata), table_of(adata)
    pd.testing.assert_frame_equal(first, again)
    other = table_of(adata, fdr=kompot.FDRSettings(null_genes=20, null_seed=7))
    assert (other["pvalue"] != first["pvalue"]).any()
    np.testing.assert_array_equal(other["mahalanobis"], first["mahalanobis"])
