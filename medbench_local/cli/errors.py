"""From an exception to a line and an exit code.

0 done; 1 the thing checked does not hold; 2 bad usage or bad input; 130 interrupted.
"""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import typer

from medbench_local.cli.output import err
from medbench_local.errors import MedbenchError
from medbench_local.settings import read_settings

DONE = 0
DOES_NOT_HOLD = 1
BAD_INPUT = 2
INTERRUPTED = 130


@runtime_checkable
class _UsageMistake(Protocol):
    """click's own exceptions; some versions of typer carry their own copy of click, so by shape."""

    exit_code: int

    def show(self) -> None:
        """Print the mistake on stderr."""


def report(error: BaseException, words: Sequence[str]) -> int:
    """Say what ``error`` means on stderr and return the exit code.

    With MEDBENCH_DEBUG=1 the traceback is shown first.

    Args:
        error: what ended the command.
        words: the command as it was typed, without the program's name.
    """
    if read_settings().debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        err().print(f"interrupted; to go on, run:\n  {shlex.join(['medbench-local', *words])}", markup=False)
        return INTERRUPTED
    if isinstance(error, _UsageMistake):
        error.show()
        return error.exit_code
    if isinstance(error, MedbenchError):
        _say(error.message, error.advice)
        return BAD_INPUT
    if isinstance(error, BrokenPipeError):
        return DONE
    if isinstance(error, MemoryError):
        _say("out of memory.", "Close other programs, or choose a smaller precision with --quant.")
        return BAD_INPUT
    _say(
        f"this should not have happened: {type(error).__name__}: {error}",
        "Run again with MEDBENCH_DEBUG=1 and report what it prints.",
    )
    return BAD_INPUT


def _say(message: str, advice: str) -> None:
    console = err()
    console.print("[red]error:[/] ", end="")
    console.print(" ".join(message.split()), markup=False)
    if advice:
        console.print(advice, markup=False)
