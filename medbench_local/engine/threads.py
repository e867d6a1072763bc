"""How many processor threads to use."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_CPU_LIMITS = Path("/sys/fs/cgroup/cpu.max")


_TINY = 20_000_000


def default_threads(parameters: int | None = None) -> int:
    """Physical cores that this process may use: hyper-threads do not help, and containers may allow fewer.

    Args:
        parameters: number of weights of the model, if known. A tiny one is fastest on one thread: its operations
            take less time than the threads take to meet after each, and on a busy machine that wait multiplies.
    """
    if parameters is not None and parameters < _TINY:
        return 1
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    try:
        quota, period = _CPU_LIMITS.read_text(encoding="ascii").split()
        cores = min(cores, int(quota) // int(period))
    except (OSError, ValueError):  # no such file, or "max"
        pass
    return max(1, cores)
