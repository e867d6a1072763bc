"""Tokens of texts from the tokens of their words, where the vocabulary allows it: each word is tokenised once.

Prompts repeat themselves: a question is tokenised with each of its options, and all of a candidate's prompts show the
same demonstrations. A text may be cut before a blank that follows another character if no token and no rule of the
tokenizer reaches across such a place. That is known of two kinds:

* SentencePiece vocabularies ("llama"): symbols are merged only into entries of the vocabulary, so that a place inside
  which no entry of the vocabulary has is never merged across, and both sides are merged as if alone. Looked up in the
  vocabulary itself: no entry has a blank behind another character.
* Byte-pair vocabularies ("gpt2") whose rule for splitting text before merging is one of `SPLITS_AT_BLANKS`: in these
  regular expressions a blank can only begin a match, and nothing looks behind, so that one match ends and another
  begins before every blank that follows another character.

Control and user-defined tokens are found in the text before anything else, and what follows one may be treated
otherwise: nothing is cut where one touches the place or the blanks behind it. Every other vocabulary is tokenised text
by text.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from medbench_local.engine.base import Tokens

SPLITS_AT_BLANKS = frozenset(
    (
        *("llama3", "llama-v3", "llama-bpe", "smaug-bpe", "dbrx"),
        *("gpt-2", "mpt", "olmo", "qwen2", "qwen35", "stablelm2", "deepseek-r1-qwen"),
        *("starcoder", "refact", "command-r", "smollm", "tekken", "gpt-4o", "llama4"),
    )
)
"""Values of ``tokenizer.ggml.pre`` whose expressions (llama.cpp, src/llama-vocab.cpp) were read for this."""

BLANK = "▁"
"""What SentencePiece writes for a blank."""

_CUT = re.compile(rf"(?<=[^\s{BLANK}])(?= [\s\S])")
_BLANK_WITHIN = re.compile(rf"[^{BLANK}]{BLANK}")
_LONGEST_KEPT = 100
_MOST_KEPT = 200_000


class WordTokens:
    """The tokenizer of one vocabulary whose texts may be cut.

    Args:
        tokenize: the tokens of a text as a whole, and whether control tokens' text in it stands for them.
        blank_first: the tokenizer writes a blank before a text, which then stands for the one that a word begins with.
        always: texts of the tokens that are found in every text.
        control: texts of those found only where control tokens are.
    """

    def __init__(
        self,
        tokenize: Callable[[str, bool], Tokens],
        *,
        blank_first: bool,
        always: Iterable[str],
        control: Iterable[str],
    ) -> None:
        self._tokenize = tokenize
        self._blank_first = blank_first
        always = set(always)
        self._marks = {False: _Marks(always), True: _Marks(always | set(control))}
        self._known: dict[bool, dict[str, Tokens]] = {False: {}, True: {}}
        self._last = {False: _Cut(), True: _Cut()}

    def __call__(self, text: str, special: bool) -> list[int]:
        """Token ids of ``text``, the same as those of the whole."""
        last, marks = self._last[special], self._marks[special]
        start, held = last.beginning(text, marks.longest)
        cuts = marks.cuts(text, start)
        words = [text[begin:end] for begin, end in zip([start, *cuts], [*cuts, len(text)], strict=True)]
        if self._blank_first:
            words = [words[0][start > 0 :], *(word[1:] for word in words[1:])]
        known = self._known[special]
        try:
            found = [known[word] for word in words]
        except KeyError:
            found = [self._of(word, special) for word in words]
        counts = list(accumulate(map(len, found), initial=held))
        tokens = [*last.tokens[:held], *chain.from_iterable(found)]
        kept = bisect_right(last.cuts, start)
        self._last[special] = _Cut(
            text, [*last.cuts[:kept], *cuts], [*last.counts[:kept], *counts[1:-1]], tokens
        )
        return tokens

    def _of(self, word: str, special: bool) -> Tokens:
        known = self._known[special]
        found = known.get(word)
        if found is None:
            found = self._tokenize(word, special)
            if len(word) <= _LONGEST_KEPT:
                if len(known) >= _MOST_KEPT:
                    known.clear()
                known[word] = found
        return found


@dataclass(frozen=True)
class _Cut:
    """The text before: many begin alike.

    Attributes:
        text: the text.
        cuts: where it was cut, in characters.
        counts: tokens before each of these places.
        tokens: all of them.
    """

    text: str = ""
    cuts: Sequence[int] = ()
    counts: Sequence[int] = ()
    tokens: Sequence[int] = ()

    def beginning(self, text: str, longest_mark: int) -> tuple[int, int]:
        """A place where ``text``, alike up to there and far enough beyond, is cut too, and the tokens before it.

        Far enough: the whole next word, and any mark that might begin in it.
        """
        low, high = 0, min(len(text), len(self.text))
        if text[:high] != self.text[:high]:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if text[low:middle] == self.text[low:middle] else (low, middle)
        else:
            low = high
        place = bisect_right(self.cuts, low - longest_mark - 1) - 2
        return (self.cuts[place], self.counts[place]) if place >= 0 else (0, 0)


class _Marks:
    """Tokens that are found in a text before anything else.

    Args:
        texts: theirs.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        # At each place the longest is found.
        ordered = sorted(filter(None, texts), key=lambda text: (-len(text), text))
        self._any = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self.longest = max(map(len, ordered), default=0)

    def cuts(self, text: str, start: int) -> list[int]:
        """Where ``text`` may be cut, behind ``start``, which is such a place or the beginning."""
        cuts = [found.start() for found in _CUT.finditer(text, start + 1)]
        at = max(0, start - self.longest)
        while self._any is not None and cuts and (found := self._any.search(text, at)) is not None:
            begin, end = found.span()
            low, high = bisect_left(cuts, begin), bisect_right(cuts, end)
            if low and text[cuts[low - 1] : begin].isspace():
                low -= 1
            del cuts[low:high]
            at = begin + 1  # another one may begin inside this one
        return cuts


def sentencepiece_allows(entries: Iterable[str]) -> bool:
    """Whether texts may be cut with a SentencePiece vocabulary of these entries."""
    return not any(_BLANK_WITHIN.search(entry) for entry in entries)
