"""A verification on the terminal: every check, what does not hold in red, what could not be checked in yellow."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from medbench_local.report import words
from medbench_local.results.run_verification import Outcome, State, Verification

_STYLES: Mapping[State | Outcome, str] = {
    "holds": "green",
    "does not hold": "bold red",
    "not checked": "yellow",
    "not settled": "bold yellow",
}


def show_verification(found: Verification) -> RenderableType:
    """Everything a verification found, for people; a check a line."""
    lines = [
        Text.assemble(
            (check.state, _STYLES[check.state]),
            "  ",
            (words.plain(check.what), "bold"),
            f": {words.plain(check.said)}",
        )
        for check in found.checks
    ]
    return Group(*lines, Text(words.plain(found.conclusion), style=_STYLES[found.outcome]))
