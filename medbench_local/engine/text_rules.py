"""What a model's own tokenizer does to a text that llama.cpp does not do: done here, before llama.cpp sees it.

A GGUF file says how text is cut into tokens, but has no word for these:

* Unicode normalisation (NFC) of Qwen, Cohere and GPT-NeoX: "e" and a combining accent become "é".
* A blank put before a text only ("first" of the tokenizers library), or before a piece behind a control token only if
  it begins with none ("always"): llama.cpp puts one behind every control token, whatever follows.
* Tokens that swallow the blanks beside them.
* "▁" in a text is a blank for SentencePiece, also where it looks for symbols that are runs of blanks.

A file that was converted here says which hold, in the key `TEXT_RULES`. For other files Unicode normalisation is known
from the name of the splitting rule, which is a model family's.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Literal, get_args

TEXT_RULES = "medbench_local.text_rules"
"""The key of a GGUF file whose value is `TextRules.to_json`."""

NORMALISED = frozenset(("qwen2", "deepseek-r1-qwen", "qwen35", "command-r", "olmo", "mpt"))
"""Values of ``tokenizer.ggml.pre`` whose model families normalise to NFC."""

Blank = Literal["", "first", "always"]

BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""White space as Unicode defines it; Python takes four control characters more."""


@dataclass(frozen=True)
class TextRules:
    """How a text is prepared before llama.cpp tokenises it.

    Attributes:
        nfc: normalise to Unicode's NFC.
        blank: put a blank before a text ("first"), or also behind every token that is found in it ("always"), where no
            blank stands; "" leaves that to llama.cpp.
        swallow_before: texts of tokens that swallow the blanks before them.
        swallow_after: texts of tokens that swallow the blanks behind them.
    """

    nfc: bool = False
    blank: Blank = ""
    swallow_before: tuple[str, ...] = ()
    swallow_after: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One line, for a file's header."""
        return json.dumps(asdict(self), sort_keys=True)


def usual_rules(splitting: str) -> TextRules:
    """The rules of a file that gives none, by its ``tokenizer.ggml.pre``."""
    return TextRules(nfc=splitting in NORMALISED)


def read_text_rules(stored: str, splitting: str) -> TextRules:
    """The rules that a file's header gives.

    Args:
        stored: the value of its key `TEXT_RULES`, "" if it has none.
        splitting: its ``tokenizer.ggml.pre``.

    Raises:
        ValueError: not what `TextRules.to_json` writes.
    """
    if not stored:
        return usual_rules(splitting)
    data = json.loads(stored)
    before, after = data["swallow_before"], data["swallow_after"]
    texts = (
        isinstance(before, list) and isinstance(after, list) and all(type(t) is str for t in before + after)
    )
    if data["blank"] not in get_args(Blank) or type(data["nfc"]) is not bool or not texts:
        raise ValueError("unknown rules for texts")
    return TextRules(data["nfc"], data["blank"], tuple(before), tuple(after))


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
