"""Names that files can hold: what stays, what is replaced, what is told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import LAWS
from kompot._file_names import LONGEST, distinct_names, fitted, n_bytes, numbered, safe_name, shortened, why_unwritable
from kompot.settings import StorageSettings
from name_helpers import KEPT, TEXTS

REPLACED = {
    "a/b": "a_b",
    "/": "_",
    "a\\b": "a_b",
    "a\0": "a_",
    "\ud800b": "_b",
    "b\udfff": "b_",
    "": "_",
    ".": "_",
    "..": "__",
    ".zarray": "_zarray",
    ".zattrs": "_zattrs",
    ".zgroup": "_zgroup",
    ".zmetadata": "_zmetadata",
    "zarr.json": "zarr_json",
}


@pytest.mark.parametrize("name", KEPT)
def test_what_can_be_written_stays(name):
    assert safe_name(name) == name
    assert why_unwritable(name) is None


@pytest.mark.parametrize("name", REPLACED)
def test_what_cannot_be_written_is_replaced(name):
    assert why_unwritable(name) is not None
    assert safe_name(name) == REPLACED[name]


@pytest.mark.parametrize("name", [name for name in REPLACED if name] + ["x" * 191, "é" * 96])
def test_result_keys_that_cannot_be_written_are_refused(name):
    with pytest.raises(ValueError, match=r"result_key must not (contain|be|have) .*; came '"):
        StorageSettings(result_key=name)


def test_result_keys_that_can_be_written_are_taken():
    for name in (*KEPT[:-2], "x" * 190, "é" * 95, "a.b"):
        assert StorageSettings(result_key=name).result_key == name


@LAWS
@given(st.sets(TEXTS, max_size=8), st.sets(TEXTS, max_size=2), st.randoms())
def test_names_are_writable_distinct_and_independent_of_the_order(labels, taken, random):
    names = distinct_names(labels, taken)
    assert list(names) == list(labels)
    assert len(set(names.values())) == len(labels)
    assert not set(names.values()) & taken
    assert all(why_unwritable(name) is None for name in names.values())
    assert all(names[label] == label for label in labels - taken if why_unwritable(label) is None)
    shuffled = random.sample(sorted(labels), len(labels))
    assert distinct_names(shuffled, taken) == names


def test_equal_names_are_numbered():
    assert distinct_names(["a\\b", "a/b", "a_b", "a_b_2"]) == {
        "a\\b": "a_b_4",
        "a/b": "a_b_3",
        "a_b": "a_b",
        "a_b_2": "a_b_2",
    }
    assert distinct_names(["_index", "b"], {"_index"}) == {"_index": "_index_2", "b": "b"}


def test_long_names_stay_different():
    first, second = shortened("x" * 300, 100), shortened("x" * 301, 100)
    assert first != second
    assert {len(first), len(second)} == {100}
    assert first.startswith("x" * 91 + "_")
    full = "x" * LONGEST
    assert n_bytes(numbered(full, {full})) == LONGEST
    assert numbered(full, {full}) != full


@LAWS
@given(st.lists(st.text("aé", max_size=40), min_size=1, max_size=2), st.integers(20, 60))
def test_parts_fit(parts, room):
    fitting = fitted(parts, room)
    assert sum(map(n_bytes, fitting)) <= room
    if sum(map(n_bytes, parts)) <= room:
        assert fitting == parts
    elif len(parts) == 2:
        assert (fitting[0] == fitting[1]) == (parts[0] == parts[1])
        short = min(parts, key=n_bytes)
        assert n_bytes(short) > room // 2 or short in fitting
