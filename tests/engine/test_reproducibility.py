"""In exact mode no bit depends on threads, order, context size, batch, or a reused prefix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from medbench_local.engine.base import EngineOptions, OptionScores, Pack, ScoreRequest, Tokens
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.prefix import LEAST_ROWS
from medbench_local.errors import EngineError

_GENERATOR = np.random.default_rng(3)
LETTERS = ((70,), (71,), (72,), (73,))
LONGER = ((70, 71), (72,), (70, 73, 74, 75, 76, 77, 78, 79, 80), (81, 82, 83))
SHARING = ((70, 71, 72), (70, 71, 73, 74), (70, 71, 75, 76, 77, 78))


def _random(length: int) -> Tokens:
    return tuple(int(token) for token in _GENERATOR.integers(3, 500, length))


KINDS = [LETTERS, LONGER, SHARING]
PREFIX = (1, *_random(200))
# Tails around every width at which kernels change, one that is cut into several decodes, and none at all.
TAILS = [_random(length) for length in (1, 2, 5, 7, 8, 9, LEAST_ROWS - 1, LEAST_ROWS, 40, 150, 600)]
REQUESTS = [
    ScoreRequest(PREFIX + tail, options)
    for number, tail in enumerate([*TAILS, ()])
    for options in (KINDS[number % 3 :: 3] if 0 < number < 9 else KINDS)
]


def _score(
    path: Path, requests: Sequence[ScoreRequest], prefix: Tokens, **options: int
) -> dict[ScoreRequest, OptionScores]:
    settings = {"n_ctx": 1024, "threads": 1, **options}
    with LlamaEngine(path, EngineOptions(**settings)) as engine:  # type: ignore[arg-type]
        found = engine.score(Pack(prefix, tuple(requests)))
    return dict(zip(requests, found, strict=True))


@pytest.fixture(scope="module", params=["f16", "q4_k_m"])
def path(request: pytest.FixtureRequest, models: Path) -> Path:
    return models / f"{request.param}.gguf"


@pytest.fixture(scope="module")
def expected(path: Path) -> dict[ScoreRequest, OptionScores]:
    """Each request from an empty cache."""
    return _score(path, REQUESTS, ())


@pytest.mark.parametrize(
    "options",
    [{}, {"threads": 2}, {"n_ctx": 2048}, {"batch_tokens": 256}, {"parallel": 3}],
    ids=["prefix", "threads", "context", "batch", "parallel"],
)
def test_settings_change_no_bit(
    path: Path, expected: dict[ScoreRequest, OptionScores], options: dict[str, int]
) -> None:
    assert _score(path, REQUESTS, PREFIX, **options) == expected


def test_order_changes_no_bit(path: Path, expected: dict[ScoreRequest, OptionScores]) -> None:
    assert _score(path, REQUESTS[::-1], PREFIX) == expected


def test_company_and_shorter_prefixes_change_no_bit(
    path: Path, expected: dict[ScoreRequest, OptionScores]
) -> None:
    with LlamaEngine(path, EngineOptions(n_ctx=1024, threads=1)) as engine:
        for length in (0, 3, LEAST_ROWS, 77, 201, 190, 2):
            request = REQUESTS[length % len(REQUESTS)]
            (found,) = engine.score(Pack(PREFIX[:length], (request,)))
            assert found == expected[request]


def test_numerics_do_not_name_what_changes_nothing(models: Path) -> None:
    found = []
    for options in (EngineOptions(n_ctx=512, threads=1), EngineOptions(n_ctx=1024, threads=2)):
        with LlamaEngine(models / "f16.gguf", options) as engine:
            found.append(engine.info.numerics)
    assert found[0] == found[1]
    assert {"llama-cpp-python", "llama.cpp", "system", "mode", "cache", "flash_attention"} <= set(found[0])
    with LlamaEngine(models / "f16.gguf", EngineOptions(mode="fast", n_ctx=512)) as engine:
        assert engine.info.numerics != found[0]


def test_generated_texts_do_not_depend_on_a_reused_prefix(models: Path) -> None:
    from medbench_local.engine.base import GenerateRequest

    requests = tuple(GenerateRequest(PREFIX + tail, (), 12) for tail in TAILS[:8])
    texts = []
    for threads in (1, 2):
        with LlamaEngine(models / "q4_k_m.gguf", EngineOptions(n_ctx=1024, threads=threads)) as engine:
            pack = Pack(PREFIX, requests)
            texts += [engine.generate(pack), engine.generate(pack)]
    assert all(text == texts[0] for text in texts)


def test_the_cache_grows_with_the_prompts_and_changes_no_bit(models: Path) -> None:
    draw = np.random.default_rng(3)
    short, long = (tuple(int(t) for t in draw.integers(3, 500, size)) for size in (40, 1500))
    requests = [ScoreRequest((1, *context), ((5,), (6, 7))) for context in (short, long)]
    with LlamaEngine(models / "f16.gguf", EngineOptions(n_ctx=2048, threads=1)) as engine:
        first = engine.score(Pack((), (requests[0],)))
        grown = engine.score(Pack((), tuple(requests)))
        assert grown[0] == first[0]
        assert engine.score(Pack((), (requests[1],)))[0] == grown[1]
        with pytest.raises(EngineError, match="2048"):
            engine.score(Pack((), (ScoreRequest((1, *long, *long), ((5,),)),)))
