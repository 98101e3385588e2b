"""The bar counts cells of the object and is full when everything is done; the last line says what came out."""

import numpy as np
import pytest
from scipy import sparse

import kompot
from adata_helpers import small_adata
from kompot.anndata import progress

N_CELLS = 240
SHOWN = kompot.OutputSettings()


class Bar:
    """What a bar was told."""

    made: list["Bar"] = []  # noqa: RUF012  emptied by the fixture

    def __init__(self, **named):
        self.named, self.total, self.steps, self.stages = named, named["total"], [], []
        Bar.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, n):
        self.steps.append(n)

    def set_description_str(self, text, refresh):
        assert not refresh
        self.stages.append(text)

    @staticmethod
    def write(text, file):
        file.write(f"{text}\n")


@pytest.fixture
def bars(monkeypatch):
    Bar.made = []
    monkeypatch.setattr(progress, "tqdm", Bar)
    return Bar.made


def prepared():
    adata = small_adata(n_cells=N_CELLS, n_genes=20, others=("C",))
    rng = np.random.default_rng(0)
    adata.obs["donor"] = [f"{c}{i % 3}" for c, i in zip(adata.obs["condition"], rng.permutation(N_CELLS), strict=True)]
    adata.obs["type"] = np.where(adata.obsm["DM_EigenVectors"][:, 0] > 0, "right", "left")
    return adata


def of_condition(adata, label, **named):
    cells = (adata.obs["condition"] == label).to_numpy()
    model = kompot.ExpressionModel(ls=2.0, **named)
    return model.fit(adata.obsm["DM_EigenVectors"][cells], adata.X[cells])


def sizes(adata):
    return [int((adata.obs["condition"] == label).sum()) for label in "AB"]


def external(adata):
    return tuple(sparse.csr_array(np.random.default_rng(0).poisson(0.3, (n, 30)).astype(float)) for n in sizes(adata))


FDR = kompot.FDRSettings(null_genes=15)
GROUPS = kompot.FilterSettings(groups="type")
DE = {
    "plain": lambda _: {"fdr": FDR},
    "no-null-genes": lambda _: {"fdr": kompot.FDRSettings(null_genes=0)},
    "auto": lambda _: {},
    "no-layers": lambda _: {"fdr": FDR, "storage": kompot.StorageSettings(store_layers=False)},
    "groups": lambda _: {"fdr": FDR, "filter": GROUPS},
    "cells": lambda _: {"fdr": FDR, "filter": kompot.FilterSettings(cell_filter={"type": ["left"]}, groups="type")},
    "samples": lambda _: {"fdr": FDR, "sample_col": "donor"},
    "empirical": lambda _: {"fdr": FDR, "gp": kompot.GPSettings(use_empirical_variance=True), "filter": GROUPS},
    "chunks": lambda _: {"fdr": FDR, "gp": kompot.GPSettings(batch_size=7)},
    "genes": lambda _: {"fdr": FDR, "genes": ["g1", "g4"]},
    "no-distances": lambda _: {"output": kompot.OutputSettings(compute_mahalanobis=False), "filter": GROUPS},
    "everything": lambda _: {"fdr": FDR, "output": kompot.OutputSettings(return_full_results=True)},
    "everything-without-null": lambda _: {
        "fdr": kompot.FDRSettings(null_genes=0),
        "output": kompot.OutputSettings(return_full_results=True),
    },
    "nothing-written": lambda _: {"fdr": FDR, "output": kompot.OutputSettings(inplace=False)},
    "covariance": lambda _: {"fdr": FDR, "storage": kompot.StorageSettings(store_posterior_covariance=True)},
    "null-columns": lambda _: {"fdr": kompot.FDRSettings(null_genes=[3, 4])},
    "null-distances": lambda _: {"fdr": kompot.FDRSettings(null_mahalanobis=np.linspace(1, 3, 50))},
    "null-expression": lambda adata: {
        "fdr": kompot.FDRSettings(null_genes=15, null_expression=external(adata), combine_with_internal=True),
        "gp": kompot.GPSettings(use_empirical_variance=True),
        "output": kompot.OutputSettings(return_full_results=True),
    },
    "one-model": lambda adata: {"model": kompot.ModelSettings(model1=of_condition(adata, "A"))},
    "one-model-empirical": lambda adata: {
        "model": kompot.ModelSettings(model1=of_condition(adata, "A")),
        "gp": kompot.GPSettings(use_empirical_variance=True),
    },
    "two-models": lambda adata: {
        "model": kompot.ModelSettings(model1=of_condition(adata, "A"), model2=of_condition(adata, "B")),
        "filter": GROUPS,
    },
}


def assert_full(bars, owner):
    (bar,) = bars
    assert bar.total == N_CELLS
    assert sum(bar.steps) == N_CELLS
    assert min(bar.steps) >= 0
    assert sum(bar.steps[:-1]) < N_CELLS  # not before the end
    assert all(stage.startswith(f"{owner}, ") for stage in bar.stages)
    assert bar.named["disable"] is False
    assert not bar.named["leave"]


@pytest.mark.filterwarnings(
    "ignore::kompot.errors.NullDistributionWarning", "ignore::kompot.errors.RepresentationWarning"
)
@pytest.mark.parametrize("case", DE)
def test_the_bar_of_de_is_full_at_the_end(bars, case):
    adata = prepared()
    named = DE[case](adata)
    kompot.de(adata, "condition", "A", "B", **named)
    assert_full(bars, "kompot.de")


@pytest.mark.filterwarnings("ignore::kompot.errors.NullDistributionWarning")
def test_null_genes_and_groups_move_the_bar(bars, monkeypatch):
    monkeypatch.setattr("kompot.stats.null._BLOCK_BYTES", 1)  # several blocks of null genes
    adata = prepared()
    fdr = kompot.FDRSettings(null_genes=60)
    kompot.de(adata, "condition", "A", "B", fdr=fdr, filter=GROUPS, gp=kompot.GPSettings(batch_size=60))
    assert_full(bars, "kompot.de")
    assert [stage.split(", ")[1] for stage in bars[0].stages] == [
        "fitting", "null genes", "distances", "groups", "layers",
    ]  # fmt: skip
    # Six passes over 240 cells: genes, null genes, distances, both groups, standard deviations, layers.
    quarter = N_CELLS // 6 // 4
    assert bars[0].steps[:4] == [quarter] * 4
    n_blocks = len(bars[0].steps) - 4 - 1 - 2 - 1 - 4
    assert n_blocks > 4
    assert sum(bars[0].steps[4 : 4 + n_blocks]) == N_CELLS // 6


@pytest.mark.parametrize("samples", [None, "donor"])
@pytest.mark.parametrize("given", [(), (1,), (1, 2)], ids=["fitted", "one-given", "both-given"])
@pytest.mark.filterwarnings("ignore::kompot.errors.OffsetWarning")
def test_the_bar_of_da_is_full_at_the_end(bars, samples, given):
    adata = prepared()
    X, labels = adata.obsm["DM_EigenVectors"], adata.obs["condition"]
    named = {}
    for number in given:
        density = kompot.DensityEstimator(ls_factor=10.0).fit(X[(labels == "AB"[number - 1]).to_numpy()])
        named[f"density_predictor{number}"] = density.predictor
        if samples:
            named[f"variance_predictor{number}"] = lambda at, diag: np.full(len(at), 0.1 * diag)
    kompot.da(adata, "condition", "A", "B", sample_col=samples, model=kompot.ModelSettings(**named))
    assert_full(bars, "kompot.da")
    assert bars[0].stages == ["kompot.da, densities", "kompot.da, fold changes"]
    if not given:
        assert len(bars[0].steps) == (9 if samples else 3)  # every density, and the fold changes


SMOOTH = {
    "plain": lambda _: {},
    "empirical": lambda _: {"gp": kompot.GPSettings(use_empirical_variance=True)},
    "samples": lambda _: {"sample_col": "donor"},
    "no-layers": lambda _: {"storage": kompot.StorageSettings(store_layers=False)},
    "model": lambda adata: {"model": kompot.ModelSettings(model1=of_condition(adata, "A"))},
    "model-empirical": lambda adata: {
        "model": kompot.ModelSettings(model1=of_condition(adata, "A", use_empirical_variance=True)),
        "gp": kompot.GPSettings(use_empirical_variance=True),
    },
}


@pytest.mark.filterwarnings("ignore::kompot.errors.UnusedParameterWarning")
@pytest.mark.parametrize("case", SMOOTH)
def test_the_bar_of_smooth_expression_is_full_at_the_end(bars, case):
    adata = prepared()
    kompot.smooth_expression(adata, "condition", "A", **SMOOTH[case](adata))
    assert_full(bars, "kompot.smooth_expression")


def test_no_bar_unless_wanted(bars):
    kompot.smooth_expression(prepared(), output=kompot.OutputSettings(progress=False))
    assert bars[0].named["disable"] is True


def test_a_bar_of_many_shares_is_full():
    bar = Bar(total=7)
    track = progress.Progress(bar, "it", 3)
    for _ in range(30):
        track(0.1)
    assert sum(bar.steps) == 7
