from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.engine.base import EngineOptions, GenerateRequest, Pack
from medbench_local.engine.generation import Continuation
from medbench_local.engine.llama import LlamaEngine
from medbench_local.errors import EngineError


def _feed(pieces: list[bytes], stop: tuple[str, ...] = (), most: int = 64) -> Continuation:
    text = Continuation(stop, most)
    for piece in pieces:
        if not text.done:
            text.add(piece, ends=False)
    return text


@given(st.text(max_size=30), st.data())
def test_characters_spread_over_tokens(text: str, data: st.DataObject) -> None:
    written = text.encode("utf-8")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=6)))
    pieces = [written[a:b] for a, b in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    assert _feed(pieces).text == text


def test_the_text_is_cut_at_the_first_stop_string() -> None:
    text = _feed([b" (B", b")\n", b"\nQues", b"tion: x"], ("Question:", "\n\n"))
    assert (text.text, text.done) == (" (B)", True)


def test_a_stop_string_within_one_token() -> None:
    assert _feed([b"a", b"b\nc\nd"], ("\nd", "\nc")).text == "ab"


def test_an_empty_stop_string_stops_nothing() -> None:
    assert _feed([b"a", b"b"], ("",)).text == "ab"


def test_it_ends_after_the_most_tokens_with_what_is_incomplete_marked() -> None:
    text = _feed([b"a", "é".encode()[:1], b"never"], most=2)
    assert (text.text, text.done) == ("a\ufffd", True)


@given(st.text("ab#", max_size=40), st.lists(st.text("ab#", max_size=3), max_size=3), st.data())
def test_a_stop_string_is_found_however_it_is_spread_over_tokens(
    written: str, stop: list[str], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=8)))
    pieces = [written[a:b] for a, b in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    continuation = Continuation(stop, 64)
    whole = ""
    for piece in pieces:
        if not continuation.done:
            continuation.add(piece.encode(), ends=False)
            whole += piece
            places = [whole.find(one) for one in stop if one and one in whole]
            assert continuation.text == (whole[: min(places)] if places else whole)
            assert continuation.done is bool(places)


def test_a_token_costs_the_same_however_long_the_text_is() -> None:
    continuation = Continuation(["###", "</s>"], 100_000)
    looked_at = set()
    for _ in range(2000):
        continuation.add(b"word ", ends=False)
        looked_at.add(len(continuation._tail))
    assert looked_at == {len("</s>") - 1}, "all that is looked at again with the next token"
    assert continuation.text == "word " * 2000


def test_an_end_token_writes_nothing() -> None:
    text = Continuation((), 5)
    text.add(b"a", ends=False)
    text.add(b"</s>", ends=True)
    assert (text.text, text.done) == ("a", True)


def test_each_request_stops_by_itself(stories: Path) -> None:
    with LlamaEngine(stories, EngineOptions(n_ctx=768, threads=1, parallel=4)) as engine:
        (context,) = engine.tokenize(["Once upon a time"], special=False)
        requests = (
            GenerateRequest(context, (), 40),
            GenerateRequest(context, (".",), 40),
            GenerateRequest(context, ("little", "."), 40),
            GenerateRequest(context, (), 3),
            GenerateRequest(context, (), 0),
        )
        long, sentence, start, three, nothing = engine.generate(Pack(context, requests))
    assert long.startswith(sentence + ".")
    assert sentence.startswith(start + "little")
    assert long.startswith(three)
    assert three
    assert nothing == ""


def test_what_does_not_fit_is_refused_with_the_numbers(models: Path) -> None:
    with LlamaEngine(models / "f16.gguf", EngineOptions(n_ctx=256, threads=1)) as engine:
        request = GenerateRequest((1,) * 200, (), 64)
        with pytest.raises(EngineError, match=r"264 tokens are needed.*holds 256"):
            engine.generate(Pack((), (request,)))


def test_prompts_that_fill_the_context_by_themselves_are_continued_one_by_one(models: Path) -> None:
    requests = tuple(GenerateRequest((1, *range(30 + i, 200 + i)), (), 8) for i in range(4))
    with LlamaEngine(models / "f16.gguf", EngineOptions(n_ctx=256, threads=1, parallel=4)) as engine:
        texts = engine.generate(Pack((1,), requests))
        assert texts == [engine.generate(Pack((1,), (request,)))[0] for request in requests]
