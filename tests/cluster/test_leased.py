"""An engine that idle ones of its kind help, with engines that are none."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from medbench_local.cluster.leased import WORTH_LOADING, LeasedEngine
from medbench_local.cluster.pool import Slot
from medbench_local.engine.base import Engine, EngineInfo, Heard, Pack, Trace, WorkDone
from medbench_local.engine.fake import FakeEngine
from medbench_local.engine.several import Helped, each
from medbench_local.errors import CancelledError, EngineError, WorkerDied

SOON = 20.0

Ask = Callable[[Slot, Any], Any]


class Lending:
    """Lends engines that double numbers; keeps who did what.

    Args:
        helpers: how many there are beside the one that is asked for.
        answer: replaces doubling; is called in the thread of whoever computes.
    """

    def __init__(self, helpers: int, answer: Ask | None = None) -> None:
        self._answer = answer or (lambda _slot, item: 2 * item)
        self._lock = threading.Lock()
        self.idle = [Slot(number, turn=1) for number in range(2, 2 + helpers)]
        self.did: list[tuple[int, Any]] = []
        self.back: list[tuple[int, int]] = []
        self.wants: set[int] = set()
        self.loading: set[int] = set()
        self.broken: set[int] = set()
        self.lent = 0
        self.stopped = threading.Event()

    def engine(self) -> LeasedEngine:
        """The one that has the work."""
        return LeasedEngine(self, Slot(1, turn=1), FakeEngine().info, "model")

    def ask(self, slot: Slot, name: str, *arguments: Any, **_: Any) -> tuple[Any, WorkDone]:
        """See `Lender.ask`; the name is that of nothing real."""
        assert name == "token_of"
        found = self._answer(slot, int(arguments[0]))
        with self._lock:
            self.did.append((slot.number, int(arguments[0])))
        return found, WorkDone(1, 0.5)

    def think(self, slot: Slot, pack: Pack, heard: Heard) -> tuple[list[Trace], WorkDone]:
        """See `Lender.think`."""
        raise NotImplementedError

    def give_back(self, slot: Slot, turn: int) -> None:
        """See `Lender.give_back`."""
        with self._lock:
            self.back.append((slot.number, turn))
            if slot.number > 1:
                self.idle.append(slot)

    def helper(self, like: LeasedEngine, *, loads: bool) -> Callable[[], LeasedEngine | None] | None:
        """See `Lender.helper`; those of ``loading`` have another model."""
        with self._lock:
            free = [
                slot
                for slot in self.idle
                if slot.number not in self.wants and (loads or slot.number not in self.loading)
            ]
            if not free:
                return None
            self.idle.remove(free[0])
            self.lent += 1
            helper = LeasedEngine(self, free[0], like.info, like.model)
        return lambda: self._ready(helper)

    def _ready(self, helper: LeasedEngine) -> LeasedEngine | None:
        if helper.slot.number not in self.broken:
            return helper
        with self._lock:  # it never comes
            self.back.append((helper.slot.number, helper.slot.turn))
        return None

    def wanted(self, slot: Slot) -> bool:
        """See `Lender.wanted`."""
        return slot.number in self.wants

    def stop(self) -> None:
        """See `Lender.stop`."""
        self.stopped.set()


def _double(engine: Engine, item: int) -> int:
    found = engine.token_of(str(item))
    assert found is not None
    return found


def _all(engine: Engine, items: Sequence[int]) -> list[tuple[int, int]]:
    return sorted(each(engine, _double, items))


def _doubled(items: Sequence[int]) -> list[tuple[int, int]]:
    return [(item, 2 * item) for item in items]


def test_helpers_do_their_part_and_nothing_is_done_twice() -> None:
    both = threading.Barrier(3)

    def answer(_: Slot, item: int) -> int:
        if item < 3:
            both.wait(SOON)  # three are at work at the same time, or nothing ends
        return 2 * item

    lending = Lending(2, answer)
    engine = lending.engine()
    assert _all(engine, range(50)) == _doubled(range(50))
    assert Counter(item for _, item in lending.did) == Counter(range(50))
    assert {number for number, _ in lending.did} == {1, 2, 3}
    assert engine.work == WorkDone(50, 25.0), "what helpers did for it is its work"
    assert len(lending.back) == lending.lent, "all that was lent is back"


def test_without_helpers_it_does_all_in_order() -> None:
    lending = Lending(0)
    engine = lending.engine()
    assert isinstance(engine, Helped)
    assert list(each(engine, _double, [5, 3, 4])) == [(5, 10), (3, 6), (4, 8)]
    assert lending.did == [(1, 5), (1, 3), (1, 4)]


def test_one_item_needs_no_help() -> None:
    lending = Lending(2)
    assert list(each(lending.engine(), _double, [7])) == [(7, 14)]
    assert list(each(lending.engine(), _double, [])) == []
    assert (lending.lent, lending.did) == (0, [(1, 7)])


def test_an_engine_that_nobody_helps_is_asked_for_each_itself() -> None:
    assert not isinstance(FakeEngine(), Helped)
    asked = []

    def work(engine: Engine, item: int) -> int:
        asked.append((engine, item))
        return item

    engine = FakeEngine()
    assert list(each(engine, work, [2, 1])) == [(2, 2), (1, 1)]
    assert asked == [(engine, 2), (engine, 1)]


@pytest.mark.parametrize("error", [WorkerDied("It died."), EngineError("It is broken.")])
def test_what_helpers_could_not_do_is_done_all_the_same(error: EngineError) -> None:
    failed = []

    def answer(slot: Slot, item: int) -> int:
        if slot.number > 1:
            failed.append(item)
            raise error
        time.sleep(0.002)
        return 2 * item

    lending = Lending(1, answer)
    assert _all(lending.engine(), range(20)) == _doubled(range(20))
    assert failed
    assert lending.did == [(1, item) for _, item in lending.did]
    assert Counter(item for _, item in lending.did) == Counter(range(20))


def test_the_last_item_that_a_helper_could_not_do_is_waited_for() -> None:
    left = threading.Event()

    def answer(slot: Slot, item: int) -> int:
        if slot.number == 1:
            left.set()
            return 2 * item
        assert left.wait(SOON)  # the engine itself has nothing else to do by now
        time.sleep(0.5)
        raise WorkerDied("It died.")

    lending = Lending(1, answer)
    assert _all(lending.engine(), [1, 2]) == _doubled([1, 2])
    assert {number for number, _ in lending.did} == {1}


def test_what_it_cannot_do_itself_is_its_error() -> None:
    def answer(_: Slot, item: int) -> int:
        if item == 5:
            raise EngineError("Nobody can do this.")
        return 2 * item

    lending = Lending(2, answer)
    found: list[tuple[int, int]] = []
    with pytest.raises(EngineError, match="Nobody can do this"):
        found.extend(each(lending.engine(), _double, range(10)))
    assert set(found) <= set(_doubled(range(10)))
    assert len(lending.back) == lending.lent


def test_what_helpers_had_finished_when_it_died_is_kept() -> None:
    """Packs that were scored are not scored again because another one killed the engine."""
    begun, helped = threading.Event(), threading.Event()

    def answer(slot: Slot, item: int) -> int:
        if slot.number == 1:
            begun.set()
            assert helped.wait(SOON)
            raise WorkerDied("It died.")
        assert begun.wait(SOON)
        if item == 4:
            helped.set()
            time.sleep(0.2)  # it is at it still when the engine dies
        return 2 * item

    lending = Lending(1, answer)
    found: list[tuple[int, int]] = []
    with pytest.raises(WorkerDied):
        found.extend(each(lending.engine(), _double, range(5)))
    assert len(found) == 4
    assert sorted(found) == sorted((item, 2 * item) for _, item in lending.did)


def test_a_helper_that_is_wanted_elsewhere_leaves_after_its_item() -> None:
    began = threading.Event()

    def answer(slot: Slot, item: int) -> int:
        if slot.number == 2:
            lending.wants.add(2)
            began.set()
        else:
            assert began.wait(SOON)
        return 2 * item

    lending = Lending(1, answer)
    assert _all(lending.engine(), range(20)) == _doubled(range(20))
    assert [number for number, _ in lending.did].count(2) == 1
    assert lending.back == [(2, 1)]


def test_a_model_is_loaded_to_help_only_where_that_is_worth_it() -> None:
    for count, worth in ((WORTH_LOADING - 1, False), (WORTH_LOADING, True)):
        lending = Lending(1)
        lending.loading = {2}
        assert _all(lending.engine(), range(count)) == _doubled(range(count))
        assert bool(lending.lent) == worth


def test_a_helper_that_cannot_load_the_model_is_done_without() -> None:
    lending = Lending(2)
    lending.broken = {2}
    assert _all(lending.engine(), range(20)) == _doubled(range(20))
    assert {number for number, _ in lending.did} <= {1, 3}
    assert len(lending.back) == lending.lent


def test_an_interrupt_of_a_helper_is_heard() -> None:
    def answer(slot: Slot, item: int) -> int:
        if slot.number == 2:
            raise CancelledError("The work is being stopped.")
        time.sleep(0.05)
        return 2 * item

    with pytest.raises(CancelledError):
        _all(Lending(1, answer).engine(), range(4))


def test_an_interrupt_waits_for_no_helper() -> None:
    """Ctrl-C where the packs of one model are scored: those of a large one take minutes."""
    at_work = threading.Event()

    def answer(slot: Slot, item: int) -> int:
        if slot.number == 1:
            assert at_work.wait(SOON)
            raise KeyboardInterrupt
        at_work.set()
        assert lending.stopped.wait(SOON), "nobody ended its work"
        raise CancelledError("The work is being stopped.")

    lending = Lending(1, answer)
    with pytest.raises(KeyboardInterrupt):
        _all(lending.engine(), range(10))
    assert lending.did == []


def test_it_is_given_back_once_and_then_answers_nothing() -> None:
    lending = Lending(0)
    engine = lending.engine()
    with engine:
        assert engine.token_of("4") == 8
        assert engine.token_of("4") == 8, "a token is asked for once"
    engine.close()
    assert lending.did == [(1, 4)]
    assert lending.back == [(1, 1)]
    with pytest.raises(WorkerDied):
        engine.token_of("5")


def test_the_engine_of_another_turn_answers_nothing() -> None:
    """Its place went on without it: what it would ask is another model's."""
    lending = Lending(0)
    engine = lending.engine()
    engine.slot.turn += 1
    for ask in (
        lambda: engine.token_of("5"),
        lambda: engine.score(Pack((), ())),
        lambda: engine.think(Pack((), ()), lambda *_: None),
    ):
        with pytest.raises(WorkerDied, match="engine 1 is another one by now"):
            ask()
    assert lending.did == []


def test_it_says_what_it_was_given() -> None:
    info: EngineInfo = FakeEngine("some").info
    engine = LeasedEngine(Lending(0), Slot(3, turn=4), info, "model")
    assert engine.info is info
    assert engine.work == WorkDone()
