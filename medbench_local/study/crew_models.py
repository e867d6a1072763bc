"""The models of a comparison on a cluster: each piece of work gets an engine that has its model, and gives it back."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from medbench_local.engine.several import Crew, Effort, Engines, being_stopped
from medbench_local.scoring.answers import Meter
from medbench_local.scoring.session import ModelSession, StartEngine
from medbench_local.study.loaded_models import Seat
from medbench_local.study.plan import CellKey

OpenSession = Callable[[Seat, StartEngine, Meter], ModelSession]
"""Makes a session, not entered yet."""

_LOOK = 0.5
"""Seconds between two looks at whether the work goes on."""


class Turns:
    """One at a time on what is the same: what the first one scores, the others find in its store.

    Comparisons that share a model ask it the same, and would compute it at the same time otherwise.
    """

    def __init__(self) -> None:
        self._locks: defaultdict[object, threading.Lock] = defaultdict(threading.Lock)
        self._models: defaultdict[Path, set[str]] = defaultdict(set)
        self._one = threading.Lock()
        self._had: set[object] = set()

    def begin(self, store: Path, models: Collection[str]) -> None:
        """A comparison that keeps its scores in ``store`` asks these models, named as of `CrewModels`."""
        with self._one:
            self._models[store.resolve()] |= set(models)

    def without_strangers(self, store: Path, others: Sequence[Path]) -> list[Path]:
        """Those of other stores that may hold what this comparison asks: not of those that ask no model of its.

        Each store is opened for each look-up: ten comparisons that begin together would look for everything in all.
        """
        with self._one:
            own = self._models[store.resolve()]
            return [other for other in others if own & self._models.get(other.resolve(), own)]

    @contextmanager
    def of(self, things: Sequence[object], engines: Engines) -> Iterator[bool]:
        """Hold all of ``things``; gives whether somebody else had one of them before.

        Raises:
            CancelledError: the work is being stopped.
        """
        with self._one:
            locks = [self._locks[thing] for thing in dict.fromkeys(things)]
        with ExitStack() as held:
            # Everybody takes them in the order of the tasks, so that nobody waits in a circle.
            for lock in locks:
                while not lock.acquire(timeout=_LOOK):
                    if engines.stopped:
                        raise being_stopped()
                held.callback(lock.release)
            with self._one:
                before = not self._had.isdisjoint(things)
                self._had.update(things)
            yield before


class CrewModels:
    """Sessions with engines of one kind, one for each piece of work.

    Args:
        open_session: makes a session.
        crew: the engines.
        engines: all that there are.
        turns: keeps apart those who would ask the same.
        model_of: what names a model at a precision: the hash of its file.
        meet: called before work on what somebody else has worked on: scores may be at hand by now.
    """

    def __init__(
        self,
        open_session: OpenSession,
        crew: Crew,
        engines: Engines,
        *,
        turns: Turns,
        model_of: Callable[[Seat], str],
        meet: Callable[[], None],
    ) -> None:
        self._open_session, self._crew, self._engines = open_session, crew, engines
        self._turns, self._model_of, self._meet = turns, model_of, meet

    @contextmanager
    def visit(
        self, seat: Seat, meter: Meter, effort: Effort, cells: Sequence[CellKey]
    ) -> Iterator[ModelSession]:
        """A session with the model, once an engine is free; given back with the block.

        Args:
            seat: which model.
            meter: counts the work.
            effort: how much it is, about.
            cells: that are answered.
        """
        name = self._model_of(seat)
        asked = [(name, *key[:2]) for key in cells]
        with self._turns.of(sorted(asked), self._engines) as had_before:
            if had_before:
                self._meet()
            start: StartEngine = partial(self._crew.start, effort=effort)
            with self._open_session(seat, start, meter) as session:
                yield session
