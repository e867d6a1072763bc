"""An engine in place of a tokenizer that is not at hand: it cuts texts into about as many tokens, or into no fewer.

A token stands for a few letters of a word, a digit, a sign. How many letters they are was measured with the
vocabularies of Llama-2 and Llama-3 on the questions of the study, in all formats: `docs/planning.md` has the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NoReturn

from medbench_local.engine.base import (
    Bos,
    Closing,
    EngineInfo,
    Heard,
    OptionScores,
    Pack,
    Tokens,
    Trace,
    WorkDone,
)

USUAL_LETTERS = 6
"""Letters of a word to a token, about, of the smaller vocabularies; large ones take fewer tokens."""

FEWEST_LETTERS = 3
"""Letters to a token with which no task of the study had more tokens than are counted so."""

_KEPT = 100_000
"""Most lines, and most words, of texts whose tokens are kept."""

_BOS = 1
_PLACE = "<image>"
_VOCABULARY = 2**30
_WORDS = re.compile(r"[^\W\d_]+|\d| +|\s|([^\w\s]|_)\1*")


class Allowance(Closing):
    """Implements `Engine` as far as prompts are tokenised; nothing can be computed with it.

    Args:
        letters: of a word that count as one token, at least 1.
        runs: whether a run of the same sign counts as one token.
        place: tokens that a picture takes.
    """

    def __init__(self, *, letters: int, runs: bool, place: int = 0) -> None:
        self._letters = letters
        self._runs = runs
        self._lines: dict[str, Tokens] = {}
        self._words: dict[str, Tokens] = {}
        self._ids: dict[str, int] = {}
        self._texts: list[str] = ["", ""]
        self._info = EngineInfo(
            model="no tokenizer",
            description="an allowance in place of a tokenizer",
            n_ctx_train=0,
            bos_text="<s>",
            eos_text="</s>",
            device="none",
            numerics={},
            vocabulary=_VOCABULARY,
            picture_tokens=place,
        )

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return self._info

    @property
    def work(self) -> WorkDone:
        """See `Engine.work`."""
        return WorkDone()

    def tokenize(self, texts: Sequence[str], *, special: bool, bos: Bos = "once") -> list[Tokens]:
        """See `Engine.tokenize`."""
        return self.tokenize_parts([(text,) for text in texts], special=special, bos=bos)

    def tokenize_parts(
        self,
        prompts: Sequence[Sequence[str | int | None]],
        *,
        special: bool,  # noqa: ARG002
        bos: Bos = "once",
    ) -> list[Tokens]:
        """See `Engine.tokenize_parts`."""
        first = (_BOS,) * (2 if bos == "twice" else 1)
        return [(*first, *chain.from_iterable(map(self._of, parts))) for parts in prompts]

    def _of(self, part: str | int | None) -> Iterable[int]:
        if isinstance(part, int):
            return range(part, part + self._info.picture_tokens)
        first, *others = (_PLACE if part is None else part).split("\n")
        end = self._line("\n")
        return chain(self._line(first), *(chain(end, self._line(line)) for line in others))

    def _line(self, line: str) -> Tokens:
        """The tokens of a line; most lines of a prompt, those of its demonstrations, stand in many others."""
        if line not in self._lines:
            if len(self._lines) >= _KEPT:
                self._lines.clear()
            self._lines[line] = tuple(
                chain.from_iterable(self._word(w.group()) for w in _WORDS.finditer(line))
            )
        return self._lines[line]

    def _word(self, word: str) -> Tokens:
        """The tokens of a match of `_WORDS`; few words make up most of a text."""
        if word not in self._words:
            if len(self._words) >= _KEPT:
                self._words.clear()
            self._words[word] = tuple(self._cut(word))
        return self._words[word]

    def _cut(self, word: str) -> Iterator[int]:
        if word == " ":  # belongs to the word behind it
            return
        size = self._letters if word[0].isalpha() else len(word) if self._runs else 1
        for start in range(0, len(word), size):
            yield from self._tokens(word[start : start + size])

    def _tokens(self, text: str) -> Iterator[int]:
        yield self._token(text, text)
        # letters of other scripts are several tokens, up to one a byte
        for number in range(len(text.encode("utf-8", "replace")) - len(text)):
            yield self._token(f"{text}\n{number}", "")

    def _token(self, name: str, text: str) -> int:
        if name not in self._ids:
            self._ids[name] = len(self._texts)
            self._texts.append(text)
        return self._ids[name]

    def token_of(self, piece: str) -> int | None:
        """See `Engine.token_of`."""
        return self._token(piece, piece)

    def text_sizes(self, token_lists: Sequence[Tokens]) -> list[int]:
        """See `Engine.text_sizes`."""
        return [sum(len(self._texts[token].encode()) for token in tokens) for tokens in token_lists]

    def spell(self, token_lists: Sequence[Tokens]) -> list[str]:
        """See `Engine.spell`."""
        return ["".join(self._texts[token] for token in tokens) for tokens in token_lists]

    def score(self, pack: Pack) -> list[OptionScores]:
        """See `Engine.score`."""
        self._refuse(pack)

    def generate(self, pack: Pack) -> list[str]:
        """See `Engine.generate`."""
        self._refuse(pack)

    def think(self, pack: Pack, heard: Heard) -> list[Trace]:  # noqa: ARG002
        """See `Engine.think`."""
        self._refuse(pack)

    def _refuse(self, pack: Pack) -> NoReturn:
        raise TypeError(f"{len(pack.requests)} prompts cannot be computed without a model")

    def close(self) -> None:
        """See `Engine.close`."""
