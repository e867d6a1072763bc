"""Where text goes: data to stdout, everything else to stderr, colour only on a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console


def out() -> Console:
    """The console for what a command was asked for."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """The console for everything else: progress, notes, warnings, errors."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())


def print_json(data: Any) -> None:
    """``data`` as indented JSON on stdout."""
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n")


def warn(text: str) -> None:
    """One warning line."""
    console = err()
    console.print("[yellow]warning:[/] ", end="")
    console.print(text, markup=False)
