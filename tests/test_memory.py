import psutil
import pytest

from kompot._memory import available_bytes, container_bytes

MACHINE = psutil.virtual_memory().total
GB = 10**9


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def version2(limit, used, cache):
    stat = f"anon 5\ninactive_file {cache}\n"
    return {"memory.max": limit, "memory.current": used, "memory.stat": stat}


def version1(limit, used, cache):
    return {
        "memory/memory.limit_in_bytes": limit,
        "memory/memory.usage_in_bytes": used,
        "memory/memory.stat": f"cache 1\ntotal_inactive_file {cache}\n",
    }


@pytest.mark.parametrize("files", [version1, version2])
def test_the_limit_of_a_container_counts(tmp_path, files):
    # The file cache counts as use but can be given back.
    write(tmp_path, files(str(4 * GB), str(3 * GB), GB))
    assert container_bytes(tmp_path) == [2 * GB]
    write(tmp_path, files("1000", "400", 50))
    assert available_bytes(tmp_path) == 650


def test_no_less_than_nothing_is_left(tmp_path):
    write(tmp_path, version2("100", "300", 0))
    assert container_bytes(tmp_path) == [0]


@pytest.mark.parametrize("files", [{}, version2("max", "5", 0), version2("10", "5", "unknown")])
def test_without_a_limit_the_machine_counts(tmp_path, files):
    write(tmp_path, files)
    assert container_bytes(tmp_path) == []
    assert 0 < available_bytes(tmp_path) < MACHINE


def test_here():
    assert 0 < available_bytes() <= MACHINE
