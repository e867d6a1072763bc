"""What runs on a node, here in this process."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from medbench_local.cluster.actor import EngineActor
from medbench_local.engine.base import Heard, Pack, ThinkRequest, Trace
from medbench_local.engine.fake import FakeEngine

SOON = 20.0
PACK = Pack((), (ThinkRequest((1, 2), ("</think>",), 9), ThinkRequest((1, 3), ("</think>",), 9)))


class Broken(FakeEngine):
    """An engine whose pipe holds what is no reply."""

    def think(self, pack: Pack, heard: Heard) -> list[Trace]:
        """Raises what no engine should."""
        raise ValueError("no JSON")


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineActor:
    """With an engine, as if it had loaded it."""
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path))
    found = EngineActor(1)
    found._engine = FakeEngine()
    return found


def test_what_no_engine_should_raise_ends_the_thinking(actor: EngineActor) -> None:
    actor._engine = Broken()
    raised: list[BaseException] = []

    def think() -> None:
        try:
            list(actor.think(PACK))
        except ValueError as error:
            raised.append(error)

    thread = threading.Thread(target=think, daemon=True)
    thread.start()
    thread.join(SOON)
    assert not thread.is_alive(), "it waits for a word of who is gone"
    assert str(raised[0]) == "no JSON"


def test_unheard_it_gives_the_same_at_the_end(actor: EngineActor) -> None:
    heard = actor.think_unheard(PACK)
    assert heard == list(actor.think(PACK))
    assert [kind for kind, _ in heard] == ["heard", "heard", "done"]
    assert heard[-1][1][0] == FakeEngine().think(PACK, lambda *_: None)
