"""What the library writes it can remove again, whatever the labels are called."""

import warnings

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

import kompot
from adata_helpers import small_adata
from kompot._file_names import numbered, safe_name
from kompot.anndata.condition_names import clean_label
from kompot.anndata.fields import DA_FIELDS, DE_FIELDS, SMOOTH_FIELDS, named_fields
from kompot.anndata.possible_names import PossibleNames
from kompot.errors import KompotWarning
from record_helpers import FDR, OUTPUT

LABELS = st.text(max_size=12) | st.text("aé/ .-_\0", max_size=300) | st.integers() | st.floats() | st.booleans()
DECLARED = {"de": DE_FIELDS, "da": DA_FIELDS, "smooth": SMOOTH_FIELDS}
PLACES = ("obs", "var", "layers")


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["de", "da", "smooth"]),
    key=st.text(max_size=40).map(safe_name),
    labels=st.tuples(LABELS, LABELS),
    numbers=st.booleans(),
    samples=st.booleans(),
)
def test_names_that_are_formed_are_possible(kind, key, labels, numbers, samples):
    params = dict(zip(("condition1", "condition2"), labels, strict=True)) | {"condition": labels[0]}
    names = PossibleNames.of({"result_key": key, "params": params}, kind)
    texts = [clean_label(label) for label in labels]
    texts = [numbered(text, {text}) for text in texts] if numbers else texts
    for item in named_fields(DECLARED[kind], key, *texts, samples=samples).values():
        found = names.field(item.field.place, item.name, item.field.key)
        assert found == item.field
        assert names.field(item.field.place, f"{item.name}_of_the_user") is None
        assert PossibleNames.of({"result_key": f"{key}x", "params": params}, kind).field(found.place, item.name) is None


LONG = [
    ("x" * 300 + "a", "x" * 300 + "b"),
    ("ö" * 130, "Δ" * 200),
    ("a-" * 150, "b c" * 100),
    ("a/b", "a.b"),
    ("", ".."),
]


@pytest.mark.parametrize("labels", LONG, ids=range(len(LONG)))
@pytest.mark.parametrize("result_key", [None, "k" * 180], ids=["default", "long"])
def test_everything_that_was_written_can_be_updated_and_removed(labels, result_key):
    adata = small_adata(n_cells=60, n_genes=8)
    texts = np.where(adata.obs["condition"] == "A", *labels)
    adata.obs["condition"] = pd.Series(texts, index=adata.obs_names, dtype=object)
    before = {place: set(getattr(adata, place)) for place in PLACES}
    common = {"output": OUTPUT, "storage": kompot.StorageSettings(result_key=result_key)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KompotWarning)
        kompot.da(adata, "condition", *labels, **common)
        kompot.update_direction(adata)
        kompot.cleanup(adata, analysis_type="da", keep_obs_fields=False)
        kompot.de(adata, "condition", *labels, fdr=FDR, **common)
        kompot.recompute_fdr(adata, np.linspace(0.1, 5, 40))
    kompot.cleanup(adata, keep_var_fields=False, keep_obs_fields=False)
    kompot.smooth_expression(adata, "condition", labels[0], **common)
    kompot.cleanup(adata, analysis_type="smooth", keep_layers=False)
    assert {place: set(getattr(adata, place)) for place in PLACES} == before
    assert not [name for name in adata.uns if name.endswith("_colors")]


def test_names_made_to_be_slow():
    names = PossibleNames.of({"result_key": "k", "params": {"condition1": "", "condition2": ""}}, "de")
    for part in ("_", "_1", "0123abcd_to_"):
        assert names.field("var", "k" + part * 100_000) is None
        assert names.field("var", ("k" + part * 1000)[:1000]) is None
