"""Progress on the command line: a live display on a terminal, plain lines elsewhere, in the words of commands."""

from __future__ import annotations

import sys

from medbench_local.cli.asking import confirmed, somebody_is_there
from medbench_local.cli.wording import on_command_line
from medbench_local.progress import Progress
from medbench_local.report.live import LiveProgress, PlainProgress
from medbench_local.report.live import amount as amount
from medbench_local.report.live import duration as duration
from medbench_local.report.screen import Screen


class AskingProgress(LiveProgress):
    """Bars, and somebody who can be asked."""

    def confirm(self, question: str) -> bool:
        """See `medbench_local.progress.Asking.confirm`."""
        return confirmed(question)


def progress(*, yes: bool = True) -> Progress:
    """The listener that fits where stderr goes.

    Args:
        yes: go on without asking; else somebody is asked who is there.
    """
    console = Screen(file=sys.stderr, highlight=False, soft_wrap=not (sys.stderr and sys.stderr.isatty()))
    if not console.is_terminal:
        return PlainProgress(console, on_command_line)
    asks = not yes and somebody_is_there()
    return (AskingProgress if asks else LiveProgress)(console, on_command_line)
