"""Traces of a real worker process, which is killed while it thinks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from medbench_local.engine.base import EngineOptions, Heard, Pack, ThinkRequest, Trace
from medbench_local.engine.remote import WorkerEngine, start_engine
from medbench_local.errors import WorkerDied
from medbench_local.scoring.thoughts import Thoughts
from medbench_local.store.scores import ScoreStore, StoredTrace
from tests.engine.tiny import write_random_llama

REQUESTS = {row: ThinkRequest((1, 70 + row, 90), ("</",), 200) for row in range(3)}


def _thoughts(engine: WorkerEngine, store: ScoreStore, kill_at: float = 9.0) -> dict[int, Trace]:
    """What ``engine`` thinks; it is killed as soon as so much of the work has been told of."""
    told = 0.0

    def advance(amount: float, *, known: bool = False) -> None:
        nonlocal told
        told += amount
        if told > kill_at:
            psutil.Process(engine.pid).kill()

    return Thoughts[int](engine, b"model", store, advance).about(REQUESTS, (1,))


def test_a_killed_worker_loses_the_thinking_in_flight_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_random_llama(tmp_path / "model.gguf")
    options = EngineOptions(n_ctx=256, threads=1)
    with start_engine(path, options) as engine, ScoreStore(tmp_path / "whole.sqlite") as store:
        expected = _thoughts(engine, store)
    assert len({trace.tokens for trace in expected.values()}) == 3
    kept: list[bytes] = []
    put = ScoreStore.put_traces

    def put_traces(self: ScoreStore, traces: Mapping[bytes, StoredTrace]) -> None:
        put(self, traces)
        kept.extend(traces)

    monkeypatch.setattr(ScoreStore, "put_traces", put_traces)
    with (
        ScoreStore(tmp_path / "scores.sqlite") as store,
        start_engine(path, options) as engine,
        pytest.raises(WorkerDied, match=r"thinking about 3 prompts of 3 tokens"),
    ):
        _thoughts(engine, store, kill_at=1.0)
    # What the worker had finished before it was killed is read from the pipe.
    assert 1 <= len(kept) < 3
    left = 3 - len(kept)
    thought: list[int] = []
    real = WorkerEngine.think

    def think(self: WorkerEngine, pack: Pack, heard: Heard) -> list[Trace]:
        thought.append(len(pack.requests))
        return real(self, pack, heard)

    monkeypatch.setattr(WorkerEngine, "think", think)
    with ScoreStore(tmp_path / "scores.sqlite") as store, start_engine(path, options) as engine:
        assert _thoughts(engine, store) == expected
        assert thought == [left]
        assert _thoughts(engine, store) == expected
        assert thought == [left]


def test_traces_of_other_engines_are_not_taken(tmp_path: Path) -> None:
    path = write_random_llama(tmp_path / "model.gguf")
    thought = []
    with ScoreStore(tmp_path / "scores.sqlite") as store:
        for options in (
            EngineOptions(n_ctx=256, threads=1),
            EngineOptions(n_ctx=256, threads=1, cache="f16"),
            EngineOptions(n_ctx=512, threads=2),
        ):
            with start_engine(path, options) as engine:
                before = engine.work
                _thoughts(engine, store)
                thought.append(engine.work.since(before).tokens > 0)
    assert thought == [True, True, False], "neither threads nor the context decide what is thought"
