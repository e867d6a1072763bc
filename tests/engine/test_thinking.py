"""Letting a model think: where it ends, and that what is asked beside it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.engine.base import EngineOptions, GenerateRequest, Mode, Pack, ThinkRequest, Trace
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.remote import start_engine
from medbench_local.engine.thinking import Thinking, repeats
from medbench_local.errors import EngineError


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


@pytest.mark.parametrize(
    ("tokens", "loop"),
    [
        ([5] * 40, True),
        ([1, 2, 3] * 12, True),
        (list(range(60)) * 4, True),
        (list(range(60)) * 3, False),
        ([9, 9, 9, 9, 1, 2, 3, 4], False),
        (list(range(300)), False),
        ([*range(100), *[7, 8] * 16], True),
        ([*[7, 8] * 16, *range(100)], False),
        ([], False),
    ],
)
def test_loops_are_told_from_texts(tokens: list[int], loop: bool) -> None:
    assert repeats(tokens) is loop


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
