"""Comparisons that share a model take turns, and each piece of work gives its engine back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medbench_local.engine.base import EngineOptions
from medbench_local.engine.several import Effort
from medbench_local.errors import CancelledError
from medbench_local.scoring.answers import Meter
from medbench_local.study.crew_models import CrewModels, Turns
from medbench_local.study.loaded_models import Seat
from medbench_local.study.plan import CellKey

SOON = 20.0


def _engines(*, stopped: bool = False) -> Any:
    return SimpleNamespace(stopped=stopped)


def test_one_at_a_time_on_what_is_the_same() -> None:
    turns, there, most = Turns(), [0], [0]
    lock = threading.Lock()
    both = threading.Barrier(2)

    def same(_: int) -> bool:
        with turns.of(["model", "other"], _engines()) as waited:
            with lock:
                there[0] += 1
                most[0] = max(most[0], there[0])
            threading.Event().wait(0.01)
            with lock:
                there[0] -= 1
        return waited

    with ThreadPoolExecutor(6) as threads:
        waited = list(threads.map(same, range(6)))
    assert most == [1]
    assert not all(waited), "the first did not wait"
    assert any(waited)

    def others(thing: str) -> bool:
        with turns.of([thing], _engines()) as waited:
            both.wait(SOON)  # at the same time, or nothing ends
        return waited

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(others, ["one", "two"])) == [False, False]


def test_who_comes_later_knows() -> None:
    turns = Turns()
    holding, go = threading.Event(), threading.Event()

    def hold() -> bool:
        with turns.of(["a"], _engines()) as waited:
            holding.set()
            go.wait(SOON)
        return waited

    def after() -> bool:
        with turns.of(["b", "a", "a"], _engines()) as waited:
            return waited

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(hold)
        assert holding.wait(SOON)
        second = threads.submit(after)
        threading.Event().wait(0.1)
        assert not second.done()
        go.set()
        assert (first.result(SOON), second.result(SOON)) == (False, True)
    with turns.of(["a", "b"], _engines()) as had:  # all is free again
        assert had, "what the others scored lies in their stores, even if nobody waits for it any more"
    with turns.of(["c"], _engines()) as had:
        assert not had


def test_who_waits_when_the_work_is_stopped_is_let_go() -> None:
    turns, engines = Turns(), _engines()

    def late() -> None:
        with turns.of(["free", "held"], engines):
            raise AssertionError("it is another one's")

    with turns.of(["held"], engines), ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(late)
        threading.Event().wait(0.1)
        assert not waiting.done()
        engines.stopped = True
        with pytest.raises(CancelledError):
            waiting.result(SOON)
    with turns.of(["free"], engines) as waited:
        assert not waited, "what it held is free"


def test_an_error_frees_what_was_held() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.of(["a"], _engines()):
        raise ZeroDivisionError
    with turns.of(["a"], _engines()):
        pass


class Models:
    """Two runs' models, whose sessions keep what happened."""

    def __init__(self, turns: Turns) -> None:
        self.said: list[Any] = []
        self.models = CrewModels(
            self._open,
            self,  # type: ignore[arg-type]
            _engines(),
            turns=turns,
            model_of=lambda seat: "shared" if seat.role == "base" else "own",
            meet=lambda: self.said.append("meet"),
        )

    def start(self, path: Path, options: EngineOptions, effort: Effort) -> Any:
        """Of a crew."""
        self.said.append(effort)

    def _open(self, seat: Seat, start: Any, meter: Meter) -> Any:
        start(Path("model.gguf"), EngineOptions())
        models = self

        class Session:
            """Nobody's."""

            def __enter__(self) -> str:
                models.said.append(("open", seat, meter))
                return "session"

            def __exit__(self, *_: object) -> None:
                models.said.append("closed")

        return Session()


def test_each_visit_has_a_session_of_its_own() -> None:
    there, meter, effort = Models(Turns()), Meter(), Effort(3.0, 1.0)
    with there.models.visit(Seat("base"), meter, effort, [("a", 0, None)]) as session:
        assert session == "session"  # type: ignore[comparison-overlap]
        assert there.said == [effort, ("open", Seat("base"), meter)]
    assert there.said[2:] == ["closed"]


@pytest.mark.parametrize("role", ["base", "medical"])
def test_who_waited_meets_what_the_other_scored(role: Any) -> None:
    """Of a run with the same model in the same task; another task, or model, waits for nobody."""
    turns = Turns()
    first, second = Models(turns), Models(turns)
    cells: dict[str, list[CellKey]] = {
        "base": [("a", 0, None), ("a", 0, "both")],
        "medical": [("a", 3, None)],
    }
    began = threading.Event()

    def visit() -> None:
        began.set()
        with second.models.visit(Seat(role), Meter(), Effort(), cells[role]):
            pass

    with ThreadPoolExecutor(1) as threads:
        with first.models.visit(Seat("base"), Meter(), Effort(), [("a", 0, None)]):
            other = threads.submit(visit)
            assert began.wait(SOON)
            if role == "medical":
                other.result(SOON)
            else:
                threading.Event().wait(0.1)
                assert second.said == [], "no engine is taken while it waits"
        other.result(SOON)
    assert ("meet" in second.said) == (role == "base")
    assert second.said[-1] == "closed"
    if role == "base":
        assert second.said[0] == "meet", "before a session is opened"
