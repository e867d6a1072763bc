"""The command itself is killed or interrupted: nothing that was committed is lost, and no process is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.faults import Comparison, Outcome, workers
from tests.faults.conftest import small
from tests.faults.conftest import whole as whole  # what an uninterrupted run gives, without a cluster

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

CLUSTER = ("--cluster", "ray", "--engines", "2")
SOON = 30.0


def _of(home: Path) -> list[psutil.Process]:
    """All processes that were started for a run with this home: Ray's, its engines, what decodes."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("MEDBENCH_HOME") == str(home) and process.status() != "zombie":
                found.append(process)
    return found


def _gone(home: Path) -> bool:
    until = time.monotonic() + SOON
    while left := _of(home):
        if time.monotonic() > until:
            print([one.cmdline()[:3] for one in left])
            return False
        time.sleep(0.1)
    return True


def _begun(process: subprocess.Popen[bytes], enough: Callable[[], bool], log: Path) -> None:
    """Wait until a run is in the middle."""
    while not enough():
        assert process.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.01)


def _started(comparison: Comparison) -> subprocess.Popen[bytes]:
    process = comparison.start(*CLUSTER)
    _begun(
        process,
        lambda: bool(workers(process)) and comparison.committed() > 0,
        comparison.folder / "log",
    )
    return process


@pytest.fixture(autouse=True)
def _ray() -> None:
    pytest.importorskip("ray")


def test_a_driver_that_is_killed_leaves_what_it_had_and_no_process(tmp_path: Path, whole: Outcome) -> None:
    comparison = small(tmp_path)
    process = _started(comparison)
    there = {" ".join(one.cmdline()) for one in _of(tmp_path / "home")}
    for part in ("gcs_server", "raylet", "engine.worker"):
        assert any(part in line for line in there), "what must not be left is there"
    process.kill()
    process.wait(SOON)
    kept = comparison.committed()
    assert _gone(tmp_path / "home")
    assert kept > 0
    assert not (comparison.run / "results.json").exists(), "it was hit in the middle"
    assert comparison.finish(*CLUSTER).files == whole.files
    assert kept + comparison.scored() == whole.prompts
    assert _gone(tmp_path / "home"), "and where it ended by itself"


def test_an_interrupt_ends_all_within_seconds(tmp_path: Path, whole: Outcome) -> None:
    comparison = small(tmp_path)
    process = _started(comparison)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    began = time.monotonic()
    code = process.wait(SOON)
    assert time.monotonic() - began < 15
    assert code == 130
    assert _gone(tmp_path / "home")
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    command = "medbench-local compare demo-med demo-base --tasks demo-anatomy --limit 60"
    (said,) = [line for line in log.splitlines() if command in line]
    assert said.endswith(" ".join(CLUSTER))
    kept = comparison.committed()
    assert comparison.finish().files == whole.files, "also without a cluster"
    assert kept + comparison.scored() == whole.prompts


def test_an_interrupt_waits_for_no_pack(tmp_path: Path) -> None:
    """Packs of a large model take minutes; here what decodes them stands still."""
    with (tmp_path / "requests.jsonl").open("w", encoding="utf-8") as file:
        for number in range(900):
            text = " ".join(f"word{(number * 7 + i) % 13}" for i in range(1 + number % 20))
            json.dump({"id": str(number), "prompt": f"Is {text} so?", "options": [" yes", " no"]}, file)
            file.write("\n")
    command = ["score", "demo-med", "requests.jsonl", "--output", "scores.jsonl"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "medbench_local", *command, *CLUSTER],
            cwd=tmp_path,
            env=os.environ | {"MEDBENCH_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    stopped: list[psutil.Process] = []

    def both_at_work() -> bool:
        with suppress(psutil.Error):
            stopped[:] = workers(process)
            return len(stopped) == 2 and all(worker.cpu_times().user > 1.5 for worker in stopped)
        return False

    _begun(process, both_at_work, tmp_path / "log")
    for worker in stopped:
        worker.suspend()
    time.sleep(0.5)  # what was ready before is taken
    process.send_signal(signal.SIGINT)  # alone: on other nodes nobody else hears it
    began = time.monotonic()
    try:
        assert process.wait(SOON) == 130
        assert time.monotonic() - began < 15
        assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
    finally:
        if process.poll() is None:
            process.kill()
        for worker in stopped:
            with suppress(psutil.Error):
                worker.resume()
    assert _gone(tmp_path / "home")
