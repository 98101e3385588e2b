from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from scipy.stats import ttest_ind

from kompot.datasets import SimulationSettings, simulate


def log_mean_difference(adata: ad.AnnData, cells: np.ndarray) -> np.ndarray:
    """Per gene: log mean count per unit of size factor among `cells`, condition 2 minus condition 1."""
    counts, size = adata.layers["counts"], adata.obs["true_size_factor"].to_numpy()
    second = (adata.obs["condition"] == adata.obs["condition"].cat.categories[1]).to_numpy()
    sums = [np.asarray(counts[cells & side].sum(axis=0)).ravel() + 0.5 for side in (~second, second)]
    return np.log(sums[1] / size[cells & second].sum()) - np.log(sums[0] / size[cells & ~second].sum())


def donor_p_values(adata: ad.AnnData) -> np.ndarray:
    """Per gene: p-value of a t-test between the donors' mean log expression, stem cells and progenitors."""
    on_trunk = (adata.obs["true_branch"] == "trunk").to_numpy()
    donors = adata.obs["donor"].cat.categories
    means = [
        np.asarray(adata.X[on_trunk & (adata.obs["donor"] == donor).to_numpy()].mean(axis=0)).ravel()
        for donor in donors
    ]
    half = len(donors) // 2
    return np.asarray(ttest_ind(means[:half], means[half:]).pvalue)


def assert_same(first: ad.AnnData, second: ad.AnnData) -> None:
    assert (first.X != second.X).nnz == 0
    assert (first.layers["counts"] != second.layers["counts"]).nnz == 0
    assert first.obs.equals(second.obs)
    assert first.var.equals(second.var)
    for key in first.obsm:
        np.testing.assert_allclose(first.obsm[key], second.obsm[key], rtol=1e-6, atol=1e-9)


def test_matrices_are_sparse_rows_with_sorted_indices(changed: ad.AnnData) -> None:
    for matrix, dtype in [(changed.X, np.float32), (changed.layers["counts"], np.int32)]:
        assert matrix.format == "csr"
        assert matrix.dtype == dtype
        assert matrix.indices.dtype == np.int32
        assert all(np.all(np.diff(row.indices) > 0) for row in matrix[:200])
        assert matrix.data.min() > 0
    assert changed.shape == (6000, 400)


def test_annotation_names_and_orders(changed: ad.AnnData) -> None:
    obs, var = changed.obs, changed.var
    assert list(obs["condition"].cat.categories) == ["Young", "Old"]
    assert list(obs["donor"].cat.categories) == ["Young_1", "Young_2", "Young_3", "Old_1", "Old_2", "Old_3"]
    assert list(obs["cell_type"].cat.categories) == ["Stem", "Progenitor", "Branch A", "Branch B"]
    assert (obs["donor"].str.startswith("Old") == (obs["condition"] == "Old")).all()
    assert (obs.index[0], var.index[-1]) == ("cell_0000001", "Gene0400")
    assert (var["true_de"] == (var["true_de_kind"] != "none")).all()
    assert (var["true_de"] == (var["true_lfc"] != 0)).all()
    assert var["true_de_kind"].value_counts().to_dict() == {"none": 280, "global": 60, "branch": 60}
    assert changed.uns["simulation"]["n_de_global"] == 60
    assert changed.uns["simulation"]["depth"] == 800.0


def test_sparsity_is_that_of_single_cells() -> None:
    adata = simulate(1000, 3000)
    totals = np.asarray(adata.layers["counts"].sum(axis=1)).ravel()
    assert 0.1 < adata.X.nnz / np.prod(adata.shape) < 0.25
    assert 1500 < np.median(totals) < 2600


def test_same_seed_same_data_and_other_seed_other_data() -> None:
    first, again, other = (simulate(400, 50, seed=seed) for seed in (5, 5, 6))
    assert_same(first, again)
    assert (first.layers["counts"] != other.layers["counts"]).nnz > 1000
    assert not np.allclose(first.var["true_mean"], other.var["true_mean"])


@pytest.mark.parametrize("chunk_size", [1, 501, 100_000])
def test_chunk_size_is_irrelevant(chunk_size: int) -> None:
    assert_same(simulate(1300, 40, chunk_size=chunk_size), simulate(1300, 40, chunk_size=1000))


def test_global_genes_differ_everywhere_by_the_true_fold_change(changed: ad.AnnData) -> None:
    is_global = (changed.var["true_de_kind"] == "global").to_numpy()
    truth = changed.var["true_lfc"].to_numpy()[is_global]
    for cell_type in changed.obs["cell_type"].cat.categories:
        found = log_mean_difference(changed, (changed.obs["cell_type"] == cell_type).to_numpy())[is_global]
        assert np.corrcoef(found, truth)[0, 1] > 0.9
        assert np.polyfit(truth, found, 1)[0] == pytest.approx(1.0, abs=0.15)


def test_branch_genes_differ_in_their_branch_only(changed: ad.AnnData) -> None:
    is_branch = (changed.var["true_de_kind"] == "branch").to_numpy()
    truth = changed.var["true_lfc"].to_numpy()[is_branch]
    in_b = (changed.obs["true_branch"] == "B").to_numpy()
    full = in_b & (changed.obs["true_pseudotime"] > 0.7).to_numpy()
    inside = log_mean_difference(changed, full)[is_branch]
    outside = log_mean_difference(changed, ~in_b)[is_branch]
    assert np.corrcoef(inside, truth)[0, 1] > 0.9
    assert np.polyfit(truth, inside, 1)[0] == pytest.approx(1.0, abs=0.15)
    assert np.polyfit(truth, outside, 1)[0] == pytest.approx(0.0, abs=0.1)


def test_other_genes_differ_by_no_more_than_the_donors_do(changed: ad.AnnData) -> None:
    others = (~changed.var["true_de"] & (changed.var["true_mean"] > 0.5)).to_numpy()
    stem = (changed.obs["cell_type"] == "Stem").to_numpy()
    # Donor effects of 0.1 leave 0.1 · sqrt(2/3) = 0.08 in a difference of means over three donors each.
    assert np.std(log_mean_difference(changed, stem)[others]) < 0.15


def test_donors_differ_by_the_donor_effect() -> None:
    settings = SimulationSettings(donor_sd=0.8, donor_log_odds_sd=0.0, depth=2000.0)
    adata = simulate(3000, 60, null=True, settings=settings)
    found = log_mean_difference(adata, np.ones(3000, dtype=bool))
    frequent = (adata.var["true_mean"] > 1).to_numpy()
    assert np.std(found[frequent]) == pytest.approx(0.8 * np.sqrt(2 / 3), rel=0.35)


def test_null_records_no_truth(unchanged: ad.AnnData) -> None:
    assert not unchanged.obs["true_log_odds"].any()
    assert not unchanged.var["true_lfc"].any()
    assert not unchanged.var["true_de"].any()
    assert (unchanged.var["true_de_kind"] == "none").all()
    assert unchanged.uns["simulation"]["null"] is True


def test_null_has_no_more_small_p_values_than_chance(unchanged: ad.AnnData, changed: ad.AnnData) -> None:
    assert (donor_p_values(unchanged) < 0.05).mean() < 0.09  # 0.05 plus four standard errors
    assert (donor_p_values(changed) < 0.05).mean() > 0.15


def test_null_has_equal_composition(unchanged: ad.AnnData, changed: ad.AnnData) -> None:
    def share_of_b(adata: ad.AnnData, condition: str) -> float:
        cells = adata.obs[(adata.obs["condition"] == condition) & (adata.obs["true_branch"] != "trunk")]
        return float((cells["true_branch"] == "B").mean())

    assert share_of_b(unchanged, "Old") == pytest.approx(share_of_b(unchanged, "Young"), abs=0.08)
    assert share_of_b(changed, "Old") - share_of_b(changed, "Young") > 0.2


def test_options_reach_the_data() -> None:
    settings = SimulationSettings(fraction_condition2=0.25, depth=100.0)
    adata = simulate(400, 30, conditions=("wt", "ko"), n_donors=1, n_components=5, settings=settings)
    assert adata.obs["condition"].value_counts().to_dict() == {"wt": 300, "ko": 100}
    assert list(adata.obs["donor"].cat.categories) == ["wt_1", "ko_1"]
    assert adata.obsm["DM_EigenVectors"].shape == (400, 5)
    assert adata.var["true_mean"].sum() == pytest.approx(100.0)
    assert list(adata.uns["simulation"]["conditions"]) == ["wt", "ko"]


def test_smallest_data_set() -> None:
    adata = simulate(24, 10)
    assert np.isfinite(adata.obsm["DM_EigenVectors"]).all()
    assert (adata.obs["donor"].value_counts() == 4).all()
