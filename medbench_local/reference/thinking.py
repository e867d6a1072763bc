"""The scoring `thinking` on its own: the model writes greedily, then the options are compared behind what it wrote.

**Definition.** The trace begins behind the prompt's tokens. The next token is always the most probable one. The trace
ends with the token whose text completes one of the closing marks, control tokens counting as their texts; before a
token that ends generation and completes none; or after as many tokens as the budget has. Unless it is closed, the
tokens of a forced end follow, then those of a lead. Each of these texts has the tokens that it has behind the letter
"a", control-token text in it standing for control tokens: nothing melts into what was thought. Behind that,
``constrained`` compares the log-probabilities of single tokens, the letters; ``label`` takes lead and label as one
text, and sums those of the tokens behind the beginning that the question's options have in common, of which the
shortest keeps its last.

This is the reference for what the engine's side computes by the same definition: nothing of it is used here. A token
ends generation if the tokenizer's or the model's configuration calls it an end of the sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal, Protocol

from medbench_local.files.json_objects import read_json_object
from medbench_local.reference.requests import DEFAULT, ToThink
from medbench_local.reference.tokens import Tokenizer, Tokens

End = Literal["closed", "ended", "budget"]


class Writer(Protocol):
    """Writes one token after the other."""

    def __call__(self, prompt: Tokens, ended: Callable[[int], bool]) -> None:
        """Tell ``ended`` of each most probable next token, until it says that this was the last."""


@dataclass(frozen=True)
class Thought:
    """What was thought about one prompt.

    Attributes:
        tokens: of the trace.
        end: how it ended; "budget": it was cut short.
        text: what the tokens write.
    """

    tokens: Tokens
    end: End
    text: str


@dataclass(frozen=True)
class Behind:
    """What follows a trace, tokenised.

    Attributes:
        forced: closes the thinking.
        lead: begins the answer.
        endings: each option's tokens behind that.
    """

    forced: Tokens
    lead: Tokens
    endings: tuple[Tokens, ...]

    @property
    def longest(self) -> int:
        """Tokens that it may need behind the longest trace; the last of an ending is only predicted."""
        return len(self.forced) + len(self.lead) + max(map(len, self.endings)) - 1

    def text(self, prompt: Tokens, thought: Thought) -> Tokens:
        """All tokens before an option."""
        forced = () if thought.end == "closed" else self.forced
        return prompt + thought.tokens + forced + self.lead


def behind(tokenizer: Tokenizer, asked: ToThink) -> Behind:
    """Tokenise what follows a trace by the definition above.

    Raises:
        ValueError: a text melts with what stands before it, or a letter is not one token.
    """
    forced = _behind_a_letter(tokenizer, asked.forced)
    if asked.reading == DEFAULT:
        letters = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", tokenizer.letters, strict=False))
        if absent := [ending for ending in asked.endings if ending not in letters]:
            raise ValueError(f"{absent[0]!r} is no letter that is one token of its own")
        endings = tuple((letters[ending],) for ending in asked.endings)
        return Behind(forced, _behind_a_letter(tokenizer, asked.lead), endings)
    whole = [_behind_a_letter(tokenizer, asked.lead + ending) for ending in asked.endings]
    same = len([*takewhile(lambda column: len(set(column)) == 1, zip(*whole, strict=False))])
    start = min(same, min(map(len, whole)) - 1)
    return Behind(forced, whole[0][:start], tuple(tokens[start:] for tokens in whole))


def _behind_a_letter(tokenizer: Tokenizer, text: str) -> Tokens:
    alone, together = (tuple(tokenizer.bare(one, True)) for one in ("a", f"a{text}"))
    if together[: len(alone)] != alone:
        raise ValueError(f"{text!r} melts with a letter before it")
    return together[len(alone) :]


def think(
    write: Writer, prompt: Tokens, asked: ToThink, tokenizer: Tokenizer, ends: Container[int]
) -> Thought:
    """Let the model think about one prompt.

    Args:
        write: the model.
        prompt: its tokens.
        asked: the closing marks and the budget.
        tokenizer: knows what a token writes.
        ends: tokens that end generation.
    """
    marks = [mark.encode() for mark in asked.close]
    reach = max(map(len, marks), default=1) - 1  # what may be of a mark that is not complete
    tokens: list[int] = []
    written = bytearray()
    end: End = "budget"

    def ended(token: int) -> bool:
        nonlocal end
        text = tokenizer.spells(token)
        seen = bytes(written[max(len(written) - reach, 0) :]) + text
        closes = any(mark in seen for mark in marks)
        if token in ends and not closes:
            end = "ended"
            return True
        tokens.append(token)
        written.extend(text)
        if closes:
            end = "closed"
        return closes or len(tokens) == asked.budget

    write(prompt, ended)
    return Thought(tuple(tokens), end, written.decode("utf-8", errors="replace"))


def ending_tokens(folder: Path, known: Sequence[int]) -> frozenset[int]:
    """The tokens that end generation.

    Args:
        folder: of the checkpoint.
        known: that its tokenizer names.

    Raises:
        InputError: a file of the checkpoint is damaged.
    """
    found = set(known)
    for name in ("config.json", "generation_config.json"):
        content = read_json_object(folder / name) if (folder / name).is_file() else {}
        for part in (content, content.get("text_config")):
            value = part.get("eos_token_id") if isinstance(part, dict) else None
            found.update(
                one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)
            )
    return frozenset(found)
