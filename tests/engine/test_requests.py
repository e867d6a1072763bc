from __future__ import annotations

import pytest

from medbench_local.engine.base import ScoreRequest
from medbench_local.engine.fake import FakeEngine
from medbench_local.engine.requests import (
    constrained,
    continued,
    continued_after,
    letter_tokens,
    tokenised_options,
)
from medbench_local.errors import EngineError


class Silly(FakeEngine):
    """A vocabulary in which A and B are the same token, and C is none."""

    def token_of(self, piece: str) -> int | None:
        return {"A": 7, "B": 7}.get(piece)


def test_letters_are_the_bare_tokens() -> None:
    engine = FakeEngine()
    letters = letter_tokens(engine, 26)
    assert letters == tuple(engine.token_of(chr(65 + i)) for i in range(26))
    assert constrained((1, 5), letters[:2]) == ScoreRequest((1, 5), ((letters[0],), (letters[1],)))


@pytest.mark.parametrize("count", [0, 27])
def test_impossible_numbers_of_options(count: int) -> None:
    with pytest.raises(EngineError, match="1 to 26"):
        letter_tokens(FakeEngine(), count)


def test_letters_must_be_distinct_tokens() -> None:
    with pytest.raises(EngineError, match="'B'"):
        letter_tokens(Silly(), 2)


def test_the_context_is_what_all_options_share() -> None:
    request = continued([(1, 5, 8, 3), (1, 5, 8, 4, 4), (1, 5, 9)])
    assert request == ScoreRequest((1, 5), ((8, 3), (8, 4, 4), (9,)))


def test_no_continuation_is_empty() -> None:
    assert continued([(1, 5), (1, 5, 6)]) == ScoreRequest((1,), ((5,), (5, 6)))
    assert continued([(1, 5), (1, 5)]) == ScoreRequest((1,), ((5,), (5,)))


@pytest.mark.parametrize("texts", [[], [(1,), (1, 2)], [(1, 2), (3, 4)]])
def test_nothing_to_condition_on(texts: list[tuple[int, ...]]) -> None:
    with pytest.raises(EngineError):
        continued(texts)


def test_a_shared_first_word_is_scored_after_the_prompt() -> None:
    request = continued_after((1, 5), [(1, 5, 8, 3), (1, 5, 8, 4, 4), (1, 5, 8, 9)])
    assert request == ScoreRequest((1, 5), ((8, 3), (8, 4, 4), (8, 9)))


def test_a_token_that_one_option_melts_into_is_scored_with_all() -> None:
    request = continued_after((1, 5, 6), [(1, 5, 6, 3), (1, 5, 66), (1, 5, 6, 9)])
    assert request == ScoreRequest((1, 5), ((6, 3), (66,), (6, 9)))


@pytest.mark.parametrize("texts", [[], [(1,), (1, 2)], [(3, 2), (3, 4)]])
def test_nothing_after_the_prompt_to_condition_on(texts: list[tuple[int, ...]]) -> None:
    with pytest.raises(EngineError):
        continued_after((1, 5), texts)


def test_options_are_tokenised_with_the_prompt() -> None:
    engine = FakeEngine()
    request = tokenised_options(engine, "Answer: foo", ["bar", "baz"], special=False)
    (whole,) = engine.tokenize(["Answer: foobar"], special=False)
    assert request.context + request.continuations[0] == whole  # "foobar" is one token of this engine
    assert len(request.continuations[0]) == 1


def test_a_single_option_begins_after_the_prompt() -> None:
    engine = FakeEngine()
    request = tokenised_options(engine, "Answer:", [" A B"], special=False)
    (prompt,) = engine.tokenize(["Answer:"], special=False)
    assert request.context == prompt
    assert len(request.continuations[0]) == 4


def test_an_empty_option_is_named() -> None:
    with pytest.raises(EngineError, match="Option 2 is empty"):
        tokenised_options(FakeEngine(), "Answer:", [" A", ""], special=False)
