"""Words of texts that llama.cpp splits otherwise than the model's own tokenizer: the rules of Tekken and GPT-4o.

Both split words where small letters are followed by capitals. llama.cpp's expressions for them (src/llama-vocab.cpp,
LLAMA_VOCAB_PRE_TYPE_TEKKEN and _GPT4O) know capitals and small letters of ASCII only, and no combining marks: accents
written as characters of their own, Thai, Devanagari and others fall apart. So such texts are split and merged here,
which is faster, too: llama.cpp compiles an expression for each text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

from medbench_local.engine.base import Tokens
from medbench_local.files.byte_pairs import in_letters, merge_ranks, merged

CASED = {"tekken": "tekken", "gpt-4o": "gpt-4o", "llama4": "gpt-4o"}
"""The rule of each value of ``tokenizer.ggml.pre`` that is one of these."""

_WHOLE_WORDS = frozenset(("tekken",))
"""Rules with which a word that is a token is not merged."""

_CAPITAL, _SMALL, _OTHER_LETTER, _MARK, _NUMBER, _SPACE, _OTHER = "\ue000\ue001\ue002\ue003\ue004\ue005\ue006"
_KINDS = {
    **dict.fromkeys(("Lu", "Lt"), _CAPITAL),
    "Ll": _SMALL,
    **dict.fromkeys(("Lm", "Lo"), _OTHER_LETTER),
    **dict.fromkeys(("Mn", "Mc", "Me"), _MARK),
    **dict.fromkeys(("Nd", "Nl", "No"), _NUMBER),
    **dict.fromkeys(("Zs", "Zl", "Zp"), _SPACE),
}
"""What stands for the characters of each category (Unicode Standard, section 4.5) that are not ASCII."""


def _expressions() -> dict[str, re.Pattern[str]]:
    space, letter, number = f"\\t-\\r {_SPACE}", f"A-Za-z{_CAPITAL}{_SMALL}{_OTHER_LETTER}", f"0-9{_NUMBER}"
    upper = f"[A-Z{_CAPITAL}{_OTHER_LETTER}{_MARK}]"
    lower = f"[a-z{_SMALL}{_OTHER_LETTER}{_MARK}]"
    before = f"[^\\r\\n{letter}{number}]?"
    rest = f"| ?[^{space}{letter}{number}]+[\\r\\n/]*|[{space}]*[\\r\\n]+|[{space}]+(?![^{space}])|[{space}]+"
    end = "(?:'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]))?"
    return {
        "tekken": re.compile(f"{before}{upper}*{lower}+|{before}{upper}+{lower}*|[{number}]{rest}"),
        "gpt-4o": re.compile(
            f"{before}{upper}*{lower}+{end}|{before}{upper}+{lower}*{end}|[{number}]{{1,3}}{rest}"
        ),
    }


_EXPRESSIONS = _expressions()


def split_cased(text: str, rule: str) -> list[str]:
    """The words of a text by one of the rules."""
    kinds = "".join(map(_kind, text))
    return [text[found.start() : found.end()] for found in _EXPRESSIONS[rule].finditer(kinds)]


@lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    if character.isascii():
        return character
    return _SPACE if character == "\x85" else _KINDS.get(unicodedata.category(character), _OTHER)


class CasedWords:
    """The tokenizer of one vocabulary with such a rule.

    Args:
        rule: its ``tokenizer.ggml.pre``, one of `CASED`.
        merges: reads the file's merges, "a b", most important first; called once.
        token_of: the token whose entry in the vocabulary is a text, or None.
    """

    def __init__(
        self,
        rule: str,
        merges: Callable[[], Iterable[str]],
        token_of: Callable[[str], int | None],
    ) -> None:
        self._rule = CASED[rule]
        self._ranks = merge_ranks(merges())
        self._token_of = token_of
        self._merged = lru_cache(maxsize=100_000)(self._merge)

    def __call__(self, text: str) -> list[int]:
        """Token ids of a text in which no token is to be found as it stands."""
        tokens: list[int] = []
        for word in split_cased(text, self._rule):
            tokens += self._merged(word)
        return tokens

    def _merge(self, text: str) -> Tokens:
        word = in_letters(text)
        if self._rule in _WHOLE_WORDS and (whole := self._token_of(word)) is not None:
            return (whole,)
        tokens: list[int | None] = []
        for part in merged(word, self._ranks):
            found = self._token_of(part)
            # a part that is no token falls back to its bytes; those that are none fall away, as in llama.cpp
            tokens += [found] if found is not None else map(self._token_of, part)
        return tuple(token for token in tokens if token is not None)
