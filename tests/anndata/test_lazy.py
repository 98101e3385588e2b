"""Objects of `anndata.experimental.read_lazy`: the same numbers as in memory, and nothing is written into them."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kompot
from adata_helpers import QUIET, last_run, small_adata
from kompot.anndata.planning.plans import object_bytes
from kompot.errors import RepresentationWarning

pytest.importorskip("xarray")  # comes with kompot[lazy]
dask_array = pytest.importorskip("dask.array")

RESULT = kompot.OutputSettings(inplace=False, return_full_results=True, **QUIET)
WRITTEN = kompot.OutputSettings(**QUIET)
NULLS = kompot.FDRSettings(null_genes=20)
N = 120


def full_adata():
    """Labels of all types, layers and embeddings of all kinds, and records of runs."""
    adata = small_adata(N)
    numbers = np.arange(N)
    adata.obs["donor"] = pd.Categorical([f"d{i}" for i in numbers % 4])
    adata.obs["kind"] = pd.Categorical(np.array(["T", "B"])[numbers % 2], categories=["T", "B"])
    adata.obs["good"] = numbers % 5 != 0
    adata.obs["maybe"] = pd.array([None, True, False, True] * 30, dtype="boolean")
    adata.obs["batch"] = numbers % 3
    adata.obs["flag"] = pd.Categorical(adata.obs["condition"] == "A")
    adata.layers["dense"] = adata.X.toarray()
    adata.layers["by columns"] = sparse.csc_matrix(adata.X)
    states = adata.obsm["DM_EigenVectors"]
    adata.obsm["table"] = pd.DataFrame(states, index=adata.obs_names, columns=["x", "y", "z"])
    adata.obsm["sparse"] = sparse.csr_matrix(states)
    adata.var["symbol"] = [f"SYMBOL{i}" for i in range(adata.n_vars)]
    kompot.da(adata, "condition", "A", "B", output=WRITTEN, calibrate_offset=False)
    kompot.smooth_expression(adata, "condition", "A", output=WRITTEN)
    kompot.de(adata, "condition", "A", "B", fdr=NULLS, filter=kompot.FilterSettings(groups="kind"), output=WRITTEN)
    return adata


@pytest.fixture(scope="module")
def in_memory():
    return full_adata()


@pytest.fixture(scope="module", params=["h5ad", "zarr"])
def path(in_memory, request, tmp_path_factory):
    path = tmp_path_factory.mktemp("lazy") / f"cells.{request.param}"
    with warnings.catch_warnings():
        # anndata and zarr warn of each other's formats, whichever is chosen.
        warnings.simplefilter("ignore")
        in_memory.write_h5ad(path) if request.param == "h5ad" else in_memory.write_zarr(path)
    return path


@pytest.fixture(name="lazy")
def opened(path):
    return ad.experimental.read_lazy(path)


def de(adata, **options):
    return kompot.de(adata, "condition", "A", "B", **{"fdr": NULLS, "output": RESULT, **options})


def da(adata, **options):
    return kompot.da(adata, "condition", "A", "B", **{"output": RESULT, "calibrate_offset": False, **options})


def smooth(adata, **options):
    return kompot.smooth_expression(adata, "condition", "A", **{"output": RESULT, **options})


def same_table(lazy, in_memory):
    pd.testing.assert_frame_equal(
        lazy["table"], in_memory["table"], check_index_type=False, check_names=False, rtol=1e-5, atol=1e-7
    )


FILTERS = {
    "column": {"cell_filter": "good"},
    "nullable column": {"cell_filter": "maybe"},
    "values": {"cell_filter": {"batch": [0, 1]}},
    "groups of a column": {"groups": "kind"},
    "groups of values": {"groups": {"some": {"kind": ["T"], "good": True}}},
    "a label of any column": {"groups": {"some": "T"}},
}
CASES = {
    "de": (de, {}),
    "de, some genes": (de, {"genes": ["g3", "g7"], "fdr": kompot.FDRSettings(null_genes=0)}),
    "de, dense layer": (de, {"layer": "dense"}),
    "de, layer by columns": (de, {"layer": "by columns"}),
    "de, replicates": (de, {"sample_col": "donor"}),
    "de, empirical variance": (de, {"gp": kompot.GPSettings(use_empirical_variance=True)}),
    **{f"de, {name}": (de, {"filter": kompot.FilterSettings(**filters)}) for name, filters in FILTERS.items()},
    "da": (da, {}),
    "da, table of states": (da, {"obsm_key": "table"}),
    "da, sparse states": (da, {"obsm_key": "sparse"}),
    "da, replicates": (da, {"sample_col": "donor"}),
    "smooth": (smooth, {}),
    "smooth, some genes": (smooth, {"genes": ["g7", "g3"], "layer": "dense"}),
    "smooth, replicates": (smooth, {"sample_col": "donor"}),
}


@pytest.mark.parametrize(("function", "options"), CASES.values(), ids=CASES)
def test_results_are_those_in_memory(in_memory, lazy, function, options):
    result, expected = function(lazy, **options), function(in_memory, **options)
    same_table(result, expected)
    for name, frame in expected.get("groups", {}).items():
        pd.testing.assert_frame_equal(result["groups"][name], frame, check_names=False, rtol=1e-5, atol=1e-7)


def test_conditions_of_other_types(in_memory, lazy):
    both = [kompot.da(adata, "flag", True, False, output=RESULT, calibrate_offset=False) for adata in (lazy, in_memory)]
    same_table(*both)


def test_a_part_of_the_cells(in_memory, lazy):
    keep = np.arange(N) % 4 > 0
    same_table(de(lazy[keep]), de(in_memory[keep].copy()))


def test_expression_is_read_in_chunks(in_memory, lazy, monkeypatch):
    read = []

    def noted(array, **options):
        read.append(array.shape)
        return compute(array, **options)

    compute = dask_array.Array.compute
    monkeypatch.setattr(dask_array.Array, "compute", noted)
    monkeypatch.setattr("kompot.stats.null._READ_ROWS", 30)
    de(lazy, gp=kompot.GPSettings(batch_size=30))
    assert {shape for shape in read if shape[1:] == (25,)} == {(30, 25)}


@pytest.mark.parametrize(("function", "options"), [(de, {}), (da, {}), (smooth, {})], ids=["de", "da", "smooth"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_nothing_is_written_in_place(lazy, monkeypatch, function, options, dry_run):
    for module in ("request", "da_request", "smooth_request"):
        monkeypatch.setattr(f"kompot.anndata.{module}.cell_states", lambda *_: pytest.fail("work was done"))
    with pytest.raises(ValueError, match=r"read_lazy, so that nothing.*inplace=False, return_full_results=True.*copy"):
        function(lazy, output=WRITTEN, dry_run=dry_run, **options)
    assert isinstance(lazy.X, dask_array.Array)


@pytest.mark.parametrize("function", [de, da, smooth])
def test_a_copy_with_the_results_is_in_memory(in_memory, lazy, function):
    storage = kompot.StorageSettings(result_key="new")
    output = kompot.OutputSettings(copy=True, **QUIET)
    copies = [function(adata, storage=storage, output=output) for adata in (lazy, in_memory)]
    for place in ("obs", "var"):
        done, expected = getattr(copies[0], place), getattr(copies[1], place)
        assert set(done) == set(expected)
        new = [name for name in expected if name.startswith("new")]
        pd.testing.assert_frame_equal(
            done[new], expected[new], check_index_type=False, check_names=False, rtol=1e-5, atol=1e-7
        )
    assert sparse.issparse(copies[0].X)
    assert set(copies[0].layers) == set(copies[1].layers)
    kind = {de: "de", da: "da", smooth: "smooth"}[function]
    assert len(kompot.runs(copies[0])) == len(kompot.runs(in_memory)) + 1
    assert last_run(copies[0], kind)["result_key"] == "new"


@pytest.mark.parametrize("function", [de, smooth])
def test_values_of_other_genes_are_kept_in_a_copy(in_memory, lazy, function):
    options = {"genes": ["g3", "g7"], "output": kompot.OutputSettings(copy=True, **QUIET)}
    if function is de:
        options |= {"fdr": kompot.FDRSettings(null_genes=0), "filter": kompot.FilterSettings(groups="kind")}
    done, expected = function(lazy, **options), function(in_memory, **options)
    new = [name for name in expected.var if name.startswith("kompot")]
    pd.testing.assert_frame_equal(
        done.var[new], expected.var[new], check_index_type=False, check_names=False, rtol=1e-5
    )
    for name, layer in expected.layers.items():
        assert np.array_equal(np.isnan(_dense(done.layers[name])), np.isnan(_dense(layer)))
    for name, table in expected.varm.items():
        pd.testing.assert_frame_equal(done.varm[name], table, check_index_type=False, check_names=False, rtol=1e-5)


def _dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def test_genes_that_are_named_otherwise(lazy):
    with pytest.raises(ValueError, match=r"2 of 2 genes are not in adata.var_names.*adata.var\['symbol'\] has them"):
        de(lazy, genes=["SYMBOL3", "SYMBOL7"])


def test_plans(in_memory, lazy):
    plans = [de(adata, output=RESULT, dry_run=True) for adata in (lazy, in_memory)]
    assert plans[0].n_cells == plans[1].n_cells
    assert plans[0].n_genes == plans[1].n_genes
    # Texts of the two tables differ by the overhead of pandas; the matrices count as they are stored.
    assert object_bytes(lazy) == pytest.approx(object_bytes(in_memory), rel=0.15)


def test_records_can_be_read(in_memory, lazy):
    ours, theirs = kompot.RunInfo(lazy), kompot.RunInfo(in_memory)
    assert str(ours) == str(theirs)
    assert ours.call_args() == theirs.call_args()
    assert set(ours.get_data()["field_data"]["var"]) == set(theirs.get_data()["field_data"]["var"])
    pd.testing.assert_frame_equal(kompot.runs(lazy), kompot.runs(in_memory))
    assert kompot.get_field_status(lazy) == kompot.get_field_status(in_memory)
    assert kompot.RunInfo(lazy, analysis_type="da").unrecoverable == []


def test_distances_and_rates_can_be_read(in_memory, lazy):
    null = kompot.extract_null_distribution(lazy)
    np.testing.assert_array_equal(null, kompot.extract_null_distribution(in_memory))
    tables = [kompot.recompute_fdr(adata, null, inplace=False) for adata in (lazy, in_memory)]
    pd.testing.assert_frame_equal(*tables, check_index_type=False, check_names=False)


def test_representation_can_be_checked(in_memory, lazy):
    with pytest.warns(RepresentationWarning, match="Too few cells"):
        report = kompot.check_underrepresentation(lazy, "condition", "kind", min_cells=50)
    expected = kompot.check_underrepresentation(in_memory, "condition", "kind", min_cells=50, warn=False)
    assert dict(report) == dict(expected)


WRITERS = {
    "cleanup": kompot.cleanup,
    "update_direction": lambda adata, **options: kompot.update_direction(adata, lfc_threshold=0.1, **options),
    "recompute_fdr": lambda adata, **options: kompot.recompute_fdr(adata, np.linspace(0, 3, 50), **options),
}


@pytest.mark.parametrize("function", WRITERS.values(), ids=WRITERS)
def test_records_are_not_changed_in_place(lazy, function):
    with pytest.raises(ValueError, match=r"read_lazy, so that nothing can be written into it. Set inplace=False"):
        function(lazy)


@pytest.mark.parametrize("name", ["cleanup", "update_direction"])
def test_changed_copies_are_in_memory(in_memory, lazy, name):
    done, expected = (WRITERS[name](adata, inplace=False) for adata in (lazy, in_memory))
    assert sparse.issparse(done.X)
    assert set(done.layers) == set(expected.layers)
    column = "kompot_da_A_to_B_lfc_direction"
    assert list(done.obs[column]) == list(expected.obs[column])


def test_a_history_of_entries_is_read(tmp_path, in_memory):
    adata = in_memory.copy()
    history = adata.uns["kompot_da"]["run_history"]
    adata.uns["kompot_da"]["run_history"] = np.array([history[1:-1]], dtype=object)
    adata.write_h5ad(tmp_path / "entries.h5ad")
    lazy = ad.experimental.read_lazy(tmp_path / "entries.h5ad")
    assert kompot.RunInfo(lazy, analysis_type="da").conditions == "A to B"
