"""Every parameter of the public interface, given what nobody means: it works, or a clear error says why not."""

import tempfile

import pytest

import junk_helpers as junk

FAST = [*junk.signature_targets(), *junk.settings_targets(calls=False), *junk.keyword_targets(calls=False)]
FAST = [target for target in FAST if target.owner not in junk.LIKE_OTHERS]
SLOW = [target for target in junk.targets() if str(target) not in set(map(str, FAST))]


@pytest.fixture(scope="module")
def world():
    return junk.World()


@pytest.fixture(autouse=True)
def _empty_folders(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "here")


def test_every_public_callable_is_tried():
    names = [name for name, function in junk.public_callables() if junk.parameters_of(function)]
    assert [name for name in names if name not in junk.BASE and name not in junk.INTERNAL] == []
    assert [name for name in (*junk.BASE, *junk.INTERNAL) if name not in dict(junk.public_callables())] == []
    assert len(junk.JUNK) >= 30


def wrong(target, world):
    """Junk that neither succeeds nor is refused clearly."""
    ends = {name: junk.attempt(target, name, world) for name in junk.JUNK}
    return {name: end for name, end in ends.items() if end[0] not in ("succeeded", "refused")}


@pytest.mark.parametrize("target", FAST, ids=str)
def test_junk_is_refused_clearly_or_works(target, world):
    assert wrong(target, world) == {}


@pytest.mark.slow
@pytest.mark.parametrize("target", SLOW, ids=str)
def test_junk_in_whole_runs_is_refused_clearly_or_works(target, world):
    assert wrong(target, world) == {}
