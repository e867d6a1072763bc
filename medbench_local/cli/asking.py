"""The one place where a person is asked: only where somebody can answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from medbench_local.cli.output import err
from medbench_local.errors import UsageError
from medbench_local.text import plain

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def somebody_is_there() -> bool:
    """Whether a question would be seen and could be answered: stdin and stderr are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def confirmed(question: str) -> bool:
    """What a person answers to a question of yes or no."""
    return typer.confirm(plain(question), err=True)


def chosen(question: str, offered: Sequence[str]) -> int:
    """Which of several things a person wants, from 0; the first if nothing is said."""
    from rich.prompt import IntPrompt

    numbers = [str(number) for number in range(1, len(offered) + 1)]
    for number, text in zip(numbers, offered, strict=True):
        err().print(f"  {number}  {plain(text)}", markup=False)
    return IntPrompt.ask(question, choices=numbers, default=1, console=err()) - 1


def agreed(question: str, *, yes: bool) -> None:
    """Go on with something that cannot be undone only if a person agrees.

    Raises:
        Exit: no is answered.
        UsageError: nobody can be asked.
    """
    if yes:
        return
    if not somebody_is_there():
        raise UsageError("Nobody can be asked without a terminal.", advice="Say --yes if it is meant.")
    if not confirmed(question):
        err().print("nothing was removed")
        raise typer.Exit
