from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.neighbors import KNeighborsRegressor

from kompot.datasets import simulate
from kompot.datasets.embedding import fit_embedding, fit_principal_components, fix_signs


def held_out_r2(points: np.ndarray, target: np.ndarray) -> float:
    """Return the share of variance that the 15 nearest of the first half predict in the second half."""
    half = len(target) // 2
    predicted = KNeighborsRegressor(15).fit(points[:half], target[:half]).predict(points[half:])
    return float(1 - np.mean((target[half:] - predicted) ** 2) / np.var(target[half:]))


def true_state(adata: ad.AnnData) -> np.ndarray:
    sign = adata.obs["true_branch"].astype(str).map({"trunk": 0.0, "A": -1.0, "B": 1.0}).to_numpy()
    t = adata.obs["true_pseudotime"].to_numpy()
    return np.column_stack([t, sign * np.clip(t - 0.4, 0, None), adata.obs["true_activation"].to_numpy()])


@pytest.fixture
def components(changed: ad.AnnData) -> np.ndarray:
    return np.asarray(changed.obsm["DM_EigenVectors"])


def test_columns_have_unit_length_and_the_first_is_constant(components: np.ndarray) -> None:
    np.testing.assert_allclose(np.linalg.norm(components, axis=0), 1.0)
    np.testing.assert_allclose(components[:, 0], 1 / np.sqrt(6000), rtol=1e-6)


def test_components_carry_the_trajectory(typical: ad.AnnData) -> None:
    points = typical.obsm["DM_EigenVectors"][:, 1:]
    assert held_out_r2(points, typical.obs["true_pseudotime"].to_numpy()) > 0.9
    assert held_out_r2(points, typical.obs["true_activation"].to_numpy()) > 0.8


def test_components_vary_from_cell_to_cell(components: np.ndarray) -> None:
    # 6,000 cells are more than there are anchors: those beyond are extended, not copied.
    assert len(np.unique(components[:, 1:], axis=0)) == 6000
    anchors, extended = components[:5000, 1:], components[5000:, 1:]
    np.testing.assert_allclose(anchors.std(axis=0), extended.std(axis=0), rtol=0.2)


def test_conditions_mix_as_much_as_their_true_states(typical: ad.AnnData) -> None:
    # Otherwise a change of expression would pass for a change of abundance.
    second = (typical.obs["condition"] == "Old").to_numpy().astype(float)
    possible = held_out_r2(true_state(typical), second)
    assert held_out_r2(typical.obsm["DM_EigenVectors"][:, 1:], second) == pytest.approx(possible, abs=0.06)


def test_picture_separates_the_three_arms(changed: ad.AnnData) -> None:
    picture = np.asarray(changed.obsm["X_umap"])
    assert picture.shape == (6000, 2)
    t = changed.obs["true_pseudotime"].to_numpy()
    branch = changed.obs["true_branch"].to_numpy()
    ends = [picture[tips].mean(axis=0) for tips in (t < 0.1, (branch == "A") & (t > 0.9), (branch == "B") & (t > 0.9))]
    centre = picture[np.abs(t - 0.4) < 0.02].mean(axis=0)
    arms = np.array(ends) - centre
    arms /= np.linalg.norm(arms, axis=1, keepdims=True)
    cosines = (arms @ arms.T)[np.triu_indices(3, 1)]
    assert cosines.max() < 0.3  # any two arms leave the branching point at more than 70 degrees


def test_embedding_does_not_know_the_truth() -> None:
    # The same expression under reversed donor order gives the same embedding: only X and donor labels go in.
    adata = simulate(600, 80)
    donor = adata.obs["donor"].cat.codes.to_numpy().astype(np.int64)
    first = fit_embedding(adata.X, donor, 6).transform(adata.X)
    second = fit_embedding(adata.X, 5 - donor, 6).transform(adata.X)
    np.testing.assert_allclose(first, second, atol=1e-8)
    scaled = first / np.linalg.norm(first, axis=0)
    np.testing.assert_allclose(scaled, adata.obsm["DM_EigenVectors"][:, :6], atol=1e-8)


def test_transform_of_a_part_is_the_part_of_the_transform(changed: ad.AnnData) -> None:
    donor = changed.obs["donor"].cat.codes.to_numpy().astype(np.int64)
    embedding = fit_embedding(changed.X[:1000], donor[:1000], 5)
    whole = embedding.transform(changed.X[1000:1400])
    np.testing.assert_allclose(embedding.transform(changed.X[1100:1150]), whole[100:150], atol=1e-9)


def test_components_are_continuous_in_the_expression() -> None:
    # On the straight way from one cell to another the largest step shrinks with the number of steps.
    adata = simulate(600, 80)
    embedding = fit_embedding(adata.X, adata.obs["donor"].cat.codes.to_numpy().astype(np.int64), 6)
    start, end = adata.X[[0, 1]].toarray()

    def largest_step(n_steps: int) -> float:
        share = np.linspace(0, 1, n_steps + 1)[:, None]
        points = embedding.transform(csr_matrix((1 - share) * start + share * end))
        return float(np.abs(np.diff(points, axis=0)).max())

    assert largest_step(8000) < largest_step(500) / 8


def test_principal_components_against_numpy(changed: ad.AnnData) -> None:
    X = changed.X[:300, :40]
    donor = np.repeat([0, 1, 2], 100)
    found = fit_principal_components(X, donor)
    dense = X.toarray().astype(float)
    within = dense - np.vstack([np.tile(dense[donor == d].mean(axis=0), (100, 1)) for d in range(3)])
    axes = np.linalg.svd(within, full_matrices=False)[2][: found.loadings.shape[1]].T
    np.testing.assert_allclose(found.loadings, fix_signs(axes), atol=1e-6)
    np.testing.assert_allclose(found.transform(X), (dense - dense.mean(axis=0)) @ fix_signs(axes), atol=1e-4)


def test_constant_shift_of_a_donor_gets_no_component(changed: ad.AnnData) -> None:
    dense = changed.X[:300, :40].copy()
    donor = np.repeat([0, 1, 2], 100)
    shifted = dense.toarray()
    shifted[donor == 1] += 1.0
    before = fit_principal_components(dense, donor).loadings
    after = fit_principal_components(csr_matrix(shifted), donor).loadings
    np.testing.assert_allclose(before, after, atol=1e-4)
