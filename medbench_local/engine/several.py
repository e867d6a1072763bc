"""Several engines instead of one: the seam between who has work for them and whatever runs them.

Nothing here says where they are. `medbench_local.cluster` implements it with Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from medbench_local.engine.base import Engine, EngineOptions
from medbench_local.errors import CancelledError

Item = TypeVar("Item")
Result = TypeVar("Result")


def being_stopped() -> CancelledError:
    """What ends everything that waits, or goes on, once all work is to end."""
    return CancelledError("The work is being stopped.", advice="What was finished is kept.")


@dataclass(frozen=True)
class Effort:
    """How much an engine is wanted for, about; decides who gets the next free one.

    Attributes:
        seconds: of work, once the model is loaded.
        loading: seconds that loading it takes.
    """

    seconds: float = 0.0
    loading: float = 0.0


ANY_EFFORT = Effort()
"""Of work whose length nobody knows."""


@dataclass(frozen=True)
class EngineState:
    """What one engine does.

    Attributes:
        busy: somebody works with it.
        speed: tokens that it has decoded a second, of the time in which it did; None before it has any.
    """

    busy: bool
    speed: float | None


class Crew(Protocol):
    """Engines of one kind: whichever of them answers, the bits are the same."""

    def start(self, path: Path, options: EngineOptions, effort: Effort = ANY_EFFORT) -> Engine:
        """An engine with this model, once one is free; closing it gives it back.

        Args:
            path: the model's file on this machine.
            options: how it is decoded.
            effort: how much it is wanted for.

        Raises:
            WorkerDied: the engine went away while the model was loaded.
            DoesNotFitError: the model does not fit into the memory that the engine has.
            EngineError: no engine is left, or the model cannot be loaded.
            CancelledError: the work is being stopped.
        """


class Engines(Protocol):
    """All engines that there are."""

    @property
    def memory(self) -> int:
        """Bytes that each may take for a model and its context."""

    @property
    def stopped(self) -> bool:
        """Whether all work was ended."""

    def crew(self) -> Crew:
        """Those of one kind, for one comparison."""

    def stop(self) -> None:
        """End all work at once; who waits for an engine, or for an answer, gets a `CancelledError`."""

    def describe(self) -> list[dict[str, Any]]:
        """What each is and where, for the manifest of a run."""

    def states(self) -> list[EngineState]:
        """What each that is there does now."""


@runtime_checkable
class Helped(Protocol):
    """An engine that idle ones of its kind help."""

    def each(
        self, work: Callable[[Engine, Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """See `each`."""


def each(
    engine: Engine, work: Callable[[Engine, Item], Result], items: Sequence[Item]
) -> Iterator[tuple[Item, Result]]:
    """What ``work`` makes of each item, as soon as it is known, in any order.

    Args:
        engine: does it, with the help of idle ones where there are any.
        work: is called with an engine and an item, perhaps in other threads.
        items: the work.

    Raises:
        EngineError: of the engine itself; what helpers could not do, it does.
    """
    if isinstance(engine, Helped) and len(items) > 1:
        yield from engine.each(work, items)
    else:
        for item in items:
            yield item, work(engine, item)
