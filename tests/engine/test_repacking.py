"""Weights are rearranged in the fast mode where a try shows that this works and saves time, and nowhere else."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from medbench_local.engine.base import EngineOptions, Pack, ScoreRequest
from medbench_local.engine.machine import MachineNotes
from medbench_local.engine.remote import WorkerEngine, start_engine
from medbench_local.engine.repacking import repacking_pays

FAST = EngineOptions(mode="fast", n_ctx=512, threads=1)
PACK = Pack((), (ScoreRequest(tuple(range(1, 200)), ((70,), (71,))),))


class Starter:
    """Starts real workers; those that rearrange weights end at their first decode with a signal.

    Attributes:
        started: whether weights were to be rearranged, of each.
    """

    def __init__(self, ends_by: signal.Signals | None = None) -> None:
        self.started: list[bool] = []
        self._ends_by = ends_by

    def __call__(self, path: Path, options: EngineOptions) -> WorkerEngine:
        self.started.append(options.repack)
        engine = WorkerEngine(path, options)
        if options.repack and self._ends_by is not None:
            psutil.Process(engine.pid).send_signal(self._ends_by)
        return engine


def test_each_way_is_tried_once_for_a_machine_and_a_file_type(models: Path, tmp_path: Path) -> None:
    start = Starter()
    first = repacking_pays(models / "q4_k_m.gguf", FAST, tmp_path, start)
    assert start.started == [True, False]
    assert repacking_pays(models / "q4_k_m.gguf", FAST, tmp_path, start) is first
    assert start.started == [True, False]
    found = MachineNotes(tmp_path).read("repacking")["q4_k_m"]
    assert found["with"] > 0
    assert found["without"] > 0
    assert first is (found["with"] < 0.95 * found["without"])


def test_weights_that_are_not_quantised_need_no_try(models: Path, tmp_path: Path) -> None:
    start = Starter()
    assert repacking_pays(models / "f16.gguf", FAST, tmp_path, start)
    assert start.started == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_illegal_instruction_is_remembered(models: Path, tmp_path: Path) -> None:
    start = Starter(signal.SIGILL)
    for _ in range(2):
        assert not repacking_pays(models / "q4_k_m.gguf", FAST, tmp_path, start)
    assert start.started == [True]
    assert MachineNotes(tmp_path).read("repacking")["q4_k_m"]["ended_by"] == "SIGILL"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_too_little_memory_is_not_remembered_as_a_fault_of_the_build(models: Path, tmp_path: Path) -> None:
    start = Starter(signal.SIGKILL)
    for _ in range(2):
        assert not repacking_pays(models / "q4_k_m.gguf", FAST, tmp_path, start)
    assert start.started == [True, True]


@pytest.mark.parametrize(("with_", "repack"), [(0.5, "on"), (0.99, "off"), (2.0, "off")])
def test_what_is_known_decides_and_stands_in_the_key(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_: float, repack: str
) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path))
    known: dict[str, Any] = {"ended_by": None, "with": with_, "without": 1.0}
    MachineNotes(tmp_path).note("repacking", "q4_k_m", known)
    with start_engine(models / "q4_k_m.gguf", FAST) as engine:
        assert engine.info.numerics["repack"] == repack
        assert engine.score(PACK)


def test_notes_that_are_damaged_or_cannot_be_kept_are_found_out_again(models: Path, tmp_path: Path) -> None:
    notes = MachineNotes(tmp_path)
    notes.path.parent.mkdir()
    notes.path.write_text("[1")
    repacking_pays(models / "q4_k_m.gguf", FAST, tmp_path, start := Starter())
    assert len(start.started) == 2
    (tmp_path / "file").write_text("in the way of a folder")
    repacking_pays(models / "q4_k_m.gguf", FAST, tmp_path / "file", start)
    assert len(start.started) == 4
    assert MachineNotes(tmp_path).path != MachineNotes(tmp_path, gpu_layers=0).path
