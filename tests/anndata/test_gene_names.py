"""Genes that an object does not have: the error says under which name it has them."""

from pathlib import Path

import pandas as pd
import pytest

import kompot
from adata_helpers import QUIET, assert_unchanged, small_adata, snapshot

IDS = [f"ENSMUSG000000{i:05d}" for i in range(25)]
SYMBOLS = [f"Gene{i}" for i in range(25)]
CALLS = {
    "de": lambda adata, **named: kompot.de(
        adata, "condition", "A", "B", output=kompot.OutputSettings(**QUIET), **named
    ),
    "smooth": lambda adata, **named: kompot.smooth_expression(adata, "condition", "A", **named),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def named(names, **columns):
    adata = small_adata()
    adata.var_names = names
    for column, values in columns.items():
        adata.var[column] = values
    return adata


def message_for(call, adata, genes):
    before = snapshot(adata)
    with pytest.raises(ValueError, match=r"genes are not in adata\.var_names") as caught:
        call(adata, genes=genes)
    assert_unchanged(adata, before)
    return str(caught.value)


@every_call
def test_symbols_where_identifiers_are(call):
    text = message_for(call, named(IDS), SYMBOLS[:2])
    assert text.startswith("2 of 2 genes are not in adata.var_names: Gene0, Gene1. These look like gene symbols, ")
    assert "adata.var_names ('ENSMUSG00000000000', ...) like Ensembl identifiers." in text
    assert "no column of adata.var has these" in text


@every_call
def test_identifiers_where_symbols_are(call):
    text = message_for(call, named(SYMBOLS), IDS[:2])
    assert "These look like Ensembl identifiers, adata.var_names ('Gene0', ...) like gene symbols." in text


@pytest.mark.parametrize(
    ("there", "asked", "kind"),
    [(IDS, SYMBOLS, str), (SYMBOLS, IDS, pd.Categorical), (SYMBOLS, list(map(str, range(700, 725))), pd.Series)],
    ids=["symbols", "identifiers", "other-names"],
)
def test_a_column_that_has_them_can_be_used_as_said(there, asked, kind):
    column = asked if kind is str else pd.Categorical(asked) if kind is pd.Categorical else pd.array(asked, dtype="str")
    adata = named(there, length=range(25), other=["x"] * 25, gene_name=column)
    genes = [*asked[3:6], "absent"]
    text = message_for(CALLS["de"], adata, genes)
    assert "adata.var['gene_name'] has them: pass adata.var_names[adata.var['gene_name'].isin(genes)]." in text
    translated = eval(text.rsplit("pass ", 1)[1].rstrip("."), {"adata": adata, "genes": genes})  # noqa: S307  our own text
    assert list(translated) == there[3:6]


@pytest.mark.parametrize(("there", "asked"), [("", ".15"), (".15", ""), (".15", ".7")])
def test_versions(there, asked):
    adata = named([f"{name}{there}" for name in IDS])
    text = message_for(CALLS["de"], adata, [f"{IDS[3]}{asked}", "ENSMUSG00000099999"])
    assert f"1 of them differ in the version after the dot only ('{IDS[3]}{asked}' is '{IDS[3]}{there}' there)" in text


def test_columns_of_any_kind():
    adata = named(SYMBOLS, lists=[[1]] * 25, empty=[None] * 25)
    adata.var[7] = IDS
    assert "adata.var[7] has them" in message_for(CALLS["de"], adata, IDS[:2])


def test_a_slip_is_still_a_slip():
    assert message_for(CALLS["de"], named(SYMBOLS), ["Gene_7"]).endswith("Gene_7. Did you mean 'Gene7'?")
    absent = message_for(CALLS["de"], named(IDS), ["ENSMUSG99999999999"])
    assert "look like" not in absent
    assert "version" not in absent


@every_call
def test_no_genes_at_all(call):
    with pytest.raises(ValueError, match=r"adata has no genes .*for the abundance of cells use kompot\.da"):
        call(small_adata()[:, :0].copy())


@pytest.mark.parametrize("path", ["cells.h5ad", Path("some") / "cells.zarr"], ids=str)
@pytest.mark.parametrize(
    "call",
    [
        lambda path: kompot.de(path, "condition", "A", "B"),
        lambda path: kompot.da(path, "condition", "A", "B"),
        kompot.smooth_expression,
        kompot.RunInfo,
        kompot.runs,
        kompot.cleanup,
        kompot.get_field_status,
        lambda path: kompot.recompute_fdr(path, [1.0]),
        kompot.extract_null_distribution,
        lambda path: kompot.update_direction(path, 0.5),
        lambda path: kompot.check_underrepresentation(path, "condition", "type"),
    ],
)
def test_a_path_is_to_be_read_first(path, call):
    reader = "read_zarr" if str(path).endswith("zarr") else "read_h5ad"
    with pytest.raises(TypeError, match=rf"adata must be an AnnData object, came a path\. .*ad\.{reader}\('{path}'\)"):
        call(path)
