from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from kompot import _checks as check
from kompot.errors import KompotWarning, UnusedParameterWarning, warn

NUMBERS = {
    "int": 3,
    "float": 3.0,
    "float32": np.float32(3.0),
    "float64": np.float64(3.0),
    "int8": np.int8(3),
    "uint64": np.uint64(3),
}
NOT_NUMBERS = {"bool": True, "numpy-bool": np.True_, "text": "3", "none": None, "list": [3], "array": np.array([3])}
FLOATS = [check.real_number, check.positive_float, check.non_negative_float, check.percentage]


@pytest.mark.parametrize("verify", FLOATS)
@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
def test_numbers_become_floats(verify, value):
    found = verify("x", value)
    assert type(found) is float
    assert found == 3.0


@pytest.mark.parametrize("verify", [*FLOATS, check.fraction])
@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_what_is_not_a_number(verify, value):
    with pytest.raises(TypeError, match=r"^x must be a number, came "):
        verify("x", value)


@pytest.mark.parametrize("verify", [*FLOATS, check.fraction])
def test_nan_is_not_a_number(verify):
    with pytest.raises(ValueError, match=r"^x must be a number, came NaN"):
        verify("x", np.nan)


@pytest.mark.parametrize(
    ("verify", "accepted", "refused", "message"),
    [
        (check.positive_float, [1e-50, 1.0, 1e50], [0.0, -1.0, np.inf], "must be positive and finite, came"),
        (check.positive_float, [1.0], [1e-308, 1e51], r"must lie between 1e-50 and 1e\+50, came"),
        (check.moderate_float, [-1e15, 0.0, 1e15], [1e308, -1e16, np.inf], r"must lie within ±1e\+15, came"),
        (check.real_number, [2**1023], [10**400, Fraction(10**400)], "must be a number below 1.8e308, came a longer"),
        (check.non_negative_float, [0.0, np.inf], [-1e-300, -np.inf], "must not be negative, came"),
        (check.fraction, [1e-9, 1.0], [0.0, -0.1, 1.0001, np.inf], r"must lie in \(0, 1\], came"),
        (check.percentage, [1e-9, 100.0], [0.0, -1.0, 100.1], r"must lie in \(0, 100\], came"),
        (check.non_negative_int, [0, 1, 10**12], [-1], "must not be negative, came -1"),
    ],
)
def test_ranges(verify, accepted, refused, message):
    for value in accepted:
        assert verify("x", value) == value
    for value in refused:
        with pytest.raises(ValueError, match=message):
            verify("x", value)


@pytest.mark.parametrize("verify", [check.integer, check.non_negative_int])
def test_integers(verify):
    for value in (3, np.int8(3), np.uint64(3)):
        assert type(verify("x", value)) is int
    for value in (3.0, np.float64(3), True, np.True_, "3", None):
        with pytest.raises(TypeError, match=r"^x must be an integer, came "):
            verify("x", value)


def test_booleans():
    assert check.boolean("x", np.True_) is True
    assert check.boolean("x", False) is False
    for value in (0, 1, "yes", None):
        with pytest.raises(TypeError, match=r"^x must be True or False, came "):
            check.boolean("x", value)


def test_text():
    assert check.text("x", "a") == "a"
    with pytest.raises(TypeError, match=r"^x must be text, came 3 \(int\)"):
        check.text("x", 3)


def test_what_came_is_shown_in_short():
    assert check.show(np.zeros((2, 3))) == "an array of shape (2, 3) and dtype float64"
    assert check.show(3) == "3 (int)"
    assert check.show("a" * 100) == "'" + "a" * 59 + "..."


@pytest.mark.parametrize(
    ("values", "text"),
    [([], "(none)"), (["a", 2], "a, 2"), (range(10), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"), (range(12), "8, 9 and 2 more")],
)
def test_lists_in_messages(values, text):
    assert check.listed(values).endswith(text)
    assert check.listed(values, limit=100).count(",") == max(len(values) - 1, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sigm", " Did you mean 'sigma'?"), ("SIGMA", " Did you mean 'sigma'?"), ("zzz", ""), (7, " Did you mean 70?")],
)
def test_nearest_name(name, expected):
    assert check.nearest(name, ["sigma", "ls", 70]) == expected


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "float32", "float64"])
def test_coordinates_become_float64(dtype):
    X = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    found = check.coordinates("X", X, 3)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, X)
    assert check.coordinates("X", X.tolist()).shape == (2, 3)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        pytest.param(
            np.ones(3), ValueError, r"X must be a matrix \(points x dimensions\), came shape \(3,\)", id="vector"
        ),
        pytest.param(np.ones((2, 4)), ValueError, "one column per dimension .*: needed 3, came 4", id="width"),
        pytest.param([[1, 2, 3], [0, np.nan, 0]], ValueError, r"in 1 of 2 rows \(first row: 1\)", id="nan"),
        pytest.param([[np.inf, 2, 3]] * 2, ValueError, r"in 2 of 2 rows \(first row: 0\)", id="infinite"),
        pytest.param([["a", "b", "c"]], TypeError, "X must hold real numbers, came dtype <U1. Convert", id="text"),
        pytest.param(np.ones((1, 3), complex), TypeError, "came dtype complex128", id="complex"),
        pytest.param(sparse.eye_array(3), TypeError, "X must hold real numbers, came dtype object", id="sparse"),
    ],
)
def test_coordinates_that_are_refused(value, error, message):
    with pytest.raises(error, match=message):
        check.coordinates("X", value, 3)


def test_sparse_in_memory():
    assert check.is_sparse(sparse.csr_array((2, 2)))
    assert check.is_sparse(sparse.coo_matrix((2, 2)))
    assert not check.is_sparse(np.eye(2))


def test_a_warning_points_at_the_callers_line():
    with pytest.warns(UnusedParameterWarning, match="^Mind this.$") as caught:
        warn("Mind this.", UnusedParameterWarning)
    assert caught[0].filename == __file__
    assert issubclass(caught[0].category, KompotWarning)


def test_masked_values_are_missing():
    values = np.ma.masked_array([[1, 2], [3, 4]], mask=[[False, True], [False, False]])
    assert np.isnan(check.numeric_array("x", values)).tolist() == [[False, True], [False, False]]
    with pytest.raises(ValueError, match=r"x has NaN or infinite values in 1 of 2 rows \(first row: 0\)"):
        check.coordinates("x", values)
    nothing_masked = np.ma.masked_array([[1, 2], [3, 4]])
    found = check.numeric_array("x", nothing_masked)
    assert type(found) is np.ndarray
    assert found.dtype == nothing_masked.dtype


def test_distant_coordinates():
    with pytest.raises(ValueError, match=r"x has values beyond ±1e\+50 in 1 of 3 rows \(first row: 1\)"):
        check.coordinates("x", [[0.0], [1e200], [1.0]])


def test_what_can_be_read_once_is_read():
    inner = {"a": iter([1, 2]), "b": {"c": (x for x in "xy")}}
    assert check.read_once(iter([inner, [map(str, [3])]])) == [{"a": [1, 2], "b": {"c": ["x", "y"]}}, [["3"]]]
    assert check.read_once({"a": {1: 2}.keys(), "b": {1: 2}.items()}) == {"a": [1], "b": [(1, 2)]}
    kept = (["x", 1], ("x",), {3}, "text", None, np.arange(3))
    for value in kept:
        assert check.read_once(value) is value


def test_items():
    assert check.items("x", (i for i in (3, 1)), "numbers") == [3, 1]
    assert check.items("x", {"b", "c", "a"}, "names") == ["a", "b", "c"]
    for value in ("text", b"bytes", {"a": 1}, None, 3, np.ones((2, 2)), np.array(1)):
        with pytest.raises(TypeError, match=r"^x must be a list of names, came "):
            check.items("x", value, "names")
