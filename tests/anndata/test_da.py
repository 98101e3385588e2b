"""What `kompot.da` writes, returns, records and refuses."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import assert_unchanged, last_run, small_adata, snapshot
from kompot.errors import (
    DuplicateCellsWarning,
    OffsetWarning,
    OverwriteWarning,
    SkippedSampleWarning,
    UnusedParameterWarning,
)

K = "kompot_da_A_to_B_"
NO_OFFSET = {"calibrate_offset": False}


def run(adata, **kwargs):
    return kompot.da(adata, "condition", "A", "B", **{**NO_OFFSET, **kwargs})


def table_of(adata, **kwargs):
    return run(adata, output=kompot.OutputSettings(inplace=False), **kwargs)["table"]


def with_donors(adata, n_donors=3):
    numbers = pd.Series(np.arange(adata.n_obs) % n_donors, index=adata.obs_names).astype(str)
    adata.obs["donor"] = adata.obs["condition"].astype(str) + numbers
    return adata


def arrays(adata):
    X = adata.obsm["DM_EigenVectors"]
    return X, [X[(adata.obs["condition"] == label).to_numpy()] for label in "AB"]


def test_fields_types_and_values():
    adata = small_adata(n_cells=300)
    before = set(adata.obs)
    run(adata)
    assert set(adata.obs) - before == {
        *(K + name for name in ("lfc", "lfc_zscore", "neg_log10_lfc_ptp", "lfc_direction")),
        "kompot_da_A_log_density",
        "kompot_da_B_log_density",
    }
    X, (first, second) = arrays(adata)
    change = kompot.DifferentialAbundance(calibrate_offset=False).fit(first, second).predict(X)
    np.testing.assert_allclose(adata.obs[K + "lfc"], change.lfc, atol=1e-6)
    np.testing.assert_allclose(adata.obs[K + "lfc_zscore"], change.zscore, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(adata.obs[K + "neg_log10_lfc_ptp"], change.neg_log10_ptp, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(adata.obs["kompot_da_A_log_density"], change.log_density_1, atol=1e-6)
    np.testing.assert_allclose(adata.obs["kompot_da_B_log_density"], change.log_density_2, atol=1e-6)


def test_direction_is_a_categorical_with_colours():
    adata = small_adata(n_cells=300)
    run(adata, threshold=kompot.DAThresholdSettings(lfc_threshold=0.05, ptp_threshold=0.5))
    direction = adata.obs[K + "lfc_direction"]
    assert list(direction.cat.categories) == ["up", "neutral", "down"]
    assert adata.uns[K + "lfc_direction_colors"] == ["#d73027", "#d3d3d3", "#4575b4"]
    lfc, ptp = adata.obs[K + "lfc"], adata.obs[K + "neg_log10_lfc_ptp"]
    changed = (lfc.abs() > 0.05) & (ptp > -np.log10(0.5))
    expected = np.where(changed, np.where(lfc > 0, "up", "down"), "neutral")
    assert (direction.astype(str) == expected).all()
    assert changed.any()


def test_abundance_needs_no_genes():
    adata = small_adata()[:, :0].copy()
    run(adata)
    assert np.isfinite(adata.obs[K + "lfc"]).all()


def test_swapping_and_order_of_cells():
    adata = small_adata(n_cells=200)
    there = table_of(adata)
    output = kompot.OutputSettings(inplace=False)
    back = kompot.da(adata, "condition", "B", "A", output=output, **NO_OFFSET)["table"]
    np.testing.assert_allclose(back["lfc"], -there["lfc"], atol=1e-8)
    np.testing.assert_allclose(back["neg_log10_ptp"], there["neg_log10_ptp"], rtol=1e-6)
    shuffled = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    np.testing.assert_allclose(table_of(shuffled).loc[there.index, "lfc"], there["lfc"], atol=1e-6)


def test_other_conditions_are_evaluated_only():
    adata = small_adata(n_cells=240, others=("C",))
    run(adata)
    two = adata[adata.obs["condition"] != "C"].copy()
    np.testing.assert_allclose(adata.obs.loc[two.obs_names, K + "lfc"], table_of(two)["lfc"], atol=1e-6)
    assert np.isfinite(adata.obs[K + "lfc"]).all()


def test_samples_add_variance_and_a_suffix():
    adata = with_donors(small_adata(n_cells=240))
    plain = table_of(adata)
    run(adata, sample_col="donor")
    assert K + "lfc_zscore_sample_var" in adata.obs
    assert K + "lfc" in adata.obs
    np.testing.assert_allclose(adata.obs[K + "lfc"], plain["lfc"], atol=1e-8)
    assert (adata.obs[K + "lfc_zscore_sample_var"].abs() <= plain["lfc_zscore"].abs() + 1e-9).all()
    assert last_run(adata, "da")["uses_sample_variance"] is True
    assert last_run(adata, "da")["density"]["n_samples"] == [3, 3]


def test_a_sample_of_one_cell_is_skipped_and_recorded():
    adata = with_donors(small_adata(n_cells=240))
    adata.obs.loc[adata.obs_names[0], "donor"] = "alone"
    with pytest.warns(SkippedSampleWarning, match="alone"):
        run(adata, sample_col="donor")
    assert last_run(adata, "da")["density"]["skipped_samples"] == ["alone"]


def test_too_few_samples_and_borrowing():
    adata = with_donors(small_adata(n_cells=240))
    adata.obs.loc[adata.obs["condition"] == "A", "donor"] = "A0"
    before = snapshot(adata)
    with pytest.raises(ValueError, match="came 1 and 3 for condition 1 and 2"):
        run(adata, sample_col="donor")
    assert_unchanged(adata, before)
    run(adata, sample_col="donor", output=kompot.OutputSettings(allow_single_condition_variance=True))
    assert np.isfinite(adata.obs[K + "lfc_zscore_sample_var"]).all()


def test_missing_sample_labels():
    adata = with_donors(small_adata())
    adata.obs.loc[adata.obs_names[:3], "donor"] = None
    with pytest.raises(ValueError, match="has no label for 3 of the 120 cells"):
        run(adata, sample_col="donor")


def test_the_offset_is_removed_recorded_and_warned_of():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1100, 3))
    obs = pd.DataFrame({"condition": np.repeat(["A", "B"], [1000, 100])}, index=[f"c{i}" for i in range(1100)])
    adata = ad.AnnData(obs=obs, obsm={"DM_EigenVectors": X})
    with pytest.warns(OffsetWarning, match="1,000 and 100") as caught:
        kompot.da(adata, "condition", "A", "B")
    assert caught[0].filename == __file__
    offset = last_run(adata, "da")["density"]["offset"]
    assert abs(offset) > 0.3
    calibrated = adata.obs[K + "lfc"]
    raw = adata.obs["kompot_da_B_log_density"] - adata.obs["kompot_da_A_log_density"]
    np.testing.assert_allclose(calibrated, raw + offset, atol=1e-9)
    assert abs(calibrated.mean()) < 0.1 < abs(raw.mean())
    np.testing.assert_allclose(table_of(adata)["lfc"], raw, atol=1e-9)


class Normal:
    """A density that is known."""

    def __init__(self, mean):
        self.mean = mean

    def __call__(self, X):
        return -0.5 * ((X - self.mean) ** 2).sum(axis=1)

    def covariance(self, X, diag=True):
        assert diag
        return np.full(len(X), 0.25)


def test_injected_predictors():
    adata = small_adata()
    X, _ = arrays(adata)
    model = kompot.ModelSettings(density_predictor1=Normal(0.0), density_predictor2=Normal(0.5))
    table = table_of(adata, model=model)
    np.testing.assert_allclose(table["lfc"], Normal(0.5)(X) - Normal(0.0)(X))
    np.testing.assert_allclose(table["lfc_zscore"], table["lfc"] / np.sqrt(0.5 + 1e-8))


def test_our_own_predictors_give_the_same_as_fitting():
    adata = small_adata(n_cells=200)
    results = run(adata, output=kompot.OutputSettings(inplace=False))
    fitted = [results["model"].fits[0].densities[code].predictor for code in (0, 1)]
    model = kompot.ModelSettings(density_predictor1=fitted[0], density_predictor2=fitted[1])
    pd.testing.assert_frame_equal(table_of(adata, model=model), results["table"], rtol=1e-6)


def test_injected_variance_predictors():
    adata = small_adata()

    def constant(X, diag=True):
        assert diag
        return np.full(len(X), 2.0)

    model = kompot.ModelSettings(
        density_predictor1=Normal(0.0), density_predictor2=Normal(0.5), variance_predictor1=constant
    )
    table = table_of(adata, model=model)
    np.testing.assert_allclose(table["lfc_zscore"], table["lfc"] / np.sqrt(2.5 + 1e-8))


def test_parameters_reach_the_density_and_the_record():
    adata = small_adata()
    run(adata, d=1.5, mu=-7.0, gp=kompot.GPSettings(ls=0.9))
    fit = last_run(adata, "da")["density"]["fits"][0]
    assert (fit["d"], fit["mu"], fit["ls"]) == (1.5, -7.0, 0.9)
    assert last_run(adata, "da")["params"]["extra_kwargs"] == {"calibrate_offset": False, "d": 1.5, "mu": -7.0}


def test_parameters_are_shared_or_not():
    adata = small_adata(n_cells=300)
    run(adata)
    assert len(last_run(adata, "da")["density"]["fits"]) == 1
    run(adata, sync_parameters=False, storage=kompot.StorageSettings(overwrite=True))
    fits = last_run(adata, "da")["density"]["fits"]
    assert [fit["conditions"] for fit in fits] == [["A"], ["B"]]
    assert fits[0]["d"] != fits[1]["d"]


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
    result = run(adata, output=kompot.OutputSettings(**output))
    assert isinstance(result, kind)
    if output.get("copy") or output.get("inplace") is False:
        assert_unchanged(adata, before)
    if kind is dict:
        assert list(result["table"]) == ["lfc", "lfc_zscore", "neg_log10_ptp", "direction"]
        assert set(result) == {"table", "model", "field_names", "landmarks"}


def test_records_and_overwriting():
    adata = small_adata()
    run(adata)
    entry = last_run(adata, "da")
    promised = (
        "timestamp function result_key analysis_type lfc_key zscore_key ptp_key direction_key density_keys field_names "
        "uses_sample_variance has_groups params environment field_mapping kompot_version"
    )
    assert set(promised.split()) <= set(entry)
    assert entry["field_mapping"][K + "lfc_direction_colors"]["location"] == "uns"
    with pytest.warns(OverwriteWarning, match=r"run 0 of .*A to B"):
        run(adata)
    with pytest.raises(ValueError, match="Nothing was computed"):
        run(adata, storage=kompot.StorageSettings(overwrite=False))


def test_results_survive_writing(tmp_path):
    adata = small_adata()
    run(adata, storage=kompot.StorageSettings(store_landmarks=True))
    adata.write_h5ad(tmp_path / "da.h5ad")
    back = ad.read_h5ad(tmp_path / "da.h5ad")
    assert last_run(back, "da") == last_run(adata, "da")
    assert list(back.obs[K + "lfc_direction"].cat.categories) == ["up", "neutral", "down"]
    assert back.uns["kompot_da"]["landmarks"].shape[1] == 3


BAD = {
    "no_embedding": ({"obsm_key": "X"}, ValueError, "adata.obsm has no 'X'"),
    "equal": ({"condition2": "A"}, ValueError, "must differ"),
    "absent": ({"condition2": "C"}, ValueError, "condition2='C' does not occur"),
    "sample_column": ({"sample_col": "donr"}, ValueError, "sample_col='donr' is not a column"),
    "unknown": ({"dd": 1}, TypeError, "kompot.da has no parameter 'dd'. Did you mean 'd'"),
    "dimension": ({"d": -1}, ValueError, "d must lie between"),
    "method": ({"d_method": "x"}, ValueError, "d_method must be 'fractal' or 'embedding'"),
    "switch": ({"calibrate_offset": 1}, TypeError, "calibrate_offset must be True or False"),
    "settings": ({"threshold": kompot.FDRSettings()}, TypeError, "threshold must be kompot.DAThresholdSettings"),
    "landmarks": ({"gp": kompot.GPSettings(landmarks=np.ones((3, 2)))}, ValueError, "landmarks must have one column"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(monkeypatch, case):
    arguments, error, message = BAD[case]
    adata = small_adata()
    before = snapshot(adata)
    monkeypatch.setattr("kompot.anndata.run_da.fit", lambda *_: pytest.fail("computed before the input was checked"))
    call = {"groupby": "condition", "condition1": "A", "condition2": "B", **arguments}
    with pytest.raises(error, match=message):
        kompot.da(adata, **call)
    assert_unchanged(adata, before)


def test_no_path_is_recorded():
    adata = small_adata()
    with pytest.warns(UnusedParameterWarning, match=r"storage\.disk_storage_dir"):
        run(adata, storage=kompot.StorageSettings(disk_storage_dir="/home/somebody"))
    assert "somebody" not in adata.uns["kompot_da"]["run_history"]


def test_settings_without_effect_are_one_warning():
    adata = small_adata()
    with pytest.warns(UnusedParameterWarning, match="gp.sigma, storage.store_arrays_on_disk") as caught:
        run(adata, gp=kompot.GPSettings(sigma=2.0), storage=kompot.StorageSettings(store_arrays_on_disk=True))
    assert len(caught) == 1


def test_identical_cells_get_a_floor_and_a_warning():
    adata = small_adata()
    X = adata.obsm["DM_EigenVectors"].copy()
    cells = np.flatnonzero(adata.obs["condition"] == "A")[:4]
    X[cells] = X[cells[0]]
    adata.obsm["DM_EigenVectors"] = X
    with pytest.warns(DuplicateCellsWarning, match="4 of .* cells have the same coordinates"):
        run(adata)
    assert np.isfinite(adata.obs[K + "lfc"]).all()


@pytest.mark.parametrize("n_first", [2, 3])
def test_tiny_conditions(n_first):
    adata = small_adata()
    keep = (adata.obs["condition"] == "B").to_numpy(copy=True)
    keep[np.flatnonzero(~keep)[:n_first]] = True
    table = table_of(adata[keep].copy(), calibrate_offset=False)
    assert np.isfinite(table[["lfc", "lfc_zscore", "neg_log10_ptp"]]).all().all()


def test_many_dimensions():
    adata = small_adata(n_cells=150)
    adata.obsm["DM_EigenVectors"] = np.random.default_rng(0).normal(size=(150, 50))
    assert np.isfinite(table_of(adata)["lfc"]).all()


@pytest.mark.parametrize("stage", ["fit_conditions", "sample_masks", "change_statistics"])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_failures_leave_the_object_alone(monkeypatch, stage, failure):
    adata = small_adata()
    before = snapshot(adata)

    def fail(*_args, **_kwargs):
        raise failure("stopped")

    monkeypatch.setattr(f"kompot.differential.abundance.{stage}", fail)
    with pytest.raises(failure, match="stopped"):
        run(adata)
    assert_unchanged(adata, before)


def test_samples_need_their_variance_where_densities_are_given():
    adata = with_donors(small_adata(n_cells=300))
    predictors = kompot.ModelSettings(density_predictor1=Normal(0.0), density_predictor2=Normal(0.5))
    with pytest.raises(ValueError, match="pass variance_predictor1 too"):
        run(adata, model=predictors, sample_col="donor")


def test_settings_of_densities_that_are_not_fitted_are_named():
    adata = small_adata(n_cells=300)
    predictors = kompot.ModelSettings(density_predictor1=Normal(0.0), density_predictor2=Normal(0.5))
    storage = kompot.StorageSettings(store_landmarks=True)
    with pytest.warns(UnusedParameterWarning, match=r"gp\.ls, storage\.store_landmarks, d, mu"):
        run(adata, model=predictors, gp=kompot.GPSettings(ls=3.0), storage=storage, d=2.0, mu=3.0)
