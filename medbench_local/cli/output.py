"""Where text goes: data to stdout, everything else to stderr, colour only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medbench_local.cli.wording import on_command_line
from medbench_local.errors import UsageError
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


def listing(names: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """A table of which no character is lost: where it is too wide, cells go on in the next line.

    Args:
        names: of the columns.
        rows: texts, one for each column.
        right: columns that are set to the right, in one line.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(
            name,
            overflow="fold",
            no_wrap=name in right,
            justify="right" if name in right else "left",
        )
    for row in rows:
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


def agreed(question: str, *, yes: bool) -> None:
    """Go on only if a person agrees.

    Raises:
        Exit: no is answered.
        UsageError: nobody can be asked.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("Nobody can be asked without a terminal.", advice="Say --yes if it is meant.")
    if not typer.confirm(plain(question), err=True):
        err().print("nothing was removed")
        raise typer.Exit
