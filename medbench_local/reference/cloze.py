"""The scoring `cloze` on its own: which tokens of an option are scored, and how many bytes they spell.

**Definition.** Prompt and option are tokenised together, as one text. An option's tokens start where the prompt's own
tokens end: at the length of the longest beginning that the tokens of the prompt alone have in common with those of
prompt + option. The smallest of these lengths over a question's options holds for all of them, so that all are
conditioned on the same tokens, a first word that they share is scored for all of them, and a token of the prompt that
an option melts into is scored with all of them. The score is the sum of the natural log-probabilities of the tokens
from there on, divided by the bytes that these tokens spell: the UTF-8 bytes of prompt + option less those spelled by
the tokens before the start; that is, the option's own bytes and those of the prompt's tokens from the start on
(mostly none, or the blank at the prompt's end that an option's first word melts with).

This is the reference for what the engine's side computes by the same definition: nothing of it is used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medbench_local.reference.tokens import Bos, Tokenizer, Tokens


@dataclass(frozen=True)
class Cloze:
    """One question, tokenised.

    Attributes:
        texts: tokens of prompt + option, for each option.
        start: how many first tokens all of them are conditioned on.
        sizes: bytes that the tokens from ``start`` on spell, for each option.
    """

    texts: tuple[Tokens, ...]
    start: int
    sizes: tuple[int, ...]


def cloze(
    tokenizer: Tokenizer, prompt: str, options: Sequence[str], *, special: bool, bos: Bos = "once"
) -> Cloze:
    """Tokenise a question by the definition above.

    Args:
        tokenizer: of the checkpoint.
        prompt: all that stands before an option.
        options: their texts, none empty.
        special: whether control-token text stands for control tokens.
        bos: see `medbench_local.reference.tokens.Tokenizer`.

    Raises:
        ValueError: an option adds no token, or no token is left to condition on.
    """
    own = tokenizer(prompt, special=special, bos=bos)
    texts = tuple(tokenizer(prompt + option, special=special, bos=bos) for option in options)
    start = min(_shared(own, text) for text in texts)
    if start < 1:
        raise ValueError("the prompt's only token melts with an option, and nothing is left to condition on")
    for option, text in zip(options, texts, strict=True):
        if len(text) <= start:
            raise ValueError(f"the option {option!r} adds no token to the prompt")
    before = sum(tokenizer.size(token) for token in own[start:])
    return Cloze(texts, start, tuple(before + len(option.encode("utf-8")) for option in options))


def _shared(one: Tokens, other: Tokens) -> int:
    """Length of the longest common beginning."""
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length
