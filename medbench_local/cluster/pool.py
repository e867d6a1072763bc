"""Who gets the next free engine: bookkeeping without Ray, under one lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from medbench_local.engine.several import Effort, being_stopped
from medbench_local.errors import EngineError

State = Literal["starting", "idle", "busy", "refused"]

PATIENCE = 180.0
"""Seconds without any engine after which who waits for one is told so."""

_LOOK = 1.0
"""Seconds between two looks at whether there are engines at all."""

RELOADS = 20.0
"""A longer piece of work goes before one whose model is loaded only if it is longer by so many loadings."""


@dataclass(eq=False)
class Slot:
    """A place for an engine: what runs in it, and what it has loaded.

    Attributes:
        number: from 1.
        actor: the handle of its actor.
        about: what the actor said of itself; empty until it did.
        state: what it does.
        turn: counts who had it: an engine that went away has not the turn of the next one.
        loaded: what names the model that it has; None without one.
        info: what was said of that model.
        tokens: decoded so far.
        seconds: that this took.
        failed: how often in a row an engine for it ended before it was up.
        deaths: how often work ended with it: who has to try again rather gets another one.
        unfit: what names models that it cannot load, as far as is known.
    """

    number: int
    actor: Any = None
    about: dict[str, Any] = field(default_factory=dict)
    state: State = "starting"
    turn: int = 0
    loaded: object = None
    info: object = None
    tokens: int = 0
    seconds: float = 0.0
    failed: int = 0
    deaths: int = 0
    unfit: set[object] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """The same where the same file gives the same bits."""
        return str(self.about.get("kind", ""))

    @property
    def name(self) -> str:
        """For people: "engine 2 on node-a"."""
        return f"engine {self.number}" + (f" on {self.about['host']}" if self.about else "")


@dataclass(eq=False)
class Ticket:
    """Somebody who waits for an engine.

    Attributes:
        wanted: what names the model.
        kind: of engines that will do; "" for any.
        effort: how much it is wanted for.
        slot: the engine, once it is there.
        come: is told of it; has the pool's lock.
    """

    wanted: object
    kind: str = ""
    effort: Effort = field(default_factory=Effort)
    slot: Slot | None = None
    come: threading.Condition = field(default_factory=threading.Condition)

    def worth(self, slot: Slot) -> float:
        """The larger, the sooner this one gets the engine."""
        here = slot.loaded == self.wanted
        return self.effort.seconds - (0.0 if here else RELOADS * self.effort.loading)

    def may_have(self, slot: Slot) -> bool:
        """Whether that engine will do."""
        return self.kind in ("", slot.kind) and self.wanted not in slot.unfit


class Pool:
    """Engines and those who wait for them.

    Args:
        clock: seconds, from any moment on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._one = threading.RLock()
        self._clock = clock
        self._waiting: list[Ticket] = []
        self._alive_at = clock()
        self.slots: list[Slot] = []
        self.stopped = False

    def add(self, slot: Slot) -> None:
        """One more place, whose engine is on its way."""
        with self._one:
            self.slots.append(slot)

    def ready(self, slot: Slot, about: dict[str, Any]) -> None:
        """Its engine has come."""
        with self._one:
            slot.about, slot.loaded, slot.state = about, None, "idle"
            slot.failed = 0
            slot.unfit.clear()
            self._assign()

    def lost(self, slot: Slot, *, for_good: bool = False) -> None:
        """Its engine went away; another one is on its way unless it is ``for_good``."""
        with self._one:
            if slot.state in ("idle", "busy"):  # until now there was one
                self._alive_at = self._clock()
            slot.loaded, slot.state = None, "refused" if for_good else "starting"
            slot.turn += 1
            slot.deaths += 1

    def unfit(self, slot: Slot, wanted: object, kind: str) -> bool:
        """Note that an engine cannot load a model; who wants it gets others.

        Once none is left all may be tried again: what does not fit now may fit later.

        Args:
            slot: the engine.
            wanted: what names the model.
            kind: of engines that will do; "" for any.

        Returns:
            Whether there are others.
        """
        with self._one:
            slot.unfit.add(wanted)
            there = (one for one in self.slots if one.state in ("idle", "busy"))
            others = [one for one in there if kind in ("", one.kind)]
            left = any(wanted not in one.unfit for one in others)
            if not left:
                for one in others:
                    one.unfit.discard(wanted)
                self._assign()
            return left

    def stop(self) -> None:
        """Let everybody go who waits."""
        with self._one:
            self.stopped = True
            for ticket in self._waiting:
                ticket.come.notify()

    def take(self, ticket: Ticket) -> Slot:
        """An engine, once there is one.

        Raises:
            CancelledError: the work is being stopped.
            EngineError: there is none any more.
        """
        # Each its own: hundreds of threads wait, and most of what happens is news to one of them.
        ticket.come = threading.Condition(self._one)
        with self._one:
            self._waiting.append(ticket)
            self._assign()
            try:
                while ticket.slot is None:
                    self.need_going()
                    self._need_engines(ticket)
                    ticket.come.wait(_LOOK)
            except BaseException:
                if ticket.slot is not None:
                    self._free(ticket.slot, ticket.slot.turn)
                raise
            finally:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
            return ticket.slot

    def take_idle(self, wanted: object, kind: str, *, loads: bool) -> Slot | None:
        """An engine that nobody has and nobody waits for, one with the model first; None if there is none now.

        Args:
            wanted: what names the model.
            kind: of engines that will do.
            loads: whether one without the model will do.
        """
        with self._one:
            idle = [
                slot
                for slot in self.slots
                if slot.state == "idle"
                and slot.kind == kind
                and (slot.loaded == wanted or (loads and wanted not in slot.unfit))
            ]
            if self.stopped or not idle:
                return None
            slot = max(idle, key=lambda one: one.loaded == wanted)
            self._give(slot)
            return slot

    def give_back(self, slot: Slot, turn: int) -> None:
        """The engine is free again, if it is still the one of that turn."""
        with self._one:
            self._free(slot, turn)

    def wanted(self, slot: Slot) -> bool:
        """Whether somebody waits for this engine for work of their own."""
        with self._one:
            return self.stopped or any(ticket.may_have(slot) for ticket in self._waiting)

    def need_going(self) -> None:
        """See that the work goes on.

        Raises:
            CancelledError: it is being stopped.
        """
        if self.stopped:
            raise being_stopped()

    def kinds(self) -> Sequence[str]:
        """The kinds of the engines that are there, one for each; of those that were, while all are on their way."""
        with self._one:
            there = [slot.kind for slot in self.slots if slot.state in ("idle", "busy")]
            return there or [slot.kind for slot in self.slots if slot.about and slot.state == "starting"]

    def _need_engines(self, ticket: Ticket) -> None:
        usable = [slot for slot in self.slots if slot.state in ("idle", "busy")]
        if any(map(ticket.may_have, usable)):
            self._alive_at = self._clock()
        elif self._clock() - self._alive_at > PATIENCE or all(s.state == "refused" for s in self.slots):
            others = f"; {len(usable)} of another kind are" if usable else ""
            raise EngineError(
                f"No engine{' of the kind that this comparison began with' if ticket.kind else ''} is there any "
                f"more{others}.",
                advice="See that the nodes are up and run the same command again: it goes on from what is there.",
            )

    def _give(self, slot: Slot) -> None:
        slot.state = "busy"
        slot.turn += 1

    def _free(self, slot: Slot, turn: int) -> None:
        if slot.state == "busy" and slot.turn == turn:
            slot.state = "idle"
        self._assign()

    def _assign(self) -> None:
        """Give idle engines to those who wait: of all that could be given, what is worth most goes first."""
        while True:
            fitting = [
                (ticket.worth(slot), slot.loaded == ticket.wanted, -slot.deaths, -slot.number, slot, ticket)
                for slot in self.slots
                if slot.state == "idle"
                for ticket in self._waiting
                if ticket.may_have(slot)
            ]
            if not fitting:
                break
            *_, slot, ticket = max(fitting, key=lambda one: one[:4])
            self._waiting.remove(ticket)
            self._give(slot)
            ticket.slot = slot
            ticket.come.notify()
