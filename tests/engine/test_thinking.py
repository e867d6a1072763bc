"""Letting a model think: where it ends, and that what is asked beside it changes nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.engine.base import (
    EngineOptions,
    GenerateRequest,
    Mode,
    Pack,
    ScoreRequest,
    ThinkRequest,
    Trace,
)
from medbench_local.engine.bindings import LOG
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.memory import memory_needed
from medbench_local.engine.remote import start_engine
from medbench_local.engine.thinking import Thinking
from medbench_local.errors import EngineError
from medbench_local.scoring.loops import repeats
from tests.engine.tiny import CLOSE, write_chain


def _fed(pieces: list[bytes], close: tuple[str, ...], most: int = 64) -> Thinking:
    thinking = Thinking(close, most)
    for number, piece in enumerate(pieces):
        if thinking.trace is None:
            thinking.add(number, piece, ends=piece == b"<eos>")
    return thinking


@given(st.text(max_size=20), st.text(max_size=20), st.data())
def test_a_marker_is_found_however_it_is_spread_over_tokens(
    before: str, after: str, data: st.DataObject
) -> None:
    marker = "</think>"
    written = (before + marker + after).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=8)))
    pieces = [written[a:b] for a, b in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    trace = _fed(pieces, (marker,)).trace
    assert trace is not None
    assert trace.end == "closed"
    kept = b"".join(pieces[: len(trace.tokens)])
    assert marker.encode() in kept
    assert marker.encode() not in b"".join(pieces[: len(trace.tokens) - 1])


def test_whatever_ends_first_ends_it() -> None:
    assert _fed([b"a", b"<eos>", b"</think>"], ("</think>",)).trace == Trace((0,), "ended")
    assert _fed([b"a", b"b", b"</think>"], ("</think>",), most=2).trace == Trace((0, 1), "budget")
    assert _fed([b"a", b"</think>"], ("</think>",), most=2).trace == Trace((0, 1), "closed")
    assert _fed([b"x", b"## Fi", b"nal Response"], ("</think>", "## Final Response")).trace == Trace(
        (0, 1, 2), "closed"
    )


def test_a_closing_token_that_also_ends_generation_closes() -> None:
    assert _fed([b"a", b"<eos>"], ("<eos>",)).trace == Trace((0, 1), "closed")


def _quiet(number: int, written: int, trace: Trace | None) -> None:
    """Hears nothing."""


@pytest.mark.parametrize("mode", ["exact", "reproducible"])
def test_what_is_asked_beside_it_changes_nothing(stories: Path, mode: Mode) -> None:
    options = EngineOptions(mode=mode, n_ctx=768, threads=1)
    with LlamaEngine(stories, options) as engine:
        contexts = engine.tokenize(
            ["Once upon a time", "Once upon a time there was a cat", "Lily went to the park."], special=False
        )
        requests = tuple(ThinkRequest(context, ("day",), 60) for context in contexts)
        together = engine.think(Pack((1,), requests), _quiet)
        alone = [engine.think(Pack((), (request,)), _quiet)[0] for request in reversed(requests)]
        assert together == alone[::-1]
        assert {trace.end for trace in together} <= {"closed", "ended", "budget"}
        (text,) = engine.generate(Pack((), (GenerateRequest(contexts[0], ("day",), 60),)))
        (spelled,) = engine.spell([together[0].tokens])
        assert spelled.startswith(text)
        assert spelled.removeprefix(text).startswith("day") or together[0].end != "closed"
    with LlamaEngine(stories, EngineOptions(mode=mode, n_ctx=2048, threads=2)) as other:
        assert other.think(Pack(contexts[0], requests[:2]), _quiet) == together[:2]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Behind 300 to 309 the model goes round; behind 400 it closes at once; behind 350 its text ends."""
    folder = tmp_path_factory.mktemp("chain")
    return write_chain(folder / "chain.gguf", {309: 300, 400: 511, 511: 511, 350: 2})


def test_thinking_ends_as_the_model_ends_it(chain: Path) -> None:
    with LlamaEngine(chain, EngineOptions(n_ctx=512, threads=1)) as engine:

        def thought(token: int, most: int) -> Trace:
            return engine.think(Pack((), (ThinkRequest((1, token), (CLOSE,), most),)), _quiet)[0]

        assert thought(400, 64) == Trace((511,), "closed"), "at once"
        assert engine.spell([(511,)]) == [CLOSE], "a control token, which writes nothing in generated texts"
        for damaged in (512, -1):  # llama.cpp would end the process
            with pytest.raises(EngineError, match="not in the vocabulary of 512 tokens"):
                engine.spell([(511, damaged)])
        assert engine.generate(Pack((), (GenerateRequest((1, 400), (), 3),))) == [""]
        assert thought(350, 64) == Trace((), "ended")
        assert thought(340, 64) == Trace(tuple(range(341, 351)), "ended")
        never = thought(100, 64)
        assert never == Trace(tuple(range(101, 165)), "budget")
        assert not repeats(never.tokens)
        loop = thought(305, 64)
        assert loop.end == "budget"
        assert loop.tokens[:6] == (306, 307, 308, 309, 300, 301)
        assert repeats(loop.tokens)
        assert thought(505, 6) == Trace(tuple(range(506, 512)), "closed"), "by the budget's last token"
        assert thought(505, 5) == Trace(tuple(range(506, 511)), "budget")


def test_a_written_token_is_decoded_once_however_long_the_text_is(chain: Path) -> None:
    with LlamaEngine(chain, EngineOptions(n_ctx=1024, threads=1)) as engine:
        decoded = []
        for most in (1, 101, 201, 401):
            before = engine.work
            engine.think(Pack((), (ThinkRequest((1, 305), (CLOSE,), most),)), _quiet)
            decoded.append(engine.work.since(before).tokens)
        assert decoded == [2, 102, 202, 402]
    thinking = Thinking((CLOSE, "## Final Response"), 100_000)
    looked_at = set()
    for number in range(2000):
        thinking.add(number, b"and so on ", ends=False)
        looked_at.add(len(thinking._tail))
    assert max(looked_at) == len("## Final Response") - 1, "all that is looked at again with the next token"


def _random_requests(most: int = 48) -> tuple[ThinkRequest, ...]:
    draw = np.random.default_rng(0)
    prefix = tuple(int(token) for token in draw.integers(3, 500, 40))
    tails = [tuple(int(token) for token in draw.integers(3, 500, size)) for size in (20, 3, 70)]
    return tuple(ThinkRequest((1, *prefix, *tail), ("</",), most) for tail in tails)


@pytest.mark.parametrize("mode", ["exact", "reproducible"])
def test_nothing_else_changes_a_token(models: Path, mode: Mode) -> None:
    requests = _random_requests()
    scored = Pack((), (ScoreRequest((1, *range(3, 90)), ((5,), (6, 7))),))
    found, scores = [], []
    for threads, n_ctx in ((1, 200), (2, 2048)):
        options = EngineOptions(mode=mode, n_ctx=n_ctx, threads=threads)
        with LlamaEngine(models / "q4_k_m.gguf", options) as engine:
            for prefix in (0, 41, 30):
                scores.append(engine.score(scored))
                found.append(engine.think(Pack(requests[0].context[:prefix], requests), _quiet))
            found.append([engine.think(Pack((), (one,)), _quiet)[0] for one in reversed(requests)][::-1])
    assert all(traces == found[0] for traces in found)
    assert all(one == scores[0] for one in scores), "16 bits for thinking change no score either"
    assert len({trace.tokens for trace in found[0]}) == len(requests)


def test_what_decides_a_trace_is_told(models: Path) -> None:
    def said(**options: object) -> str:
        with LlamaEngine(models / "f16.gguf", EngineOptions(n_ctx=512, threads=1, **options)) as engine:  # type: ignore[arg-type]
            return engine.info.thinking

    assert said() == "1 at once, f32 cache"
    assert said(cache="f16", parallel=2) == "1 at once, f16 cache"
    assert said(mode="reproducible") == "1 at once, as in the exact mode, f16 cache"
    assert said(mode="fast", parallel=3, repack=False) == "up to 3 at once, f16 cache"


def test_the_cache_is_what_memory_was_counted_for(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, taken = models / "f16.gguf", {}
    lines: list[str] = []
    monkeypatch.setattr(LOG, "_listener", lines.append)
    for mode in ("exact", "reproducible", "fast"):
        options = EngineOptions(mode=mode, n_ctx=2048, threads=1, parallel=1)
        with LlamaEngine(path, options) as engine:
            lines.clear()
            engine.think(Pack((), (ThinkRequest((1, *[70] * 2045), ("</",), 2),)), _quiet)
        (size,) = re.findall(r"KV buffer size = +([\d.]+) MiB", " ".join(lines))[-1:]
        estimate = memory_needed(path, options, thinks=True)
        assert estimate.cache == float(size) * 2**20
        (size,) = re.findall(r"compute buffer size = +([\d.]+) MiB", " ".join(lines))[-1:]
        assert float(size) * 2**20 <= estimate.compute - 150 * 2**20
        taken[mode] = estimate.cache
    assert taken["exact"] == 2 * taken["reproducible"] == 2 * taken["fast"]


@pytest.mark.parametrize("wanted", [1, 2, 4])
def test_as_many_slots_as_memory_allows(chain: Path, monkeypatch: pytest.MonkeyPatch, wanted: int) -> None:
    """The context of the model's longest text is no limit of what is thought about at once."""
    order: list[tuple[int, int]] = []
    room = 2 + 200
    options = EngineOptions(mode="fast", n_ctx=256, threads=1, parallel=4, repack=False)
    free = memory_needed(chain, replace(options, n_ctx=wanted * room), thinks=True).total
    monkeypatch.setattr("medbench_local.engine.llama.memory_available", lambda: free)
    with LlamaEngine(chain, options) as engine:
        requests = tuple(ThinkRequest((1, 300 + i), (CLOSE,), 200) for i in range(4))
        traces = engine.think(Pack((), requests), lambda number, written, _: order.append((number, written)))
        assert {trace.end for trace in traces} == {"budget"}
        assert traces[3].tokens[:3] == (304, 305, 306)
        scored = Pack((), (ScoreRequest((1, 300), ((301,), (302,))),))
        first = engine.score(scored)
    begun = [number for number, written in order if written == 16]
    first_done = next(place for place, told in enumerate(order) if told == (0, 200))
    assert len({number for number, _ in order[:first_done]}) == wanted
    assert begun == [0, 1, 2, 3]
    with LlamaEngine(chain, options) as engine:
        assert engine.score(scored) == first


@pytest.mark.parametrize("number", [0, 1])
def test_an_interrupt_loses_the_thinking_in_flight_only(stories: Path, number: int) -> None:
    kept: dict[int, Trace] = {}

    def hear(heard: int, written: int, trace: Trace | None) -> None:
        if trace is not None:
            kept[heard] = trace
        elif (heard, written) == (number, 32):
            raise KeyboardInterrupt

    options = EngineOptions(n_ctx=768, threads=1)
    with start_engine(stories, options) as engine:
        contexts = engine.tokenize(["Once upon a time", "A dog", "The sun"], special=False)
        pack = Pack((1,), tuple(ThinkRequest(context, ("</",), 100) for context in contexts))
        with pytest.raises(KeyboardInterrupt):
            engine.think(pack, hear)
        assert sorted(kept) == list(range(number))
        traces = engine.think(pack, _quiet)
        assert all(traces[one] == trace for one, trace in kept.items())
        assert [len(trace.tokens) for trace in traces] == [100] * 3


def test_slots_are_filled_again_as_questions_finish(stories: Path) -> None:
    heard: list[tuple[int, Trace]] = []

    def hear(number: int, written: int, trace: Trace | None) -> None:
        if trace is not None:
            assert written == len(trace.tokens)
            heard.append((number, trace))

    with LlamaEngine(stories, EngineOptions(mode="fast", n_ctx=768, threads=1, parallel=2)) as engine:
        (context,) = engine.tokenize(["Once upon a time"], special=False)
        lengths = [60, 5, 5, 5, 5]
        requests = tuple(ThinkRequest(context, (), most) for most in lengths)
        traces = engine.think(Pack(context[:2], requests), hear)
    assert [len(trace.tokens) for trace in traces] == lengths
    assert {trace.end for trace in traces} == {"budget"}
    assert [number for number, _ in heard] == [1, 2, 3, 4, 0], "the short ones take turns in one slot"
    assert dict(heard) == dict(enumerate(traces))


def test_the_worker_tells_of_each_trace_before_it_answers(stories: Path) -> None:
    heard: list[tuple[int, int, Trace | None]] = []
    options = EngineOptions(n_ctx=768, threads=1)
    with start_engine(stories, options) as engine, LlamaEngine(stories, options) as local:
        contexts = engine.tokenize(["Once upon a time", "A dog"], special=False)
        pack = Pack((1,), tuple(ThinkRequest(context, ("moon",), 40) for context in contexts))
        traces = engine.think(pack, lambda *told: heard.append(told))
        assert traces == local.think(pack, _quiet)
        assert engine.spell([trace.tokens for trace in traces]) == local.spell([t.tokens for t in traces])
        with pytest.raises(EngineError, match="800 tokens are needed"):
            engine.think(Pack((), (ThinkRequest((1,) * 20, (), 780),)), _quiet)
        assert engine.think(Pack((), ()), _quiet) == []
    assert [(number, trace) for number, _, trace in heard if trace] == list(enumerate(traces))
    assert [written for number, written, trace in heard if trace is None and number == 0] == [16, 32]
