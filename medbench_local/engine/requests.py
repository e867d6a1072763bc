"""From tokenised prompts and options to score requests: the scoring rules that look at single tokens."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from medbench_local.engine.base import Bos, Engine, ScoreRequest, Tokens
from medbench_local.engine.packs import common_prefix, shared_length
from medbench_local.errors import EngineError


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
                advice='Use `scoring="label"` or `scoring="cloze"` for this model.',
            )
        tokens.append(token)
    return tuple(tokens)


def constrained(context: Tokens, letters: Tokens) -> ScoreRequest:
    """The study's rule: the bare letter tokens at the first position after the prompt."""
    return ScoreRequest(context, tuple((letter,) for letter in letters))


def continued(texts: Sequence[Tokens]) -> ScoreRequest:
    """The request of one question whose options were tokenised together with the prompt.

    What all options have in common at their beginning becomes the context, so that merges across the end of
    the prompt are scored as the tokenizer makes them. `label` scoring uses it.

    Args:
        texts: prompt + option, tokenised as a whole, for each option.

    Raises:
        EngineError: there is no option, or nothing would be left to condition on.
    """
    return _divided(texts, len(common_prefix(texts)))


def continued_after(prompt: Tokens, texts: Sequence[Tokens]) -> ScoreRequest:
    """The request of one question whose options are scored from where the prompt's own tokens end.

    That is the longest beginning of ``prompt`` that all of ``texts`` have: a token of the prompt that an option
    melts into is scored with all of them, and so is a first word that all options share. `cloze` scoring uses
    it, and a prompt with one option only, which has no other to differ from.

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


def tokenised_options(
    engine: Engine, prompt: str, options: Sequence[str], *, special: bool, bos: Bos = "once"
) -> ScoreRequest:
    """The request of one question by the rule `label`.

    Args:
        engine: the loaded model.
        prompt: exactly what the model sees.
        options: what each option adds to it.
        special: whether control-token text in both stands for control tokens.
        bos: see `Engine.tokenize`.

    Raises:
        EngineError: see `continued`; or an option is empty.
    """
    if "" in options:
        raise EngineError(f"Option {list(options).index('') + 1} is empty: there is nothing to score.")
    texts = engine.tokenize([prompt + option for option in options], special=special, bos=bos)
    if len(texts) > 1:
        return continued(texts)
    (alone,) = engine.tokenize([prompt], special=special, bos=bos)
    return continued_after(alone, texts)
