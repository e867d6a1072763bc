"""Who gets the next free engine, without any."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from medbench_local.cluster.pool import PATIENCE, RELOADS, Pool, Slot, Ticket
from medbench_local.engine.several import Effort
from medbench_local.errors import CancelledError, EngineError

SOON = 20.0
"""Seconds in which what must happen has happened."""


class Waiters:
    """Threads that wait for an engine."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._threads = pool, ThreadPoolExecutor(8)

    def wait(self, *tickets: Ticket) -> list[Future[Slot]]:
        """One for each ticket; all wait when this returns."""
        found = [self._threads.submit(self._pool.take, ticket) for ticket in tickets]
        while not all(ticket in self._pool._waiting for ticket in tickets):
            threading.Event().wait(0.001)
        return found

    def end(self) -> None:
        """Let all go."""
        self._pool.stop()
        self._threads.shutdown()


@pytest.fixture
def pool() -> Pool:
    """Without engines."""
    return Pool()


@pytest.fixture
def waiters(pool: Pool) -> Iterator[Waiters]:
    """Of that pool."""
    found = Waiters(pool)
    yield found
    found.end()


def _up(pool: Pool, number: int = 1, kind: str = "k", **about: Any) -> Slot:
    slot = Slot(number)
    pool.add(slot)
    pool.ready(slot, {"kind": kind, "host": "node", **about})
    return slot


def _state(slot: Slot) -> str:
    return slot.state


def _down(pool: Pool, number: int = 1) -> Slot:
    slot = Slot(number)
    pool.add(slot)
    return slot


def test_an_engine_that_is_not_up_is_not_given(pool: Pool, waiters: Waiters) -> None:
    slot = _down(pool)
    (waiting,) = waiters.wait(Ticket("model"))
    assert not waiting.done()
    pool.ready(slot, {"kind": "k"})
    assert waiting.result(SOON) is slot
    assert (slot.state, slot.turn) == ("busy", 1)


def test_the_longest_goes_first(pool: Pool, waiters: Waiters) -> None:
    slot = _down(pool)
    short, long, middle = waiters.wait(*(Ticket("model", effort=Effort(s)) for s in (1.0, 9.0, 5.0)))
    pool.ready(slot, {"kind": "k"})
    assert long.result(SOON) is slot
    assert [short.done(), middle.done()] == [False, False]
    pool.give_back(slot, slot.turn)
    assert middle.result(SOON) is slot
    assert not short.done()
    pool.give_back(slot, slot.turn)
    assert short.result(SOON) is slot


@pytest.mark.parametrize("longer", [False, True])
def test_a_model_is_reloaded_only_for_much_more_work(pool: Pool, waiters: Waiters, longer: bool) -> None:
    slot = _up(pool)
    pool.take(Ticket("loaded"))
    slot.loaded = "loaded"
    seconds = 1.0 + RELOADS * 2.0 + (1.0 if longer else -1.0)
    here = Ticket("loaded", effort=Effort(1.0, 2.0))
    other = Ticket("other", effort=Effort(seconds, 2.0))
    of_loaded, of_other = waiters.wait(here, other)
    pool.give_back(slot, slot.turn)
    first, second = (of_other, of_loaded) if longer else (of_loaded, of_other)
    assert first.result(SOON) is slot
    assert not second.done()


def test_of_several_engines_the_one_with_the_model_is_given(pool: Pool) -> None:
    slots = [_up(pool, number) for number in (1, 2, 3)]
    slots[1].loaded = "b"
    assert pool.take(Ticket("b", effort=Effort(5.0, 1.0))) is slots[1]
    assert pool.take(Ticket("a", effort=Effort(5.0, 1.0))) is slots[0]


def test_what_begins_while_all_engines_are_on_their_way_is_of_one_kind_all_the_same(pool: Pool) -> None:
    one, two, _ = _up(pool, 1, "k"), _up(pool, 2, "other"), _down(pool, 3)
    pool.lost(one)
    assert pool.kinds() == ["other"]
    pool.lost(two)
    assert pool.kinds() == ["k", "other"], "engines of any kind would answer it"


def test_an_engine_of_another_kind_will_not_do(pool: Pool, waiters: Waiters) -> None:
    other = _up(pool, 1, "other")
    (waiting,) = waiters.wait(Ticket("model", "kind"))
    assert not waiting.done()
    right = _up(pool, 2, "kind")
    assert waiting.result(SOON) is right
    assert other.state == "idle"
    assert pool.take_idle("model", "kind", loads=True) is None
    assert pool.take_idle("model", "other", loads=True) is other


def test_a_model_that_an_engine_cannot_load_goes_to_another_one(pool: Pool, waiters: Waiters) -> None:
    bad, good = _up(pool, 1), _up(pool, 2)
    assert pool.take(Ticket("model")) is bad
    assert pool.unfit(bad, "model", "k")
    pool.give_back(bad, bad.turn)
    assert pool.take(Ticket("model", "k")) is good
    (waiting,) = waiters.wait(Ticket("model", "k"))
    assert pool.take_idle("model", "k", loads=True) is None
    assert not pool.wanted(bad), "it is of no use to who waits"
    assert pool.take(Ticket("another", "k")) is bad
    pool.give_back(good, good.turn)
    assert waiting.result(SOON) is good


def test_what_fits_nowhere_is_said_and_may_be_tried_again(pool: Pool) -> None:
    one, two = _up(pool, 1), _up(pool, 2)
    _down(pool, 3)  # whether it ever comes nobody knows
    assert pool.unfit(one, "model", "k")
    assert not pool.unfit(two, "model", "k")
    assert pool.take(Ticket("model", "k")) in (one, two)


def test_an_engine_that_comes_anew_may_load_all_again(pool: Pool) -> None:
    slot, _ = _up(pool, 1), _up(pool, 2)
    assert pool.unfit(slot, "model", "k")
    pool.lost(slot)
    pool.ready(slot, {"kind": "k", "host": "node"})
    taken = [pool.take(Ticket("model", "k")) for _ in range(2)]
    assert taken[-1] is slot, "but one that nobody died with goes first"


def test_helpers_are_what_nobody_needs(pool: Pool, waiters: Waiters) -> None:
    first, second = _up(pool, 1), _up(pool, 2)
    second.loaded = "model"
    assert pool.take_idle("model", "k", loads=False) is second
    assert pool.take_idle("model", "k", loads=False) is None, "it would have to load"
    assert pool.take_idle("model", "k", loads=True) is first
    assert pool.take_idle("model", "k", loads=True) is None
    assert not pool.wanted(first)
    waiters.wait(Ticket("other", "k"))
    assert pool.wanted(first)
    pool.give_back(first, first.turn)
    assert not pool.wanted(second), "who waited has one"


def test_somebody_of_another_kind_wants_no_helper_back(pool: Pool, waiters: Waiters) -> None:
    slot = _up(pool, 1, "a")
    assert pool.take_idle("model", "a", loads=True) is slot
    waiters.wait(Ticket("model", "b"))
    assert not pool.wanted(slot)


def test_who_had_an_engine_that_went_away_gives_nothing_back(pool: Pool, waiters: Waiters) -> None:
    slot = _up(pool)
    pool.take(Ticket("model"))
    before = slot.turn
    slot.loaded = "model"
    pool.lost(slot)
    assert slot.loaded is None
    pool.give_back(slot, before)
    assert _state(slot) == "starting"
    pool.ready(slot, {"kind": "k"})
    assert pool.take(Ticket("other")) is slot
    pool.give_back(slot, before)
    assert _state(slot) == "busy", "it is another one's by now"
    (waiting,) = waiters.wait(Ticket("third"))
    assert not waiting.done()
    pool.give_back(slot, slot.turn)
    assert waiting.result(SOON) is slot


def test_giving_back_twice_takes_it_from_nobody(pool: Pool) -> None:
    slot = _up(pool)
    pool.take(Ticket("a"))
    turn = slot.turn
    pool.give_back(slot, turn)
    pool.take(Ticket("b"))
    pool.give_back(slot, turn)
    assert slot.state == "busy"


def test_who_waits_is_let_go_when_all_is_stopped(pool: Pool, waiters: Waiters) -> None:
    slot = _up(pool)
    pool.take(Ticket("model"))
    (waiting,) = waiters.wait(Ticket("model"))
    pool.stop()
    with pytest.raises(CancelledError):
        waiting.result(SOON)
    with pytest.raises(CancelledError):
        pool.take(Ticket("model"))
    pool.give_back(slot, slot.turn)
    assert pool.take_idle("model", "k", loads=True) is None
    assert pool.wanted(slot)
    with pytest.raises(CancelledError):
        pool.need_going()


def test_patience_has_an_end() -> None:
    now = [1000.0]
    pool = Pool(lambda: now[0])
    slot = _up(pool)
    pool.take(Ticket("model"))
    pool.lost(slot)
    waiters = Waiters(pool)
    (waiting,) = waiters.wait(Ticket("model", "k"))
    now[0] += PATIENCE - 1
    with pytest.raises(TimeoutError):
        waiting.result(1.5)
    now[0] += 2
    with pytest.raises(EngineError, match=r"No engine of the kind .* any more") as raised:
        waiting.result(SOON)
    assert "run the same command again" in raised.value.advice
    waiters.end()


def test_patience_begins_when_the_last_engine_goes() -> None:
    now = [0.0]
    pool = Pool(lambda: now[0])
    slot = _up(pool)
    pool.take(Ticket("model"))
    now[0] += 10 * PATIENCE  # of work, in which nobody waited
    pool.lost(slot)
    waiters = Waiters(pool)
    (waiting,) = waiters.wait(Ticket("model", "k"))
    with pytest.raises(TimeoutError):
        waiting.result(0.5)
    pool.ready(slot, {"kind": "k", "host": "node"})
    assert waiting.result(SOON) is slot
    waiters.end()


def test_engines_of_another_kind_are_told(pool: Pool) -> None:
    slot = _up(pool, 1, "kind")
    _up(pool, 2, "other")
    pool.lost(slot, for_good=True)
    now = pool._clock
    pool._clock = lambda: now() + 10 * PATIENCE
    with pytest.raises(EngineError, match="1 of another kind"):
        pool.take(Ticket("model", "kind"))


def test_where_every_node_is_refused_nobody_waits(pool: Pool) -> None:
    slot = _down(pool)
    pool.lost(slot, for_good=True)
    assert slot.state == "refused"
    with pytest.raises(EngineError, match="No engine is there"):
        pool.take(Ticket("model"))


def test_as_long_as_an_engine_is_busy_who_waits_goes_on_waiting() -> None:
    now = [0.0]
    pool = Pool(lambda: now[0])
    slot = _up(pool)
    pool.take(Ticket("model"))
    waiters = Waiters(pool)
    (waiting,) = waiters.wait(Ticket("model", "k"))
    now[0] += 100 * PATIENCE
    with pytest.raises(TimeoutError):
        waiting.result(2.5)
    pool.give_back(slot, slot.turn)
    assert waiting.result(SOON) is slot
    waiters.end()


def test_every_engine_is_one_at_a_time(pool: Pool) -> None:
    slots = [_up(pool, number) for number in (1, 2, 3)]
    had: dict[int, int] = dict.fromkeys((1, 2, 3), 0)
    most, lock = [0], threading.Lock()

    def work(number: int) -> None:
        slot = pool.take(Ticket(number % 2, effort=Effort(number % 5, 0.1)))
        turn = slot.turn
        with lock:
            had[slot.number] += 1
            most[0] = max(most[0], had[slot.number])
        slot.loaded = number % 2
        with lock:
            had[slot.number] -= 1
        pool.give_back(slot, turn)

    with ThreadPoolExecutor(12) as threads:
        for one in [threads.submit(work, number) for number in range(300)]:
            one.result(SOON)
    assert most == [1]
    assert {slot.state for slot in slots} == {"idle"}
    assert sum(slot.turn for slot in slots) == 300


def test_names_for_people() -> None:
    slot = Slot(2)
    assert (slot.name, slot.kind) == ("engine 2", "")
    slot.about = {"host": "node-a", "kind": "k"}
    assert (slot.name, slot.kind) == ("engine 2 on node-a", "k")
