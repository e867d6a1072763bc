"""Text from outside: what it may hold, and how it is shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from math import floor, log10

BIDI_CONTROLS = {
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
}
"""Characters that reorder the text around them; a name must not move the number beside it."""


_HALF = re.compile("[\ud800-\udfff]")


def is_whole(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: it holds no half of a surrogate pair, as odd bytes leave behind."""
    return text.isascii() or _HALF.search(text) is None


def whole(text: str) -> str:
    """``text`` itself, for validators.

    Raises:
        ValueError: it holds half a surrogate pair.
    """
    if not is_whole(text):
        raise ValueError("it holds half a surrogate pair, which is no character")
    return text


def plain(text: str) -> str:
    """``text`` without characters that act on a screen or a page instead of being read.

    Line breaks and tabs become blanks; other control characters, reordering marks and broken surrogates become
    the replacement character. Names and reasons in a results file may come from anywhere.
    """
    return "".join(
        " "
        if char in "\n\r\t\u2028\u2029"
        else "\ufffd"
        if char in BIDI_CONTROLS or unicodedata.category(char) in ("Cc", "Cs")
        else char
        for char in text
    )


def plain_lines(text: str) -> str:
    """The same line by line: the breaks between lines stay, for texts such as questions."""
    return "\n".join(plain(line) for line in text.splitlines())


def listed(names: Sequence[str]) -> str:
    """Names, at least one, as a sentence has them: "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign: "+3.1".

    "0.0" is nothing but zero: what would be rounded to it keeps its first digit, "+0.02", since it decides verdicts.
    """
    text = f"{value * 100:+.1f}"
    if text not in ("+0.0", "-0.0"):
        return text
    small = abs(value * 100)
    if small < 1e-6:  # no share of questions: the rounding of a mean
        return "0.0"
    return f"{value * 100:+.{-floor(log10(small))}f}"


def interval(bounds: tuple[float, float]) -> str:
    """Bounds in percentage points: "[-1.2, +4.0]"."""
    return f"[{points(bounds[0])}, {points(bounds[1])}]"
