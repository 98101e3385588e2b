"""Resource plans: right about sizes, complete, and without any effect."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import kompot
from adata_helpers import assert_unchanged, small_adata, snapshot
from helpers import counts
from kompot.anndata.planning import build_plan, machine, stages
from kompot.anndata.planning.machine import Speed, measure_speed
from kompot.anndata.planning.report import human_readable_size, human_readable_time
from kompot.anndata.planning.resource_plan import ResourceAvailability, ResourcePlan
from kompot.anndata.planning.stages import Fit, Work
from kompot.anndata.planning.workload import Landscape, expression_of
from kompot.anndata.run_info import RunInfo
from kompot.errors import NullDistributionWarning
from record_helpers import OUTPUT, run_da, run_de, run_smooth, with_donors

RUNS = {"de": run_de, "da": run_da, "smooth": run_smooth}
STORE = kompot.StorageSettings
CASES = {
    "de": ("de", {}),
    "de, donors and groups": (
        "de",
        {
            "sample_col": "donor",
            "filter": kompot.FilterSettings(groups="cell_type"),
            "storage": STORE(store_additional_stats=True),
        },
    ),
    "de, covariance": ("de", {"storage": STORE(store_posterior_covariance=True)}),
    "de, genes": ("de", {"genes": ["g1", "g4"]}),
    "de, no layers": ("de", {"storage": STORE(store_layers=False)}),
    "de, empirical variance": ("de", {"gp": kompot.GPSettings(use_empirical_variance=True, n_landmarks=40)}),
    "da": ("da", {}),
    "da, donors": ("da", {"sample_col": "donor"}),
    "smooth": ("smooth", {}),
    "smooth, donors": ("smooth", {"sample_col": "donor", "gp": kompot.GPSettings(use_empirical_variance=True)}),
}


@pytest.mark.filterwarnings("ignore::kompot.errors.ApproximationWarning")
@pytest.mark.parametrize(("kind", "kwargs"), CASES.values(), ids=CASES)
def test_fields_and_their_sizes_are_those_of_the_run(kind, kwargs):
    adata = with_donors(small_adata(n_cells=200))
    before = snapshot(adata)
    plan = RUNS[kind](adata, dry_run=True, **kwargs)
    assert_unchanged(adata, before)
    RUNS[kind](adata, **kwargs)
    run = RunInfo(adata, analysis_type=kind)
    planned = {place.removeprefix("adata."): sorted(names) for place, names in plan.output_fields.items()}
    assert planned == run.adata_fields
    sizes = {(item.field_name, item.name): item for item in plan.requirements if item.field_name}
    for place, names in run.adata_fields.items():
        for name in names if place != "uns" else ():
            value, item = getattr(adata, place)[name], sizes[f"adata.{place}", name]
            if hasattr(value, "columns"):
                size = value.to_numpy(dtype=value.iloc[:, 0].dtype).nbytes
            else:
                values = value.cat.codes if hasattr(value, "cat") else np.asarray(value)
                size = values.to_numpy().nbytes if hasattr(values, "to_numpy") else values.nbytes
            assert item.size_bytes == size, name
            assert item.shape == (value.shape if hasattr(value, "shape") else None)


def test_numbers_of_cells_genes_and_features():
    adata = with_donors(small_adata(n_cells=400, n_genes=60))
    plan = run_de(adata, dry_run=True, filter=kompot.FilterSettings(cell_filter={"cell_type": "T"}))
    is_t = adata.obs["cell_type"] == "T"
    counts = adata.obs["condition"][is_t].value_counts()
    assert plan.n_cells == {"A": counts["A"], "B": counts["B"], "evaluated": is_t.sum()}
    assert (plan.n_genes, plan.n_null_genes) == (60, 10)
    run_de(adata, filter=kompot.FilterSettings(cell_filter={"cell_type": "T"}))
    run = RunInfo(adata)
    assert plan.n_features == pytest.approx(run.approximation["rank"], abs=2)
    assert plan.length_scale == pytest.approx(run.length_scale, rel=1e-9)


def test_the_default_counts_two_thousand_null_genes():
    adata = small_adata()
    plan = kompot.de(adata, "condition", "A", "B", dry_run=True)
    assert plan.n_null_genes == 2000
    assert any(name.endswith("local_fdr") for name in plan.output_fields["adata.var"])
    with pytest.warns(NullDistributionWarning):
        kompot.de(adata, "condition", "A", "B", fdr=kompot.FDRSettings(null_genes=30), output=OUTPUT)


@pytest.mark.parametrize("kind", RUNS)
def test_the_plan_is_printed_and_can_be_json(kind, capsys):
    plan = RUNS[kind](small_adata(), dry_run=True)
    printed = capsys.readouterr().out
    assert printed.rstrip("\n") == plan.format_report() == str(plan)
    for stage in plan.stages:
        assert stage.name in printed
        assert stage.seconds >= 0
    for names in plan.output_fields.values():
        assert all(name in printed for name in names)
    assert len(plan.format_report(verbose=False)) < len(printed)
    data = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    assert data["feasible"] is True
    assert data["status"] == "ok"
    assert data["memory"]["total_bytes"] == plan.total_memory_required
    assert sum(item["bytes"] for item in data["memory"]["allocations"]) == plan.total_memory_required
    assert plan.total_memory_required == max(stage.peak_bytes for stage in plan.stages)
    assert plan.peak_memory > plan.total_memory_required
    assert 0 < plan.seconds < 60
    assert "ResourcePlan(" in repr(plan)


def test_bad_input_is_an_error_as_in_the_run():
    adata = small_adata()
    with pytest.raises(ValueError, match="condition1"):
        kompot.de(adata, "condition", "a", "B", dry_run=True)
    with pytest.raises(TypeError, match="nonsense"):
        kompot.da(adata, "condition", "A", "B", dry_run=True, nonsense=1)


@pytest.mark.parametrize("kind", RUNS)
def test_conflicts_name_the_run(kind):
    adata = small_adata()
    RUNS[kind](adata)
    plan = RUNS[kind](adata, dry_run=True)
    n_fields = sum(map(len, plan.output_fields.values()))
    assert plan.warnings == [f"{n_fields} fields exist already (run 0 of {kind}) and will be replaced."]
    assert plan.status == "warnings"
    assert f"replaces that of run 0 of {kind}" in str(plan)
    assert set(plan.to_dict()["overwritten"].values()) == {f"that of run 0 of {kind}"}
    refused = RUNS[kind](adata, dry_run=True, storage=STORE(overwrite=False))
    assert not refused.is_feasible
    assert "overwrite=False" in refused.errors[0]
    assert any("result_key" in text for text in refused.advice)


def scarce(monkeypatch, memory=10**12, disk=10**12):
    """Pretend that so much is available."""
    monkeypatch.setattr(
        build_plan, "availability", lambda place: ResourceAvailability(10**12, memory, place or "scratch", 10**12, disk)
    )


def test_what_does_not_fit_comes_with_advice(monkeypatch):
    monkeypatch.setattr(stages, "OVERHEAD", 0)
    adata, no_fdr = small_adata(n_cells=2000, n_genes=100), kompot.FDRSettings(null_genes=0)
    needed = run_de(adata, dry_run=True, fdr=no_fdr).total_memory_required
    scarce(monkeypatch, memory=needed // 2)
    plan = run_de(adata, dry_run=True, fdr=no_fdr)
    assert plan.status == "infeasible"
    assert plan.memory_ratio == pytest.approx(2.0, rel=0.1)
    assert "of memory; " in plan.errors[0]
    text = " ".join(plan.advice)
    for word in ("store_arrays_on_disk=True", "store_layers=False", "backed='r'"):
        assert word in text
    assert "NOT FEASIBLE" in str(plan)
    scarce(monkeypatch, memory=int(1.1 * needed))
    tight = run_de(adata, dry_run=True, fdr=no_fdr)
    assert tight.is_feasible
    assert tight.status == "warnings"
    scarce(monkeypatch)
    assert run_de(adata, dry_run=True, fdr=no_fdr).status == "ok"


def advice_of(plan):
    return " ".join(plan.advice)


def test_advice_is_about_what_takes_most(monkeypatch, tmp_path):
    monkeypatch.setattr(stages, "OVERHEAD", 0)
    scarce(monkeypatch, memory=1000)
    adata = small_adata()
    assert "backed" not in advice_of(run_da(adata, dry_run=True))
    assert "ls_factor" in advice_of(run_da(adata, dry_run=True))
    null = run_de(adata, dry_run=True, fdr=kompot.FDRSettings(null_genes=5000), storage=STORE(store_layers=False))
    assert "fewer null genes" in advice_of(null)
    assert "store_layers" not in advice_of(null)
    on_disk = run_de(adata, dry_run=True, storage=STORE(disk_storage_dir=str(tmp_path)))
    assert "disk with more room" not in advice_of(on_disk)
    scarce(monkeypatch)
    assert run_de(adata, dry_run=True).advice == []


def test_landmarks_that_will_be_kept_are_listed():
    adata = small_adata()
    plan = run_de(adata, dry_run=True, storage=STORE(store_landmarks=True))
    (item,) = [item for item in plan.requirements if item.field_name == "adata.uns"]
    assert item.shape == (plan.n_landmarks, 3)
    assert item.size_bytes == 8 * 3 * plan.n_landmarks


def test_dry_run_is_true_or_false():
    with pytest.raises(TypeError, match="dry_run must be True or False"):
        run_de(small_adata(), dry_run="no")


def test_a_file_is_no_directory(tmp_path):
    place = tmp_path / "file"
    place.touch()
    for dry_run in (True, False):
        with pytest.raises(ValueError, match="must be a directory"):
            run_de(small_adata(), dry_run=dry_run, storage=STORE(disk_storage_dir=str(place / "below")))


def test_layers_on_disk_count_there(tmp_path, monkeypatch):
    adata = small_adata()
    in_memory = run_de(adata, dry_run=True)
    place = tmp_path / "not yet" / "made"
    plan = run_de(adata, dry_run=True, storage=STORE(disk_storage_dir=str(place)))
    assert not place.exists()
    assert plan.total_disk_required == 3 * 4 * adata.n_obs * adata.n_vars
    assert in_memory.total_disk_required == 0
    assert plan.to_dict()["disk"]["path"] == str(place)
    assert "kept on disk" in plan.info[0]
    scarce(monkeypatch, disk=plan.total_disk_required // 2)
    full = run_de(adata, dry_run=True, storage=STORE(disk_storage_dir=str(place)))
    assert "of disk" in full.errors[0]
    assert any("disk_storage_dir" in text for text in full.advice)


def test_layers_that_fit_nowhere_are_an_error_of_the_plan(monkeypatch):
    monkeypatch.setattr("kompot.anndata.layer_storage.available_bytes", lambda: 1000)
    monkeypatch.setattr("kompot.anndata.layer_storage.free_bytes", lambda _: 1000)
    plan = run_de(small_adata(), dry_run=True)
    assert "neither memory" in plan.errors[0]
    assert any("store_layers=False" in text for text in plan.advice)


def test_a_copy_and_the_null_genes_count():
    adata = small_adata()
    plain = run_de(adata, dry_run=True)
    full = run_de(
        adata, dry_run=True, output=kompot.OutputSettings(copy=True, return_full_results=True, progress=False)
    )
    names = [stage.name for stage in full.stages]
    assert names[-2:] == ["null genes at all cells", "copy of the object"]
    assert full.stages[-1].peak_bytes > plain.stages[-1].peak_bytes
    nothing = run_de(adata, dry_run=True, output=kompot.OutputSettings(inplace=False, progress=False))
    assert nothing.output_fields == {}


class PlainPredictor:
    """Has the methods that are needed, and nothing that the engine knows."""

    def __init__(self, inner):
        self.inner = inner
        self.landmarks = inner.features.landmarks

    def __call__(self, X):
        return self.inner(X)

    def covariance(self, X, diag=True):
        return self.inner.covariance(X, diag=diag)


def test_models_that_are_given():
    adata = small_adata()
    models = [
        run_smooth(adata, name, output=kompot.OutputSettings(inplace=False, progress=False))["model"] for name in "AB"
    ]
    given = kompot.ModelSettings(model1=models[0], model2=models[1])
    plan = run_de(adata, dry_run=True, model=given, fdr=kompot.FDRSettings(null_genes=0))
    assert plan.seconds >= 0 or np.isnan(plan.seconds)
    smooth = run_smooth(adata, dry_run=True, model=kompot.ModelSettings(model1=models[0]))
    assert smooth.n_features == models[0].predictor.features.rank
    assert [stage.name for stage in smooth.stages] == ["2 layers"]
    predictor = PlainPredictor(models[0].predictor)
    dense = run_de(
        adata,
        dry_run=True,
        model=kompot.ModelSettings(function_predictor1=predictor, function_predictor2=predictor),
        fdr=kompot.FDRSettings(null_genes=0),
    )
    assert "not known" in dense.warnings[0]
    assert np.isnan(dense.seconds)
    assert "unknown" in str(dense)
    assert dense.to_dict()["seconds"] is None


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_forms_of_expression(form):
    adata = small_adata()
    dense = adata.X.toarray()
    adata.X = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[form](dense)
    data = expression_of(adata.X, 7)
    assert data.is_sparse == (form != "dense")
    assert data.converted == (form == "csc")
    assert data.stored == (np.count_nonzero(dense) if form != "dense" else dense.size)
    assert data.read_seconds == 0
    assert run_de(adata, dry_run=True).is_feasible


def test_expression_on_disk_is_measured(tmp_path):
    import anndata as ad

    adata = small_adata()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    try:
        data = expression_of(backed.X, 25)
        assert data.read_seconds > 0
        assert data.stored == adata.X.nnz
        assert run_de(backed, dry_run=True).is_feasible
    finally:
        backed.file.close()


SPEED = Speed(1e11, 5e10, 1e8, 1e8)
LAND = Landscape(20_000, 18_000, 20_000, 10, 400, 200)


def test_more_work_takes_longer_and_more_memory():
    work = Work(SPEED)
    data = replace(expression_of(counts(50, 40), 40), n_rows=50)
    small, large = Fit(LAND, 1000, 2), Fit(LAND, 4000, 2)
    donors = Fit(LAND, 1000, 6, 6)
    for stage in (
        lambda fit: stages.moments(work, data, fit, "fit"),
        lambda fit: stages.layers(work, fit, 3, 12 * LAND.n_cells * fit.n_genes, fit.kept, on_disk=False),
        lambda fit: stages.distances(work, fit, 100, fit.kept),
        lambda fit: stages.groups(work, [4000], fit, fit.kept),
    ):
        for more in (large, donors):
            assert stage(more).seconds > stage(small).seconds
            assert stage(more).peak_bytes > stage(small).peak_bytes
    more_cells = replace(LAND, n_cells=200_000, n_used=180_000)
    assert stages.feature_choice(work, more_cells).seconds > stages.feature_choice(work, LAND).seconds
    assert stages.neighbors(work, more_cells).peak_bytes > stages.neighbors(work, LAND).peak_bytes


def test_a_faster_machine_is_faster():
    slow, fast = Work(SPEED), Work(Speed(2e11, 1e11, 2e8, 2e8))
    assert stages.feature_choice(slow, LAND).seconds == pytest.approx(2 * stages.feature_choice(fast, LAND).seconds)


def test_features_that_are_not_kept_are_computed_again(monkeypatch):
    kept = stages.variances(Work(SPEED), LAND, 0)
    monkeypatch.setattr("kompot.anndata.planning.workload.largest_kept_table", lambda: 1000)
    again = stages.variances(Work(SPEED), LAND, 0)
    assert again.seconds > kept.seconds
    assert again.peak_bytes == kept.peak_bytes - 8 * 20_000 * 200


def test_this_machine():
    speed = measure_speed()
    assert min(speed.single, speed.double) > 1e7
    assert min(speed.kernel, speed.scattered) > 1e5
    have = machine.availability(None)
    assert 0 < have.memory_available <= have.memory_total
    assert 0 < have.disk_available <= have.disk_total
    assert "GB" in have.memory_total_human or "MB" in have.memory_total_human
    assert machine.memory_in_use() > 10**6


def test_requirements_added_by_hand():
    plan = ResourcePlan()
    plan.add_requirement("matrix", 3 * 1024**2, "memory", (3, 1024), "adata.layers")
    plan.add_requirement("files", 2048, "disk")
    assert (plan.total_memory_required, plan.total_disk_required) == (3 * 1024**2, 2048)
    assert plan.requirements[0].size_human == "3.00 MB"
    assert plan.memory_ratio == np.inf
    assert plan.to_dict()["memory"]["ratio"] is None
    plan.availability = ResourceAvailability(10**7, 4 * 1024**2, "scratch", 10**9, 10**9)
    plan.check_availability(memory_threshold=0.5)
    assert plan.memory_ratio == 0.75
    assert plan.status == "warnings"
    assert "75% will be used" in plan.warnings[0]
    plan.add_requirement("more", 2 * 1024**2, "memory")
    plan.check_availability()
    assert plan.status == "infeasible"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0.00 B"), (1023, "1023.00 B"), (1024, "1.00 KB"), (1536 * 1024**3, "1.50 TB"), (2**60, "1024.00 PB")],
)
def test_sizes_for_people(size, text):
    assert human_readable_size(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (90, "1.5 min"), (float("nan"), "unknown")])
def test_times_for_people(seconds, text):
    assert human_readable_time(seconds) == text


@pytest.mark.parametrize("kind", ["da", "de"])
@pytest.mark.parametrize("conditions", ["A", "AB"])
def test_isolated_cells_of_one_condition_or_both(monkeypatch, kind, conditions):
    monkeypatch.setattr("kompot.gp.selection.POOL_SIZE", 250)
    monkeypatch.setattr("kompot.gp.expected._SAMPLED_CELLS", 200)
    ranks = []
    for seed in range(4):
        adata = small_adata(n_cells=500, n_genes=20)
        far = np.flatnonzero(adata.obs["condition"].isin(list(conditions)))[:8]
        adata.obsm["DM_EigenVectors"][far] += 100.0 * (1 + np.arange(8.0))[:, None]
        gp = kompot.GPSettings(random_state=seed)
        plan = RUNS[kind](adata, dry_run=True, gp=gp)
        RUNS[kind](adata, gp=gp)
        run = RunInfo(adata, analysis_type=kind)
        assert plan.status == "ok"
        assert plan.n_features == pytest.approx(run.approximation["rank"], abs=8)
        assert run.approximation["capped"] is False
        ranks.append(run.approximation["rank"])
    assert np.ptp(ranks) <= 0.06 * np.mean(ranks) + 1
