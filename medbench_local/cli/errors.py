"""From an exception to a line and an exit code.

0 done; 1 the thing checked does not hold; 2 bad usage or bad input; 3 it could not be settled; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import typer
from rich.text import Text

from medbench_local.cli.output import err
from medbench_local.cli.wording import on_command_line
from medbench_local.errors import SYSTEM_ADVICE, TOO_MANY_FILES, CancelledError, MedbenchError
from medbench_local.report.screen import Prose
from medbench_local.settings import ADDRESS_ADVICE, debug_wanted, hub_address_problem
from medbench_local.text import plain, plain_lines

DONE = 0
DOES_NOT_HOLD = 1
BAD_INPUT = 2
UNSETTLED = 3
INTERRUPTED = 130

_LONGEST_SHOWN = 120


@runtime_checkable
class _UsageMistake(Protocol):
    """click's own exceptions; some versions of typer carry their own copy of click, so by shape."""

    exit_code: int
    message: str

    def show(self) -> None:
        """Print the mistake on stderr."""

    def format_message(self) -> str:
        """The mistake in words."""


def report(error: BaseException, words: Sequence[str]) -> int:
    """Say what ``error`` means on stderr and return the exit code.

    With MEDBENCH_DEBUG=1 the traceback is shown first.

    Args:
        error: what ended the command.
        words: the command as it was typed, without the program's name.
    """
    if debug_wanted() and sys.stderr is not None:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        if sys.stderr is not None:
            command = f"  {shlex.join(['medbench-local', *words])}"
            with contextlib.suppress(OSError, ValueError):  # the terminal was closed
                err().print("interrupted; to resume, run:", Prose(Text(command), whole=True), sep="\n")
        return INTERRUPTED
    if isinstance(error, _UsageMistake):
        error.message = error.message.removeprefix("Value error, ")  # of pydantic, not of the user
        if sys.stderr is None:
            return error.exit_code
        if type(error).__name__ == "NoArgsIsHelpError":  # it shows the help
            error.show()
        else:
            command = getattr(getattr(error, "ctx", None), "command_path", "medbench-local")
            _say(error.format_message(), f"`{command} --help` shows what it takes.")
        return error.exit_code
    if isinstance(error, CancelledError):  # by who was asked, or by who stopped the work
        if sys.stderr is not None:
            err().print(plain(on_command_line(str(error))), markup=False)
        return INTERRUPTED
    if isinstance(error, MedbenchError):
        _say(on_command_line(error.message), on_command_line(error.advice))
        return BAD_INPUT
    if isinstance(error, BrokenPipeError):
        return DONE
    if isinstance(error, MemoryError):
        _say("out of memory.", "Close other programs, or choose a smaller precision with --quant.")
        return BAD_INPUT
    if isinstance(error, OSError) and error.errno in SYSTEM_ADVICE:
        _say(*_about_file(error))
        return BAD_INPUT
    if isinstance(error, UnicodeEncodeError):
        part = error.object[error.start : error.end][:20]
        _say(
            f"{part!a} cannot be written in the encoding {error.encoding}.",
            "Set PYTHONIOENCODING=utf-8; a name that is not UTF-8 has to be changed.",
        )
        return BAD_INPUT
    if sys.stdout is None and isinstance(error, AttributeError):
        _say("there is no stdout to write to.", "Send it to a file or a pipe instead of closing it.")
        return BAD_INPUT
    if isinstance(error, ValueError) and (problem := hub_address_problem()):
        _say(problem, ADDRESS_ADVICE)  # the hub's client reads it when it is imported, and ends there
        return BAD_INPUT
    _say(
        f"this should not have happened: {type(error).__name__}: {error}",
        "Run again with MEDBENCH_DEBUG=1 and report what it prints.",
    )
    return BAD_INPUT


def _about_file(error: OSError) -> tuple[str, str]:
    """What happened to which file, and what to do; without a name it was stdout that could not be written."""
    problem = error.strerror or os.strerror(error.errno or 0)
    if error.errno in TOO_MANY_FILES:
        return f"no more files can be opened: {problem}.", SYSTEM_ADVICE[error.errno]
    if error.filename is None:
        return f"what was asked for cannot be written: {problem}.", SYSTEM_ADVICE[error.errno or 0]
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    if len(name) > _LONGEST_SHOWN:
        name = f"{name[: _LONGEST_SHOWN // 2]}…{name[-_LONGEST_SHOWN // 2 :]}"
    return f"{name}: {problem}.", SYSTEM_ADVICE[error.errno or 0]


def _say(message: str, advice: str) -> None:
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):  # stderr full or closed: the exit code has to do
        said = plain(" ".join(message.split()))
        err().print(Prose(Text.assemble(("error:", "red"), f" {said}")))
        if advice:
            err().print(plain_lines(advice), markup=False)
