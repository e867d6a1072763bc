"""A few of the kills of benchmarks/faults.py, which tries many."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.faults import Comparison, Outcome, Target, trial, workers
from tests.faults.conftest import small

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.mark.parametrize(("target", "share"), [("both", 0.6), ("worker, retried", 0.5)])
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, whole: Outcome, target: Target, share: float
) -> None:
    found = None
    while found is None:  # the run may end before it is hit
        tmp_path = tmp_path / "again"
        found = trial(small(tmp_path), whole, target, share * whole.seconds)
        share /= 2
    assert found.problems == ()


def test_a_killed_worker_is_told_and_what_it_did_is_kept(tmp_path: Path, whole: Outcome) -> None:
    code = 0
    while code == 0:  # the worker may have been about to end when it is hit
        tmp_path = tmp_path / "again"
        comparison = small(tmp_path)
        process = _started(comparison)
        for worker in workers(process):
            worker.kill()
        code = process.wait(60)
    assert code == 2
    log = (tmp_path / "log").read_text(encoding="utf-8")
    for part in ("demo-", "ended while", "killed (signal SIGKILL)", "It needs about", "were free", "--quant"):
        assert part in log
    assert "Traceback" not in log
    done = comparison.finish()
    assert done.files == whole.files
    assert done.prompts == whole.prompts


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_ends_at_once_and_says_how_to_go_on(tmp_path: Path, whole: Outcome, times: int) -> None:
    comparison = small(tmp_path)
    process = _started(comparison)
    children = workers(process)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    assert process.wait(20) in ((130,) if times == 1 else (130, -signal.SIGINT))
    assert not psutil.wait_procs(children, timeout=20)[1]
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    kept = comparison.committed()  # the store is whole
    if times == 1:
        assert "medbench-local compare demo-med demo-base --tasks demo-anatomy --limit 60" in log
        assert comparison.finish().files == whole.files
        assert kept + comparison.scored() == whole.prompts


def _started(comparison: Comparison) -> subprocess.Popen[bytes]:
    """A run whose worker is at work."""
    process = comparison.start()
    while not (workers(process) and comparison.committed()):
        assert process.poll() is None, comparison.said()
        time.sleep(0.01)
    return process
