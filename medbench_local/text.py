"""Text from outside: what it may hold, and how it is shown."""

from __future__ import annotations

import unicodedata

BIDI_CONTROLS = {
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
}
"""Characters that reorder the text around them; a name must not move the number beside it."""


def is_whole(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: it holds no half of a surrogate pair, as odd bytes leave behind."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


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
