"""The bare letters at the first position after the prompt."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from medbench_local.engine.base import Pack, ScoreRequest, Tokens
from medbench_local.engine.fake import FakeEngine
from medbench_local.errors import EngineError
from medbench_local.prompts.rendering import render
from medbench_local.scoring.rules.constrained import letter_request, letter_tokens
from tests.scoring.watched import ZERO, Watched
from tests.study.material import LETTERS, Bench


class Silly(FakeEngine):
    """A vocabulary in which A and B are the same token, and C is none."""

    def token_of(self, piece: str) -> int | None:
        return {"A": 7, "B": 7}.get(piece)


def test_letters_are_the_bare_tokens() -> None:
    engine = FakeEngine()
    letters = letter_tokens(engine, 26)
    assert letters == tuple(engine.token_of(chr(65 + i)) for i in range(26))
    assert letter_request((1, 5), letters[:2]) == ScoreRequest((1, 5), ((letters[0],), (letters[1],)))


@pytest.mark.parametrize("count", [0, 27])
def test_impossible_numbers_of_options(count: int) -> None:
    with pytest.raises(EngineError, match="1 to 26"):
        letter_tokens(FakeEngine(), count)


def test_letters_must_be_distinct_tokens() -> None:
    with pytest.raises(EngineError, match="'B'"):
        letter_tokens(Silly(), 2)


def test_constrained_scores_the_bare_letters_after_the_whole_prompt(tmp_path: Path) -> None:
    bench = Bench(tmp_path, engine=(engine := Watched()))
    (answer,) = bench.scorer.answers(ZERO, "test", [3])
    question = bench.task.questions("test")[3]
    prompt = render(bench.prompt_style, "made-up", question, [], None)
    (context,) = engine.tokenize([prompt.text], special=False)
    (request,) = engine.given[0].requests
    letters = tuple((engine.token_of(letter),) for letter in LETTERS)
    assert request == ScoreRequest(context, letters)  # type: ignore[arg-type]
    scores = FakeEngine().score(Pack((), (request,)))[0]
    assert answer.logprobs == scores.logprobs
    assert answer.prediction == scores.logprobs.index(max(scores.logprobs))
    assert answer.mass == pytest.approx(sum(map(math.exp, answer.logprobs)))
    assert answer.tokens == len(context)
    assert answer.prompt_sha256 == hashlib.sha256(prompt.text.encode()).hexdigest()


def test_a_tie_goes_to_the_first_option_and_is_counted(tmp_path: Path) -> None:
    engine = FakeEngine()
    worse = engine.token_of("A")

    def logprob(context: Tokens, continuation: Tokens) -> float:
        return -9.0 if continuation == (worse,) else -2.0

    bench = Bench(tmp_path, engine=FakeEngine(logprob=logprob))
    (answer,) = bench.scorer.answers(ZERO, "test", [0])
    assert (answer.prediction, answer.tied) == (1, True)


def test_more_options_than_letter_tokens_is_an_error(tmp_path: Path) -> None:
    class Poor(FakeEngine):
        def token_of(self, piece: str) -> int | None:
            return None if piece == "D" else super().token_of(piece)

    bench = Bench(tmp_path, engine=Poor())
    with pytest.raises(EngineError, match=r"letter 'D'.*scoring label"):
        bench.scorer.answers(ZERO, "test", [0])
