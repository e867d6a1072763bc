"""Processor cores within the limits of containers."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from medbench_local.engine.threads import default_threads


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of limits, on a machine with eight cores."""
    monkeypatch.setattr("medbench_local.engine.threads._CGROUP", tmp_path)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def write_v1(folder: Path, quota: int, period: int) -> None:
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu" / "cpu.cfs_period_us").write_text(f"{period}\n")


def test_no_limit(cgroup: Path) -> None:
    assert default_threads() == 8


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("100000 100000", 1),
        ("350000 100000", 3),
        ("50000 100000", 1),
        ("max 100000", 8),
        ("9900000 100000", 8),
        ("1", 8),
        ("1 0", 8),
    ],
)
def test_version_2(cgroup: Path, text: str, cores: int) -> None:
    (cgroup / "cpu.max").write_text(f"{text}\n")
    assert default_threads() == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [(100000, 100000, 1), (250000, 100000, 2), (50000, 100000, 1), (-1, 100000, 8)],
)
def test_version_1(cgroup: Path, quota: int, period: int, cores: int) -> None:
    write_v1(cgroup, quota, period)
    assert default_threads() == cores


def test_the_smaller_of_both(cgroup: Path) -> None:
    write_v1(cgroup, 300000, 100000)
    (cgroup / "cpu.max").write_text("200000 100000\n")
    assert default_threads() == 2
    assert default_threads(1_000_000) == 1
