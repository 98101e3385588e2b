import errno
import json

import numpy as np
import pytest

from helpers import manifold, matern52, smooth
from kompot import DensityEstimator, FunctionEstimator, Predictor
from kompot.gp.kernels import RBF, Linear

X = manifold(60, 3)
Y = smooth(X, 3)
CASES = {
    "matrix": ({"ls": 1.0}, Y),
    "vector": ({"ls": 1.0, "sigma": 0.3}, Y[:, 0]),
    "prior-mean": ({"ls": 1.0, "mu": 4.0}, Y),
    "sum-kernel": ({"cov_func": 0.5 * RBF(1.0) + Linear(2.0)}, Y),
    "redundant-landmarks": ({"ls": 1.0, "landmarks": np.vstack([X[:10], X[:10]])}, Y),
    "numpy-numbers": ({"ls": np.float32(1.0), "sigma": np.float32(0.5), "mu": np.int64(2)}, Y),
}
over_cases = pytest.mark.parametrize(("parameters", "targets"), CASES.values(), ids=CASES)


def fitted(parameters, targets):
    return FunctionEstimator(**parameters).fit(X, targets).predictor


@over_cases
def test_a_saved_predictor_predicts_the_same(tmp_path, parameters, targets):
    predictor = fitted(parameters, targets)
    path = tmp_path / "function.npz"
    predictor.save(path)
    loaded = Predictor.load(path)
    new = manifold(15, 3, seed=8)
    np.testing.assert_array_equal(loaded(new), predictor(new))
    np.testing.assert_array_equal(loaded.covariance(new, diag=False), predictor.covariance(new, diag=False))
    np.testing.assert_array_equal(loaded.uncertainty(new), predictor.uncertainty(new))
    np.testing.assert_array_equal(loaded.landmarks, predictor.landmarks)
    assert loaded(new).ndim == np.ndim(targets)


def test_the_file_needs_no_pickle_and_keeps_its_name(tmp_path):
    path = tmp_path / "function.model"
    fitted({"ls": 1.0}, Y).save(str(path))
    with np.load(path, allow_pickle=False) as file:
        contents = {name: file[name] for name in file.files}
    assert {"settings", "landmarks", "coef"} <= set(contents)
    assert json.loads(str(contents["settings"]))["sigma"] == 1.0
    assert [entry.name for entry in tmp_path.iterdir()] == ["function.model"]


def write_other_archive(path):
    np.savez(path, coef=np.eye(2))


def write_single_array(path):
    with path.open("wb") as file:
        np.save(file, np.eye(2))


def write_text(path):
    path.write_text("gene,distance\n")


@pytest.mark.parametrize("write", [write_other_archive, write_single_array, write_text])
def test_a_file_of_something_else(tmp_path, write):
    path = tmp_path / "other.npz"
    write(path)
    with pytest.raises(ValueError, match=r"other.npz was not written by Predictor.save"):
        Predictor.load(path)


def test_a_file_of_a_newer_version(tmp_path):
    path = tmp_path / "new.npz"
    fitted({"ls": 1.0}, Y).save(path)
    with np.load(path) as file:
        contents = dict(file)
    contents["settings"] = np.array(json.dumps({**json.loads(str(contents["settings"])), "format": 99}))
    np.savez(path, **contents)
    with pytest.raises(ValueError, match=r"new.npz was written by a newer version of kompot; upgrade"):
        Predictor.load(path)


def test_a_callable_kernel_cannot_be_saved(tmp_path):
    predictor = fitted({"cov_func": matern52(1.0)}, Y)
    with pytest.raises(TypeError, match=r"cannot be saved; use a kernel of kompot.gp.kernels"):
        predictor.save(tmp_path / "function.npz")
    assert not list(tmp_path.iterdir())


# NumPy 1.26 leaves the archive that failed to Python, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["function", "density"])
def test_a_file_that_was_there_survives_a_failure(tmp_path, monkeypatch, kind):
    predictor = fitted({"ls": 1.0}, Y) if kind == "function" else DensityEstimator(ls=1.0).fit(X).predictor
    path = tmp_path / "function.npz"
    predictor.save(path)
    before = path.read_bytes()
    write_array = np.lib.format.write_array

    def failing(file, array, **options):
        if array.ndim == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_array(file, array, **options)

    monkeypatch.setattr("numpy.lib.format.write_array", failing)
    with pytest.raises(OSError, match=r"function.npz' cannot be written \(No space left on device\); the file that"):
        predictor.save(path)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [before]
    monkeypatch.undo()
    new = manifold(15, 3, seed=8)
    np.testing.assert_array_equal(type(predictor).load(path)(new), predictor(new))


@over_cases
def test_covariance_is_symmetric_positive_and_consistent(parameters, targets):
    predictor = fitted(parameters, targets)
    new = np.vstack([manifold(25, 3, seed=8), [[30.0, 0.0, 0.0]]])
    full = predictor.covariance(new, diag=False)
    np.testing.assert_allclose(full, full.T, atol=1e-12)
    assert np.linalg.eigvalsh(full).min() > -1e-9
    np.testing.assert_allclose(predictor.covariance(new), np.diag(full), atol=1e-10)
    np.testing.assert_array_equal(predictor.uncertainty(new, diag=False), full)
    assert (predictor.covariance(new) >= 0).all()


def test_chunks_do_not_change_the_prediction(monkeypatch):
    predictor = fitted({"ls": 1.0}, Y)
    new = manifold(700, 3, seed=8)
    whole = predictor(new), predictor.covariance(new)
    monkeypatch.setattr("kompot.gp.features._CHUNK_BYTES", 1)
    assert predictor.features.rows_per_chunk() < 700
    np.testing.assert_allclose(predictor(new), whole[0], atol=1e-12)
    np.testing.assert_allclose(predictor.covariance(new), whole[1], atol=1e-12)


def test_no_cells_give_empty_arrays():
    predictor = fitted({"ls": 1.0}, Y)
    assert predictor(np.empty((0, 3))).shape == (0, 3)
    assert predictor.covariance(np.empty((0, 3))).shape == (0,)
    assert predictor.covariance(np.empty((0, 3)), diag=False).shape == (0, 0)


@pytest.mark.parametrize(
    ("new", "error", "message"),
    [
        pytest.param(np.ones((4, 2)), ValueError, "X must have one column per dimension.*needed 3, came 2", id="width"),
        pytest.param(np.ones(3), ValueError, r"X must be a matrix .* came shape \(3,\)", id="vector"),
        pytest.param([[0.0, np.nan, 1.0]], ValueError, "NaN or infinite values in 1 of 1 rows", id="nan"),
        pytest.param([["a", "b", "c"]], TypeError, "X must hold real numbers", id="text"),
    ],
)
def test_cell_states_that_do_not_fit(new, error, message):
    predictor = fitted({"ls": 1.0}, Y)
    for ask in (predictor, predictor.covariance, predictor.uncertainty):
        with pytest.raises(error, match=message):
            ask(new)
