"""What `kompot.smooth_expression` writes, returns, records and refuses."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import QUIET, assert_unchanged, last_run, small_adata, snapshot
from kompot.anndata.layers import layer_names
from kompot.errors import OverwriteWarning, UnusedParameterWarning

OUTPUT = kompot.OutputSettings(**QUIET)


def run(adata, *args, **kwargs):
    return kompot.smooth_expression(adata, *args, **{"output": OUTPUT, **kwargs})


def with_donors(adata):
    adata.obs["donor"] = [f"d{i % 3}" for i in range(adata.n_obs)]
    return adata


def arrays(adata, label="A"):
    X, Y = adata.obsm["DM_EigenVectors"], adata.X.toarray().astype(np.float64)
    used = (adata.obs["condition"] == label).to_numpy()
    return X, X[used], Y[used], used


def test_layers_are_those_of_the_model():
    adata = small_adata()
    run(adata, "condition", "A")
    X, X_A, Y_A, _ = arrays(adata)
    expected = kompot.ExpressionModel().fit(X_A, Y_A).predict(X)
    smoothed, std = adata.layers["kompot_smooth_A_smoothed"], adata.layers["kompot_smooth_A_std"]
    assert smoothed.dtype == std.dtype == np.float32
    np.testing.assert_allclose(smoothed, expected.mean, atol=1e-5)
    np.testing.assert_allclose(std, np.repeat(expected.std[:, None], adata.n_vars, axis=1), rtol=1e-4)


def test_all_cells():
    adata = small_adata()
    run(adata)
    X, Y = adata.obsm["DM_EigenVectors"], adata.X.toarray().astype(np.float64)
    np.testing.assert_allclose(
        adata.layers["kompot_smooth_all_smoothed"], kompot.ExpressionModel().fit(X, Y).predict(X).mean, atol=1e-5
    )


@pytest.mark.parametrize("label", [0, False])
def test_a_condition_that_is_falsy_keeps_its_name(label):
    adata = small_adata()
    adata.obs["group"] = (adata.obs["condition"] == "B").astype(type(label)).to_numpy()
    run(adata, "group", label)
    X, X_A, Y_A, _ = arrays(adata)
    expected = kompot.ExpressionModel().fit(X_A, Y_A).predict(X).mean
    np.testing.assert_allclose(adata.layers[f"kompot_smooth_{label}_smoothed"], expected, atol=1e-5)


def test_variances():
    adata = with_donors(small_adata(n_cells=200))
    run(adata, "condition", "A", sample_col="donor", gp=kompot.GPSettings(use_empirical_variance=True))
    X, X_A, Y_A, used = arrays(adata)
    model = kompot.ExpressionModel(use_empirical_variance=True).fit(X_A, Y_A, adata.obs["donor"].to_numpy()[used])
    layers = {name: adata.layers[f"kompot_smooth_A_{name}"] for name in ("std", "obs_variance", "sample_variance")}
    np.testing.assert_allclose(layers["obs_variance"], model.empirical_variance(X), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(layers["sample_variance"], model.sample_variance(X), rtol=1e-3, atol=1e-5)
    total = layers["obs_variance"] + layers["sample_variance"] + model.variance(X)[:, None]
    np.testing.assert_allclose(layers["std"] ** 2, total, rtol=1e-3, atol=1e-6)


def test_only_the_variances_asked_for():
    adata = small_adata()
    run(adata, "condition", "A")
    assert layer_names(adata) == ["counts", "kompot_smooth_A_smoothed", "kompot_smooth_A_std"]


def test_a_subset_of_genes_in_the_order_asked_for():
    adata = small_adata()
    whole = run(adata, "condition", "A", output=kompot.OutputSettings(inplace=False, **QUIET))["table"]
    table = run(
        adata, "condition", "A", genes=["g9", "g2"], output=kompot.OutputSettings(return_full_results=True, **QUIET)
    )["table"]
    assert list(table.index) == ["g9", "g2"]
    pd.testing.assert_frame_equal(table, whole.loc[["g9", "g2"]], rtol=1e-4)
    finite = np.isfinite(adata.layers["kompot_smooth_A_smoothed"]).all(axis=0)
    assert list(adata.var_names[finite]) == ["g2", "g9"]


def test_the_table_holds_means_over_cells():
    adata = small_adata()
    table = run(adata, output=kompot.OutputSettings(return_full_results=True, **QUIET))["table"]
    np.testing.assert_allclose(
        table["mean_smoothed"], adata.layers["kompot_smooth_all_smoothed"].mean(axis=0), rtol=1e-4
    )
    np.testing.assert_allclose(table["mean_std"], adata.layers["kompot_smooth_all_std"].mean(axis=0), rtol=1e-4)


def test_an_injected_model_is_used():
    adata = small_adata()
    X, X_A, Y_A, _ = arrays(adata)
    model = kompot.ExpressionModel(sigma=0.3, use_empirical_variance=True).fit(X_A, Y_A)
    run(adata, "condition", "A", model=kompot.ModelSettings(model1=model))
    np.testing.assert_allclose(adata.layers["kompot_smooth_A_smoothed"], model.predict(X).mean, atol=1e-5)
    assert "kompot_smooth_A_obs_variance" in adata.layers


def test_an_injected_model_of_other_genes():
    adata = small_adata()
    _, X_A, Y_A, _ = arrays(adata)
    model = kompot.ModelSettings(model1=kompot.ExpressionModel().fit(X_A, Y_A[:, :3]))
    with pytest.raises(ValueError, match="was fitted to 3 dimensions and 3 genes; needed 3 and 25"):
        run(adata, "condition", "A", model=model)
    run(adata, "condition", "A", genes=["g0", "g1", "g2"], model=model)
    with pytest.raises(TypeError, match=r"must be a kompot\.ExpressionModel"):
        run(adata, model=kompot.ModelSettings(model1=3))


@pytest.mark.parametrize("batch_size", [1, 13, None])
@pytest.mark.parametrize("dense", [True, False])
def test_chunks_and_kinds_do_not_matter(batch_size, dense):
    adata = with_donors(small_adata())
    arguments = {"sample_col": "donor", "output": kompot.OutputSettings(inplace=False, **QUIET)}
    expected = run(adata, **arguments)["table"]
    if dense:
        adata.X = adata.X.toarray()
    gp = kompot.GPSettings(batch_size=batch_size)
    pd.testing.assert_frame_equal(run(adata, gp=gp, **arguments)["table"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ({}, type(None)),
        ({"return_full_results": True}, dict),
        ({"copy": True}, ad.AnnData),
        ({"copy": True, "return_full_results": True}, tuple),
        ({"inplace": False}, dict),
    ],
)
def test_what_is_returned(output, kind):
    adata = small_adata()
    before = snapshot(adata)
    result = run(adata, output=kompot.OutputSettings(**output, **QUIET))
    assert isinstance(result, kind)
    if output.get("copy") or output.get("inplace") is False:
        assert_unchanged(adata, before)
    if kind is dict:
        assert set(result) == {"model", "table", "field_names"}


def test_record_and_overwriting(tmp_path):
    adata = small_adata()
    run(adata, "condition", "A", gp=kompot.GPSettings(ls=0.6, random_state=3), genes=["g1"], mu=0.5)
    entry = last_run(adata, "smooth")
    assert {"timestamp", "analysis_type", "params", "field_names", "field_mapping", "environment"} <= set(entry)
    params = entry["params"]
    assert (params["condition"], params["n_genes"], params["gp"]["ls"], params["gp"]["random_state"]) == (
        "A",
        1,
        0.6,
        3,
    )
    assert params["genes"] == ["g1"]
    assert params["extra_kwargs"] == {"mu": 0.5}
    with pytest.warns(OverwriteWarning, match=r"run 0 of .*, A"):
        run(adata, "condition", "A")
    with pytest.raises(ValueError, match="Nothing was computed"):
        run(adata, "condition", "A", storage=kompot.StorageSettings(overwrite=False))
    adata.write_h5ad(tmp_path / "smooth.h5ad")
    assert last_run(ad.read_h5ad(tmp_path / "smooth.h5ad"), "smooth") == last_run(adata, "smooth")


BAD = {
    "condition_alone": ({"condition": "A"}, ValueError, "needs groupby"),
    "column_alone": ({"groupby": "condition"}, ValueError, "needs condition"),
    "absent": ({"groupby": "condition", "condition": "Z"}, ValueError, "condition='Z' does not occur"),
    "genes": ({"genes": ["x"]}, ValueError, "1 of 1 genes are not in"),
    "layer": ({"layer": "x"}, ValueError, "layer='x' is not in"),
    "unknown": ({"sigm": 1}, TypeError, "kompot.smooth_expression has no parameter 'sigm'"),
    "samples": ({"sample_col": "donor"}, ValueError, "sample_col='donor' is not a column"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(monkeypatch, case):
    arguments, error, message = BAD[case]
    adata = small_adata()
    before = snapshot(adata)
    monkeypatch.setattr("kompot.anndata.run_smooth.compute", lambda *_: pytest.fail("computed before the check"))
    with pytest.raises(error, match=message):
        run(adata, **arguments)
    assert_unchanged(adata, before)


def test_one_sample_is_too_few():
    adata = small_adata()
    adata.obs["donor"] = "d"
    before = snapshot(adata)
    with pytest.raises(ValueError, match="at least 2 samples with 2 or more cells each, came 1"):
        run(adata, sample_col="donor")
    assert_unchanged(adata, before)


def test_settings_without_effect():
    with pytest.warns(UnusedParameterWarning, match=r"storage\.store_arrays_on_disk"):
        run(small_adata(), storage=kompot.StorageSettings(store_arrays_on_disk=True))


def test_settings_of_a_fit_that_is_not_made_are_named():
    adata = with_donors(small_adata())
    _, X_A, Y_A, _ = arrays(adata)
    model = kompot.ModelSettings(model1=kompot.ExpressionModel(ls=1.0).fit(X_A, Y_A))
    with pytest.warns(UnusedParameterWarning, match=r"gp\.sigma, gp\.ls, gp\.use_empirical_variance, mu"):
        run(
            adata,
            "condition",
            "A",
            model=model,
            gp=kompot.GPSettings(sigma=3.0, ls=9.0, use_empirical_variance=True),
            mu=1,
        )
    before = snapshot(adata)
    with pytest.raises(ValueError, match="fitted without samples"):
        run(adata, "condition", "A", model=model, sample_col="donor", storage=kompot.StorageSettings(result_key="x"))
    assert_unchanged(adata, before)


def test_layers_that_do_not_fit_are_refused_before_any_work(monkeypatch):
    adata = small_adata()
    before = snapshot(adata)
    monkeypatch.setattr("kompot.anndata.layer_storage.available_bytes", lambda: 10_000)
    monkeypatch.setattr("kompot.anndata.run_smooth.compute", None)
    with pytest.raises(MemoryError, match="The layers need"):
        run(adata, "condition", "A")
    assert_unchanged(adata, before)
