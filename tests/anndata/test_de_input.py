"""Bad input: one clear error, before any work, with the object untouched."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kompot
from adata_helpers import QUIET, assert_unchanged, small_adata, snapshot
from kompot.errors import UnusedParameterWarning

ARGUMENTS = {"groupby": "condition", "condition1": "A", "condition2": "B"}


@pytest.fixture
def no_work(monkeypatch):
    """Any computation is a failure."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("computed before the input was checked")

    monkeypatch.setattr("kompot.anndata.run_de.compute", refuse)


def set_cell(adata, value):
    Y = adata.X.toarray()
    Y[3, 2] = value
    adata.X = sparse.csr_matrix(Y)


def set_coordinate(adata, value):
    X = adata.obsm["DM_EigenVectors"].copy()
    X[5, 1] = value
    adata.obsm["DM_EigenVectors"] = X


def rename(adata, names):
    adata.var_names = names


def relabel(adata, labels):
    adata.obs["condition"] = labels


def one_cell(adata):
    labels = np.full(adata.n_obs, "B", dtype=object)
    labels[0] = "A"
    adata.obs["condition"] = labels


def set_uns(adata, key, value):
    adata.uns[key] = value


def same_text(adata):
    adata.obs["condition"] = pd.array([1 if label == "A" else "1" for label in adata.obs["condition"]], dtype=object)


CASES = {
    "no_embedding": (lambda a: a.obsm.clear(), {}, "palantir.utils.run_diffusion_maps"),
    "embedding_misspelt": (None, {"obsm_key": "DM_Eigenvectors"}, "Did you mean 'DM_EigenVectors'"),
    "embedding_listed": (None, {"obsm_key": "X_pca"}, "There is: DM_EigenVectors"),
    "no_column": (None, {"groupby": "Condition"}, "not a column of adata.obs. Did you mean 'condition'"),
    "absent_condition": (None, {"condition1": "a"}, "condition1='a' does not occur .* Did you mean 'A'"),
    "absent_condition_lists": (None, {"condition2": "zebra"}, "There is: 'A', 'B'"),
    "wrong_type_of_label": (
        lambda a: relabel(a, np.where(a.obs["condition"] == "A", 0, 1)),
        {"condition1": "0", "condition2": 1},
        "holds 0 .int.: pass it as that type",
    ),
    "equal_conditions": (None, {"condition2": "A"}, "must differ, both are 'A'"),
    "one_cell": (one_cell, {}, "condition1='A' has 1 cell"),
    "equal_texts": (same_text, {"condition1": 1, "condition2": "1"}, "different labels with the same text, 1 and '1'"),
    "unknown_gene": (None, {"genes": ["g1", "G2"]}, "1 of 2 genes are not in adata.var_names: G2. Did you mean 'g2'"),
    "many_unknown_genes": (None, {"genes": [f"x{i}" for i in range(14)]}, "and 4 more"),
    "duplicate_genes": (None, {"genes": ["g1", "g1"]}, "genes has duplicates: g1"),
    "empty_genes": (None, {"genes": []}, "genes is empty"),
    "wrong_layer": (None, {"layer": "count"}, "layer='count' is not in adata.layers. Did you mean 'counts'"),
    "no_X": (lambda a: setattr(a, "X", None), {}, "adata.X is empty; pass layer=... There is: counts"),
    "nan_expression": (lambda a: set_cell(a, np.nan), {}, "NaN or infinite values in 1 of the genes used: g2"),
    "inf_expression": (lambda a: set_cell(a, np.inf), {}, "NaN or infinite values in 1 of the genes used: g2"),
    "nan_coordinates": (
        lambda a: set_coordinate(a, np.nan),
        {},
        r"adata.obsm\['DM_EigenVectors'\] has NaN or infinite values in 1 of 120 rows \(first row: 5\)",
    ),
    "flat_coordinates": (
        lambda a: set_uns(a, "x", 1),
        {"gp": kompot.GPSettings(landmarks=np.ones((4, 2)))},
        "landmarks must have one column per dimension of the cell states: needed 3, came 2",
    ),
    "nan_landmarks": (None, {"gp": kompot.GPSettings(landmarks=np.full((4, 3), np.nan))}, "landmarks has NaN"),
    "repeated_var_names": (
        lambda a: rename(a, ["g0"] * 2 + [f"g{i}" for i in range(2, 25)]),
        {},
        "var_names are not unique .g0.*var_names_make_unique",
    ),
    "external_null_length": (
        None,
        {"fdr": kompot.FDRSettings(null_expression=(np.ones((3, 2)), np.ones((4, 2))))},
        r"null_expression\[0\] must have one row per cell of condition1: needed \d+, came 3",
    ),
    "null_column_out_of_range": (
        None,
        {"fdr": kompot.FDRSettings(null_genes=[25])},
        "names column 25, but .* 25 genes",
    ),
    "all_genes_are_null": (
        None,
        {"genes": ["g1"], "fdr": kompot.FDRSettings(null_genes=[1])},
        "No genes are left to analyse",
    ),
    "uns_is_taken": (lambda a: set_uns(a, "kompot_de", "mine"), {}, "adata.uns.'kompot_de'. is needed"),
    "result_key_is_taken": (
        lambda a: set_uns(a, "mine", 3),
        {"storage": kompot.StorageSettings(result_key="mine")},
        "adata.uns.'mine'. is needed",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("no_work")
def test_value_errors(case):
    change, arguments, message = CASES[case]
    adata = small_adata()
    if change is not None:
        change(adata)
    before = snapshot(adata)
    with pytest.raises(ValueError, match=message):
        kompot.de(adata, **{**ARGUMENTS, **arguments})
    assert_unchanged(adata, before)


def object_matrix(adata):
    Y = adata.X.toarray().astype(object)
    adata.layers["odd"] = Y


TYPE_ERRORS = {
    "object_dtype": (object_matrix, {"layer": "odd"}, "must hold real numbers, came dtype object"),
    "wrong_settings_class": (None, {"gp": {"sigma": 1}}, r"gp must be kompot.GPSettings\(...\) or None"),
    "swapped_settings": (None, {"fdr": kompot.GPSettings()}, r"fdr must be kompot.FDRSettings"),
    "unknown_keyword": (None, {"sigmas": 1}, "kompot.de has no parameter 'sigmas'. Did you mean 'sigma'"),
    "given_twice": (None, {"sigma": 2.0, "gp": kompot.GPSettings(sigma=3.0)}, "sigma was given twice"),
    "bad_kernel": (None, {"cov_func": 3}, "cov_func must be a kernel"),
}


@pytest.mark.parametrize("case", TYPE_ERRORS)
@pytest.mark.usefixtures("no_work")
def test_type_errors(case):
    change, arguments, message = TYPE_ERRORS[case]
    adata = small_adata()
    if change is not None:
        change(adata)
    with pytest.raises(TypeError, match=message):
        kompot.de(adata, **{**ARGUMENTS, **arguments})


def test_not_an_anndata_object():
    with pytest.raises(TypeError, match="adata must be an AnnData object, came a DataFrame"):
        kompot.de(pd.DataFrame(), **ARGUMENTS)


def test_no_genes_at_all():
    adata = small_adata()[:, :0].copy()
    with pytest.raises(ValueError, match="adata has no genes"):
        kompot.de(adata, **ARGUMENTS)


def test_invalid_values_that_are_not_used_are_harmless():
    adata = small_adata(n_cells=180, others=("C",))
    expected = small_adata(n_cells=180, others=("C",))
    row = np.flatnonzero(adata.obs["condition"] == "C")[0]
    Y = adata.X.toarray()
    Y[row, 2] = np.nan
    adata.X = sparse.csr_matrix(Y)
    output = kompot.OutputSettings(inplace=False, **QUIET)
    fdr = kompot.FDRSettings(null_genes=10)
    actual = kompot.de(adata, **ARGUMENTS, fdr=fdr, output=output)["table"]
    pd.testing.assert_frame_equal(actual, kompot.de(expected, **ARGUMENTS, fdr=fdr, output=output)["table"], rtol=1e-5)


def test_an_invalid_gene_outside_the_subset_is_harmless_without_null_genes():
    adata = small_adata()
    set_cell(adata, np.nan)
    output = kompot.OutputSettings(inplace=False, **QUIET)
    result = kompot.de(adata, **ARGUMENTS, genes=["g5"], fdr=kompot.FDRSettings(null_genes=0), output=output)
    assert np.isfinite(result["table"].loc["g5", "mahalanobis"])


def test_invalid_values_on_disk_are_found_while_reading(tmp_path):
    import anndata as ad

    adata = small_adata()
    set_cell(adata, np.nan)
    adata.write_h5ad(tmp_path / "bad.h5ad")
    backed = ad.read_h5ad(tmp_path / "bad.h5ad", backed="r")
    with pytest.raises(ValueError, match="NaN or infinite values in 1 of the genes used: g2"):
        kompot.de(backed, **ARGUMENTS, output=kompot.OutputSettings(**QUIET))
    assert "kompot_de" not in backed.uns
    backed.file.close()


def test_names_without_effect_are_one_warning():
    adata = small_adata()
    output = kompot.OutputSettings(**QUIET)
    with pytest.warns(UnusedParameterWarning) as caught:
        kompot.de(
            adata, **ARGUMENTS, optimizer="advi", gp_type="full", fdr=kompot.FDRSettings(null_genes=5), output=output
        )
    assert len(caught) == 1
    assert "optimizer" in str(caught[0].message)
    assert "gp_type" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_compile_setting_is_a_warning():
    with pytest.warns(UnusedParameterWarning, match="jit_compile"):
        kompot.de(
            small_adata(),
            **ARGUMENTS,
            gp=kompot.GPSettings(jit_compile=True),
            fdr=kompot.FDRSettings(null_genes=5),
            output=kompot.OutputSettings(**QUIET),
        )


def test_identical_cells_only():
    adata = small_adata()
    adata.obsm["DM_EigenVectors"] = np.ones((120, 3))
    before = snapshot(adata)
    with pytest.raises(ValueError, match="no length scale can be estimated"):
        kompot.de(adata, **ARGUMENTS, output=kompot.OutputSettings(**QUIET))
    assert_unchanged(adata, before)
