"""The command line: parses, calls one function of the package, prints."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import Annotated

import typer

from medbench_local._version import __version__
from medbench_local.cli.errors import INTERRUPTED, report

app = typer.Typer(
    name="medbench-local",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Is a medical language model better than the model it was built from?",
    epilog="Start with: medbench-local compare demo-med demo-base",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medbench-local {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


_COMPLETE = "_MEDBENCH_LOCAL_COMPLETE"
"""Set by what `--install-completion` wrote for a shell."""


def _quiet() -> None:
    """Send everything that is said, tracebacks included, nowhere: it would stand in the line that is typed."""
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


_ENDING = ("SIGTERM", "SIGHUP", "SIGBREAK")
"""What ends a program from outside: a batch system or the machine that shuts down, a terminal that is closed."""


def _stop(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let what ends the program from outside end it as a Ctrl-C does: all is put away, and how to resume is said.

    What is ignored, as by nohup, stays ignored.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in _ENDING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                with suppress(OSError, ValueError):
                    before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: run the command line and exit with its code.

    Args:
        argv: the words after the program's name; None for those it was started with.
    """
    if os.environ.get(_COMPLETE, "").startswith("complete_"):  # a shell asks, and has no place for messages
        _quiet()
    from medbench_local.cli import commands

    if not app.registered_commands:
        commands.register(app)
    words = list(sys.argv[1:] if argv is None else argv)
    with _ended_in_order() if argv is None else nullcontext():  # a program that calls this keeps its own way
        code = _run(words)
        if argv is None:
            code = _written(code, words)
    sys.exit(code if isinstance(code, int) else 0)


def _written(code: object, words: Sequence[str]) -> object:
    """Write what is still in the buffers; what cannot be written is let go.

    Python would try again at its end, say so in its own words, and end with a code of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            if not code and stream is sys.stdout:
                code = report(error, words)
            with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
        except ValueError:  # it is closed
            continue
    return code


def _run(words: Sequence[str]) -> object:
    try:
        code = app(args=words, standalone_mode=False)
    except typer.Exit as end:
        code = end.exit_code
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        code = report(error, words)
    else:
        if code == INTERRUPTED:  # what some versions of typer make of a Ctrl-C, without a word
            code = report(KeyboardInterrupt(), words)
    return code
