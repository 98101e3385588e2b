"""How many threads a single library call may use; nothing here starts or limits any."""

import os


def available_threads() -> int:
    """`OMP_NUM_THREADS` where the user set it, else the processors this process may run on."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
