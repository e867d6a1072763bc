"""Text on a terminal: broken between words only, and never within what somebody copies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.text import Text

_PIECE = re.compile(r"\s*(?:[(\"]?`[^`]{1,160}`\S*|--[a-z-]+ [^\s-]\S*|\S+)")
"""A word, a flag with its value, or what stands in backquotes, with the blanks before it."""


class Screen(Console):
    """A console that breaks no word: what is longer than a line is left to the terminal, and is whole when copied."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As `rich.console.Console.print`; texts are broken as `Prose`, also those of a group."""
        if len(objects) == 1 and options.get("end", "\n") == "\n":
            (one,) = objects
            if isinstance(one, str) and options.get("markup") is False:
                one = Text(one, style=options.pop("style", None) or "")
            objects = (_as_prose(one),)
        super().print(*objects, **({} if self.soft_wrap else {"crop": False}) | options)


def _as_prose(one: Any) -> Any:
    if isinstance(one, Text):
        return Prose(one)
    return Group(*map(_as_prose, one.renderables)) if isinstance(one, Group) else one


@dataclass(frozen=True)
class Prose:
    """A text whose lines are broken between words; not within backquotes, nor between a flag and its value.

    Attributes:
        text: of one or several lines.
        whole: no line is broken at all: it is a command, a path or something else that is copied as it stands.
        indent: blanks before each line.
    """

    text: Text
    whole: bool = False
    indent: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Each line, in as many as it takes."""
        blanks = " " * self.indent
        for line in self.text.split("\n", allow_blank=True):
            parts = [line]
            if not self.whole and not options.no_wrap:
                parts = list(line.divide(_breaks(line.plain, options.max_width - self.indent)))
            for part in parts:
                if part is not parts[-1]:
                    part.rstrip()
                yield Text.assemble(blanks, part, no_wrap=True, overflow="ignore")


def _breaks(line: str, width: int) -> list[int]:
    """Where new lines begin; not before what is too long for any, which stays with its label."""
    found, start = [], 0
    for piece in _PIECE.finditer(line):
        fits = cell_len(piece[0].strip()) <= width
        if fits and piece.start() > start and cell_len(line[start : piece.end()]) > width:
            start = piece.start() + len(piece[0]) - len(piece[0].lstrip())
            found.append(start)
    return found
