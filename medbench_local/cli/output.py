"""Where text goes: data to stdout, everything else to stderr, colour only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from medbench_local.cli.wording import on_command_line
from medbench_local.text import plain

WIDE = 1000
"""Columns where nobody's terminal limits them: tables in a file or a pipe keep every character."""


def out() -> Console:
    """The console for what a command was asked for."""
    return _console(sys.stdout)


def err() -> Console:
    """The console for everything else: progress, notes, warnings, errors."""
    return _console(sys.stderr)


def _console(file: TextIO) -> Console:
    terminal = file.isatty()
    width = None if terminal else WIDE
    return Console(file=file, highlight=False, soft_wrap=not terminal, width=width)


@dataclass(frozen=True)
class Listing:
    """A table of which no character is lost, and whose first column, which people type, is not broken.

    Where the terminal is too narrow for a table, each row becomes a paragraph: its name on a line of its own, the rest
    below it. A name that is longer than the terminal is wide goes on in the next line.

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
        if self._least() <= options.max_width:
            yield self._table()
            return
        for name, *rest in self.rows:
            yield Text(name, style="bold", overflow="fold")
            said = [f"{column} {text}" for column, text in zip(self.names[1:], rest, strict=True) if text]
            yield Padding(Text(", ".join(said), overflow="fold"), (0, 0, 0, 2))

    def _unbroken(self, name: str) -> bool:
        return name == self.names[0] or name in self.whole or name in self.right

    def _least(self) -> int:
        """Columns of the terminal that a table needs if what may be broken is broken between words."""
        widths = []
        for name, cells in zip(self.names, zip(*self.rows, strict=True), strict=True):
            unbroken = self._unbroken(name)
            pieces = [name, *(piece for cell in cells for piece in ([cell] if unbroken else cell.split()))]
            widths.append(max(map(cell_len, pieces)))
        return sum(widths) + 2 * (len(widths) - 1)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in self.names:
            justify: Literal["left", "right"] = "right" if name in self.right else "left"
            table.add_column(name, overflow="fold", no_wrap=self._unbroken(name), justify=justify)
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table


def print_json(data: Any) -> None:
    """``data`` as indented JSON on stdout."""
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n")


def warn(text: str) -> None:
    """One warning line."""
    console = err()
    console.print("[yellow]warning:[/] ", end="")
    console.print(plain(on_command_line(text)), markup=False)
