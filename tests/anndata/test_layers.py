"""X is no layer, though AnnData lists it among them from version 0.13 on, under the key None."""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import kompot
from adata_helpers import QUIET, small_adata
from kompot.anndata.layers import layer_names
from kompot.anndata.planning.plans import object_bytes
from kompot.anndata.store import REMOVED, Change, commit

FUNCTIONS = {
    "de": (kompot.de, {"groupby": "condition", "condition1": "A", "condition2": "B"}),
    "smooth": (kompot.smooth_expression, {"groupby": "condition", "condition": "A"}),
}
functions = pytest.mark.parametrize(("function", "arguments"), FUNCTIONS.values(), ids=FUNCTIONS)


def backed(tmp_path, adata):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")


def test_layer_names_leave_out_x(tmp_path):
    adata = small_adata()
    adata.layers["more"] = adata.X.copy()
    assert layer_names(adata) == layer_names(adata[:50]) == layer_names(backed(tmp_path, adata)) == ["counts", "more"]
    assert layer_names(ad.AnnData(np.ones((2, 2)))) == []


@functions
@pytest.mark.parametrize(("names", "listed"), [([], r"\(none\)"), (["raw", "log"], "raw, log")], ids=["none", "two"])
def test_errors_list_layers_that_can_be_named(function, arguments, names, listed):
    adata = small_adata()
    for name in names:
        adata.layers[name] = adata.X.copy()
    del adata.layers["counts"]
    with pytest.raises(ValueError, match=f"There is: {listed}; None uses adata.X"):
        function(adata, layer="counts", **arguments)
    adata.X = None
    with pytest.raises(ValueError, match=f"adata.X is empty; pass layer=... There is: {listed}.$"):
        function(adata, **arguments)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_a_plan_counts_x_once(kind):
    adata = small_adata()
    X = kind(adata.X.toarray())
    alone = ad.AnnData(X, obs=adata.obs, var=adata.var)
    with_layer = ad.AnnData(X, obs=adata.obs, var=adata.var, layers={"same": X.copy()})
    empty = ad.AnnData(None, obs=adata.obs, var=adata.var)
    size = X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    assert object_bytes(alone) - object_bytes(empty) == size
    assert object_bytes(with_layer) - object_bytes(alone) == size


def test_a_run_that_fails_while_writing_leaves_x_on_disk(tmp_path):
    adata = small_adata()
    adata.layers["second"] = adata.X.copy()
    adata = backed(tmp_path, adata)
    on_disk = type(adata.X)
    with pytest.raises(ValueError, match="incorrect shape"):
        commit(adata, [Change("layers", "counts", REMOVED), Change("layers", "new", np.zeros((1, 1)))])
    assert layer_names(adata) == ["counts", "second"]
    assert adata.isbacked
    assert type(adata.X) is on_disk


@functions
def test_x_stays_what_it_is(function, arguments):
    adata = small_adata()
    X = adata.X
    function(adata, **arguments, output=kompot.OutputSettings(**QUIET))
    assert adata.X is X
    kompot.cleanup(adata, analysis_type="de" if function is kompot.de else "smooth", keep_layers=False)
    assert layer_names(adata) == ["counts"]
    assert adata.X is X
