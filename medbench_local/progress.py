"""How long work tells that it is getting on, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable
from weakref import WeakKeyDictionary


class Advance(Protocol):
    """Takes the amount of work done since the last call."""

    def __call__(self, amount: float, /, *, known: bool = False) -> None:
        """Count ``amount``; ``known``: it was done before or need not be done, and says nothing about the speed."""


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


@runtime_checkable
class Asking(Progress, Protocol):
    """A listener that can be asked."""

    def confirm(self, question: str) -> bool:
        """Whether to go on. Only a listener that somebody can answer has this."""


@runtime_checkable
class Showing(Progress, Protocol):
    """A listener that can show a line that changes."""

    def show(self, text: Callable[[], str]) -> AbstractContextManager[None]:
        """Show what ``text`` gives, asked anew now and then, from any thread, for as long as the block runs."""


def _ignore(amount: float, *, known: bool = False) -> None:
    """Nobody counts."""


_told: WeakKeyDictionary[Progress, set[str]] = WeakKeyDictionary()


def note_once(progress: Progress, text: str) -> None:
    """Say one line to a listener that has not heard it yet: the pairs of a sweep read the same questions."""
    told = _told.setdefault(progress, set())
    if text not in told:
        told.add(text)
        progress.note(text)


class Silent:
    """A listener that says nothing."""

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:  # noqa: ARG002
        """See `Progress.step`."""
        yield _ignore

    def note(self, text: str) -> None:
        """See `Progress.note`."""
