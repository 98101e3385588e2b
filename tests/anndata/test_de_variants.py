"""`kompot.de` with replicates, empirical variance, filters and groups: what it writes, and what that should equal."""

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import QUIET, assert_unchanged, last_run, small_adata, snapshot
from kompot.anndata.layers import layer_names
from kompot.errors import RepresentationWarning, SkippedSampleWarning, StorageWarning

NO_FDR = kompot.FDRSettings(null_genes=0)
SOME_NULL = kompot.FDRSettings(null_genes=20)
OUTPUT = kompot.OutputSettings(**QUIET)


@pytest.fixture
def adata():
    adata = small_adata(160)
    rng = np.random.default_rng(3)
    adata.obs["donor"] = np.char.add("d", rng.integers(0, 6, 160).astype(str))
    adata.obs["kind"] = pd.Categorical(np.where(adata.obsm["DM_EigenVectors"][:, 0] > 0, "right", "left"))
    adata.obs["good"] = np.arange(160) % 5 > 0
    return adata


def run(adata, **options):
    options = {"fdr": NO_FDR, "output": OUTPUT, **options}
    return kompot.de(adata, "condition", "A", "B", **options)


def arrays(adata, rows=slice(None), genes=slice(None)):
    X, Y = adata.obsm["DM_EigenVectors"], adata.X.toarray().astype(np.float64)
    first, second = ((adata.obs["condition"] == c).to_numpy()[rows] for c in "AB")
    X, Y = X[rows], Y[rows][:, genes]
    return X[first], Y[first], X[second], Y[second]


# Replicates


def test_replicates_are_those_of_the_array_interface(adata):
    run(adata, sample_col="donor", storage=kompot.StorageSettings(store_additional_stats=True), fdr=SOME_NULL)
    donor, condition = adata.obs["donor"].to_numpy(), adata.obs["condition"]
    model = kompot.DifferentialExpression().fit(*arrays(adata), donor[condition == "A"], donor[condition == "B"])
    expected = model.predict(adata.obsm["DM_EigenVectors"])
    np.testing.assert_allclose(
        adata.var["kompot_de_A_to_B_mahalanobis_sample_var"], model.mahalanobis_distances(), rtol=1e-4
    )
    for name, values in {
        "A_std": expected.std_1,
        "B_std": expected.std_2,
        "A_to_B_fold_change": expected.fold_change,
        "A_to_B_fold_change_zscores_sample_var": expected.zscore,
    }.items():
        np.testing.assert_allclose(adata.layers[f"kompot_de_{name}"], values, rtol=2e-3, atol=1e-4)
    assert "kompot_de_A_std" not in adata.obs
    columns = {"is_de", "mahalanobis_local_fdr", "mahalanobis_pvalue", "mahalanobis_tail_fdr", "neg_log10_ptp"}
    assert {f"kompot_de_A_to_B_{column}_sample_var" for column in columns} <= set(adata.var)
    assert "kompot_de_A_to_B_mean_lfc" in adata.var


def test_the_record_of_replicates(adata):
    run(adata, sample_col="donor")
    record = last_run(adata)
    assert record["uses_sample_variance"]
    assert record["params"]["sample_col"] == "donor"
    assert "mahalanobis_key" in record["field_names"]["sample_variance_impacted_fields"]
    assert record["field_mapping"]["kompot_de_A_std"]["location"] == "layers"
    assert record["field_mapping"]["kompot_de_A_std"]["type"] == "std_with_sample_var"


def test_auto_null_genes_are_none_with_replicates(adata):
    run(adata, sample_col="donor", fdr=None)
    assert last_run(adata)["params"]["fdr"]["null_genes"] == 0
    assert "kompot_de_A_to_B_is_de_sample_var" not in adata.var


def test_false_discovery_rates_with_replicates_are_for_all_genes(adata):
    run(adata, sample_col="donor", fdr=SOME_NULL)
    assert adata.var["kompot_de_A_to_B_mahalanobis_local_fdr_sample_var"].notna().all()


def test_too_few_replicates(adata):
    adata.obs["donor"] = np.where(adata.obs["condition"] == "A", "only", adata.obs["donor"])
    before = snapshot(adata)
    with pytest.raises(ValueError, match=r"at least 2 samples .* came 1 and"):
        run(adata, sample_col="donor")
    assert_unchanged(adata, before)
    output = kompot.OutputSettings(allow_single_condition_variance=True, **QUIET)
    run(adata, sample_col="donor", output=output)
    assert np.isfinite(adata.var["kompot_de_A_to_B_mahalanobis_sample_var"]).all()


def test_a_donor_with_one_cell_is_skipped_and_recorded(adata):
    adata.obs.loc[adata.obs_names[0], "donor"] = "lonely"
    with pytest.warns(SkippedSampleWarning, match="lonely"):
        run(adata, sample_col="donor")
    assert last_run(adata)["skipped_samples"] == ["lonely"]


def test_replicates_with_a_filter_and_a_gene_subset(adata):
    genes = ["g3", "g1"]
    run(adata, sample_col="donor", genes=genes, filter=kompot.FilterSettings(cell_filter="good"))
    kept = adata[adata.obs["good"]].copy()
    run(kept, sample_col="donor", genes=genes, storage=kompot.StorageSettings(overwrite=True))
    for column in ("mahalanobis_sample_var", "mean_lfc"):
        name = f"kompot_de_A_to_B_{column}"
        pd.testing.assert_series_equal(adata.var[name], kept.var[name], rtol=1e-6)
    std = adata.layers["kompot_de_A_std"]
    good = adata.obs["good"].to_numpy()
    np.testing.assert_allclose(std[good], kept.layers["kompot_de_A_std"], rtol=1e-3)
    assert np.isnan(std[~good]).all()
    assert np.isnan(std[:, 0]).all()


# Empirical variance


@pytest.mark.parametrize("sample_col", [None, "donor"])
def test_empirical_variance(adata, sample_col):
    gp = kompot.GPSettings(use_empirical_variance=True)
    run(adata, gp=gp, sample_col=sample_col, fdr=SOME_NULL)
    donor, condition = adata.obs["donor"].to_numpy(), adata.obs["condition"]
    samples = (donor[condition == "A"], donor[condition == "B"]) if sample_col else ()
    model = kompot.DifferentialExpression(use_empirical_variance=True).fit(*arrays(adata), *samples)
    suffix = "_sample_var" if sample_col else ""
    found = adata.var[f"kompot_de_A_to_B_mahalanobis{suffix}"]
    np.testing.assert_allclose(found, model.mahalanobis_distances(), rtol=1e-4)
    std = model.predict(adata.obsm["DM_EigenVectors"]).std_2
    np.testing.assert_allclose(adata.layers["kompot_de_B_std"], std, rtol=2e-3)
    assert adata.var[f"kompot_de_A_to_B_mahalanobis_local_fdr{suffix}"].notna().all()


# Filters


def test_a_filter_is_the_analysis_of_the_cells_it_keeps(adata):
    storage = kompot.StorageSettings(store_additional_stats=True)
    run(adata, filter=kompot.FilterSettings(cell_filter="good"), fdr=SOME_NULL, storage=storage)
    good = adata.obs["good"].to_numpy()
    kept = adata[good].copy()
    for place in (kept.layers, kept.obs, kept.var):
        for name in [name for name in place if str(name).startswith("kompot")]:
            del place[name]
    run(kept, fdr=SOME_NULL, storage=storage)
    for name in [name for name in kept.var if name.startswith("kompot")]:
        pd.testing.assert_series_equal(adata.var[name], kept.var[name], rtol=1e-5, atol=1e-9)
    for name in [name for name in layer_names(kept) if name.startswith("kompot")]:
        np.testing.assert_allclose(adata.layers[name][good], kept.layers[name], rtol=1e-3, atol=1e-5)
        assert np.isnan(adata.layers[name][~good]).all()
    for name in ("kompot_de_A_std", "kompot_de_B_std"):
        np.testing.assert_allclose(adata.obs[name][good], kept.obs[name], rtol=1e-6)
        assert adata.obs[name][~good].isna().all()


def test_a_filter_keeps_cells_of_other_conditions():
    adata = small_adata(150, others=("C",))
    keep = np.arange(150) % 2 == 0
    run(adata, filter=kompot.FilterSettings(cell_filter=keep))
    layer = adata.layers["kompot_de_A_smoothed"]
    assert np.isfinite(layer[keep]).all()
    change = adata.layers["kompot_de_A_to_B_fold_change"][keep].mean(axis=0)
    np.testing.assert_allclose(adata.var["kompot_de_A_to_B_mean_lfc"], change, atol=1e-5)


def test_a_filter_that_leaves_too_few_cells(adata):
    first = np.flatnonzero(adata.obs["condition"] == "A")
    keep = np.concatenate([first, np.flatnonzero(adata.obs["condition"] == "B")[:1]])
    before = snapshot(adata)
    with pytest.raises(ValueError, match="The filter leaves 1 cell of condition2='B'; at least 2"):
        run(adata, filter=kompot.FilterSettings(cell_filter=keep))
    assert_unchanged(adata, before)


def test_long_masks_are_not_written_into_the_record(adata):
    keep = np.arange(150)
    run(adata, filter=kompot.FilterSettings(cell_filter=keep, groups={"a": keep.tolist(), "b": {"kind": "left"}}))
    assert last_run(adata)["params"]["filter"]["cell_filter"] == "<array shape=(150,)>"
    assert last_run(adata)["params"]["filter"]["groups"] == {"a": "<list of 150>", "b": {"kind": "left"}}


# Groups


def test_groups(adata):
    storage = kompot.StorageSettings(store_additional_stats=True)
    run(adata, filter=kompot.FilterSettings(groups="kind"), fdr=SOME_NULL, storage=storage)
    frames = {name: adata.varm[name] for name in adata.varm}
    assert set(frames) == {
        f"kompot_de_A_to_B_{name}_groups"
        for name in ("mean_lfc", "mahalanobis", "mahalanobis_local_fdr", "is_de", "neg_log10_ptp")
    }
    change = adata.layers["kompot_de_A_to_B_fold_change"]
    for kind in ("left", "right"):
        mean = change[adata.obs["kind"] == kind].mean(axis=0)
        np.testing.assert_allclose(frames["kompot_de_A_to_B_mean_lfc_groups"][kind], mean, atol=1e-5)
    distances = frames["kompot_de_A_to_B_mahalanobis_groups"]
    assert list(distances.columns) == ["left", "right"]
    assert (distances.index == adata.var_names).all()
    means = frames["kompot_de_A_to_B_mean_lfc_groups"]
    assert means.loc["g1", "right"] > 1.5 * abs(means.loc["g1", "left"])  # gene 1 differs on the right only
    fdr = frames["kompot_de_A_to_B_mahalanobis_local_fdr_groups"]
    is_de = frames["kompot_de_A_to_B_is_de_groups"]
    assert all(dtype.kind == "b" for dtype in is_de.dtypes)
    pd.testing.assert_frame_equal(is_de, fdr < 0.05)
    record = last_run(adata)
    assert record["has_groups"]
    assert record["subset_names"] == ["left", "right"]
    summary = record["groups_summary"]["cells_per_group"]["left"]
    assert summary["count"] == (adata.obs["kind"] == "left").sum()
    both = (adata.obs["kind"] == "left") & (adata.obs["condition"] == "A")
    assert summary["conditions"]["A"]["count"] == both.sum()
    assert record["field_mapping"]["kompot_de_A_to_B_mahalanobis_groups"]["contains_subsets"] == ["left", "right"]


def test_groups_change_nothing_else(adata):
    other = adata.copy()
    run(adata, filter=kompot.FilterSettings(groups="kind"), fdr=SOME_NULL)
    run(other, fdr=SOME_NULL)
    pd.testing.assert_frame_equal(adata.var, other.var)


def test_groups_overlap_and_a_group_of_everything_is_the_whole(adata):
    everyone = np.ones(160, dtype=bool)
    run(adata, filter=kompot.FilterSettings(groups={"all": everyone, "half": np.arange(80)}))
    frame = adata.varm["kompot_de_A_to_B_mean_lfc_groups"]
    np.testing.assert_allclose(frame["all"], adata.var["kompot_de_A_to_B_mean_lfc"], rtol=1e-9)


def test_groups_of_a_gene_subset_are_missing_for_other_genes(adata):
    run(adata, genes=["g2", "g0"], filter=kompot.FilterSettings(groups="kind"), fdr=SOME_NULL)
    frame = adata.varm["kompot_de_A_to_B_mahalanobis_groups"]
    assert frame.notna().all(axis=1).to_numpy().nonzero()[0].tolist() == [0, 2]
    assert not adata.varm["kompot_de_A_to_B_is_de_groups"].iloc[1].any()


@pytest.mark.parametrize("sample_col", [None, "donor"])
def test_groups_with_gene_variances(adata, sample_col):
    gp = kompot.GPSettings(use_empirical_variance=True)
    run(adata, gp=gp, sample_col=sample_col, filter=kompot.FilterSettings(groups="kind"), fdr=SOME_NULL)
    suffix = "_sample_var" if sample_col else ""
    frame = adata.varm[f"kompot_de_A_to_B_mahalanobis{suffix}_groups"]
    assert (frame.to_numpy() > 0).all()
    assert adata.varm[f"kompot_de_A_to_B_is_de{suffix}_groups"].shape == (25, 2)


def test_small_groups_are_reported_and_skipped(adata):
    groups = {"one": [4], "none": np.zeros(160, dtype=bool), "left": {"kind": "left"}}
    groups["left"] = (adata.obs["kind"] == "left").to_numpy()
    settings = kompot.FilterSettings(groups=groups, check_representation=False)
    with pytest.warns(RepresentationWarning, match="fewer than 2 cells are skipped .*: one, none"):
        run(adata, filter=settings, fdr=SOME_NULL)
    frame = adata.varm["kompot_de_A_to_B_mahalanobis_groups"]
    assert frame[["one", "none"]].isna().all(axis=None)
    assert frame["left"].notna().all()
    assert not adata.varm["kompot_de_A_to_B_is_de_groups"][["one", "none"]].any(axis=None)


FULL = kompot.OutputSettings(return_full_results=True, **QUIET)


def cells_of(adata, condition):
    return np.flatnonzero(adata.obs["condition"] == condition)


def test_underrepresented_groups_are_reported(adata):
    few = np.concatenate([cells_of(adata, "A")[:20], cells_of(adata, "B")[:1]])
    groups = {"few": few, "left": (adata.obs["kind"] == "left").to_numpy()}
    with pytest.warns(
        RepresentationWarning,
        match=r"too few cells of a condition: few \(B: 1 cell\)\. Their results rest .*leaves them out",
    ):
        run(adata, filter=kompot.FilterSettings(groups=groups), fdr=SOME_NULL)
    assert last_run(adata)["underrepresentation"] == {"few": ["B"]}
    assert not last_run(adata)["auto_filtered"]
    assert all(adata.varm[name].notna().all(axis=None) for name in adata.varm)


@pytest.mark.parametrize("rule", [{}, {"min_cells": 0}, {"min_cells": 0, "check_representation": True}])
def test_groups_without_a_cell_of_a_condition_are_skipped(rule):
    adata = small_adata(200, others=("C",))
    only_a, others = cells_of(adata, "A")[:20], cells_of(adata, "C")[:10]
    few = np.concatenate([only_a, cells_of(adata, "B")[:1]])
    groups = {"only A": only_a, "neither": others, "few": few, "half": np.arange(100)}
    with pytest.warns(RepresentationWarning) as caught:
        run(adata, filter=kompot.FilterSettings(groups=groups, **rule), fdr=SOME_NULL)
    (text,) = [str(warning.message) for warning in caught]
    if rule:  # zero cells are enough by this rule, but not to compare
        assert text == "Groups without any cell of a condition are skipped (NaN in the results): only A, neither."
    else:
        assert "only A (B: 0 cells); neither (A: 0 cells, B: 0 cells); few (B: 1 cell)" in text
        assert "Skipped (NaN in the results), because a condition has no cell there: only A, neither." in text
        assert "Results of the others rest on what surrounds them." in text
    frames = {name.removeprefix("kompot_de_A_to_B_"): adata.varm[name] for name in adata.varm}
    for name in ("mean_lfc", "mahalanobis", "mahalanobis_local_fdr"):
        frame = frames[f"{name}_groups"]
        assert frame[["only A", "neither"]].isna().all(axis=None)
        assert frame[["few", "half"]].notna().all(axis=None)
    assert not frames["is_de_groups"][["only A", "neither"]].any(axis=None)
    assert frames["is_de_groups"]["half"].any()


def test_groups_without_a_cell_of_a_condition_are_computed_if_nobody_looks(adata):
    groups = {"only A": cells_of(adata, "A")[:20]}
    run(adata, filter=kompot.FilterSettings(groups=groups, check_representation=False))
    mean = adata.layers["kompot_de_A_to_B_fold_change"][groups["only A"]].mean(axis=0)
    np.testing.assert_allclose(adata.varm["kompot_de_A_to_B_mean_lfc_groups"]["only A"], mean, atol=1e-5)
    assert adata.varm["kompot_de_A_to_B_mahalanobis_groups"]["only A"].notna().all()


def test_no_weighted_mean_of_a_group_that_is_skipped(adata):
    kompot.da(adata, "condition", "A", "B", output=OUTPUT, calibrate_offset=False)
    groups = {"only A": cells_of(adata, "A")[:20], "half": np.arange(80)}
    with pytest.warns(RepresentationWarning, match="Skipped .*: only A"):
        run(adata, filter=kompot.FilterSettings(groups=groups))
    frame = adata.varm["kompot_de_A_to_B_weighted_mean_lfc_groups"]
    assert frame["only A"].isna().all()
    assert frame["half"].notna().all()


def test_underrepresented_groups_are_left_out_if_asked_for(adata):
    poor = np.flatnonzero(adata.obs["condition"] == "A")[:20]
    left = (adata.obs["kind"] == "left").to_numpy()
    settings = kompot.FilterSettings(groups={"poor": poor, "left": left}, check_representation=True)
    with pytest.warns(RepresentationWarning, match=r"poor \(B: 0 cells\)\. It was left out: 20 cells in all"):
        results = run(adata, filter=settings, output=FULL)
    assert results["underrepresentation"] == {"poor": ["B"]}
    assert last_run(adata)["auto_filtered"]
    assert adata.obs["kompot_de_A_std"].isna().to_numpy().nonzero()[0].tolist() == poor.tolist()
    assert list(adata.varm["kompot_de_A_to_B_mean_lfc_groups"].columns) == ["left"]
    remaining = left.copy()
    remaining[poor] = False
    summary = last_run(adata)["groups_summary"]["cells_per_group"]["left"]
    assert summary["count"] == remaining.sum() < left.sum()
    for label in "AB":
        expected = int((remaining & (adata.obs["condition"] == label)).sum())
        assert summary["conditions"][label]["count"] == expected


def test_groups_that_lose_their_cells_with_others_are_left_out_too(adata):
    a, b = cells_of(adata, "A"), cells_of(adata, "B")
    groups = {
        "next": np.concatenate([a[:21], b[:10]]),  # one A is left without "poor"
        "last": np.concatenate([b[:11], a[30:40]]),  # one B is left without "next"
        "poor": a[:20],
        "inside": np.concatenate([a[:5], b[:5]]),  # no A is left without "poor"
        "fine": np.concatenate([a, b]),
    }
    with pytest.warns(RepresentationWarning) as caught:
        results = run(adata, filter=kompot.FilterSettings(groups=groups, check_representation=True), output=FULL)
    assert str(caught[0].message) == (
        "Groups with too few cells of a condition: poor (B: 0 cells). Without their cells also: next (A: 1 cell); "
        "inside (A: 0 cells). Without their cells also: last (B: 1 cell). They were left out: 42 cells in all."
    )
    assert results["underrepresentation"] == {"poor": ["B"], "next": ["A"], "inside": ["A"], "last": ["B"]}
    gone = np.concatenate([a[:21], b[:11], a[30:40]])
    assert sorted(adata.obs["kompot_de_A_std"].isna().to_numpy().nonzero()[0]) == sorted(gone)
    record = last_run(adata)
    assert record["subset_names"] == ["fine"]
    found = record["groups_summary"]["cells_per_group"]["fine"]
    assert found["count"] == 160 - len(gone)
    assert found["conditions"]["A"]["count"] == len(a) - 31
    assert found["conditions"]["B"]["count"] == len(b) - 11


def test_leaving_out_groups_that_leaves_too_few_cells(adata):
    groups = {"all A": cells_of(adata, "A")}
    settings = kompot.FilterSettings(groups=groups, check_representation=True)
    with (
        pytest.warns(RepresentationWarning, match="It was left out"),
        pytest.raises(ValueError, match=r"Leaving out groups .* leaves 0 cells of condition1='A'"),
    ):
        run(adata, filter=settings)


@pytest.mark.parametrize(("min_cells", "percentage", "bad"), [(30, None, True), (2, 45.0, True), (2, 5.0, False)])
def test_limits_of_representation(adata, min_cells, percentage, bad):
    condition = adata.obs["condition"].to_numpy()
    group = np.concatenate([np.flatnonzero(condition == "A")[:40], np.flatnonzero(condition == "B")[:25]])
    settings = kompot.FilterSettings(groups={"g": group}, min_cells=min_cells, min_percentage=percentage)
    if bad:
        with pytest.warns(RepresentationWarning, match=r"g \(B: 25 cells\)"):
            run(adata, filter=settings)
    else:
        run(adata, filter=settings)


# The weighted mean fold change


@pytest.mark.parametrize("reverse", [False, True])
def test_weighted_means_after_abundance(adata, reverse):
    quiet = {"output": OUTPUT, "calibrate_offset": False}
    kompot.da(adata, "condition", *("BA" if reverse else "AB"), **quiet)
    lfc = adata.obs["kompot_da_B_to_A_lfc" if reverse else "kompot_da_A_to_B_lfc"]
    results = run(
        adata,
        filter=kompot.FilterSettings(groups="kind"),
        output=kompot.OutputSettings(return_full_results=True, **QUIET),
    )
    change, weights = adata.layers["kompot_de_A_to_B_fold_change"], np.exp(np.abs(lfc.to_numpy()))
    expected = weights @ change / weights.sum()
    np.testing.assert_allclose(adata.var["kompot_de_A_to_B_weighted_mean_lfc"], expected, atol=1e-5)
    np.testing.assert_allclose(results["table"]["weighted_mean_lfc"], expected, atol=1e-5)
    left = (adata.obs["kind"] == "left").to_numpy()
    expected = weights[left] @ change[left] / weights[left].sum()
    frame = adata.varm["kompot_de_A_to_B_weighted_mean_lfc_groups"]
    np.testing.assert_allclose(frame["left"], expected, atol=1e-5)


@pytest.mark.parametrize("change", ["other embedding", "column gone", "other conditions"])
def test_no_weights_without_a_matching_abundance(adata, change):
    adata.obsm["X_pca"] = adata.obsm["DM_EigenVectors"].copy()
    key = "X_pca" if change == "other embedding" else "DM_EigenVectors"
    kompot.da(adata, "condition", "A", "B", obsm_key=key, output=OUTPUT, calibrate_offset=False)
    if change == "column gone":
        del adata.obs["kompot_da_A_to_B_lfc"]
    if change == "other conditions":
        adata.obs["condition"] = adata.obs["condition"].cat.rename_categories({"B": "C"})
        kompot.de(adata, "condition", "A", "C", fdr=NO_FDR, output=OUTPUT)
    else:
        run(adata)
    assert not [name for name in adata.var if "weighted" in name]


# The posterior covariance


def test_posterior_covariance(adata):
    storage = kompot.StorageSettings(store_posterior_covariance=True)
    run(adata, storage=storage, filter=kompot.FilterSettings(cell_filter="good"))
    covariance = adata.obsp["kompot_de_A_to_B_posterior_covariance"]
    good = adata.obs["good"].to_numpy()
    stds = adata.obs["kompot_de_A_std"] ** 2 + adata.obs["kompot_de_B_std"] ** 2 - 2e-8
    np.testing.assert_allclose(np.diag(covariance)[good], stds[good], rtol=1e-8)
    assert not covariance[~good].any()
    assert not covariance[:, ~good].any()
    assert np.linalg.eigvalsh(covariance).min() > -1e-8
    assert last_run(adata)["field_mapping"]["kompot_de_A_to_B_posterior_covariance"]["location"] == "obsp"


def test_posterior_covariance_is_refused_with_replicates(adata):
    storage = kompot.StorageSettings(store_posterior_covariance=True)
    with pytest.warns(StorageWarning, match="not stored with replicates"):
        run(adata, sample_col="donor", storage=storage)
    assert not adata.obsp


def test_posterior_covariance_that_does_not_fit(adata, monkeypatch):
    monkeypatch.setattr("kompot.anndata.layer_storage.available_bytes", lambda: 400_000)
    before = snapshot(adata)
    storage = kompot.StorageSettings(store_posterior_covariance=True, store_layers=False)
    with pytest.raises(MemoryError, match="posterior covariance of 160 cells needs"):
        run(adata, storage=storage)
    assert_unchanged(adata, before)


@pytest.mark.parametrize(
    ("copy", "inplace", "full"), [(c, i, f) for c in (False, True) for i in (False, True) for f in (False, True)]
)
@pytest.mark.parametrize("variant", ["plain", "everything"])
def test_copy_and_inplace(adata, copy, inplace, full, variant):
    options = {}
    if variant == "everything":
        options = {
            "sample_col": "donor",
            "gp": kompot.GPSettings(use_empirical_variance=True),
            "filter": kompot.FilterSettings(groups="kind", cell_filter="good"),
            "fdr": SOME_NULL,
        }
    before = snapshot(adata)
    output = kompot.OutputSettings(copy=copy, inplace=inplace, return_full_results=full, **QUIET)
    results = run(adata, output=output, **options)
    if copy or not inplace:
        assert_unchanged(adata, before)
    written = results[1] if copy and full else results if copy else adata if inplace else None
    if written is not None:
        assert "kompot_de_A_to_B_mean_lfc" in written.var
        assert len(written.varm) == (4 if variant == "everything" else 0)
    dictionary = results[0] if copy and full else results if not copy and (full or not inplace) else None
    if dictionary is None:
        assert copy or results is None
    else:
        assert {"model", "table", "landmarks", "field_names"} <= set(dictionary)
        assert ("groups" in dictionary) == (variant == "everything")
