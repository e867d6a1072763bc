"""In the modes "exact" and "reproducible" no bit depends on threads, order, context size, batch, or a reused prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from medbench_local.engine.base import (
    LEAST_ROWS,
    EngineOptions,
    GenerateRequest,
    Mode,
    OptionScores,
    Pack,
    ScoreRequest,
    Tokens,
)
from medbench_local.engine.llama import LlamaEngine
from medbench_local.errors import EngineError
from tests.engine.tiny import Shape, quantise, write_random

MODES: tuple[Mode, ...] = ("exact", "reproducible")
_GENERATOR = np.random.default_rng(3)
LETTERS = ((70,), (71,), (72,), (73,))
LONGER = ((70, 71), (72,), (70, 73, 74, 75, 76, 77, 78, 79, 80), (81, 82, 83))
SHARING = ((70, 71, 72), (70, 71, 73, 74), (70, 71, 75, 76, 77, 78))


def _random(length: int) -> Tokens:
    return tuple(int(token) for token in _GENERATOR.integers(3, 500, length))


KINDS = [LETTERS, LONGER, SHARING]
PREFIX = (1, *_random(149))
# Tails around every width at which kernels change, one that is cut into several decodes, and none at all.
TAILS = [_random(length) for length in (1, 2, 7, 8, 15, 16, 63, 64, 65, 150, 400)]
REQUESTS = [
    ScoreRequest(PREFIX + tail, options)
    for number, tail in enumerate([*TAILS, ()])
    for options in (KINDS if number == 0 else KINDS[number % 3 :: 3])
]
# Whole prompts that are shorter than what is decoded by itself, and a little longer.
SHORT = [
    ScoreRequest(PREFIX[:length], options)
    for length in (1, 2, 15, 17, 60, 63, 64, 66, 127, 129)
    for options in KINDS[length % 3 :: 3]
]

MODELS: dict[str, Shape] = {
    "grouped": Shape(),
    "grouped-q4_k_m": Shape(),
    "grouped-bf16": Shape(),
    "head-32": Shape(head=32, heads=8, kv_heads=8),
    "head-80": Shape(head=80),
    "head-96": Shape(head=96, heads=8),
    "head-128": Shape(head=128),
    "head-256": Shape(head=256, heads=2, kv_heads=1),
    "gemma2": Shape("gemma2", head=128, window=48),
    "gemma3": Shape("gemma3", head=256, heads=2, kv_heads=1, window=100),
}
FILE_TYPES = {"q4_k_m": 15, "bf16": 32}


@dataclass(frozen=True)
class Loadable:
    """A model and how it is decoded."""

    number: int
    path: Path
    mode: Mode

    def options(self, **options: int) -> EngineOptions:
        settings = {"n_ctx": 1024, "threads": 1, **options}
        return EngineOptions(mode=self.mode, **settings)  # type: ignore[arg-type]

    def score(self, requests: Sequence[ScoreRequest], prefix: Tokens, **options: int) -> list[OptionScores]:
        with LlamaEngine(self.path, self.options(**options)) as engine:
            return engine.score(Pack(prefix, tuple(requests)))


@pytest.fixture(scope="module", params=[(name, mode) for mode in MODES for name in MODELS], ids="-".join)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loadable:
    name, mode = request.param
    folder = tmp_path_factory.mktemp("model")
    path = write_random(folder / "f32.gguf", MODELS[name])
    file_type = FILE_TYPES.get(name.rpartition("-")[2])
    if file_type is not None:
        path = quantise(path, folder / "small.gguf", file_type)
    return Loadable(list(MODELS).index(name) + MODES.index(mode), path, mode)


@pytest.fixture(scope="module")
def expected(model: Loadable) -> list[OptionScores]:
    """Each request from an empty cache."""
    return model.score(REQUESTS, ())


@pytest.mark.parametrize(
    "options",
    [{}, {"threads": 2, "n_ctx": 2048}, {"batch_tokens": 256, "parallel": 3}],
    ids=["prefix", "threads and context", "batch"],
)
def test_settings_change_no_bit(
    model: Loadable, expected: list[OptionScores], options: dict[str, int]
) -> None:
    assert model.score(REQUESTS, PREFIX, **options) == expected


def test_how_the_cache_is_kept_changes_no_bit_behind_flash_attention(
    model: Loadable, expected: list[OptionScores]
) -> None:
    options = replace(model.options(), cache="f16")
    with LlamaEngine(model.path, options) as engine:
        equal = engine.score(Pack(PREFIX, tuple(REQUESTS))) == expected
    assert equal == (model.mode == "reproducible")


def test_order_changes_no_bit(model: Loadable, expected: list[OptionScores]) -> None:
    assert model.score(REQUESTS[::-1], PREFIX) == expected[::-1]
    with LlamaEngine(model.path, model.options()) as engine:  # within a pack it is the engine's own
        for number in np.random.default_rng(2).permutation(len(REQUESTS)):
            assert engine.score(Pack(PREFIX, (REQUESTS[number],))) == [expected[number]]


def test_every_cut_of_the_prefix_changes_no_bit(model: Loadable, expected: list[OptionScores]) -> None:
    """Every third length for each model, others for the next: every length for three models or four."""
    number = KINDS.index(LONGER)  # with a tail of one token
    lengths = np.arange(model.number % 3, len(PREFIX) + 1, 3)
    with LlamaEngine(model.path, model.options()) as engine:
        for length in np.random.default_rng(1).permutation(lengths):
            (found,) = engine.score(Pack(PREFIX[:length], (REQUESTS[number],)))
            assert found == expected[number], length


def test_company_changes_no_bit(model: Loadable, expected: list[OptionScores]) -> None:
    with LlamaEngine(model.path, model.options()) as engine:
        for length in (0, 3, 16, 64, 77, 150, 140, 2):
            number = length % len(REQUESTS)
            (found,) = engine.score(Pack(PREFIX[:length], (REQUESTS[number],)))
            assert found == expected[number]


def test_short_prompts_do_not_depend_on_what_is_cached(model: Loadable) -> None:
    alone = [found for request in SHORT for found in model.score([request], ())]
    assert model.score(SHORT, PREFIX[:1], threads=2, batch_tokens=256) == alone
    with LlamaEngine(model.path, model.options()) as engine:
        for request, one in zip(SHORT, alone, strict=True):
            for cut in (0, len(request.context) // 2, len(request.context)):
                engine.score(Pack(PREFIX, (REQUESTS[0],)))  # leaves a long prefix behind
                assert engine.score(Pack(request.context[:cut], (request,))) == [one]


def test_fewest_rows_of_a_decode(model: Loadable, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the promise of equal bits rests on: so many rows, or a whole prompt with its options."""
    from medbench_local.engine.llama_context import Context, Span

    sizes: list[tuple[int, int]] = []
    decode = Context.decode

    def counted(context: Context, spans: Sequence[Span]) -> None:
        sizes.append((spans[0].position, sum(len(span.tokens) for span in spans)))
        decode(context, spans)

    monkeypatch.setattr(Context, "decode", counted)
    model.score([*SHORT, *REQUESTS], (), batch_tokens=256)
    model.score(REQUESTS, PREFIX)
    small = [(start, size) for start, size in sizes if size < LEAST_ROWS[model.mode]]
    assert small
    assert all(start == 0 for start, _ in small)


@pytest.mark.parametrize("mode", MODES)
def test_numerics_do_not_name_what_changes_nothing(models: Path, mode: Mode) -> None:
    found = []
    for options in (
        EngineOptions(mode=mode, n_ctx=512, threads=1),
        EngineOptions(mode=mode, n_ctx=1024, threads=2),
    ):
        with LlamaEngine(models / "f16.gguf", options) as engine:
            found.append(engine.info.numerics)
    assert found[0] == found[1]
    assert {"llama-cpp-python", "llama.cpp", "system", "mode", "cache", "flash_attention"} <= set(found[0])
    for other in {"exact", "reproducible", "fast"} - {mode}:
        with LlamaEngine(models / "f16.gguf", EngineOptions(mode=other, n_ctx=512)) as engine:  # type: ignore[arg-type]
            assert engine.info.numerics != found[0]


def test_generated_texts_do_not_depend_on_a_reused_prefix(models: Path) -> None:
    requests = tuple(GenerateRequest(PREFIX + tail, (), 12) for tail in TAILS[:8])
    texts = []
    for mode in MODES:
        for threads in (1, 2):
            options = EngineOptions(mode=mode, n_ctx=1024, threads=threads)
            with LlamaEngine(models / "q4_k_m.gguf", options) as engine:
                pack = Pack(PREFIX, requests)
                texts += [engine.generate(pack), engine.generate(pack)]
    assert all(text == texts[0] for text in texts)


def test_short_questions_do_not_decode_the_prefix_again_and_again(models: Path) -> None:
    lengths = [5, 50, 20, 35, 8, 63, 41, 12, 57, 30]
    requests = tuple(ScoreRequest(PREFIX + _random(length), LETTERS) for length in lengths)
    options = EngineOptions(mode="reproducible", n_ctx=1024, threads=1)
    with LlamaEngine(models / "f16.gguf", options) as engine:
        found = engine.score(Pack(PREFIX, requests))
        decoded = engine.work.tokens
    assert decoded <= len(PREFIX) + LEAST_ROWS["reproducible"] * len(requests)
    with LlamaEngine(models / "f16.gguf", options) as engine:
        assert [engine.score(Pack((), (request,)))[0] for request in requests] == found


def test_generating_between_scores_changes_neither(models: Path) -> None:
    scored = Pack(PREFIX, tuple(REQUESTS[:3]))
    generated = Pack((), (GenerateRequest(PREFIX, (), 12),))
    with LlamaEngine(models / "q4_k_m.gguf", EngineOptions(mode="reproducible", n_ctx=1024)) as engine:
        scores, texts = engine.score(scored), engine.generate(generated)
        assert (engine.score(scored), engine.generate(generated)) == (scores, texts)
        said = engine.info.numerics["generation"]
    with LlamaEngine(models / "q4_k_m.gguf", EngineOptions(n_ctx=1024)) as exact:
        assert exact.generate(generated) == texts
        assert exact.score(scored) != scores
        assert exact.info.numerics["generation"] in said
    assert "exact" in said


@pytest.mark.parametrize("mode", MODES)
def test_the_cache_grows_with_the_prompts_and_changes_no_bit(models: Path, mode: Mode) -> None:
    draw = np.random.default_rng(3)
    short, long = (tuple(int(t) for t in draw.integers(3, 500, size)) for size in (40, 1500))
    requests = [ScoreRequest((1, *context), ((5,), (6, 7))) for context in (short, long)]
    with LlamaEngine(models / "f16.gguf", EngineOptions(mode=mode, n_ctx=2048, threads=1)) as engine:
        first = engine.score(Pack((), (requests[0],)))
        grown = engine.score(Pack((), tuple(requests)))
        assert grown[0] == first[0]
        assert engine.score(Pack((), (requests[1],)))[0] == grown[1]
        with pytest.raises(EngineError, match="2048"):
            engine.score(Pack((), (ScoreRequest((1, *long, *long), ((5,),)),)))
