"""The day that chat templates are told: always the same, so that prompts are, and written in English everywhere."""

from __future__ import annotations

import re

DAY = "2024-07-26"
"""The date that Llama 3's own templates fall back to; the time is midnight."""

_WRITTEN = {
    "a": "Fri",
    "A": "Friday",
    "b": "Jul",
    "B": "July",
    "c": "Fri Jul 26 00:00:00 2024",
    "C": "20",
    "d": "26",
    "D": "07/26/24",
    "e": "26",
    "f": "000000",
    "F": DAY,
    "g": "24",
    "G": "2024",
    "h": "Jul",
    "H": "00",
    "I": "12",
    "j": "208",
    "k": " 0",
    "l": "12",
    "m": "07",
    "M": "00",
    "n": "\n",
    "p": "AM",
    "P": "am",
    "r": "12:00:00 AM",
    "R": "00:00",
    "S": "00",
    "t": "\t",
    "T": "00:00:00",
    "u": "5",
    "U": "29",
    "V": "30",
    "w": "5",
    "W": "30",
    "x": "07/26/24",
    "X": "00:00:00",
    "y": "24",
    "Y": "2024",
    "z": "",
    "Z": "",
    "%": "%",
}
"""What each directive of strftime makes of it, in the C locale; "f" is Python's own."""

_FILLED = {"numbers": "CdegGHIjklmMSuUVwWyY", "blanks": "ekl"}
"""Directives that write a number, and those of them that fill it up with blanks."""

_DIRECTIVE = re.compile(r"%([-_0^#]?)([A-Za-z%])")


def written_day(pattern: str) -> str:
    """The day in a pattern of strftime, whatever the language of this machine; unknown directives stay as they are.

    Args:
        pattern: with the C library's flags "-" (no filling), "_" (blanks), "0" (zeros), "^" and "#" (other case).
    """
    return _DIRECTIVE.sub(_directive, pattern)


def _directive(found: re.Match[str]) -> str:
    flag, name = found.groups()
    text = _WRITTEN.get(name)
    if text is None or (flag and name == "f"):
        return found[0]
    if flag == "^":
        return text if name == "P" else text.upper()
    if flag == "#":
        return text.lower() if name == "p" else text.upper() if name in "aAbBh" else text
    if not flag or name not in _FILLED["numbers"]:
        return text
    number = text.lstrip(" 0") or "0"
    return number if flag == "-" else number.rjust(len(text), " " if flag == "_" else "0")
