"""A failure or an interrupt at any stage leaves the object exactly as it was."""

import numpy as np
import pytest

import kompot
from adata_helpers import QUIET, assert_unchanged, small_adata, snapshot
from kompot.anndata import run_de
from kompot.anndata.store import Change, commit

STAGES = (
    "kompot.differential.expression.prepare_kernel",
    "kompot.differential.expression.prepare_features",
    "kompot.anndata.request.select_cells",
    "kompot.differential.fitter.accumulate",
    "kompot.differential.expression.shuffled_blocks",
    "kompot.differential.fitter.fit_posterior",
    "kompot.differential.fit.fold_change_metric",
    "kompot.differential.comparison.summarise_cells",
    "kompot.anndata.compute.false_discovery_rates",
    "kompot.differential.comparison.fill_layers",
    "kompot.anndata.compute.group_outcome",
    "kompot.anndata.compute.cell_covariance",
    "kompot.anndata.results.neg_log10_tail_probability",
    "kompot.anndata.run_de.field_changes",
    "kompot.anndata.uns.with_run",
)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("rerun", [False, True], ids=["first", "rerun"])
def test_failure_while_computing(monkeypatch, stage, failure, rerun):
    adata = small_adata()
    arguments = {
        "fdr": kompot.FDRSettings(null_genes=5),
        "output": kompot.OutputSettings(**QUIET),
        "filter": kompot.FilterSettings(groups={"half": np.arange(60)}),
    }
    storage = kompot.StorageSettings(overwrite=True, store_landmarks=True, store_posterior_covariance=True)
    if rerun:
        kompot.de(adata, "condition", "A", "B", storage=storage, **arguments)
    before = snapshot(adata)

    def fail(*_args, **_kwargs):
        raise failure("stopped")

    monkeypatch.setattr(stage, fail)
    with pytest.raises(failure, match="stopped"):
        kompot.de(adata, "condition", "A", "B", storage=storage, **arguments)
    assert_unchanged(adata, before)


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("at", range(1, 12))
def test_failure_while_writing(monkeypatch, failure, at):
    adata = small_adata()
    arguments = {"fdr": kompot.FDRSettings(null_genes=5), "output": kompot.OutputSettings(**QUIET)}
    storage = kompot.StorageSettings(overwrite=True)
    kompot.de(adata, "condition", "A", "B", storage=storage, **arguments)
    del adata.var["kompot_de_A_to_B_mean_lfc"]
    before = snapshot(adata)
    writes = 0

    def interrupted(changes):
        nonlocal writes
        for change in changes:
            writes += 1
            if writes == at:
                raise failure("stopped while writing")
            yield change

    class Interrupted(list):
        def __iter__(self):
            # The first pass over the changes reads the old values, the second one writes.
            self.passes = getattr(self, "passes", 0) + 1
            plain = super().__iter__()
            return interrupted(plain) if self.passes == 2 else plain

    changes_of = run_de.changes_of
    monkeypatch.setattr(run_de, "changes_of", lambda *args: Interrupted(changes_of(*args)))
    if at <= 10:
        with pytest.raises(failure, match="stopped while writing"):
            kompot.de(adata, "condition", "A", "B", storage=storage, **arguments)
        assert_unchanged(adata, before)
    else:
        kompot.de(adata, "condition", "A", "B", storage=storage, **arguments)
        assert "kompot_de_A_to_B_mean_lfc" in adata.var


def test_commit_restores_replaced_and_removes_new_fields():
    adata = small_adata()
    adata.obs["old"] = np.arange(120)
    adata.uns["old"] = {"a": 1}
    before = snapshot(adata)
    changes = [
        Change("obs", "old", np.zeros(120)),
        Change("obs", "new", np.zeros(120)),
        Change("layers", "new", np.zeros(adata.shape)),
        Change("uns", "old", {}),
        Change("layers", "wrong", np.zeros((1, 1))),
    ]
    with pytest.raises(ValueError, match="wrong"):
        commit(adata, changes)
    assert_unchanged(adata, before)
