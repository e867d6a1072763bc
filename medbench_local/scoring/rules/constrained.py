"""``constrained``: the bare letter tokens A, B, … at the first position after the prompt; the study's rule."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from typing_extensions import override

from medbench_local.engine.base import Engine, ScoreRequest, Tokens
from medbench_local.errors import EngineError
from medbench_local.scoring.rule import AskedPrompt, BuiltRequest, LogprobRule, ScoringSettings


class Constrained(LogprobRule):
    """Compares the log-probabilities of bare letters."""

    name = "constrained"
    title = "constrained scoring"

    @override
    def requests(
        self, engine: Engine, asked: Sequence[AskedPrompt], settings: ScoringSettings
    ) -> list[BuiltRequest[ScoreRequest]]:
        special = asked[0].prompt.special
        contexts = settings.tokenize(engine, [one.prompt.parts for one in asked], special=special)
        letters = letter_tokens(engine, max(len(one.question.options) for one in asked))
        return [
            BuiltRequest(letter_request(context, letters[: len(one.question.options)]))
            for context, one in zip(contexts, asked, strict=True)
        ]


def letter_tokens(engine: Engine, count: int) -> Tokens:
    """The bare letter tokens A, B, … of the model's vocabulary.

    Args:
        engine: the loaded model.
        count: how many letters, 1 to 26.

    Raises:
        EngineError: a letter is not exactly one token, or two letters are the same token.
    """
    if not 1 <= count <= len(ascii_uppercase):
        raise EngineError(f"Questions can have 1 to 26 options, not {count}.")
    tokens: list[int] = []
    for letter in ascii_uppercase[:count]:
        token = engine.token_of(letter)
        if token is None or token in tokens:
            raise EngineError(
                f"The letter {letter!r} is not one token of its own in {engine.info.model}.",
                advice="Use the scoring label or cloze for this model.",
            )
        tokens.append(token)
    return tuple(tokens)


def letter_request(context: Tokens, letters: Tokens) -> ScoreRequest:
    """The letters as continuations of one token each."""
    return ScoreRequest(context, tuple((letter,) for letter in letters))


RULE = Constrained()
