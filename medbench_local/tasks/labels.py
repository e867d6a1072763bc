"""One value of a results file as an option: its label, its number or its text. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from string import ascii_lowercase

Value = str | int | float | bool | None
"""An answer or a prediction as the file has it."""

MOST_OPTIONS = len(ascii_lowercase)

_BEFORE, _AFTER = " \t\r\n\"'`*_([{<“‘«", " \t\r\n\"'`*_)]}>”’».,;"
_LABELLED = re.compile(r"[\"'`*(\[{]*(?P<label>[A-Za-z]|\d{1,2})[\"'`*]*[.)\]}][\"'`*]*[ \t]+(?P<rest>\S.*)")
_OTHER_LETTER = re.compile(
    r"(?<=\s)(?:[(\[]([A-Z])(?:[)\]]|$)|([A-Z])[.):\]](?=\s+\S)|(?:(?i:answer|option|choice)\s*(?i:is|:)?\s*)([A-Z])\b)"
    r"|[,;:]\s*(?:(?i:is|it is|it's)\s+)?([A-Z])[.)]?$"
)
_QUOTES = "\"'`*“”‘’« »"
_KEPT = 4096
"""How many values are remembered: most files hold a few again and again."""

_NO_ANSWER = frozenset(("", "nan", "none", "null", "n/a", "<na>", "-1"))


@dataclass(frozen=True)
class Options:
    """The options of one question as a row of a results file lists them.

    Attributes:
        labels: what each is called, bare and in lower case: "a", "b", or the keys of a mapping.
        texts: what each says, as written; None where the row has labels only.
    """

    labels: tuple[str, ...]
    texts: tuple[str, ...] | None

    def place(self, label: str) -> int | None:
        """Index of the option that is called so; None if there is none."""
        label = bare(label).casefold()
        return self.labels.index(label) if label in self.labels else None

    def place_of_text(self, text: str) -> int | None:
        """Index of the first option that says so, or that is called so where the texts are not known; None if none.

        Where two options differ in case only, as genotypes may, case decides.
        """
        if self.texts is None:
            return self.place(text)
        return self._places.get(self._form(text))

    @cached_property
    def _form(self) -> Callable[[str], str]:
        texts = self.texts or ()
        return tidy if len({*map(fold, texts)}) < len({*map(tidy, texts)}) else fold

    @cached_property
    def _places(self) -> dict[str, int]:
        texts = self.texts or ()
        return {self._form(text): place for place, text in reversed([*enumerate(texts)])}


def bare(text: str) -> str:
    """``text`` without the blanks, quotes, brackets and stops around it: "(A)", "A." and "**A**" become "A"."""
    return unicodedata.normalize("NFKC", text).lstrip(_BEFORE).rstrip(_AFTER)


def tidy(text: str) -> str:
    """``text`` with single blanks and none at the ends."""
    return " ".join(text.split())


@lru_cache(maxsize=_KEPT)
def fold(text: str) -> str:
    """``text`` so that case, blanks, quotes around it, a full stop and the width of letters make no difference."""
    return tidy(unicodedata.normalize("NFKC", text).casefold()).strip(_QUOTES).rstrip(f"{_QUOTES}.")


def written(value: Value) -> str:
    """``value`` as text: a whole number without its ".0", a truth value in lower case, nothing as ""."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


@lru_cache(maxsize=_KEPT, typed=True)
def letter(value: Value) -> int | None:
    """Place of the letter that ``value`` is, 0 for A; None if it is no single letter."""
    text = bare(value) if isinstance(value, str) else ""
    return ascii_lowercase.index(text.lower()) if len(text) == 1 and text.lower() in ascii_lowercase else None


@lru_cache(maxsize=_KEPT, typed=True)
def number(value: Value) -> int | None:
    """The whole number that ``value`` is ("2", 2.0 and "(2)" too); None if it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        found = re.fullmatch(r"(-?\d{1,9})(?:\.0+)?", bare(value))
        return int(found[1]) if found else None
    return int(value) if isinstance(value, int) or value.is_integer() else None


@lru_cache(maxsize=_KEPT, typed=True)
def labelled(value: Value) -> tuple[str, str] | None:
    """Label and text of an option written with both, as in "A. aspirin"; None for anything else.

    What goes on over several lines is no option.
    """
    text = unicodedata.normalize("NFKC", value).strip().rstrip(_AFTER) if isinstance(value, str) else ""
    found = _LABELLED.fullmatch(text)
    return (found["label"], found["rest"]) if found else None


def names_another(label: str, text: str) -> bool:
    """Whether ``text`` after a label goes on to another one.

    As in "A. is wrong, so B. it is", "A) aspirin B) heparin", "A. is wrong; the answer is B" and "(A) or (B)".
    """
    found = (match.group(match.lastindex or 0) for match in _OTHER_LETTER.finditer(text))
    return any(other.lower() != label.lower() for other in found)


def no_answer(value: Value) -> bool:
    """Whether ``value`` stands for "there is no prediction": null, an empty text, NaN, -1."""
    return written(value).strip().lower() in _NO_ANSWER


def options_of(value: object) -> Options | None:
    """The field ``options``: a list of labels or texts, or a mapping from label to text; None for anything else."""
    if isinstance(value, Mapping):
        labels, texts = [str(key) for key in value], list(value.values())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        labels, texts = list(ascii_lowercase[: len(value)]), list(value)
    else:
        return None
    if not 2 <= len(texts) <= MOST_OPTIONS or not all(_is_text(text) for text in texts):
        return None
    keys = tuple(bare(label).casefold() for label in labels)
    said = tuple(written(text) for text in texts)
    if len({*keys}) < len(keys):
        return None
    if isinstance(value, Mapping):
        return Options(keys, said)
    places = range(len(said))
    if all(letter(text) == place for place, text in zip(places, said, strict=True)):
        return Options(keys, None)
    pairs = [labelled(text) for text in said]
    if all(pair and letter(pair[0]) == place for place, pair in zip(places, pairs, strict=True)):
        return Options(keys, tuple(pair[1] for pair in pairs if pair))
    return Options(keys, said)


def _is_text(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
