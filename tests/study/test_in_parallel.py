"""All comparisons at once: what goes wrong in one ends no other, and an interrupt ends all."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from medbench_local.errors import CancelledError, MedbenchError, WorkerDied
from medbench_local.progress import Silent
from medbench_local.results.record import ROLES, Role
from medbench_local.study.in_parallel import take_all
from medbench_local.study.plan import CellKey

GROUPS: list[tuple[CellKey, ...]] = [(("a", 0, None),), (("b", 0, None), ("b", 0, "both")), (("c", 3, None),)]
SOON = 20.0


class Parts:
    """Does nothing, and keeps what it was asked to do."""

    def __init__(self, fails: dict[tuple[str, str], BaseException] | None = None) -> None:
        self._fails = fails or {}
        self._lock = threading.Lock()
        self.begun: list[tuple[str, str]] = []
        self.done: list[tuple[str, str]] = []

    def answer(self, role: Role, cells: Sequence[CellKey]) -> None:
        """See `medbench_local.study.in_parallel.Parts.answer`."""
        self._take(role, cells)

    def finish(self, cells: Sequence[CellKey]) -> None:
        """See `medbench_local.study.in_parallel.Parts.finish`."""
        with self._lock:
            assert {(role, cells[0][0]) for role in ROLES} <= set(self.done), "both have answered"
        self._take("finish", cells)

    def _take(self, what: str, cells: Sequence[CellKey]) -> None:
        one = (what, cells[0][0])
        with self._lock:
            self.begun.append(one)
        if one in self._fails:
            raise self._fails[one]
        with self._lock:
            self.done.append(one)


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        """See `medbench_local.progress.Progress.note`."""
        self.said.append(text)


def _longest() -> dict[tuple[Role, tuple[CellKey, ...]], float]:
    return {(role, group): 1.0 for role in ROLES for group in GROUPS}


def _take(parts: Parts, notes: Notes) -> None:
    def stop() -> None:
        raise AssertionError("nobody interrupts")

    take_all(parts, GROUPS, _longest(), stop=stop, progress=notes)


def test_all_is_answered_once_and_then_finished() -> None:
    parts, notes = Parts(), Notes()
    _take(parts, notes)
    assert sorted(parts.done) == sorted((what, task) for what in (*ROLES, "finish") for task in "abc")
    assert parts.begun.count(("finish", "b")) == 1
    assert notes.said == []


def test_the_longest_is_begun_first(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, begun = Parts(), list[Any]()

    class Watched(ThreadPoolExecutor):
        """Keeps what is handed to it."""

        def submit(self, work: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
            if work == parts.answer:
                begun.append(arguments)
            return super().submit(work, *arguments, **named)

    monkeypatch.setattr("medbench_local.study.in_parallel.ThreadPoolExecutor", Watched)
    longest = {one: float(number) for number, one in enumerate(_longest())}
    take_all(parts, GROUPS, longest, stop=lambda: None, progress=Silent())
    assert begun == list(longest)[::-1]


def test_what_fails_ends_no_other_and_is_raised_at_the_end() -> None:
    parts = Parts({("medical", "b"): WorkerDied("It died.", advice="Mend it.")})
    notes = Notes()
    with pytest.raises(WorkerDied, match="It died"):
        _take(parts, notes)
    assert {("finish", "a"), ("finish", "c"), ("base", "b")} <= set(parts.done)
    assert ("finish", "b") not in parts.begun, "a model did not answer"
    assert notes.said == ["warning: b, 0-shot: It died. The other comparisons go on."]


def test_what_fails_at_the_end_of_one_is_raised() -> None:
    parts = Parts({("finish", "c"): MedbenchError("No room."), ("finish", "a"): MedbenchError("No room.")})
    notes = Notes()
    with pytest.raises(MedbenchError, match="No room"):
        _take(parts, notes)
    assert ("finish", "b") in parts.done
    assert sorted(notes.said) == [
        f"warning: {name}-shot: No room. The other comparisons go on." for name in ("a, 0", "c, 3")
    ]


def test_what_was_only_cancelled_is_not_what_went_wrong() -> None:
    cancelled: dict[tuple[str, str], BaseException] = {
        (role, task): CancelledError("Stopped.") for role in ROLES for task in "ac"
    }
    notes = Notes()
    with pytest.raises(WorkerDied):
        _take(Parts(cancelled | {("base", "b"): WorkerDied("It died.")}), notes)
    assert len(notes.said) == 1
    with pytest.raises(CancelledError):
        _take(Parts(cancelled), Notes())


def test_a_defect_of_the_program_is_raised_as_it_is() -> None:
    parts = Parts({("medical", "a"): ZeroDivisionError()})
    with pytest.raises(ZeroDivisionError):
        _take(parts, Notes())
    assert ("finish", "b") in parts.done


def test_an_interrupt_stops_all(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    waiting = threading.Barrier(2 * len(GROUPS) + 1)

    class Waits(Parts):
        def answer(self, role: Role, cells: Sequence[CellKey]) -> None:
            waiting.wait(SOON)
            if not stopped.wait(SOON):
                raise AssertionError("nobody stopped it")
            raise CancelledError("Stopped.")

    def interrupted(*_: object, **__: object) -> None:
        waiting.wait(SOON)  # all are at work
        raise KeyboardInterrupt

    monkeypatch.setattr("medbench_local.study.in_parallel.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        take_all(Waits(), GROUPS, _longest(), stop=stopped.set, progress=Silent())
    assert stopped.is_set()
