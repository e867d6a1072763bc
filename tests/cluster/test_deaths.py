"""Engines, their workers and whole nodes are killed in the middle: the results are those of an undisturbed run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from medbench_local import WorkerDied
from medbench_local.api import tools_for
from medbench_local.cluster.connect import ClusterOptions
from medbench_local.cluster.open import open_cluster
from medbench_local.cluster.pool import Slot
from medbench_local.progress import Silent
from medbench_local.results.folder import RunFolder
from medbench_local.settings import read_settings
from medbench_local.store.scores import ScoreStore
from medbench_local.study.compare import run_comparison
from medbench_local.study.options import CompareOptions, resolve
from tests.cluster.conftest import Plain
from tests.cluster.runs import files, results, timing

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

Kill = Callable[[Slot], None]
When = Callable[[Slot, Any], bool]


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        """See `medbench_local.progress.Progress.note`."""
        self.said.append(text)


class Cluster:
    """Two engines, and what kills them.

    Attributes:
        kills: how often something was killed.
    """

    def __init__(self, engines: Any, notes: Notes) -> None:
        self.engines, self.notes, self.kills = engines, notes, 0

    def compare(self, options: dict[str, Any], folder: Path) -> Path:
        """`medbench_local.compare` on these engines; the folder of the run."""
        asked = replace(resolve(CompareOptions(**options, output=folder)), memory=self.engines.memory)
        tools = replace(tools_for(self.notes), engines=self.engines)
        return run_comparison("demo-med", "demo-base", asked, tools).folder.path

    def strike(self, kill: Kill, when: When) -> None:
        """Use ``kill`` while an engine computes a pack for which ``when`` is true."""
        ask, lock = self.engines.ask, threading.Lock()

        def struck(slot: Slot, name: str, *arguments: Any, **named: Any) -> Any:
            with lock:
                hit = name == "score" and when(slot, arguments[0])
                self.kills += hit
            if not hit:
                return ask(slot, name, *arguments, **named)
            worker = worker_of(slot)
            worker.suspend()  # it is at work for as long as it takes

            def end() -> None:
                kill(slot)
                if worker.is_running():
                    worker.resume()

            timer = threading.Timer(0.3, end)
            timer.start()
            try:
                return ask(slot, name, *arguments, **named)
            finally:
                timer.join()

        self.engines.ask = struck


def worker_of(slot: Slot) -> psutil.Process:
    """What decodes for an engine."""
    (found,) = (
        child
        for child in psutil.Process(slot.about["pid"]).children()
        if "medbench_local.engine.worker" in child.cmdline()
    )
    return found


def kill_actor(slot: Slot) -> None:
    """An engine's process of Ray ends."""
    os.kill(slot.about["pid"], signal.SIGKILL)


def kill_worker(slot: Slot) -> None:
    """Its process of llama.cpp ends."""
    worker_of(slot).kill()


def nth(number: int) -> When:
    """True once, at this pack."""
    calls = iter(range(1, 1_000_000))
    return lambda _slot, _pack: next(calls) == number


@contextmanager
def cluster(address: str) -> Iterator[Cluster]:
    """Two engines there."""
    notes = Notes()
    asked = ClusterOptions(address, engines=2)
    with open_cluster(asked, home=read_settings().home, progress=notes) as engines:
        yield Cluster(engines, notes)


@pytest.mark.parametrize("kill", [kill_actor, kill_worker])
def test_what_dies_is_replaced(plain: Plain, nodes: Any, tmp_path: Path, kill: Kill) -> None:
    with cluster(nodes.address) as there:
        there.strike(kill, nth(3))
        run = there.compare(plain.options, tmp_path / "run")
        assert there.kills == 1
    assert results(run) == results(plain.run)
    assert files(run) == files(plain.run)
    assert timing(run)["prompts_scored"] == timing(plain.run)["prompts_scored"]


def test_packs_that_kill_whoever_computes_them(plain: Plain, nodes: Any, tmp_path: Path) -> None:
    with cluster(nodes.address) as there:
        ask = there.engines.ask

        def poisoned(slot: Slot, pack: Any) -> bool:
            (text,), _ = ask(slot, "spell", [pack.requests[0].context])
            return "demo-med" in str(slot.loaded) and "A to E" in text  # of demo-biology alone

        there.strike(kill_actor, poisoned)
        with pytest.raises(WorkerDied) as raised:
            there.compare(plain.options, tmp_path / "run")
        assert there.kills >= 2 * 2
        told = [line for line in there.notes.said if line.startswith("warning: demo-biology")]
        assert len(told) == 2
        assert all("went away" in line and "The other comparisons go on." in line for line in told)
    assert "Run the same command again" in raised.value.advice
    partial = RunFolder(tmp_path / "run").partial()
    assert partial is not None
    assert [(c.task, c.shots) for c in partial.comparisons] == [("demo-anatomy", 0), ("demo-anatomy", 2)]
    assert partial.provisional == ()
    assert [(c.task, c.shots) for c in partial.missing] == [("demo-biology", 0), ("demo-biology", 2)]
    with ScoreStore(tmp_path / "run" / "scores.sqlite") as store:
        kept = len(store)

    with cluster(nodes.address) as there:  # whatever killed them is mended
        run = there.compare(plain.options, tmp_path / "run")
    assert results(run) == results(plain.run)
    assert files(run) == files(plain.run)
    assert timing(run)["prompts_scored"] == timing(plain.run)["prompts_scored"] - kept


def test_a_node_dies(plain: Plain, own_ray: None, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster as Nodes

    two = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = two.add_node(num_cpus=1)
        with cluster(two.address) as there:
            second = nth(2)

            def end(_: Slot) -> None:
                two.remove_node(node, allow_graceful=False)

            there.strike(end, lambda slot, pack: slot.about["node"] == node.node_id and second(slot, pack))
            run = there.compare(plain.options, tmp_path / "run")
            assert there.kills == 1
    finally:
        two.shutdown()
    assert results(run) == results(plain.run)
    assert files(run) == files(plain.run)
