"""A finished run is found by hashes alone, and only if nothing that decides its result has changed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from medbench_local.errors import StoreError
from medbench_local.files import hashes
from medbench_local.tasks import load
from tests.study.conftest import Fakes

OWN = ("demonstrations", "validation", "test")


def _task(folder: Path, answer: int = 0) -> Path:
    """A task of one's own; every answer gives files of the same size."""
    folder.mkdir(exist_ok=True)
    for split in OWN:
        rows = [
            {"id": f"{split}{i}", "question": f"Which is {i}?", "options": ["one", "two"], "answer": answer}
            for i in range(6)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return folder


def _computed(fakes: Fakes, task: Path) -> bool:
    """Whether a comparison on ``task`` was computed rather than found."""
    output = task.parent / "run"
    return fakes.compare(tasks=[str(task)], shots=[0], check="none", output=output, limit=4).computed


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for files of gigabytes: what was hashed once is remembered."""
    monkeypatch.setattr(hashes, "_WORTH_A_RECORD", 0)


def test_no_question_is_read_to_find_a_finished_run(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _task(tmp_path / "mine")
    assert _computed(fakes, task)

    def read(*_: object) -> None:
        raise AssertionError("a question was read")

    monkeypatch.setattr(load, "_read", read)
    assert not _computed(fakes, task)


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize("way", ["written", "put in its place"])
def test_a_changed_file_of_the_same_size_and_date_is_noticed(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(hashes, "_CLOCK_STEP", -1.0)  # as if the files had been there for long
    task = _task(tmp_path / "mine")
    assert _computed(fakes, task)
    assert not _computed(fakes, task)
    time.sleep(0.05)  # a step of the clock of the file system
    before = {split: (task / f"{split}.jsonl").stat() for split in OWN}
    other = _task(task if way == "written" else tmp_path / "other", answer=1)
    for split in OWN:
        changed = other / f"{split}.jsonl"
        assert changed.stat().st_size == before[split].st_size
        os.utime(changed, ns=(before[split].st_atime_ns, before[split].st_mtime_ns))
        changed.replace(task / f"{split}.jsonl")
    with pytest.raises(StoreError, match="another run"):
        _computed(fakes, task)


@pytest.mark.usefixtures("records")
def test_nothing_is_noted_of_a_file_that_was_just_written(tmp_path: Path) -> None:
    """A second change within one step of the clock would leave no trace."""
    file = tmp_path / "file"
    file.write_text("one", encoding="utf-8")
    first = hashes.file_sha256(file, tmp_path)
    file.write_text("two", encoding="utf-8")
    assert hashes.file_sha256(file, tmp_path) != first
    assert not (tmp_path / "hashes").exists()
