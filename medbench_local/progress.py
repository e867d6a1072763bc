"""How long work tells that it is getting on, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[float], None]


class Progress(Protocol):
    """Listens to long work: a live display, plain lines, or nothing."""

    def step(self, label: str, *, total: float | None, unit: str) -> AbstractContextManager[Advance]:
        """Announce one piece of work; call what the context gives with the amount done since the last call.

        Args:
            label: for people, "converting demo-med".
            total: amount of work in ``unit``, or None if unknown.
            unit: "B" for bytes, "tokens", "prompts", "tensors".
        """

    def note(self, text: str) -> None:
        """Say one line that stays."""


def _ignore(amount: float) -> None:
    """Nobody counts."""


class Silent:
    """A listener that says nothing."""

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:  # noqa: ARG002
        """See `Progress.step`."""
        yield _ignore

    def note(self, text: str) -> None:
        """See `Progress.note`."""
