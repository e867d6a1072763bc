"""How many processor threads to use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
TINY = 20_000_000
"""Weights below which one thread is the fastest, and the precision does not matter."""


def default_threads(parameters: int | None = None) -> int:
    """Physical cores that this process may use: hyper-threads do not help, and containers may allow fewer.

    Args:
        parameters: number of weights of the model, if known. A tiny one is fastest on one thread: its operations
            take less time than the threads take to meet after each, and on a busy machine that wait multiplies.
    """
    if parameters is not None and parameters < TINY:
        return 1
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, min([cores, *_quotas()]))


def _quotas() -> Iterator[int]:
    """Whole cores that containers of either version of cgroups allow; threads beyond them wait for each other."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((_CGROUP / name).read_text(encoding="ascii") for name in names).split()
            if int(quota) > 0:  # version 1 writes -1 for no limit
                yield int(quota) // int(period)
        except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
            continue
