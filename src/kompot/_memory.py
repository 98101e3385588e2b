"""Memory that is left, for the machine and for the container this process may live in."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
# Limit, use, and file cache counted as use (version 2, then version 1).
_CONTROLLERS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def available_bytes(root: Path = _CGROUP) -> int:
    """Memory that can be allocated without swapping.

    Parameters
    ----------
    root
        Where the kernel shows the limits of the container.

    Returns
    -------
    int
        Bytes: the smaller of what the machine has available and what the container's limit leaves.
    """
    return min([psutil.virtual_memory().available, *container_bytes(root)])


def total_bytes(root: Path = _CGROUP) -> int:
    """All memory of the machine, or the container's limit if that is smaller: bytes."""
    total = int(psutil.virtual_memory().total)
    limits = [int(text) for name, *_ in _CONTROLLERS if (text := _read(root / name)).isdigit()]
    return min([total, *limits])


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def container_bytes(root: Path) -> list[int]:
    """What each memory limit of the container leaves; empty where there is none."""
    left = []
    for limit, used, stat, cache in _CONTROLLERS:
        try:
            allowed = int((root / limit).read_text())
            in_use = int((root / used).read_text())
            counters = dict(line.split() for line in (root / stat).read_text().splitlines())
            left.append(max(allowed - in_use + int(counters.get(cache, 0)), 0))
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
    return left
