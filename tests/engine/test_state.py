"""Models with a running state: the log-probabilities of transformers, and bits that depend on nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medbench_local.engine.base import (
    LEAST_ROWS,
    ROWS,
    EngineOptions,
    GenerateRequest,
    Mode,
    OptionScores,
    Pack,
    ScoreRequest,
    ThinkRequest,
    Tokens,
    Trace,
)
from medbench_local.engine.bindings import LOG
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.memory import memory_needed
from medbench_local.engine.support import WITH_STATE
from tests.engine.state_models import KINDS, write_models

_GENERATOR = np.random.default_rng(5)


def _random(length: int) -> Tokens:
    return tuple(int(token) for token in _GENERATOR.integers(3, 390, length))


TEXT = (398, *_random(119))
PREFIX = TEXT[:80]
LETTERS = ((70,), (71,), (72,))
LONGER = ((70, 71), (72,), _random(9))
SHARING = ((70, 71, 72), (70, 71, 73, 74), (70, 71, 75))
REQUESTS = [
    ScoreRequest(PREFIX, SHARING),
    ScoreRequest(PREFIX + _random(1), LONGER),
    ScoreRequest(PREFIX + _random(70), (*LONGER, _random(ROWS + 9))),
    ScoreRequest(PREFIX + _random(150), LETTERS),
    ScoreRequest(PREFIX[:5], LONGER),
    ScoreRequest(PREFIX[:30], SHARING),
]
INSIDE = 4
"""Of which so many begin with the prefix."""


@dataclass(frozen=True)
class Models:
    """A folder with the GGUF file of each kind, and the same models in transformers."""

    folder: Path
    networks: dict[str, Any]

    def path(self, kind: str) -> Path:
        return self.folder / f"{kind}.gguf"


@pytest.fixture(scope="module")
def with_state(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("with_state")
    return Models(folder, write_models(folder))


def _pack(request: ScoreRequest, length: int) -> Pack:
    return Pack(request.context[:length], (request,))


def _each(path: Path, mode: Mode, lengths: list[int], **options: Any) -> list[list[OptionScores]]:
    """Every request behind prefixes of some lengths, all by one engine."""
    settings = {"n_ctx": 512, "threads": 1, **options}
    with LlamaEngine(path, EngineOptions(mode=mode, **settings)) as engine:
        return [[engine.score(_pack(request, length))[0] for request in REQUESTS] for length in lengths]


def test_every_kind_that_is_scored_is_tested() -> None:
    assert set(KINDS) == WITH_STATE


@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_equal_transformers(with_state: Models, kind: str) -> None:
    with torch.no_grad():
        logits = with_state.networks[kind](torch.tensor([TEXT]), use_cache=False).logits[0]
    rows = logits.double().log_softmax(-1).numpy()
    starts = [1, 5, 17, 80, 110]
    requests = [
        ScoreRequest(TEXT[:start], (TEXT[start : start + 9], (TEXT[start], 70), (71,))) for start in starts
    ]
    with LlamaEngine(with_state.path(kind), EngineOptions(n_ctx=256, threads=1)) as engine:
        found = [engine.score(_pack(request, 80))[0] for request in requests]
    for start, scores in zip(starts, found, strict=True):
        followed = sum(rows[start - 1 + i, TEXT[start + i]] for i in range(9))
        begun = rows[start - 1, TEXT[start]] + rows[start, 70]
        assert scores.logprobs == pytest.approx([followed, begun, rows[start - 1, 71]], abs=3e-4)


@pytest.mark.parametrize("mode", ["exact", "reproducible"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_bit_depends_on_what_came_before(with_state: Models, kind: str, mode: Mode) -> None:
    path = with_state.path(kind)
    expected, behind = _each(path, mode, [0, 79])
    assert behind == expected
    backwards = Pack(PREFIX, tuple(REQUESTS[INSIDE - 1 :: -1]))
    with LlamaEngine(path, EngineOptions(mode=mode, n_ctx=768, threads=1, batch_tokens=256)) as engine:
        assert engine.score(backwards) == expected[INSIDE - 1 :: -1]


@pytest.mark.parametrize("mode", ["exact", "reproducible"])
def test_no_bit_depends_on_the_threads(with_state: Models, mode: Mode) -> None:
    pack = Pack(PREFIX, tuple(REQUESTS[:2]))
    for kind in ("mamba", "qwen3next"):
        found = []
        for threads in (1, 2):
            options = EngineOptions(mode=mode, n_ctx=512, threads=threads)
            with LlamaEngine(with_state.path(kind), options) as engine:
                found.append(engine.score(pack))
        assert found[0] == found[1]


def test_generating_between_scores_changes_neither(with_state: Models) -> None:
    scored = Pack(PREFIX, tuple(REQUESTS[:2]))
    asked = [GenerateRequest(one.context, (), 6) for one in REQUESTS[:INSIDE]]
    texts = Pack(PREFIX, tuple(asked))
    for kind in ("mamba", "jamba"):
        with LlamaEngine(with_state.path(kind), EngineOptions(n_ctx=1024, threads=1)) as engine:
            first, written = engine.score(scored), engine.generate(texts)
            assert (engine.score(scored), engine.generate(texts)) == (first, written)
            assert [engine.generate(Pack((), (one,)))[0] for one in asked] == written


def _quiet(number: int, written: int, trace: Trace | None) -> None:
    """Hears nothing."""


@pytest.mark.parametrize("kind", ["mamba", "jamba", "lfm2", "qwen3next", "falcon-h1"])
def test_what_is_thought_equals_transformers_and_depends_on_nothing_else(
    with_state: Models, kind: str
) -> None:
    prompts = [TEXT[:100], TEXT[:87], (*TEXT[:85], *_random(30))]
    requests = tuple(ThinkRequest(prompt, (), 40) for prompt in prompts)
    found = []
    for prefix, n_ctx in ((0, 256), (80, 700), (85, 256)):
        with LlamaEngine(with_state.path(kind), EngineOptions(n_ctx=n_ctx, threads=1)) as engine:
            found.append(engine.think(Pack(TEXT[:prefix], requests), _quiet))
            engine.score(_pack(REQUESTS[0], 80))
            one_by_one = [engine.think(Pack((), (one,)), _quiet)[0] for one in reversed(requests)]
            found.append(one_by_one[::-1])
    assert all(traces == found[0] for traces in found)
    with LlamaEngine(with_state.path(kind), EngineOptions("fast", n_ctx=256, threads=1)) as engine:
        assert {trace.end for trace in engine.think(Pack((), requests), _quiet)} <= {"budget", "ended"}
    tokens = found[0][0].tokens
    with torch.no_grad():
        text = torch.tensor([[*prompts[0], *tokens]])
        logits = with_state.networks[kind](text, use_cache=False).logits[0, len(prompts[0]) - 1 :]
    for row, token in zip(logits, tokens, strict=False):
        assert float(row.max() - row[token]) < 1e-4
    assert len(tokens) == 40 or int(logits[len(tokens)].argmax()) == 399


def test_the_fast_mode_is_close(with_state: Models) -> None:
    for kind in ("mamba2", "lfm2", "falcon-h1"):
        (exact,), (fast,) = (_each(with_state.path(kind), mode, [80]) for mode in ("exact", "fast"))
        for request, one, other in zip(REQUESTS, exact, fast, strict=True):
            for tokens, right, near in zip(request.continuations, one.logprobs, other.logprobs, strict=True):
                assert near == pytest.approx(right, abs=0.05 * len(tokens))


def test_a_pack_decodes_its_prefix_once(with_state: Models) -> None:
    tails = [_random(size) for size in (40, 60, 20)]
    requests = tuple(ScoreRequest(PREFIX + tail, LETTERS) for tail in tails)
    short = (*requests, ScoreRequest((*PREFIX, 5), LETTERS))
    with LlamaEngine(with_state.path("lfm2"), EngineOptions(n_ctx=768, threads=1)) as engine:
        engine.score(Pack(PREFIX, requests))
        assert engine.work.tokens == 80 + 40 + 60 + 20
        before = engine.work
        # Held is less of it then, so that the shortest is still decoded with enough rows.
        engine.score(Pack(PREFIX, short))
        least = LEAST_ROWS["exact"]
        assert engine.work.since(before).tokens == (80 - least) + 40 + 60 + 20 + 1 + 4 * least


@pytest.mark.parametrize("kind", KINDS)
def test_the_states_are_counted_as_memory(with_state: Models, kind: str) -> None:
    options = EngineOptions(n_ctx=1024, threads=1)
    estimate = memory_needed(with_state.path(kind), options)
    LOG.clear()
    with LlamaEngine(with_state.path(kind), options):
        said = " ".join(LOG.lines())
    caches = [float(size) for size in re.findall(r"(?:KV|RS) buffer size = +([\d.]+) MiB", said)]
    assert caches
    assert sum(caches) * 2**20 == pytest.approx(estimate.cache, abs=0.011 * 2**20)
    computed = sum(float(size) for size in re.findall(r"compute buffer size = +([\d.]+) MiB", said)) * 2**20
    assert computed <= estimate.compute - 150 * 2**20
