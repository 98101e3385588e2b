"""Files of predictors are data: reading gives the predictor that was saved, or says what is wrong."""

import json
import os
import re
import struct
import warnings
import zipfile

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from helpers import manifold, smooth
from kompot import DensityEstimator, FunctionEstimator, Predictor
from kompot.gp import archive
from kompot.gp.density_estimator import DensityPredictor
from kompot.gp.kernels import RBF, Linear

X = manifold(30, 3)
NEW = manifold(7, 3, seed=8)
FUNCTION = FunctionEstimator(cov_func=0.5 * RBF(1.0) + Linear(2.0), sigma=0.5).fit(X, smooth(X, 2)).predictor
DENSITY = DensityEstimator(d=2).fit(X).predictor


class Contents(bytes):
    """Bytes that are not printed."""

    def __repr__(self):
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Bytes of a good file."""
    path = tmp_path_factory.mktemp("good") / "function.npz"
    FUNCTION.save(path)
    return Contents(path.read_bytes())


def contents(path):
    with np.load(path) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays["settings"]))


def with_array(name, change):
    """A file in which one array is another one."""

    def write(path):
        arrays, _ = contents(path)
        np.savez(path, **{**arrays, name: change(arrays[name])})

    return write


def with_settings(**changes):
    """A file with other settings; None takes one away."""

    def write(path):
        arrays, recorded = contents(path)
        recorded = {name: value for name, value in {**recorded, **changes}.items() if value is not None}
        np.savez(path, **{**arrays, "settings": np.array(json.dumps(recorded))})

    return write


def with_text(text):
    return with_array("settings", lambda _: np.array(text))


def without(name):
    def write(path):
        arrays, _ = contents(path)
        del arrays[name]
        np.savez(path, **arrays)

    return write


def with_another(path):
    arrays, _ = contents(path)
    np.savez(path, **arrays, extra=np.eye(2))


def with_objects(path):
    arrays, _ = contents(path)
    np.savez(path, **{**arrays, "coef": np.array([{"a": 1}], dtype=object)})


def twice(path):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
        warnings.simplefilter("ignore")
        file.writestr("coef.npy", file.read("coef.npy"))


def with_member(name, data, method=zipfile.ZIP_STORED):
    """A file in which the bytes of one member are others."""

    def write(path):
        with zipfile.ZipFile(path) as file:
            members = {member: file.read(member) for member in file.namelist()}
        with zipfile.ZipFile(path, "w", method) as file:
            for member, old in members.items():
                file.writestr(member, data(old) if member == f"{name}.npy" else old)

    return write


def bomb(path):
    """60 MB of zeros in 60 kB."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (7500000, 1), }\n"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(path) as file:
        members = {member: file.read(member) for member in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member, old in members.items():
            if member != "coef.npy":
                file.writestr(member, old)
        with file.open("coef.npy", "w") as member:
            member.write(start)
            for _ in range(60):
                member.write(bytes(1_000_000))


def another_shape(data):
    return re.sub(rb"\((\d+), 2\)(.*) {7}\n", rb"(9999999\1, 2)\2\n", data, count=1)


def a_deep_shape(data):
    return data[:8] + struct.pack("<H", 900) + b"(" * 899 + b"\n" + data[200:]


def a_long_header(data):
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", 2_000_000_000) + data[10:]


DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
NESTED_KERNEL = {"kind": "Constant"}
for _ in range(300):
    NESTED_KERNEL = {"kind": "Sum", "left": NESTED_KERNEL}
BAD = {
    "bomb": (bomb, "rows of coef"),
    "shape that does not fit": (with_member("coef", another_shape), "holds .* bytes as coef, which do not fit"),
    "header that is code": (with_member("coef", a_deep_shape), "holds neither numbers nor text as coef"),
    "header of gigabytes": (with_member("coef", a_long_header), "holds no array as coef"),
    "empty member": (with_member("coef", lambda _: b""), "holds no array as coef"),
    "other compression": (
        with_member("coef", lambda data: data, zipfile.ZIP_LZMA),
        "in a compression that NumPy does not use",
    ),
    "pickled objects": (with_objects, "holds neither numbers nor text as coef"),
    "text": (with_array("coef", lambda _: np.array(["a"])), "holds no matrix as coef"),
    "complex": (with_array("coef", lambda a: a * 1j), "holds neither numbers nor text as coef"),
    "integers": (with_array("coef", lambda a: a.astype(int)), "holds neither numbers nor text as coef"),
    "another member": (with_another, "where .* are needed"),
    "a member twice": (twice, "where .* are needed"),
    "no landmarks member": (without("landmarks"), "where .* are needed"),
    "no rows": (with_array("landmarks", lambda a: a[:0]), r"holds no matrix as landmarks.*\(0, 3\)"),
    "vector": (with_array("landmarks", lambda a: a[:, 0]), "holds no matrix as landmarks"),
    "fewer landmarks": (with_array("landmarks", lambda a: a[:-1]), "rows of feature_factor where"),
    "narrow factor": (with_array("feature_factor", lambda a: a[:, :-1]), "no square factor|rows of coef where"),
    "fewer coefficients": (with_array("coef", lambda a: a[:-1]), "rows of coef where"),
    "no functions": (with_array("coef", lambda a: a[:, :0]), "holds no matrix as coef"),
    "posterior of other features": (with_array("posterior_factor", lambda a: a[:-1, :-1]), "rows of posterior_factor"),
    "NaN": (with_array("coef", lambda a: np.where(a == a[0, 0], np.nan, a)), "NaN or infinite values in coef"),
    "infinite": (with_array("landmarks", lambda a: a + np.inf), "NaN or infinite values in landmarks"),
    "beyond all coordinates": (with_array("landmarks", lambda a: a * 1e200), "landmarks beyond"),
    "negative": (with_array("posterior_factor", lambda a: -a), "positive diagonal as posterior_factor"),
    "singular": (with_array("posterior_factor", lambda a: a * 0), "positive diagonal as posterior_factor"),
    "settings that are numbers": (with_array("settings", lambda _: np.eye(1)), "settings that"),
    "settings that are no text": (with_member("settings", lambda data: data[:-4] + b"\xff" * 4), "cannot be read"),
    "settings that are no JSON": (with_text("junk"), "settings that cannot be read"),
    "settings nested deep": (with_text(DEEP), "settings that cannot be read"),
    "settings that are a list": (with_text("[1]"), "settings that are no dictionary"),
    "long numbers": (with_text('{"format": ' + "9" * 5000 + "}"), "settings that cannot be read"),
    "no version": (with_settings(format=None), "lacks format"),
    "version that is text": (with_settings(format="1"), "holds no valid format"),
    "future": (with_settings(format=99), "newer version of kompot; upgrade"),
    "other class": (with_settings(kind="DensityPredictor"), "holds a DensityPredictor.*DensityPredictor.load"),
    "unknown class": (with_settings(kind="x" * 9999), "holds a 'xxx"),
    "negative sigma": (with_settings(sigma=-1.0), "no valid sigma .*positive and finite"),
    "no sigma": (with_settings(sigma=None), "lacks sigma"),
    "sigma as text": (with_settings(sigma="1"), "no valid sigma"),
    "sigma beyond floats": (with_settings(sigma=10**400), "no valid sigma"),
    "infinite mean": (with_settings(mu=float("inf")), "no valid mu"),
    "triangular as text": (with_settings(triangular="yes"), "no valid triangular"),
    "squeeze of two": (with_settings(squeeze=True), "holds 2 functions where its settings say one"),
    "squeeze as number": (with_settings(squeeze=0), "no valid squeeze"),
    "unknown kernel": (with_settings(kernel={"kind": "os.system"}), "holds no kernel.*Unknown kernel"),
    "kernel without kind": (with_settings(kernel={}), "holds no kernel"),
    "kernel that is a list": (with_settings(kernel=[1]), "holds no kernel"),
    "kernel with other numbers": (with_settings(kernel={"kind": "RBF", "path": "/"}), "holds no kernel"),
    "negative length scale": (with_settings(kernel={"kind": "RBF", "length_scale": -1.0}), "holds no kernel"),
    "nested kernel": (with_settings(kernel=NESTED_KERNEL), "holds no kernel"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said_with_the_name_of_the_file(tmp_path, saved, spoil, message):
    path = tmp_path / "function.npz"
    path.write_bytes(saved)
    spoil(path)
    with pytest.raises(ValueError, match=message) as caught:
        Predictor.load(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 600


def test_files_larger_than_the_memory_are_refused_before_they_are_unpacked(tmp_path, saved, monkeypatch):
    path = tmp_path / "function.npz"
    path.write_bytes(saved)
    monkeypatch.setattr(archive, "available_bytes", lambda: 1000)
    monkeypatch.setattr(archive, "_array", None)
    with pytest.raises(ValueError, match=r"function.npz.*says that it needs .* GB, .* are available"):
        Predictor.load(path)


def test_a_small_file_does_not_claim_much_memory(tmp_path, saved, monkeypatch):
    path = tmp_path / "function.npz"
    path.write_bytes(saved)
    bomb(path)
    monkeypatch.setattr(archive, "available_bytes", lambda: 50_000_000)
    with pytest.raises(ValueError, match=r"says that it needs 0.1 GB, 0.1 GB are available"):
        Predictor.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_cells": 0}, "functions of 0 cells"),
        ({"n_cells": 1.5}, "no valid n_cells"),
        ({"d": -1.0}, "no valid d "),
        ({"d": None}, "lacks d"),
        ({"kind": "Predictor"}, "holds a Predictor, not a DensityPredictor"),
    ],
)
def test_densities(tmp_path, changes, message):
    path = tmp_path / "density.npz"
    DENSITY.save(path)
    np.testing.assert_array_equal(DensityPredictor.load(path)(NEW), DENSITY(NEW))
    with_settings(**changes)(path)
    with pytest.raises(ValueError, match=message) as caught:
        DensityPredictor.load(path)
    assert str(path) in str(caught.value)


def test_a_density_is_one_function(tmp_path):
    path = tmp_path / "density.npz"
    DENSITY.save(path)
    with_array("coef", lambda a: np.hstack([a, a]))(path)
    with pytest.raises(ValueError, match=r"density.npz was not written by DensityPredictor.save: it holds 2 functions"):
        DensityPredictor.load(path)


def test_paths_that_are_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        Predictor.load(tmp_path / "absent.npz")
    with pytest.raises(OSError, match="is not a file"):
        Predictor.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"pipe.*is not a file"):
        Predictor.load(str(tmp_path / "pipe"))
    with pytest.raises(OSError, match="is not a file"):
        Predictor.load("/dev/zero")
    with pytest.raises(ValueError, match="which no file can have"):
        Predictor.load("a\0b")
    for path in (None, 0, b"function.npz", (tmp_path,)):
        with pytest.raises(TypeError, match="path must be a path"):
            Predictor.load(path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8"])
def test_the_order_of_bytes_and_of_axes_does_not_matter(tmp_path, saved, order, dtype):
    path = tmp_path / "function.npz"
    path.write_bytes(saved)
    with_array("coef", lambda a: np.array(a, order=order).astype(dtype))(path)
    np.testing.assert_allclose(Predictor.load(path)(NEW), FUNCTION(NEW), rtol=1e-12)
    arrays, _ = contents(path)
    np.savez_compressed(path, **arrays)
    np.testing.assert_allclose(Predictor.load(str(path))(NEW), FUNCTION(NEW), rtol=1e-12)


def test_arrays_of_a_loaded_predictor_can_be_written(tmp_path):
    FUNCTION.save(tmp_path / "function.npz")
    loaded = Predictor.load(tmp_path / "function.npz")
    assert all(array.flags.writeable for array in (loaded.landmarks, loaded.posterior.coef))


def assert_equal_or_refused(path):
    """The predictor that was saved, or an error that names the file; nothing else, and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            loaded = Predictor.load(path)
        except (ValueError, OSError) as error:
            assert str(path) in str(error)  # noqa: PT017  either outcome is right
            return
    np.testing.assert_array_equal(loaded(NEW), FUNCTION(NEW))
    np.testing.assert_array_equal(loaded.covariance(NEW), FUNCTION.covariance(NEW))


def test_truncated_files(tmp_path, saved):
    path = tmp_path / "function.npz"
    for length in [*range(0, len(saved), 97), *range(len(saved) - 40, len(saved) + 1)]:
        path.write_bytes(saved[:length])
        assert_equal_or_refused(path)


def test_every_byte_outside_the_numbers(tmp_path, saved):
    path = tmp_path / "function.npz"
    start = saved.index(b"PK\x01\x02")  # the directory of the archive
    heads = [at for at in range(len(saved)) if saved[at : at + 4] == b"PK\x03\x04"]
    positions = {*range(start, len(saved)), *(at + offset for at in heads for offset in range(200))}
    for position in sorted(positions & set(range(len(saved)))):
        for flip in (0x01, 0x80, 0xFF):
            path.write_bytes(saved[:position] + bytes([saved[position] ^ flip]) + saved[position + 1 :])
            assert_equal_or_refused(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_changed_bytes(tmp_path, saved, data):
    path = tmp_path / "function.npz"
    changed = bytearray(saved)
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(saved) - 1))
        part = data.draw(st.binary(min_size=1, max_size=8))
        changed[position : position + len(part)] = part
    path.write_bytes(bytes(changed))
    assert_equal_or_refused(path)


def json_values():
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["format", "kind", "kernel", "triangular", "sigma", "mu", "squeeze"]),
    json_values(),
)
def test_settings_of_any_kind(tmp_path, saved, name, value):
    path = tmp_path / "function.npz"
    path.write_bytes(saved)
    with_settings(**{name: value})(path)
    try:
        loaded = Predictor.load(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017  either outcome is right
    else:
        assert np.isfinite(loaded(NEW)).all() or name in ("mu", "sigma")
