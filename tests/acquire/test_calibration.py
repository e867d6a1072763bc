"""The speed of precisions is measured with the real engine, once, and only what is not known yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medbench_local import convert
from medbench_local.acquire import calibration, trial_model
from medbench_local.acquire.calibration import known_speeds, measured_file, measured_speeds, tokens_a_second
from medbench_local.engine.base import Engine, EngineOptions
from medbench_local.engine.fake import FakeEngine
from medbench_local.engine.machine import MachineNotes
from medbench_local.engine.remote import start_engine
from medbench_local.errors import CancelledError, EngineError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Silent

OPTIONS = EngineOptions(threads=1)


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self.said.append(text)


@contextmanager
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A trial model that is made in no time."""
    with monkeypatch.context() as changed:
        changed.setattr(trial_model, "WIDTH", 256)
        changed.setattr(trial_model, "HIDDEN", 512)
        changed.setattr(calibration, "CANDIDATES", ("q8_0", "q4_k_m"))
        yield


def test_the_trial_model_has_the_weights_that_it_says(tmp_path: Path) -> None:
    """Seven matrices of one layer: 2048 x 2048 twice, 2048 x 1024 twice, 2048 x 5632 three times."""
    assert trial_model.WEIGHTS == 2 * 2048 * 2048 + 2 * 2048 * 1024 + 3 * 2048 * 5632
    trial_model.write_trial_model(tmp_path / "trial.gguf")
    tensors = {tensor.name: tensor for tensor in read_gguf_header(tmp_path / "trial.gguf").tensors}
    matrices = [t for name, t in tensors.items() if name.startswith("blk.") and "norm" not in name]
    assert len(matrices) == 7
    assert sum(t.size for t in matrices) == trial_model.WEIGHTS


def test_each_precision_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def start(path: Path, options: EngineOptions) -> Engine:
        loaded.append(read_gguf_header(path).file_type.lower())
        return start_engine(path, options)

    with narrow(monkeypatch):
        first = measured_speeds(tmp_path, OPTIONS, start)
        assert loaded == ["f16", "q8_0", "q4_k_m"]
        assert set(first) == {"full", "q8_0", "q4_k_m"}
        assert min(first.values()) > 0
        assert measured_speeds(tmp_path, OPTIONS, start) == known_speeds(tmp_path, OPTIONS)
        assert len(loaded) == 3
        notes = MachineNotes(tmp_path)
        record = json.loads(notes.path.read_text())
        del record["weights a second, exact, 1 threads"]["q8_0"]
        notes.path.write_text(json.dumps(record))
        assert measured_speeds(tmp_path, OPTIONS, start).keys() == first.keys()
        assert loaded[3:] == ["q8_0"]
    assert [path.name for path in tmp_path.iterdir()] == ["speed"], "what was made for it is gone"
    assert known_speeds(tmp_path, EngineOptions(threads=2)) == {}


def test_what_cannot_be_measured_is_said_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(path: Path, options: EngineOptions) -> Engine:
        raise EngineError("There is no engine.")

    def stopped(path: Path, options: EngineOptions) -> Engine:
        raise CancelledError("Stopped.")

    with narrow(monkeypatch):
        listener = Notes()
        assert measured_speeds(tmp_path, OPTIONS, refuses, listener) == {}
        assert listener.said == ["the speed of this machine could not be measured: There is no engine."]
        (tmp_path / "file").write_text("in the way of a folder")
        assert measured_speeds(tmp_path / "file", OPTIONS, refuses, listener) == {}
        with pytest.raises(CancelledError):
            measured_speeds(tmp_path, OPTIONS, stopped)
        assert measured_speeds(tmp_path, OPTIONS, lambda path, options: FakeEngine()) == {}


def test_speeds_are_said_in_tokens_of_the_model() -> None:
    assert tokens_a_second({"q8_0": 3.5e11, "q6_k": 7e12}, 7 * 10**9) == "q8_0 50, q6_k 1,000"
    assert tokens_a_second({"q8_0": 3.5e11}, 70 * 10**9) == "q8_0 5"


def test_a_model_is_timed_with_its_own_file_once(tmp_path: Path) -> None:
    """By its hash, for reading and for writing; of an engine that does not count nothing is known."""
    convert("demo-med", tmp_path / "demo.gguf")
    loaded: list[str] = []

    def start(path: Path, options: EngineOptions) -> Engine:
        loaded.append(path.name)
        return start_engine(path, options)

    def timed(sha256: str, *, writing: bool = False) -> float | None:
        return measured_file(tmp_path / "demo.gguf", sha256, tmp_path, OPTIONS, start, writing=writing)

    first = timed("one")
    assert first is not None
    assert first > 0
    assert timed("one") == pytest.approx(first, rel=1e-3)
    assert len(loaded) == 1
    written = timed("one", writing=True)
    assert written is not None
    assert written > 0
    assert len(loaded) == 2
    timed("two")
    assert len(loaded) == 3, "another file"
    silent = measured_file(tmp_path / "demo.gguf", "three", tmp_path, OPTIONS, lambda *_: FakeEngine())
    assert silent is None


def test_a_file_that_cannot_be_timed_is_said(tmp_path: Path) -> None:
    def start(_path: Path, _options: EngineOptions) -> Engine:
        raise EngineError("no such instruction")

    notes = Notes()
    assert measured_file(tmp_path / "a.gguf", "one", tmp_path, OPTIONS, start, notes) is None
    assert notes.said == ["a.gguf could not be timed: no such instruction"]
