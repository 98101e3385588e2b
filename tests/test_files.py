"""A file is the old one or the new one, whatever happens while it is written."""

import os
import resource
import stat
from pathlib import Path

import pytest

from interrupt_helpers import run_interrupted
from kompot._files import whole_file

OLD, NEW = b"old contents", b"new" * 1000


def write(path, contents=NEW):
    with whole_file(path) as file:
        file.write(contents)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(OLD)
    return path


# An interrupt between `open` and `with` leaves the closing of the file to Python, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("exists", [True, False])
def test_interrupts_at_any_line(path, exists):
    def prepare():
        if exists:
            path.write_bytes(OLD)
        else:
            path.unlink(missing_ok=True)

    prepare()
    n_lines = run_interrupted(lambda: write(path), ["_files.py"])
    outcomes = set()
    for line in range(n_lines):
        prepare()
        with pytest.raises(KeyboardInterrupt):
            run_interrupted(lambda: write(path), ["_files.py"], at=[line, line + 1])
        outcomes.add(path.read_bytes() if path.exists() else None)
        assert [entry.name for entry in path.parent.iterdir()] == ([path.name] if path.exists() else [])
    assert outcomes == {OLD if exists else None, NEW}


@pytest.mark.parametrize("exists", [True, False])
def test_no_room(path, exists):
    if not exists:
        path.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    message = "the file that was there is unchanged" if exists else "nothing is left of it"
    try:
        with pytest.raises(OSError, match=rf"model.npz' cannot be written \(File too large\); {message}. Make room"):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [entry.read_bytes() for entry in path.parent.iterdir()] == ([OLD] if exists else [])


def test_an_error_in_the_block(path):
    def fail():
        with whole_file(path) as file:
            file.write(b"part")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert [entry.read_bytes() for entry in path.parent.iterdir()] == [OLD]


def test_permissions(path, tmp_path):
    before = os.umask(0o027)
    try:
        path.chmod(0o604)
        write(path)
        write(tmp_path / "fresh")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


def test_a_protected_file_stays(path, monkeypatch):
    path.chmod(0o444)
    monkeypatch.setattr("os.access", lambda *_args: False)  # root may write anywhere
    with pytest.raises(PermissionError, match="Permission denied"):
        write(path)
    assert [entry.read_bytes() for entry in path.parent.iterdir()] == [OLD]


def test_a_link_stays_a_link(path, tmp_path):
    link = tmp_path / "folder" / "link"
    link.parent.mkdir()
    link.symlink_to(path)
    write(link)
    assert link.is_symlink()
    assert path.read_bytes() == NEW
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "made")
    write(dangling)
    assert (tmp_path / "made").read_bytes() == NEW


def test_a_device_is_not_replaced():
    before = Path("/dev/null").stat().st_mode
    write("/dev/null")
    assert Path("/dev/null").stat().st_mode == before


@pytest.mark.parametrize("name", ["missing/model.npz", ".", "model.npz/model"])
def test_places_that_cannot_be_written(path, name):
    with pytest.raises(OSError, match="cannot be written"):
        write(path.parent / name)
    assert [entry.read_bytes() for entry in path.parent.iterdir()] == [OLD]


def test_the_longest_name_that_a_file_can_have(tmp_path):
    path = tmp_path / ("n" * 255)
    write(path)
    assert path.read_bytes() == NEW
