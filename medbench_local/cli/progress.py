"""Progress on the command line: a live display on a terminal, plain lines elsewhere, in the words of commands."""

from __future__ import annotations

import sys

import typer

from medbench_local.cli.wording import on_command_line
from medbench_local.progress import Progress
from medbench_local.report.live import LiveProgress, PlainProgress
from medbench_local.report.live import amount as amount
from medbench_local.report.live import duration as duration
from medbench_local.report.screen import Screen
from medbench_local.text import plain


class AskingProgress(LiveProgress):
    """Bars, and somebody who can be asked."""

    def confirm(self, question: str) -> bool:
        """See `medbench_local.progress.Asking.confirm`."""
        if sys.stdin is None or not sys.stdin.isatty():
            return True
        return typer.confirm(plain(question), err=True)


def progress() -> Progress:
    """The listener that fits where stderr goes."""
    console = Screen(file=sys.stderr, highlight=False, soft_wrap=not (sys.stderr and sys.stderr.isatty()))
    kind = AskingProgress if console.is_terminal else PlainProgress
    return kind(console, on_command_line)
