"""Labels as text of any type that pandas has, and arrays that cannot be written to, as pandas 3 hands them out."""

import numpy as np
import pandas as pd
import pytest

import kompot
from adata_helpers import QUIET, small_adata

N = 120
RESULT = kompot.OutputSettings(inplace=False, return_full_results=True, **QUIET)
TYPES = {
    "str": lambda: pd.StringDtype("python", na_value=np.nan),
    "string": lambda: pd.StringDtype("python"),
    "string of pyarrow": lambda: pd.StringDtype("pyarrow"),
    "categories of strings": lambda: pd.CategoricalDtype(pd.array(["A", "B", "T", "NK", "d0", "d1"], dtype="string")),
    "categories of objects": lambda: pd.CategoricalDtype(np.array(["A", "B", "T", "NK", "d0", "d1"], dtype=object)),
}


def labelled_adata(dtype):
    """Conditions, kinds and donors of one type; no condition and no kind for a cell that is left out."""
    adata = small_adata(N)
    numbers = np.arange(N)
    texts = {
        "condition": adata.obs["condition"].astype(object).where(numbers > 0, None),
        "kind": pd.Series(np.array(["NK", "T"], dtype=object)[numbers % 2], adata.obs_names).where(numbers > 0, None),
        "donor": pd.Series(np.array(["d0", "d1"], dtype=object)[numbers // 2 % 2], adata.obs_names),
    }
    for name, labels in texts.items():
        adata.obs[name] = labels.astype(dtype)
    return adata


def results(adata):
    """Everything that depends on labels."""
    chosen = kompot.FilterSettings(cell_filter={"kind": ["T", "NK"]}, groups="kind")
    named = kompot.FilterSettings(groups={"some": "NK", "kind": "T", "both": {"kind": "T", "donor": "d1"}})
    fdr = kompot.FDRSettings(null_genes=0)
    de = kompot.de(adata, "condition", "A", "B", sample_col="donor", filter=chosen, fdr=fdr, output=RESULT)
    again = kompot.de(adata, "condition", np.str_("A"), "B", filter=named, fdr=fdr, output=RESULT)
    da = kompot.da(adata, "condition", "A", "B", output=RESULT, calibrate_offset=False)
    smooth = kompot.smooth_expression(adata, "condition", "A", sample_col="donor", output=RESULT)
    report = kompot.check_underrepresentation(adata, "condition", "kind", ["A", "B"], warn=False)
    frames = [
        de["table"],
        again["table"],
        da["table"],
        smooth["table"],
        report.table().sort_values(["group", "condition"]),
    ]
    groups = [de["groups"]["mean_lfc"][["NK", "T"]], again["groups"]["mean_lfc"]]
    return [*frames, *groups]


@pytest.fixture(scope="module")
def expected():
    return results(labelled_adata(object))


@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
def test_labels_are_text_of_any_type(expected, dtype):
    try:
        adata = labelled_adata(dtype())
    except (ImportError, TypeError) as reason:
        pytest.skip(f"pandas {pd.__version__} here has no such type: {reason}")
    for found, frame in zip(results(adata), expected, strict=True):
        pd.testing.assert_frame_equal(found.reset_index(drop=True), frame.reset_index(drop=True), check_dtype=False)


@pytest.mark.parametrize("dtype", [object, *TYPES.values()], ids=["object", *TYPES])
def test_misspelt_labels_are_told_with_those_there_are(dtype):
    try:
        adata = labelled_adata(dtype if dtype is object else dtype())
    except (ImportError, TypeError) as reason:
        pytest.skip(f"pandas {pd.__version__} here has no such type: {reason}")
    with pytest.raises(ValueError, match=r"condition1='C' does not occur.*There is: 'A', 'B'\."):
        kompot.de(adata, "condition", "C", "B")
    with pytest.raises(ValueError, match=r"'NKT' does not occur in adata.obs\['kind'\]. Did you mean 'NK'"):
        kompot.de(adata, "condition", "A", "B", filter=kompot.FilterSettings(groups={"kind": ["NKT"]}))


def test_arrays_that_cannot_be_written_to():
    adata = labelled_adata(object)
    expected = results(adata)
    for array in (adata.X.data, adata.X.indices, adata.X.indptr, adata.obsm["DM_EigenVectors"]):
        array.flags.writeable = False
    for found, frame in zip(results(adata), expected, strict=True):
        pd.testing.assert_frame_equal(found, frame)
    states = adata.obsm["DM_EigenVectors"]
    adata.obsm["DM_EigenVectors"] = pd.DataFrame(states, index=adata.obs_names, columns=["x", "y", "z"])
    adata.X = adata.X.toarray()
    adata.X.flags.writeable = False
    for found, frame in zip(results(adata), expected, strict=True):
        pd.testing.assert_frame_equal(found, frame, rtol=1e-4, atol=1e-6)
