"""What a GPU is asked: larger decodes, read while the next one is computed.

Most of it runs on the processor, which is told that it is a GPU; the last test needs CUDA.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from medbench_local.engine import build, devices
from medbench_local.engine.base import EngineOptions, Mode, OptionScores, Pack, ScoreRequest, Tokens
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.llama_context import Context, Span
from medbench_local.engine.memory import memory_needed

_GENERATOR = np.random.default_rng(11)


def _random(length: int) -> Tokens:
    return tuple(int(token) for token in _GENERATOR.integers(3, 500, length))


LETTERS = ((70,), (71,), (72,), (73,))
LABELS = ((70, 71, 72), (70, 73, 72), (70, 74, 75, 76))
PREFIX = (1, *_random(80))
QUESTIONS = [
    ScoreRequest(PREFIX + _random(length), LABELS if number % 4 == 0 else LETTERS)
    for number, length in enumerate(_GENERATOR.integers(20, 40, 50))
]
LONG = [ScoreRequest(PREFIX + _random(length), LETTERS) for length in (300, 600, 700)]


def _score(path: Path, requests: Sequence[ScoreRequest], **options: object) -> list[OptionScores]:
    with LlamaEngine(path, EngineOptions(**{"threads": 1, "n_ctx": 2048, **options})) as engine:  # type: ignore[arg-type]
        return engine.score(Pack(PREFIX, tuple(requests)))


@pytest.fixture
def as_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "has_gpu", lambda: True)


@pytest.mark.usefixtures("as_gpu")
def test_more_than_32_questions_are_one_decode(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decodes: list[Sequence[Span]] = []
    decode = Context.decode

    def counted(context: Context, spans: Sequence[Span]) -> None:
        decodes.append(spans)
        decode(context, spans)

    monkeypatch.setattr(Context, "decode", counted)
    together = _score(models / "f16.gguf", QUESTIONS, mode="fast")
    asked = [[span for span in spans if span.position == len(PREFIX)] for spans in decodes]
    assert max(map(len, asked)) > 32
    assert all(sum(len(span.tokens) for span in spans) <= 2048 for spans in decodes)
    alone = _score(models / "f16.gguf", QUESTIONS, mode="fast", questions=1)
    for one, other in zip(together, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=0.05)


def test_reading_in_another_thread_changes_nothing(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medbench_local.engine.option_scores import score_many

    found = []
    for ahead in (False, True):
        monkeypatch.setattr(
            "medbench_local.engine.llama.score_many",
            lambda *given, ahead=ahead, **_: score_many(*given, ahead=ahead),
        )
        found.append(_score(models / "f16.gguf", [*QUESTIONS, *LONG], mode="fast", batch_tokens=256))
    assert found[0] == found[1]


@pytest.mark.parametrize("mode", ["exact", "reproducible"])
def test_the_micro_batch_of_a_gpu_changes_no_bit_on_a_processor(
    models: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _score(models / "f16.gguf", LONG, mode=mode)
    monkeypatch.setattr(devices, "has_gpu", lambda: True)
    assert _score(models / "f16.gguf", LONG, mode=mode) == expected


def test_memory_is_planned_with_the_larger_batches(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, options = models / "f16.gguf", EngineOptions(mode="fast", n_ctx=4096)
    monkeypatch.setattr("medbench_local.engine.memory.may_use_gpu", lambda: False)
    here = memory_needed(path, options)
    monkeypatch.setattr("medbench_local.engine.memory.may_use_gpu", lambda: True)
    there = memory_needed(path, options)
    assert (there.weights, there.cache) == (here.weights, here.cache)
    mask = 4 * (2048 - 512) * 4096
    assert there.compute - here.compute > mask
    without = EngineOptions(mode="fast", n_ctx=4096, gpu_layers=0)
    assert memory_needed(path, without) == here


@pytest.mark.parametrize(("name", "may"), [("libggml-cuda.so", True), ("libggml-cpu.so", False)])
def test_what_a_build_can_do_is_told_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, may: bool
) -> None:
    (tmp_path / name).touch()
    monkeypatch.setattr(build, "find_spec", lambda _: None)
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    assert build.may_use_gpu.__wrapped__() == may


def test_packs_are_larger_there(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for gpu in (False, True):
        monkeypatch.setattr(devices, "has_gpu", lambda gpu=gpu: gpu)
        with LlamaEngine(models / "f16.gguf", EngineOptions(n_ctx=512, threads=1)) as engine:
            found.append(engine.info.pack_tokens)
    assert found == [4096, 32768]


def test_a_build_without_a_gpu_is_known_for_one() -> None:
    assert build.may_use_gpu() or not devices.has_gpu()


CUDA = any(device.backend == "CUDA" for device in devices.gpus())


@pytest.mark.skipif(
    not CUDA, reason="needs a CUDA device and a build for it: equal bits there were not tested"
)
@pytest.mark.parametrize("mode", ["exact", "reproducible"])
def test_packs_and_batches_change_no_bit_on_cuda(models: Path, mode: Mode) -> None:
    path, requests = models / "f16.gguf", [*QUESTIONS, *LONG]
    expected = _score(path, requests, mode=mode)
    assert _score(path, requests[::-1], mode=mode) == expected[::-1]
    for batch in (256, 512, 1024):
        assert _score(path, requests, mode=mode, batch_tokens=batch) == expected
    with LlamaEngine(path, EngineOptions(mode=mode, n_ctx=2048)) as engine:
        for request, one in zip(requests, expected, strict=True):
            assert engine.score(Pack((), (request,))) == [one]
