"""What the engine is compared with does the engine's work."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.engine import Raw, draw
from medbench_local.engine.base import EngineOptions, Pack, ScoreRequest
from medbench_local.engine.llama import LlamaEngine
from tests.engine.tiny import Shape, write_random


@pytest.mark.parametrize("depth", [0, 130])
def test_plain_decodes_find_what_the_engine_finds(tmp_path: Path, depth: int) -> None:
    path = write_random(tmp_path / "model.gguf", Shape())
    prefix, questions, letters = draw(depth, 0), [draw(80, number) for number in (1, 2)], (310, 311)
    raw = Raw(path, n_ctx=512, threads=1)
    raw.begin(prefix)
    found = raw.score(prefix, questions, letters)
    raw.close()
    options = tuple((letter,) for letter in letters)
    requests = tuple(ScoreRequest(prefix + question, options) for question in questions)
    with LlamaEngine(path, EngineOptions(mode="reproducible", n_ctx=512, threads=1)) as engine:
        for one, other in zip(found, engine.score(Pack(prefix, requests)), strict=True):
            assert one == pytest.approx(other.logprobs, abs=1e-3)
