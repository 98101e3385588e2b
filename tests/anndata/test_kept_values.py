"""A second run on some genes under the same key: other genes keep what still holds, and lose the rest with a word."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import QUIET, last_run, small_adata
from kompot.errors import OverwriteWarning

K = "kompot_de_A_to_B_"
OUTPUT = kompot.OutputSettings(**QUIET)
TOP = ["g0", "g1", "g7"]
LAYERS = ["kompot_de_A_smoothed", "kompot_de_B_smoothed", K + "fold_change"]


def donors(adata):
    """Three donors in each condition."""
    number = np.arange(adata.n_obs) % 3
    adata.obs["donor"] = pd.Categorical([f"{c}{i}" for c, i in zip(adata.obs["condition"], number, strict=True)])
    adata.obs["kind"] = pd.Categorical(np.where(adata.obsm["DM_EigenVectors"][:, 0] > 0, "right", "left"))
    return adata


@pytest.fixture(name="adata")
def fixture_adata():
    return donors(small_adata(n_cells=180, n_genes=12, seed=2))


def run(adata, **options):
    kompot.de(adata, "condition", "A", "B", **{"output": OUTPUT, "fdr": kompot.FDRSettings(null_genes=0), **options})


def others(adata):
    return ~adata.var_names.isin(TOP)


def test_the_two_passes_of_the_interface(adata, caplog):
    """All genes with a null distribution, then the top genes with replicates: nothing of the first run is lost."""
    run(adata, fdr=kompot.FDRSettings(null_genes=12))
    first_var, first_layers = adata.var.copy(), {name: adata.layers[name].copy() for name in LAYERS}
    alone = donors(small_adata(n_cells=180, n_genes=12, seed=2))
    run(alone, genes=TOP, sample_col="donor")
    with caplog.at_level(logging.INFO, logger="kompot"):
        run(adata, genes=TOP, sample_col="donor")  # no warning: warnings are errors here
    assert "keep their values of other genes" in caplog.text
    for name in first_var:
        pd.testing.assert_series_equal(adata.var[name], first_var[name])
    for name in LAYERS:
        np.testing.assert_allclose(adata.layers[name], first_layers[name], rtol=1e-5, atol=1e-6)
    with_replicates = K + "mahalanobis_sample_var"
    np.testing.assert_allclose(adata.var[with_replicates], alone.var[with_replicates])
    assert adata.var[with_replicates].notna().sum() == 3
    kept = last_run(adata)["kept_values"]
    assert kept == dict.fromkeys([K + "mean_lfc", *LAYERS], "run 0 of de")


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_layers_on_disk_keep_their_values_too(adata, tmp_path, place):
    first = kompot.StorageSettings(disk_storage_dir=str(tmp_path))
    second = kompot.StorageSettings(disk_storage_dir=str(tmp_path) if place == "disk" else None)
    run(adata, storage=first)
    before = {name: np.asarray(adata.layers[name]) for name in LAYERS}
    run(adata, storage=second, genes=TOP, sample_col="donor")
    for name in LAYERS:
        np.testing.assert_allclose(np.asarray(adata.layers[name]), before[name], rtol=1e-5, atol=1e-6)


CHANGES = {
    "gp.sigma": lambda _: {"gp": kompot.GPSettings(sigma=0.5)},
    "gp.landmarks": lambda adata: {"gp": kompot.GPSettings(landmarks=adata.obsm["DM_EigenVectors"][::9])},
    "extra_kwargs": lambda _: {"mu": 0.25},
    "layer": lambda _: {"layer": "counts"},
    "cells": lambda _: {"filter": kompot.FilterSettings(cell_filter={"kind": ["right"]})},
    "model": lambda adata: {"model": models(adata)},
}


def models(adata):
    """Models of both conditions, fitted as a run fits them."""
    found = kompot.OutputSettings(inplace=False, **QUIET)
    model = kompot.de(adata, "condition", "A", "B", fdr=kompot.FDRSettings(null_genes=0), output=found)["model"]
    return kompot.ModelSettings(model1=model.model1, model2=model.model2)


@pytest.mark.parametrize("name", CHANGES)
def test_what_depends_on_a_change_is_lost_with_a_warning(adata, name):
    options = CHANGES[name](adata)
    run(adata)
    with pytest.warns(OverwriteWarning, match=rf"9 genes that genes does not name will be lost .* differ in: {name}\."):
        run(adata, genes=TOP, **options)
    assert adata.var.loc[others(adata), K + "mean_lfc"].isna().all()
    for layer in LAYERS:
        assert np.isnan(adata.layers[layer][:, others(adata)]).all()
    assert last_run(adata)["kept_values"] == {}


def move_a_cell(adata):
    adata.obsm["DM_EigenVectors"][3, 0] += 0.1


def relabel_a_cell(adata):
    labels = adata.obs["condition"].to_numpy(dtype=object).copy()
    labels[3] = "B" if labels[3] == "A" else "A"
    adata.obs["condition"] = labels


@pytest.mark.parametrize("change", [move_a_cell, relabel_a_cell])
def test_cells_that_changed_in_between(adata, change):
    run(adata)
    change(adata)
    with pytest.warns(OverwriteWarning, match=r"differ in: cells\."):
        run(adata, genes=TOP)
    assert adata.var.loc[others(adata), K + "mean_lfc"].isna().all()


def test_expression_that_changed_in_between(adata):
    run(adata)
    adata.X = adata.X * 1.1
    with pytest.warns(OverwriteWarning, match="The data changed since run 0 of de"):
        run(adata, genes=TOP)
    assert adata.var.loc[others(adata), K + "mean_lfc"].isna().all()
    assert np.isnan(adata.layers[K + "fold_change"][:, others(adata)]).all()
    assert last_run(adata)["kept_values"] == {}


def test_the_order_of_cells_is_no_change(adata):
    run(adata)
    moved = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    before = moved.layers[K + "fold_change"].copy()
    run(moved, genes=TOP, sample_col="donor")
    np.testing.assert_allclose(moved.layers[K + "fold_change"], before, rtol=1e-4, atol=1e-5)


def test_rates_of_two_null_distributions_are_never_mixed(adata):
    fdr = kompot.FDRSettings(null_genes=12)
    run(adata, fdr=fdr)
    before = adata.var.copy()
    with pytest.warns(OverwriteWarning, match=r"in var\['.*_local_fdr'\].*is_de.*differ in: null distribution"):
        run(adata, genes=TOP, fdr=fdr)
    rest = others(adata)
    assert adata.var.loc[rest, K + "mahalanobis_local_fdr"].isna().all()
    assert not adata.var.loc[rest, K + "is_de"].any()
    for name in ("mahalanobis", "mean_lfc"):
        pd.testing.assert_series_equal(adata.var.loc[rest, K + name], before.loc[rest, K + name])


def test_distances_depend_on_the_replicates(adata):
    run(adata, sample_col="donor")
    adata.obs["donor2"] = adata.obs["donor"].astype(str).str.replace("2", "1")
    with pytest.warns(OverwriteWarning, match=r"mahalanobis_sample_var'\].* differ in: sample_col, samples\."):
        run(adata, genes=TOP, sample_col="donor2")
    rest = others(adata)
    assert adata.var.loc[rest, K + "mahalanobis_sample_var"].isna().all()
    assert adata.var.loc[rest, K + "mean_lfc"].notna().all()
    assert np.isnan(adata.layers["kompot_de_A_std"][:, rest]).all()


def test_results_per_group(adata):
    groups = kompot.FilterSettings(groups="kind")
    run(adata, filter=groups)
    before = {name: adata.varm[name].copy() for name in (K + "mean_lfc_groups", K + "mahalanobis_groups")}
    run(adata, filter=groups, genes=TOP)
    for name, table in before.items():
        pd.testing.assert_frame_equal(adata.varm[name], table, rtol=1e-5)
    adata.obs["kind"] = pd.Categorical(np.where(adata.obsm["DM_EigenVectors"][:, 0] > 0.3, "right", "left"))
    with pytest.warns(OverwriteWarning, match=r"lost \(NaN\) in varm.* differ in: (left|right), (left|right)\."):
        run(adata, filter=groups, genes=TOP)
    assert adata.varm[K + "mean_lfc_groups"].loc[others(adata)].isna().all(axis=None)
    assert adata.var[K + "mean_lfc"].notna().all()


def test_weighted_means_depend_on_the_run_of_da(adata):
    kompot.da(adata, "condition", "A", "B", output=OUTPUT)
    run(adata)
    column = K + "weighted_mean_lfc"
    run(adata, genes=TOP)
    assert adata.var[column].notna().all()
    kompot.da(adata, "condition", "A", "B", output=OUTPUT, storage=kompot.StorageSettings(overwrite=True))
    with pytest.warns(OverwriteWarning, match=r"weighted_mean_lfc'\].* differ in: abundance_weights\."):
        run(adata, genes=TOP)
    assert adata.var.loc[others(adata), column].isna().all()


def test_three_runs_in_a_row(adata):
    run(adata)
    before = adata.var[K + "mean_lfc"].copy()
    run(adata, genes=TOP)
    run(adata, genes=["g3"])
    np.testing.assert_allclose(adata.var[K + "mean_lfc"], before)
    assert set(last_run(adata)["kept_values"].values()) == {"run 1 of de"}
    assert not kompot.RunInfo(adata).overwritten_fields


def test_records_that_do_not_say_which_cells(adata):
    """Those of earlier versions and of kompot 0.8.0."""
    run(adata)
    history = json.loads(adata.uns["kompot_de"]["run_history"])
    del history[0]["inputs"]
    adata.uns["kompot_de"]["run_history"] = json.dumps(history)
    with pytest.warns(OverwriteWarning, match=r"differ in: cells"):
        run(adata, genes=TOP)
    assert adata.var.loc[others(adata), K + "mean_lfc"].isna().all()


def test_fields_of_no_run(adata):
    adata.var[K + "mean_lfc"] = 1.0
    with pytest.warns(OverwriteWarning, match=r"differ in: no record of them\."):
        run(adata, genes=TOP)
    assert adata.var.loc[others(adata), K + "mean_lfc"].isna().all()


def test_overwriting_refused_or_silent(adata):
    run(adata)
    with pytest.raises(ValueError, match="Results exist already"):
        run(adata, genes=TOP, storage=kompot.StorageSettings(overwrite=False))
    run(adata, genes=TOP, gp=kompot.GPSettings(sigma=0.5), storage=kompot.StorageSettings(overwrite=True))
    assert adata.var.loc[others(adata), K + "mean_lfc"].isna().all()


def test_all_genes_again_are_replaced(adata):
    run(adata)
    with pytest.warns(OverwriteWarning, match="They will be replaced") as caught:
        run(adata, sample_col="donor")
    assert "lost" not in str(caught[0].message)
    assert last_run(adata)["kept_values"] == {}


def smooth(adata, **options):
    kompot.smooth_expression(adata, "condition", "A", output=OUTPUT, **options)


def test_smoothing_more_genes(adata):
    smooth(adata)
    before = {name: adata.layers[name].copy() for name in ("kompot_smooth_A_smoothed", "kompot_smooth_A_std")}
    smooth(adata, genes=["g7", "g0"])
    for name, layer in before.items():
        np.testing.assert_allclose(adata.layers[name], layer, rtol=1e-5, atol=1e-6)
    assert last_run(adata, "smooth")["kept_values"] == dict.fromkeys(before, "run 0 of smooth")
    with pytest.warns(OverwriteWarning, match=r"\(NaN\) in layers\['kompot_smooth_A_std'\], .*: sample_col, samples"):
        smooth(adata, genes=TOP, sample_col="donor")
    np.testing.assert_allclose(adata.layers["kompot_smooth_A_smoothed"], before["kompot_smooth_A_smoothed"], rtol=1e-5)
    assert np.isnan(adata.layers["kompot_smooth_A_std"][:, others(adata)]).all()
    adata.X = adata.X * 2
    with pytest.warns(OverwriteWarning, match="The data changed since run 2 of smooth"):
        smooth(adata, genes=TOP, sample_col="donor")
    assert np.isnan(adata.layers["kompot_smooth_A_smoothed"][:, others(adata)]).all()


def test_a_copy_keeps_values_too(adata):
    run(adata)
    before = adata.var.copy()
    output = kompot.OutputSettings(copy=True, **QUIET)
    copy = kompot.de(
        adata, "condition", "A", "B", genes=TOP, sample_col="donor", output=output, fdr=kompot.FDRSettings(null_genes=0)
    )
    pd.testing.assert_frame_equal(adata.var, before)
    np.testing.assert_allclose(copy.var[K + "mean_lfc"], before[K + "mean_lfc"], rtol=1e-5)
