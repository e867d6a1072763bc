"""Where text goes: data to stdout, everything else to stderr, colour only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from medbench_local.cli.wording import on_command_line
from medbench_local.report.grid import Grid, GridColumn
from medbench_local.report.screen import Prose, Screen
from medbench_local.text import plain

WIDE = 1000
"""Columns where nobody's terminal limits them: tables in a file or a pipe keep every character."""


def out() -> Screen:
    """The console for what a command was asked for."""
    return _console(sys.stdout)


def err() -> Screen:
    """The console for everything else: progress, notes, warnings, errors."""
    return _console(sys.stderr)


def _console(file: TextIO) -> Screen:
    terminal = file.isatty()
    width = None if terminal else WIDE
    return Screen(file=file, highlight=False, soft_wrap=not terminal, width=width)


@dataclass(frozen=True)
class Listing:
    """A table of which no character is lost, and whose first column, which people type, is not broken.

    Where the terminal is too narrow for a table, each row becomes a paragraph: its name on a line of its own, the rest
    below it.

    Attributes:
        names: of the columns.
        rows: texts, one for each column.
        whole: further columns that are typed, or are numbers; they stay in one line.
        right: columns that are set to the right, in one line.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    whole: Sequence[str] = ()
    right: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw a table if one fits, else paragraphs."""
        unbroken = {self.names[0], *self.whole, *self.right}
        columns = [GridColumn(name, name in unbroken, name in self.right) for name in self.names]
        yield Grid(columns, [[Text(text) for text in row] for row in self.rows])


def print_json(data: Any) -> None:
    """``data`` as indented JSON on stdout."""
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n")


def warn(text: str) -> None:
    """One warning line."""
    err().print(Prose(Text.assemble(("warning:", "yellow"), f" {plain(on_command_line(text))}")))
