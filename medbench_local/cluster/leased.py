"""An engine of the cluster as others use it: implements `Engine` by an actor that is held until it is closed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from medbench_local.cluster.pool import Slot
from medbench_local.engine.base import (
    Bos,
    Closing,
    Engine,
    EngineInfo,
    Heard,
    OptionScores,
    Pack,
    Tokens,
    Trace,
    WorkDone,
)
from medbench_local.engine.several import Item, Result
from medbench_local.errors import EngineError, WorkerDied

_LOOK = 0.2
"""Seconds between two looks at what helpers left undone."""

WORTH_LOADING = 8
"""Packs for which a model is loaded by an engine that helps."""


class Lender(Protocol):
    """Where an engine is from."""

    def ask(self, slot: Slot, name: str, *arguments: Any, **named: Any) -> tuple[Any, WorkDone]:
        """What a method of the actor's engine gives, and the work done for it."""

    def think(self, slot: Slot, pack: Pack, heard: Heard) -> tuple[list[Trace], WorkDone]:
        """The same of `Engine.think`."""

    def give_back(self, slot: Slot, turn: int) -> None:
        """It is not needed any more by who had that turn."""

    def helper(self, like: LeasedEngine, *, loads: bool) -> Callable[[], LeasedEngine | None] | None:
        """An idle engine that gives the same bits; None if there is none now.

        Args:
            like: whom it is to help.
            loads: whether one will do that has to load the model first.

        Returns:
            What makes it ready, in the thread that will use it; that gives None if it cannot help after all.
        """

    def wanted(self, slot: Slot) -> bool:
        """Whether somebody else waits for it."""

    def stop(self) -> None:
        """End all work at once; see `medbench_local.engine.several.Engines.stop`."""


class LeasedEngine(Closing):
    """Implements `Engine`, and `Helped`; from one thread at a time.

    Args:
        lender: where it is from.
        slot: which one.
        info: of the model that it has loaded.
        model: how it was asked for.
    """

    def __init__(self, lender: Lender, slot: Slot, info: EngineInfo, model: Any) -> None:
        self._lender, self._slot, self._info, self._turn = lender, slot, info, slot.turn
        self.model = model
        self._work = WorkDone()
        self._counting = threading.Lock()
        self._open = True
        self._tokens_of: dict[str, int | None] = {}

    @property
    def slot(self) -> Slot:
        """Where it is."""
        return self._slot

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return self._info

    @property
    def work(self) -> WorkDone:
        """See `Engine.work`; with that of helpers."""
        return self._work

    def tokenize(self, texts: Sequence[str], *, special: bool, bos: Bos = "once") -> list[Tokens]:
        """See `Engine.tokenize`."""
        found: list[Tokens] = self._ask("tokenize", list(texts), special=special, bos=bos)
        return found

    def tokenize_parts(
        self, prompts: Sequence[Sequence[str | int | None]], *, special: bool, bos: Bos = "once"
    ) -> list[Tokens]:
        """See `Engine.tokenize_parts`."""
        found: list[Tokens] = self._ask("tokenize_parts", list(map(list, prompts)), special=special, bos=bos)
        return found

    def token_of(self, piece: str) -> int | None:
        """See `Engine.token_of`."""
        if piece not in self._tokens_of:
            self._tokens_of[piece] = self._ask("token_of", piece)
        return self._tokens_of[piece]

    def text_sizes(self, token_lists: Sequence[Tokens]) -> list[int]:
        """See `Engine.text_sizes`."""
        found: list[int] = self._ask("text_sizes", list(token_lists))
        return found

    def score(self, pack: Pack) -> list[OptionScores]:
        """See `Engine.score`."""
        found: list[OptionScores] = self._ask("score", pack)
        return found

    def generate(self, pack: Pack) -> list[str]:
        """See `Engine.generate`."""
        found: list[str] = self._ask("generate", pack)
        return found

    def think(self, pack: Pack, heard: Heard) -> list[Trace]:
        """See `Engine.think`."""
        self._need_open()
        traces, work = self._lender.think(self._slot, pack, heard)
        self.count(work)
        return traces

    def spell(self, token_lists: Sequence[Tokens]) -> list[str]:
        """See `Engine.spell`."""
        found: list[str] = self._ask("spell", list(token_lists))
        return found

    def close(self) -> None:
        """Give it back; its model stays loaded for who wants it next."""
        if self._open:
            self._open = False
            self._lender.give_back(self._slot, self._turn)

    def count(self, work: WorkDone) -> None:
        """Add what was done for its own work, here or by a helper."""
        with self._counting:
            self._work += work

    def each(
        self, work: Callable[[Engine, Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """See `medbench_local.engine.several.each`: this one works on, and idle ones of its kind join in.

        What a helper could not do is done here. Helpers that somebody else wants leave after the item they are at.
        """
        todo, done = deque(items), SimpleQueue[tuple[Item, Result]]()
        helping: list[Future[None]] = []

        def help_out(ready: Callable[[], LeasedEngine | None]) -> None:
            helper = ready()
            if helper is None:
                return
            with helper:
                while not self._lender.wanted(helper.slot):
                    try:
                        item = todo.popleft()
                    except IndexError:
                        return
                    try:
                        found = work(helper, item)
                    except EngineError:  # done here again, where the error is heard if it is the item's
                        todo.append(item)
                        return
                    except BaseException:
                        todo.append(item)
                        raise
                    self.count(helper.take_work())
                    done.put((item, found))

        left = len(items)
        failed: EngineError | None = None
        with ThreadPoolExecutor(len(items)) as threads:
            try:
                while left:
                    while len(todo) > 1:
                        ready = self._lender.helper(self, loads=len(todo) >= WORTH_LOADING)
                        if ready is None:
                            break
                        helping.append(threads.submit(help_out, ready))
                    try:
                        item = todo.popleft()
                    except IndexError:
                        with suppress(Empty):  # unless a helper failed, whose item is there again
                            yield done.get(timeout=_LOOK)
                            left -= 1
                        continue
                    try:
                        found = work(self, item)
                    except EngineError as error:
                        failed = error
                        break
                    yield item, found
                    left -= 1
                    while not done.empty():
                        yield done.get()
                        left -= 1
            except KeyboardInterrupt:  # helpers are at work that may take minutes
                self._lender.stop()
                raise
            finally:
                todo.clear()
        while not done.empty():  # what helpers were at when this one failed would be computed again
            yield done.get()
        if failed is not None:
            raise failed
        for one in helping:
            one.result()

    def take_work(self) -> WorkDone:
        """What was done since this was asked the last time."""
        with self._counting:
            found, self._work = self._work, WorkDone()
        return found

    def _ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        self._need_open()
        found, work = self._lender.ask(self._slot, name, *arguments, **named)
        self.count(work)
        return found

    def _need_open(self) -> None:
        if not self._open or self._slot.turn != self._turn:
            raise WorkerDied(f"{self._slot.name} is another one by now.")
