"""Where text goes: data to stdout, everything else to stderr, colour only on a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from rich.console import Console

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


def print_json(data: Any) -> None:
    """``data`` as indented JSON on stdout."""
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n")


def warn(text: str) -> None:
    """One warning line."""
    console = err()
    console.print("[yellow]warning:[/] ", end="")
    console.print(plain(on_command_line(text)), markup=False)
