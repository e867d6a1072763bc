"""Options that continue a prompt: tokenised as one text with it, and where the context ends and an option begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medbench_local.engine.base import ScoreRequest, Tokens
from medbench_local.engine.packs import common_prefix, shared_length
from medbench_local.errors import EngineError
from medbench_local.prompts.prompt import Parts, ended
from medbench_local.scoring.rule import AskedPrompt

Tokenize = Callable[[Sequence[Parts]], list[Tokens]]
"""Tokens of each of several prompts."""


def beginnings_and_endings(
    asked: Sequence[AskedPrompt], title: str
) -> tuple[list[Parts], list[tuple[str, ...]]]:
    """What stands before an option in each prompt, and what each of its options adds to that.

    Args:
        asked: the prompts.
        title: of the scoring rule, for errors.

    Raises:
        EngineError: an option is empty, so that nothing could be scored.
    """
    for one in asked:
        if "" in one.prompt.labels:
            raise EngineError(
                f"{one.where}: option {one.prompt.labels.index('') + 1} is empty; {title} has nothing to score.",
                advice="Use the scoring constrained.",
            )
    return [ended(one.prompt.parts, one.prompt.gap) for one in asked], [one.prompt.labels for one in asked]


def with_endings(
    tokenize: Tokenize, beginnings: Sequence[Parts], endings: Sequence[Sequence[str]]
) -> list[list[Tokens]]:
    """Each beginning with each of its endings, tokenised as one text."""
    pairs = zip(beginnings, endings, strict=True)
    tokenised = iter(tokenize([ended(beginning, end) for beginning, ends in pairs for end in ends]))
    return [[next(tokenised) for _ in ends] for ends in endings]


def continued(texts: Sequence[Tokens]) -> ScoreRequest:
    """The request of one question whose options were tokenised together with the prompt.

    What all options have in common at their beginning becomes the context, so that merges across the end of
    the prompt are scored as the tokenizer makes them.

    Args:
        texts: prompt + option, tokenised as a whole, for each option.

    Raises:
        EngineError: there is no option, or nothing would be left to condition on.
    """
    return _divided(texts, len(common_prefix(texts)))


def continued_after(prompt: Tokens, texts: Sequence[Tokens]) -> ScoreRequest:
    """The request of one question whose options are scored from where the prompt's own tokens end.

    That is the longest beginning of ``prompt`` that all of ``texts`` have: a token of the prompt that an option
    melts into is scored with all of them, and so is a first word that all options share.

    Args:
        prompt: the prompt alone, tokenised.
        texts: prompt + option, tokenised as a whole, for each option.

    Raises:
        EngineError: there is no option, or nothing would be left to condition on.
    """
    return _divided(texts, min((shared_length(prompt, text) for text in texts), default=0))


def _divided(texts: Sequence[Tokens], length: int) -> ScoreRequest:
    """A request with the first ``length`` tokens of each text as context, or as many as leave something to score."""
    if not texts:
        raise EngineError("A question without options cannot be scored.")
    # An option may be the beginning of another ("A", "AB"), or all may be equal: none may become empty.
    length = min(length, min(map(len, texts)) - 1)
    if length < 1:
        raise EngineError(
            "A prompt and its options have no first token in common.",
            advice="The prompt is empty, or an option melts into its only token: give it more text.",
        )
    return ScoreRequest(texts[0][:length], tuple(text[length:] for text in texts))
