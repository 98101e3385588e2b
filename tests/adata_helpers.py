"""Small AnnData objects, and comparisons of whole objects."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

QUIET = {"progress": False}


def small_adata(n_cells=120, n_genes=25, n_dims=3, seed=0, conditions=("A", "B"), others=()):
    """Counts-like CSR expression over a curve of states; genes 0 and 1 differ between the two conditions."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, n_cells)
    X = np.column_stack([t, t**2, *rng.normal(scale=0.1, size=(n_dims - 2, n_cells))])
    labels = np.array([*conditions, *others], dtype=object)[rng.integers(0, 2 + len(others), n_cells)]
    rate = np.exp(np.outer(t, rng.normal(size=n_genes)) * 0.5 - 0.5)
    rate[labels == conditions[1], 0] *= 6
    rate[labels == conditions[1], 1] *= 1 + 5 * (t[labels == conditions[1]] > 0)
    Y = np.log1p(rng.poisson(rate)).astype(np.float32)
    adata = ad.AnnData(
        sparse.csr_matrix(Y),
        obs=pd.DataFrame({"condition": pd.Categorical(labels)}, index=[f"cell{i}" for i in range(n_cells)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]),
        obsm={"DM_EigenVectors": X},
    )
    adata.layers["counts"] = adata.X.copy()
    return adata


def last_run(adata, analysis_type="de"):
    """The record of the latest run."""
    return json.loads(adata.uns[f"kompot_{analysis_type}"]["run_history"])[-1]


def snapshot(adata):
    """Everything in an object, in a form that can be compared and does not share memory with it."""
    return {
        "X": _plain(adata.X),
        "obs": adata.obs.copy(deep=True),
        "var": adata.var.copy(deep=True),
        **{
            place: {key: _plain(value) for key, value in getattr(adata, place).items()}
            for place in ("layers", "obsm", "varm", "obsp", "varp")
        },
        "uns": json.dumps(adata.uns, default=str, sort_keys=True),
    }


def assert_unchanged(adata, before):
    """The object holds exactly what it held before."""
    after = snapshot(adata)
    pd.testing.assert_frame_equal(after.pop("obs"), before["obs"])
    pd.testing.assert_frame_equal(after.pop("var"), before["var"])
    np.testing.assert_array_equal(after.pop("X"), before["X"])
    assert after.pop("uns") == before["uns"]
    for place, values in after.items():
        assert list(values) == list(before[place]), place
        for key, value in values.items():
            np.testing.assert_array_equal(value, before[place][key])


def _plain(matrix):
    if sparse.issparse(matrix):
        return matrix.toarray()
    return None if matrix is None else np.array(matrix)
