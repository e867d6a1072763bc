"""On engines of a real Ray: the results of this machine alone, with nothing computed twice; and what is refused."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medbench_local import check, compare, score_file, sweep
from medbench_local._version import __version__
from medbench_local.cluster.connect import ClusterOptions
from medbench_local.cluster.leased import WORTH_LOADING
from medbench_local.cluster.open import open_cluster
from medbench_local.engine.base import TOKENS_PER_PACK, EngineOptions, Pack, ScoreRequest
from medbench_local.engine.remote import start_engine
from medbench_local.errors import CancelledError, UsageError
from medbench_local.files.hashes import hash_file
from medbench_local.progress import Advance, Silent
from tests.cluster.conftest import Plain
from tests.cluster.runs import TASKS, files, results, timing
from tests.engine.tiny import write_random_llama

pytest.importorskip("ray")

from medbench_local.cluster.ray_engines import RayEngines


def test_compare(plain: Plain, nodes: Any, tmp_path: Path) -> None:
    run = compare(
        "demo-med",
        "demo-base",
        **plain.options,
        output=tmp_path / "run",
        cluster=nodes.address,
        engines=2,
    ).folder.path
    assert results(run) == results(plain.run)
    assert files(run) == files(plain.run)
    here, there = timing(plain.run), timing(run)
    assert there["prompts_scored"] == here["prompts_scored"]
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert [one["engine"] for one in manifest["cluster"]] == [1, 2]


def test_a_sweep_computes_nothing_twice(plain: Plain, nodes: Any, tmp_path: Path) -> None:
    pairs = [("demo-med", "demo-base"), ("demo-base", "demo-med")]
    options = plain.options | {"quant": "none"}
    here, there = tmp_path / "here", tmp_path / "there"
    sweep(pairs, **options, output=here)
    sweep(pairs, **options, output=there, cluster=nodes.address, engines=2)
    for number in ("01", "02"):
        assert results(there / number) == results(here / number)
        assert files(there / number) == files(here / number)
    for count in ("tokens_decoded", "prompts_scored"):
        total = {run: sum(timing(run / number)[count] for number in ("01", "02")) for run in (here, there)}
        assert 0 < total[there] <= total[here]


def test_check(nodes: Any, own_home: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"quant": "q4_0", "tasks": list(TASKS), "shots": [0], "limit": 40}
    here = check("demo-med", **options, output=tmp_path / "here")
    there = check("demo-med", **options, output=tmp_path / "there", cluster=nodes.address, engines=2)
    assert len(here.rows) == 2 * 80
    assert (there, there.rows) == (here, here.rows)


def test_score_writes_its_lines_in_order(nodes: Any, own_home: Path, tmp_path: Path) -> None:
    requests = tmp_path / "requests.jsonl"
    with requests.open("w", encoding="utf-8") as file:
        for number in range(700):
            words = " ".join(f"word{(number * 7 + i) % 13}" for i in range(1 + number % 20))
            json.dump({"id": str(number), "prompt": f"Is {words} so?", "options": [" yes", " no"]}, file)
            file.write("\n")
    here, first, stream = tmp_path / "here.jsonl", tmp_path / "first.jsonl", io.StringIO()
    score_file("demo-med", requests, here)
    written = here.read_bytes()
    found = [json.loads(line) for line in written.splitlines()]
    assert [one["id"] for one in found] == [str(number) for number in range(700)]
    assert sum(one["tokens"] for one in found) > WORTH_LOADING * TOKENS_PER_PACK, "both score"
    first.write_bytes(b"".join(written.splitlines(keepends=True)[:100]))  # of a run that ended there
    score_file("demo-med", requests, first, cluster=nodes.address, engines=2)
    assert first.read_bytes() == written
    score_file("demo-med", requests, stream, cluster=nodes.address, engines=2)
    assert stream.getvalue().encode() == written


class Elsewhere:
    """An actor on whose node no file lies where the driver has it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.find = SimpleNamespace(
            remote=lambda sha256, size, path: actor.find.remote(sha256, size, f"/no/such{path}")
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._actor, name)


class Steps(Silent):
    """Keeps what is begun, and how much of it was done."""

    def __init__(self) -> None:
        self.amounts: dict[str, list[float]] = {}

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `medbench_local.progress.Progress.step`."""
        done = self.amounts.setdefault(label, [])

        def advance(amount: float, *, known: bool = False) -> None:
            done.append(amount)

        yield advance


def test_a_file_that_a_node_does_not_have_is_sent_once(
    nodes: Any, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.gguf"
    write_random_llama(file)
    size, sha256 = file.stat().st_size, hash_file(file, Silent())
    pack = Pack((), tuple(ScoreRequest((1, 5 + i, 9), ((7,), (8, 9))) for i in range(5)))
    options = EngineOptions(threads=1)
    with start_engine(file, options) as engine:
        expected = engine.score(pack)
    monkeypatch.setattr("medbench_local.cluster.ray_engines.PIECE", 1 + size // 3)
    steps = Steps()
    received = own_home / "received" / f"{sha256}.gguf"
    with open_cluster(ClusterOptions(nodes.address, 2), home=own_home, progress=steps) as engines:
        assert isinstance(engines, RayEngines)
        crew, actors = engines.crew(), [slot.actor for slot in engines.pool.slots]
        for slot in engines.pool.slots:
            slot.actor = Elsewhere(slot.actor)
        try:
            with crew.start(file, options) as first, crew.start(file, options) as second:
                found = [first.score(pack), second.score(pack)]
        finally:
            for slot, actor in zip(engines.pool.slots, actors, strict=True):
                slot.actor = actor
    assert found == [expected, expected]
    (sent,) = [amounts for label, amounts in steps.amounts.items() if label.startswith("sending model.gguf")]
    assert len(sent) == 3
    assert sum(sent) == size
    assert received.read_bytes() == file.read_bytes()
    received.unlink()


def test_nodes_with_another_version_are_refused(
    nodes: Any, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medbench_local.cluster.ray_engines.__version__", "99.1")
    with (
        pytest.raises(UsageError) as raised,
        open_cluster(ClusterOptions(nodes.address, 2), home=own_home, progress=Silent()),
    ):
        pass
    assert raised.value.message.count("pip install medbench-local==99.1") == 1, "not once for each engine"
    assert f"has medbench-local {__version__}, this machine 99.1" in raised.value.message


def test_what_there_is_no_room_for_is_refused(nodes: Any, own_home: Path, tmp_path: Path) -> None:
    too_much: tuple[dict[str, Any], ...] = (
        {"engines": 3},
        {"engines": 1, "cpus_per_engine": 3},
        {"gpus_per_engine": 1},
    )
    for asked in too_much:
        with pytest.raises(UsageError, match="There is room for"):
            compare("demo-med", "demo-base", **asked, cluster=nodes.address, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_ray_that_asks_for_no_token_is_shown_none(
    nodes: Any, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lies on every machine on which Ray was ever started; where it is shown, no engine comes up."""
    (tmp_path / "token").write_text("0" * 64, encoding="utf-8")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("RAY_AUTH_MODE")
    with open_cluster(ClusterOptions(nodes.address, 1), home=own_home, progress=Silent()) as engines:
        assert len(engines.describe()) == 1
    assert "RAY_AUTH_MODE" not in os.environ


def test_the_ray_that_runs_is_joined_and_left_running(
    nodes: Any, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    file = tmp_path / "model.gguf"
    write_random_llama(file)
    for number in range(2):
        with open_cluster(ClusterOptions("auto", 2), home=own_home, progress=Silent()) as engines:
            assert [one["engine"] for one in engines.describe()] == [1, 2], number
            assert engines.memory > 0
            engines.stop()
            with pytest.raises(CancelledError):
                engines.crew().start(file, EngineOptions())
