"""Texts as the model's own tokenizer sees them, brought into a form of which llama.cpp makes the same tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from medbench_local.files.text_rules import TextRules

BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""White space as Unicode defines it; Python takes four control characters more."""


class TextPreparation:
    """Applies the rules of one vocabulary.

    Args:
        rules: what to do.
        marks: texts of the tokens that are found before anything else, given whether control tokens are.
        sentencepiece: whether "▁" in a text is a blank, as it is for SentencePiece.
    """

    def __init__(
        self, rules: TextRules, marks: Callable[[bool], Iterable[str]], *, sentencepiece: bool = False
    ) -> None:
        self._rules = rules
        self._sentencepiece = sentencepiece
        self._marks = marks
        self._known: dict[bool, re.Pattern[str]] = {}

    def __call__(self, text: str, special: bool) -> str:
        """The text that llama.cpp shall tokenise."""
        # its symbols may be runs of blanks, which it looks for once blanks are written so
        if self._sentencepiece and "▁" in text and any(" " in mark for mark in self._marks(False)):
            pieces = self.pieces(text, special)
            pieces[::2] = [piece.replace("▁", " ") for piece in pieces[::2]]
            text = "".join(pieces)
        rules = self._rules
        swallows = rules.swallow_before or rules.swallow_after
        composed = not rules.nfc or unicodedata.is_normalized("NFC", text)
        if composed and not rules.blank and not swallows:
            return text
        # tokens are found first, and stay as they are
        pieces = self.pieces(text, special)
        for place in range(1, len(pieces), 2):
            if pieces[place] in rules.swallow_before:
                pieces[place - 1] = pieces[place - 1].rstrip(BLANKS)
            if pieces[place] in rules.swallow_after:
                pieces[place + 1] = pieces[place + 1].lstrip(BLANKS)
        if not composed:
            pieces[::2] = [unicodedata.normalize("NFC", piece) for piece in pieces[::2]]
        if rules.blank:
            for place in range(0, len(pieces), 2) if rules.blank == "always" else (0,):
                if pieces[place] and not pieces[place].startswith((" ", "▁")):
                    pieces[place] = " " + pieces[place]
        return "".join(pieces)

    def pieces(self, text: str, special: bool) -> list[str]:
        """Text, token, text, token, ..., text; texts may be empty."""
        if special not in self._known:
            self._known[special] = re.compile(f"({any_of(self._marks(special))})")
        return self._known[special].split(text)


def any_of(texts: Iterable[str]) -> str:
    """A regular expression that finds the longest of these texts at each place; one that finds nothing for none."""
    ordered = sorted(filter(None, texts), key=lambda text: (-len(text), text))
    return "|".join(map(re.escape, ordered)) or "(?!)"
