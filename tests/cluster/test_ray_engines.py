"""How engines come, fail and go, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from medbench_local._version import __version__
from medbench_local.cluster.leased import LeasedEngine
from medbench_local.cluster.pool import Pool, Slot
from medbench_local.engine.base import EngineOptions
from medbench_local.engine.fake import FakeEngine
from medbench_local.engine.several import Effort
from medbench_local.errors import (
    CancelledError,
    DiskFullError,
    DoesNotFitError,
    EngineError,
    InputError,
    MedbenchError,
)
from medbench_local.progress import Silent

pytest.importorskip("ray")
from ray.exceptions import ActorDiedError, RayTaskError

from medbench_local.cluster import ray_engines
from medbench_local.cluster.connect import Layout
from medbench_local.cluster.ray_engines import RayEngines


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        """See `medbench_local.progress.Progress.note`."""
        self.said.append(text)


def _engines(*slots: Slot) -> tuple[RayEngines, Notes]:
    """With engines that are there, of which none is Ray's."""
    found, notes = RayEngines.__new__(RayEngines), Notes()
    found.pool, found._progress = Pool(), notes
    for slot in slots:
        found.pool.add(slot)
        found.pool.ready(slot, {"kind": "k", "host": f"node-{slot.number}"})
    return found, notes


def _fails(error: MedbenchError) -> Any:
    def loaded(_slot: Slot, _model: object) -> LeasedEngine:
        raise error

    return loaded


class Dying:
    """In place of Ray: so many engines end before they are up.

    Attributes:
        asked, killed: how often one was.
    """

    def __init__(self, deaths: int, error: Exception) -> None:
        self._deaths, self._error, self.asked, self.killed = deaths, error, 0, 0

    def get(self, _reference: object) -> dict[str, Any]:
        """See `ray.get`."""
        self.asked += 1
        if self.asked <= self._deaths:
            raise self._error
        return {"version": __version__, "host": "node", "kind": "k"}

    def kill(self, _actor: object) -> None:
        """See `ray.kill`."""
        self.killed += 1


class Actor:
    """The handle of one."""

    def __getattr__(self, _: str) -> Any:
        return self

    def remote(self, *_: object) -> Actor:
        """Asks, or makes one."""
        return self


@pytest.mark.parametrize(
    ("deaths", "error", "asked", "state"),
    [
        (2, ActorDiedError(), 3, "idle"),
        (9, ActorDiedError(), 3, "refused"),
        (9, RayTaskError("describe", "ImportError: no llama_cpp", ImportError()), 1, "refused"),
    ],
)
def test_an_engine_that_ends_before_it_is_up_is_asked_for_again(
    deaths: int, error: Exception, asked: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines, notes = _engines()
    ray = Dying(deaths, error)
    monkeypatch.setattr(ray_engines, "ray", ray)
    engines._actors, engines._layout = cast(Any, Actor()), Layout(1, 1, 0)
    engines._awaiting, engines._problems = [], []
    slot = Slot(1)
    engines.pool.add(slot)
    engines._bring_up(slot)
    for thread in engines._awaiting:  # each begins the next one
        thread.join(20.0)
    assert (ray.asked, slot.state) == (asked, state)
    assert len(notes.said) == (state == "refused")


def test_what_comes_up_while_all_is_ended_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    engines, _ = _engines()
    ray = Dying(9, ActorDiedError())
    monkeypatch.setattr(ray_engines, "ray", ray)
    engines._actors, engines._layout, engines._awaiting = cast(Any, Actor()), Layout(1, 1, 0), []
    slot = Slot(1)
    engines.pool.add(slot)
    engines.pool.stop()
    engines._bring_up(slot)
    engines._awaiting[0].join(20.0)
    assert (ray.killed, ray.asked) == (1, 1)


def test_a_node_that_cannot_have_a_model_takes_no_work_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, good = Slot(1), Slot(2)
    engines, notes = _engines(full, good)
    engines._home = tmp_path
    (tmp_path / "x.gguf").write_bytes(b"weights")
    tried: list[Slot] = []

    def loaded(slot: Slot, model: Any) -> LeasedEngine:
        tried.append(slot)
        if slot is full:
            raise DiskFullError("/home/received/x: the disk is full.")
        return LeasedEngine(engines, slot, FakeEngine().info, model)

    monkeypatch.setattr(engines, "_loaded", loaded)
    for _ in range(2):
        with engines.lease(tmp_path / "x.gguf", EngineOptions(), "k", Effort()) as engine:
            assert engine.slot is good
    assert tried == [full, good, good]
    (said,) = notes.said
    assert said.startswith("engine 1 on node-1 cannot load x.gguf: /home/received/x: the disk is full.")


def test_what_no_node_can_load_is_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines, _ = _engines(Slot(1), Slot(2))
    engines._home = tmp_path
    (tmp_path / "x.gguf").write_bytes(b"weights")
    monkeypatch.setattr(engines, "_loaded", _fails(DoesNotFitError("It needs 40 GiB.")))
    for _ in range(2):
        with pytest.raises(DoesNotFitError, match="40 GiB"):
            engines.lease(tmp_path / "x.gguf", EngineOptions(), "k", Effort())
    assert [slot.state for slot in engines.pool.slots] == ["idle", "idle"]


@pytest.mark.parametrize(
    "error",
    [
        EngineError("The model cannot be loaded."),
        DiskFullError("/home/received/x: the disk is full."),
        InputError("x.gguf", "", "received a file with another hash"),
    ],
)
def test_what_keeps_an_engine_from_helping_is_no_ones_error(
    error: MedbenchError, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = Slot(2)
    engines, notes = _engines(slot)
    like = LeasedEngine(engines, Slot(1, about={"kind": "k"}), FakeEngine().info, "model")
    monkeypatch.setattr(engines, "_loaded", _fails(error))
    ready = engines.helper(like, loads=True)
    assert ready is not None
    assert ready() is None
    assert slot.state == "idle"
    assert notes.said == [f"engine 2 on node-2 cannot help: {error.message}"]


def test_who_is_to_stop_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    engines, notes = _engines(Slot(2))
    like = LeasedEngine(engines, Slot(1, about={"kind": "k"}), FakeEngine().info, "model")
    monkeypatch.setattr(engines, "_loaded", _fails(CancelledError("The work is being stopped.")))
    ready = engines.helper(like, loads=True)
    assert ready is not None
    with pytest.raises(CancelledError):
        ready()
    assert not notes.said
