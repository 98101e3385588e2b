"""What stands for conditions in names of fields."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

import kompot
from adata_helpers import small_adata
from helpers import LAWS
from kompot._file_names import LONGEST, n_bytes, why_unwritable
from kompot.anndata.condition_names import condition_names
from kompot.anndata.fields import COLORS, DA_FIELDS, DE_FIELDS, SMOOTH_FIELDS, named_fields
from name_helpers import TEXTS

LONGEST_KEY = "k" * 190


def with_labels(*labels):
    index = [f"cell{i}" for i in range(len(labels))]
    return AnnData(obs=pd.DataFrame({"label": pd.Series(labels, index=index, dtype=object)}))


CASES = {
    "as before": (["wild type", "0.5"], ["wild type", "0.5"], ("wild_type", "0_5")),
    "numbers": ([0.5, -1], [0.5, -1], ("0_5", "_1")),
    "a twin that is not compared": (["T cell", "T-cell", "B"], ["T-cell", "B"], ("T_cell", "B")),
    "twins": (["T cell", "T-cell", "B"], ["T cell", "T-cell"], ("T_cell", "T_cell_2")),
    "the other way round": (["T cell", "T-cell", "B"], ["T-cell", "T cell"], ("T_cell_2", "T_cell")),
    "a number that is taken": (["T cell", "T-cell", "T_cell_2"], ["T cell", "T-cell"], ("T_cell", "T_cell_3")),
    "the second and third": (["a b", "a-b", "a.b"], ["a.b", "a-b"], ("a_b_3", "a_b_2")),
    "unwritable": (["a\0b", "c"], ["a\0b", "c"], ("a_b", "c")),
    "unwritable, beside one that is not": (["a\0b", "a b", "c"], ["a\0b", "c"], ("a_b_2", "c")),
    "unwritable, alone": (["a\0b", "a\\b", "c"], ["a\\b"], ("a_b_2",)),
    "nothing": (["", "c"], ["", "c"], ("", "c")),
}


@pytest.mark.parametrize("case", CASES)
def test_names_of_conditions(case):
    labels, chosen, names = CASES[case]
    assert condition_names(with_labels(*labels), "label", *chosen) == names
    assert condition_names(with_labels(*labels[::-1]), "label", *chosen) == names


@LAWS
@given(st.lists(TEXTS, min_size=2, max_size=5, unique=True), st.booleans())
def test_names_of_fields_are_writable_and_distinct(labels, samples):
    names = condition_names(with_labels(*labels), "label", *labels[:2])
    for key in ("kompot", LONGEST_KEY):
        for declared in (DE_FIELDS, DA_FIELDS, SMOOTH_FIELDS):
            fields = named_fields(declared, key, *names, samples=samples)
            places = {(item.field.place, item.name) for item in fields.values()}
            assert len(places) == len(fields)
            assert [name for _, name in places if why_unwritable(name)] == []
            if "colors_key" in fields:
                assert fields["colors_key"].name == fields["direction_key"].name + COLORS


@pytest.mark.parametrize(
    ("n_letters", "shortened"), [(5, []), (120, ["mean_lfc_key"]), (300, ["mean_lfc_key", "std_key_1"])]
)
def test_only_names_that_are_too_long_are_shortened(n_letters, shortened):
    names = ("a" * n_letters, "b" * n_letters)
    fields = named_fields(DE_FIELDS, "kompot_de", *names)
    for key in ("mean_lfc_key", "std_key_1"):
        whole = fields[key].field.pattern.format(K="kompot_de", A=names[0], B=names[1], S="")
        assert (fields[key].name != whole) == (key in shortened)
        assert n_bytes(fields[key].name) in ([LONGEST - 1, LONGEST] if key in shortened else [len(whole)])


@pytest.mark.parametrize("kind", [pd.Timestamp, np.datetime64, str])
def test_dates_are_labels(kind):
    adata = small_adata(40, 5)
    days = pd.to_datetime(["2024-05-01", "2024-06-01"])
    adata.obs["day"] = days[(adata.obs["condition"] == "B").to_numpy().astype(int)]
    if kind is str:
        with pytest.raises(ValueError, match=r"does not occur.*Timestamp"):
            kompot.da(adata, "day", "2024-05-01", "2024-06-01")
        return
    output = kompot.OutputSettings(progress=False)
    kompot.de(adata, "day", *map(kind, days), fdr=kompot.FDRSettings(null_genes=0), output=output)
    again = kompot.RunInfo(adata).call_args()
    assert (again["condition1"], again["condition2"]) == tuple(days)
    assert "kompot_de_2024_05_01_00:00:00_to_2024_06_01_00:00:00_mean_lfc" in adata.var
