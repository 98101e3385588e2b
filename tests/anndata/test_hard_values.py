"""Data that hurt: values stored twice, masked or huge, and cells that share their coordinates."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kompot
from adata_helpers import QUIET, assert_unchanged, small_adata, snapshot
from helpers import stored_twice

OUTPUT = kompot.OutputSettings(**QUIET)
NULL = kompot.FDRSettings(null_genes=60)


def compared(adata, **options):
    """All columns of `adata.var` after `kompot.de` with null genes."""
    options = {"fdr": NULL, "storage": kompot.StorageSettings(store_additional_stats=True), **options}
    with pytest.warns(kompot.errors.NullDistributionWarning):
        kompot.de(adata, "condition", "A", "B", output=OUTPUT, **options)
    return adata.var


def smoothed(adata, **options):
    kompot.smooth_expression(adata, "condition", "A", output=OUTPUT, **options)
    return adata


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("empirical", [False, True])
def test_values_stored_twice_change_nothing(make, empirical):
    adata, gp = small_adata(), kompot.GPSettings(use_empirical_variance=empirical)
    dense = adata.X.toarray()
    expected = compared(adata, gp=gp)
    twice = small_adata()
    twice.X = stored_twice(dense, make)
    assert twice.X.nnz == 2 * np.count_nonzero(dense)
    pd.testing.assert_frame_equal(compared(twice, gp=gp), expected, rtol=1e-5)
    assert twice.X.nnz == 2 * np.count_nonzero(dense)


def test_values_stored_twice_on_disk_and_as_null_expression(tmp_path):
    adata = small_adata()
    expected = compared(small_adata())
    adata.X = stored_twice(adata.X.toarray())
    adata.write_h5ad(tmp_path / "twice.h5ad")
    pd.testing.assert_frame_equal(compared(ad.read_h5ad(tmp_path / "twice.h5ad", backed="r")), expected, rtol=1e-5)
    null = np.random.default_rng(0).poisson(1.0, (adata.n_obs, 30)).astype(np.float32)
    of = [np.asarray(adata.obs["condition"] == name) for name in ("A", "B")]
    distances = []
    for form in (np.asarray, stored_twice):
        fdr = kompot.FDRSettings(null_expression=tuple(form(null[mask]) for mask in of))
        output = kompot.OutputSettings(inplace=False, progress=False)
        distances.append(kompot.de(adata, "condition", "A", "B", fdr=fdr, output=output)["null"]["mahalanobis"])
    np.testing.assert_allclose(*distances, rtol=1e-5)


def test_smoothing_values_stored_twice():
    gp = kompot.GPSettings(use_empirical_variance=True)
    adata, twice = small_adata(), small_adata()
    twice.X = stored_twice(twice.X.toarray())
    for name, layer in smoothed(adata, gp=gp).layers.items():
        if name is not None and name.startswith("kompot"):
            np.testing.assert_allclose(smoothed(twice, gp=gp).layers[name], layer, rtol=1e-5, atol=1e-6)
            break
    estimators = [kompot.FunctionEstimator(ls=1.0).fit(a.obsm["DM_EigenVectors"], a.X) for a in (adata, twice)]
    np.testing.assert_allclose(*(e.predict(adata.obsm["DM_EigenVectors"]) for e in estimators), rtol=1e-5, atol=1e-6)


RUNS = {
    "de": lambda a, **options: kompot.de(a, "condition", "A", "B", output=OUTPUT, **options),
    "smooth": lambda a, **options: kompot.smooth_expression(a, "condition", "A", output=OUTPUT, **options),
}
EMBEDDING_RUNS = {**RUNS, "da": lambda a: kompot.da(a, "condition", "A", "B", output=OUTPUT)}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("layer", [None, "masked"])
def test_masked_expression_is_missing(run, layer):
    adata = small_adata()
    masked = np.ma.masked_array(adata.X.toarray(), mask=np.zeros(adata.shape, dtype=bool))
    cell = int(np.flatnonzero(adata.obs["condition"] == "A")[0])
    masked.mask[cell, 3] = True
    if layer is None:
        adata.X = masked
        held = adata.X
    else:
        adata.layers[layer] = masked
        held = adata.layers[layer]
    if not np.ma.is_masked(held):
        pytest.skip("this version of anndata does not keep masks")
    before = snapshot(adata)
    with pytest.raises(ValueError, match="NaN or infinite values in 1 of the genes used: g3"):
        run(adata, layer=layer)
    assert_unchanged(adata, before)


@pytest.mark.parametrize("run", EMBEDDING_RUNS.values(), ids=EMBEDDING_RUNS)
def test_masked_coordinates_are_missing(run):
    adata = small_adata()
    X = np.ma.masked_array(adata.obsm["DM_EigenVectors"], mask=False)
    X[4, 1] = np.ma.masked
    adata.obsm["DM_EigenVectors"] = X
    if not np.ma.is_masked(adata.obsm["DM_EigenVectors"]):
        pytest.skip("this version of anndata does not keep masks")
    with pytest.raises(ValueError, match=r"NaN or infinite values in 1 of 120 rows \(first row: 4\)"):
        run(adata)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_huge_expression_is_refused(run, make):
    adata = small_adata()
    Y = adata.X.toarray()
    cell = int(np.flatnonzero(adata.obs["condition"] == "A")[0])
    Y[cell, 5] = 3e38
    adata.X = make(Y)
    before = snapshot(adata)
    with pytest.raises(ValueError, match=r"adata.X has values up to 3e\+38, beyond .* 1 of the genes used: g5"):
        run(adata)
    assert_unchanged(adata, before)


@pytest.mark.parametrize("genes", [None, ["g0", "g1"]])
def test_huge_expression_on_disk_is_refused(tmp_path, genes):
    adata = small_adata()
    Y = adata.X.toarray()
    Y[int(np.flatnonzero(adata.obs["condition"] == "A")[0]), 5] = 1e20
    adata.X = Y
    adata.write_h5ad(tmp_path / "huge.h5ad")
    backed = ad.read_h5ad(tmp_path / "huge.h5ad", backed="r")
    before = set(backed.var), set(backed.uns)
    with pytest.raises(ValueError, match=r"adata.X has values up to 1e\+20, beyond .* 1 of the genes used: g5"):
        kompot.de(backed, "condition", "A", "B", genes=genes, output=OUTPUT)
    assert (set(backed.var), set(backed.uns)) == before


@pytest.mark.parametrize("run", EMBEDDING_RUNS.values(), ids=EMBEDDING_RUNS)
def test_a_cell_out_of_reach_is_refused(run):
    adata = small_adata()
    adata.obsm["DM_EigenVectors"][7] = 1e200
    with pytest.raises(ValueError, match=r"values beyond ±1e\+50 in 1 of 120 rows \(first row: 7\)"):
        run(adata)


@pytest.mark.filterwarnings("ignore::kompot.errors.OffsetWarning")
@pytest.mark.parametrize("run", EMBEDDING_RUNS.values(), ids=EMBEDDING_RUNS)
def test_a_far_cell_is_no_error(run):
    adata = small_adata()
    adata.obsm["DM_EigenVectors"][7] = 1e30
    run(adata)
    fields = [*adata.var.items(), *adata.obs.items()]
    assert all(np.isfinite(column).all() for name, column in fields if column.dtype.kind == "f")


def test_the_largest_values_allowed_give_finite_results():
    adata = small_adata(n_cells=300)
    adata.X = np.where(adata.X.toarray() > 0.5, 1e15, -1e15).astype(np.float32)
    table = compared(adata)
    assert np.isfinite(table.select_dtypes("number")).all(axis=None)


@pytest.mark.parametrize(
    ("gp", "extra", "message"),
    [
        ({}, {"mu": 1e308}, "mu must lie within ±1e[+]15, came 1e[+]308"),
        ({"sigma": 1e-308}, {}, "sigma must lie between 1e-50 and 1e[+]50, came 1e-308"),
        ({"ls": 1e300}, {}, "ls must lie between"),
        ({"ls_factor": 10**400}, {}, "ls_factor must be a number below 1.8e308"),
        ({}, {"ls": 10**400}, "ls must be a number below 1.8e308"),
    ],
)
def test_huge_parameters_are_refused(gp, extra, message):
    with pytest.raises(ValueError, match=message):
        kompot.de(small_adata(), "condition", "A", "B", gp=kompot.GPSettings(**gp), output=OUTPUT, **extra)
    with pytest.raises(ValueError, match=message):
        kompot.ExpressionModel(**gp, **extra)


def tied(n_cells=160):
    """Many cells at few states."""
    adata = small_adata(n_cells)
    adata.obsm["DM_EigenVectors"] = np.round(adata.obsm["DM_EigenVectors"], 1)
    adata.obs["donor"] = np.where(adata.obs["condition"] == "A", "a", "b")
    adata.obs["donor"] += (np.arange(n_cells) % 3).astype(str)
    return adata


@pytest.mark.filterwarnings("ignore::kompot.errors.DuplicateCellsWarning")
@pytest.mark.parametrize("sample_col", [None, "donor"])
def test_the_order_of_cells_that_share_coordinates_makes_no_difference(sample_col):
    adata = tied()
    expected = compared(adata.copy(), sample_col=sample_col)
    for seed in (1, 2):
        moved = adata[np.random.default_rng(seed).permutation(adata.n_obs)].copy()
        pd.testing.assert_frame_equal(compared(moved, sample_col=sample_col), expected, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::kompot.errors.DuplicateCellsWarning")
def test_the_direction_makes_no_difference_where_cells_share_coordinates():
    adata = tied()
    adata.X = np.round(adata.X.toarray())  # expression is often shared as well
    there, back = adata.copy(), adata.copy()
    compared(there)
    with pytest.warns(kompot.errors.NullDistributionWarning):
        kompot.de(back, "condition", "B", "A", output=OUTPUT, fdr=NULL)
    for name in ("mahalanobis", "mahalanobis_local_fdr"):
        np.testing.assert_allclose(
            back.var[f"kompot_de_B_to_A_{name}"], there.var[f"kompot_de_A_to_B_{name}"], rtol=1e-4, atol=1e-8
        )
