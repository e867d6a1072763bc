"""What somebody who is there is asked before a comparison begins; nobody is asked twice, or about what was begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from medbench_local.errors import CancelledError
from medbench_local.progress import Advance, Asking, Progress
from medbench_local.study.plan import SAME_FILE
from medbench_local.study.tools import Tools

LONG = 3600.0
"""Seconds of expected decoding from which on it is asked whether that is meant."""

ITSELF = "Compare it with itself?"


class Consent:
    """Asks each question once, where the listener can be asked; elsewhere everything is agreed to.

    Args:
        tools: who listens, and how a plan is shown.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._same = self._long = False

    def to_the_same_model(self) -> None:
        """Say that a model is compared with itself, and ask whether that is meant.

        Raises:
            CancelledError: it is not.
        """
        if self._same:
            return
        self._same = True
        self._tools.progress.note(SAME_FILE)
        self._ask(ITSELF)

    def to_long_work(self, planned: Callable[[Tools], Any]) -> bool:
        """Show a plan that takes long, and ask whether to go on.

        Args:
            planned: makes the plan, with `seconds` and `assumed`, while somebody listens to what takes time; it is made
                only where somebody can be asked.

        Returns:
            Whether somebody was asked.

        Raises:
            CancelledError: no.
        """
        if self._long or not isinstance(self._tools.progress, Asking):
            return False
        self._long = True
        cost = planned(replace(self._tools, progress=_WithoutNotes(self._tools.progress)))
        if (
            cost.assumed or (cost.seconds or 0.0) < LONG
        ):  # what is assumed is missing, which ends the work anyway
            return False
        for line in self._tools.show_plan(cost).splitlines():
            self._tools.progress.note(line)
        self._ask(f"This takes about {cost.seconds / 3600:,.1f} hours here. Go on?")
        return True

    def _ask(self, question: str) -> None:
        progress = self._tools.progress
        if isinstance(progress, Asking) and not progress.confirm(question):
            raise CancelledError("Nothing was computed.")


class _WithoutNotes:
    """Passes on how work gets on; what is said beside it will be said again when the work is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `Progress.step`."""
        with self._progress.step(label, total=total, unit=unit) as advance:
            yield advance

    def note(self, text: str) -> None:
        """Nothing."""
