"""All engines of a Ray cluster: implements `medbench_local.engine.several.Engines`."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.client import ray as gate

from medbench_local._version import __version__
from medbench_local.cluster.actor import EngineActor
from medbench_local.cluster.connect import Layout, said_by
from medbench_local.cluster.leased import LeasedEngine
from medbench_local.cluster.node_files import PIECE
from medbench_local.cluster.pool import Pool, Slot, Ticket
from medbench_local.engine import wire
from medbench_local.engine.base import EngineInfo, EngineOptions, Heard, Pack, Trace, WorkDone
from medbench_local.engine.several import ANY_EFFORT, Effort, EngineState
from medbench_local.errors import CancelledError, EngineError, MedbenchError, UsageError, WorkerDied
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.hashes import file_sha256
from medbench_local.progress import Progress

_FIRST = 120.0
"""Seconds in which the first engine must come up."""

_OTHERS = 10.0
"""Seconds that are waited for the others then; who comes later joins in."""

_TRIES = 3
"""How often in a row an engine may end before it is up."""

_LAST = 5.0
"""Seconds that each thread has to see that it is over."""

_LOOK = 0.1
"""Seconds between two looks at who has come."""


@dataclass(frozen=True)
class _Model:
    """A file on this machine, and how it is decoded."""

    path: Path
    sha256: str
    options: EngineOptions


class RayEngines:
    """Engines in a Ray that this process is connected to; use as a context manager, which ends them.

    Args:
        layout: how many, and what each gets of its node.
        home: MEDBENCH_HOME of this machine.
        progress: hears of engines that come and go.
        force: load models even where memory seems too small.

    Raises:
        UsageError: nodes have another version of the package, or no room for an engine.
        EngineError: no engine comes up.
    """

    def __init__(self, layout: Layout, *, home: Path, progress: Progress, force: bool = False) -> None:
        self._layout, self._home, self._progress, self._force = layout, home, progress, force
        self.pool = Pool()
        self._actors = ray.remote(num_cpus=layout.cpus, num_gpus=layout.gpus, max_restarts=0)(EngineActor)
        self._sending: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)
        self._crews: Counter[str] = Counter()
        self._problems: list[str] = []
        self._awaiting: list[threading.Thread] = []
        for number in range(1, layout.engines + 1):
            slot = Slot(number)
            self.pool.add(slot)
            self._bring_up(slot)

    def __enter__(self) -> RayEngines:
        try:
            self._await_first()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # medbench_local.engine.several.Engines

    @property
    def memory(self) -> int:
        """Bytes that an engine may take at most: of those that share a node each has its part.

        Where nodes differ, what fits the largest is begun; engines that cannot hold it are left aside.
        """
        there = [slot.about for slot in self.pool.slots if slot.about]
        on_node = Counter(about["node"] for about in there)
        return max((int(about["memory"]) // on_node[about["node"]] for about in there), default=0)

    @property
    def stopped(self) -> bool:
        """Whether all work was ended."""
        return self.pool.stopped

    def crew(self) -> _Crew:
        """The engines of one kind; of several kinds that of which most are free of other comparisons."""
        kinds = Counter(self.pool.kinds())
        if not kinds:
            return _Crew(self, "")
        kind = max(kinds, key=lambda one: (kinds[one] / (1 + self._crews[one]), one))
        self._crews[kind] += 1
        if len(kinds) > 1:
            self._progress.note(
                f"The nodes are of {len(kinds)} kinds, whose results may differ in the last bits: both models of this "
                f"comparison are answered by the {kinds[kind]} engines of one kind."
            )
        return _Crew(self, kind)

    def stop(self) -> None:
        """End all engines at once; see `Engines.stop`."""
        self.pool.stop()
        for slot in self.pool.slots:
            if slot.actor is not None:
                with suppress(Exception):  # it is gone already, or Ray is
                    ray.kill(slot.actor)

    def close(self) -> None:
        """End all engines, and the threads that wait for them: what asks Ray while it ends may end the process."""
        self.stop()
        for thread in self._awaiting:
            thread.join(_LAST)

    def describe(self) -> list[dict[str, Any]]:
        """What each engine is and where."""
        left_out = ("version", "memory", "kind", "pid", "node")
        return [
            {"engine": slot.number, **{k: v for k, v in slot.about.items() if k not in left_out}}
            for slot in self.pool.slots
            if slot.about
        ]

    def states(self) -> list[EngineState]:
        """See `Engines.states`."""
        return [
            EngineState(slot.state == "busy", slot.tokens / slot.seconds if slot.seconds else None)
            for slot in self.pool.slots
            if slot.state in ("idle", "busy")
        ]

    # medbench_local.cluster.leased.Lender

    def ask(self, slot: Slot, name: str, *arguments: Any, **named: Any) -> tuple[Any, WorkDone]:
        """See `Lender.ask`."""
        return self._counted(slot, self._reply(slot, slot.actor.call, name, *arguments, **named))

    def think(self, slot: Slot, pack: Pack, heard: Heard) -> tuple[list[Trace], WorkDone]:
        """See `Lender.think`."""
        self.pool.need_going()
        with self._deaths(slot):
            for kind, said in _pieces(slot.actor, pack):
                if kind != "heard":
                    return self._counted(slot, self._opened(slot, (kind, said)))
                heard(*said)
        raise WorkerDied(f"{slot.name} said nothing at the end of what it thought.")

    def give_back(self, slot: Slot, turn: int) -> None:
        """See `Lender.give_back`."""
        self.pool.give_back(slot, turn)

    def helper(self, like: LeasedEngine, *, loads: bool) -> Callable[[], LeasedEngine | None] | None:
        """See `Lender.helper`."""
        slot = self.pool.take_idle(like.model, like.slot.kind, loads=loads)
        return None if slot is None else partial(self._ready_to_help, slot, like)

    def _ready_to_help(self, slot: Slot, like: LeasedEngine) -> LeasedEngine | None:
        turn = slot.turn
        try:
            found = self._loaded(slot, like.model)
        except BaseException as error:
            if _is_of_the_node(error):
                self.pool.unfit(slot, like.model, like.slot.kind)
            self.pool.give_back(slot, turn)
            if isinstance(error, MedbenchError) and not isinstance(error, CancelledError):
                self._progress.note(f"{slot.name} cannot help: {error.message}")
                return None
            raise
        if found.info.numerics != like.info.numerics:  # its score would be another one's
            found.close()
            return None
        return found

    def wanted(self, slot: Slot) -> bool:
        """See `Lender.wanted`."""
        return self.pool.wanted(slot)

    # How engines come and go

    def lease(self, path: Path, options: EngineOptions, kind: str, effort: Effort) -> LeasedEngine:
        """An engine of a kind with a model; see `medbench_local.engine.several.Crew.start`."""
        model = _Model(path, file_sha256(path, self._home, self._progress), options)
        while True:
            slot = self.pool.take(Ticket(model, kind, effort))
            turn = slot.turn
            try:
                return self._loaded(slot, model)
            except BaseException as error:
                elsewhere = error if _is_of_the_node(error) and self.pool.unfit(slot, model, kind) else None
                self.pool.give_back(slot, turn)
                if elsewhere is None:
                    raise
                self._progress.note(
                    f"{slot.name} cannot load {path.name}: {elsewhere.message} It goes to another engine."
                )

    def _bring_up(self, slot: Slot) -> None:
        slot.actor = self._actors.remote(self._layout.cpus)
        if self.pool.stopped:  # meanwhile: who ends all engines may not have seen this one
            with suppress(Exception):
                ray.kill(slot.actor)
        thread = threading.Thread(target=self._await, args=(slot, slot.actor), daemon=True)
        self._awaiting.append(thread)
        thread.start()

    def _await(self, slot: Slot, actor: Any) -> None:
        """Until the engine is there: where it died with its node, until there is room for it elsewhere."""
        try:
            about = ray.get(actor.describe.remote())
        except Exception as error:  # whatever Ray raises when it, or this engine, ends
            if self.pool.stopped:
                return
            slot.failed += 1
            if isinstance(error, RayTaskError) or slot.failed == _TRIES:
                self._refuse(slot, _why(error))
            else:  # its node went while it came up, or had no room for one process more
                self._bring_up(slot)
            return
        if about["version"] != __version__:
            self._refuse(
                slot,
                f"{about['host']} has medbench-local {about['version']}, this machine {__version__}: run "
                f"`pip install medbench-local=={__version__}` there",
            )
        else:
            self.pool.ready(slot, about)

    def _refuse(self, slot: Slot, why: str) -> None:
        if why not in self._problems:
            self._problems.append(why)
            self._progress.note(f"An engine is left out: {why}.")
        self.pool.lost(slot, for_good=True)
        with suppress(Exception):
            ray.kill(slot.actor)

    def _await_first(self) -> None:
        slots = self.pool.slots
        began = time.monotonic()
        first = None
        while any(slot.state == "starting" for slot in slots) or first is None:
            now = time.monotonic()
            if any(slot.state == "idle" for slot in slots):
                first = first or now
                if now - first >= _OTHERS:
                    break
            if all(slot.state == "refused" for slot in slots):
                raise UsageError(
                    f"No node can run an engine: {'; '.join(self._problems)}.",
                    advice="Mend that and run the same command again.",
                )
            if first is None and now - began >= _FIRST:
                there = {k: round(v) for k, v in ray.cluster_resources().items() if k in ("CPU", "GPU")}
                raise EngineError(
                    f"No engine came up in {_FIRST:.0f} seconds. Each needs {self._layout.cpus} CPUs and "
                    f"{self._layout.gpus} GPUs of one node; the cluster has {there.get('CPU', 0)} CPUs and "
                    f"{there.get('GPU', 0)} GPUs in all.",
                    advice="Ask for less with `cpus_per_engine=` or `gpus_per_engine=`, or see whether other work "
                    "holds the cluster.",
                )
            time.sleep(_LOOK)

    def _loaded(self, slot: Slot, model: _Model) -> LeasedEngine:
        if slot.loaded != model:
            slot.loaded = None
            path = self._on_node(slot, model.path, model.sha256)
            options = model.options
            if options.vision:
                self._need_seen(slot, Path(options.vision))
            info = self._reply(slot, slot.actor.load, path, model.sha256, options, self._force)
            slot.loaded = model
            slot.info = info
        info = slot.info
        assert isinstance(info, EngineInfo)
        return LeasedEngine(self, slot, info, model)

    def _on_node(self, slot: Slot, path: Path, sha256: str) -> str:
        """The file on the engine's node, sent there if it is not."""
        size = path.stat().st_size
        with self._sending[slot.about["node"], sha256]:
            with self._deaths(slot):
                found: str = ray.get(slot.actor.find.remote(sha256, size, str(path.resolve())))
            if found:
                return found
            label = f"sending {path.name} to {slot.about['host']}"
            with self._progress.step(label, total=size, unit="B") as advance, path.open("rb") as file:
                for offset in range(0, size, PIECE):
                    data = file.read(PIECE)
                    found = self._reply(slot, slot.actor.receive, sha256, size, offset, data)
                    advance(len(data))
        return found

    def _need_seen(self, slot: Slot, path: Path) -> None:
        """Pictures are encoded on this machine: a node reads what came of that from the same folder."""
        with self._deaths(slot):
            found = ray.get(slot.actor.sees.remote(str(path.resolve()), path.stat().st_size))
        if not found:
            raise UsageError(
                f"{slot.about['host']} does not see {path}, which holds what this model sees pictures with.",
                advice="For models with pictures let MEDBENCH_HOME be a folder that all nodes share, at the same path.",
            )

    def _reply(self, slot: Slot, method: Any, *arguments: Any, **named: Any) -> Any:
        self.pool.need_going()
        with self._deaths(slot):
            return self._opened(slot, ray.get(method.remote(*arguments, **named)))

    def _opened(self, slot: Slot, reply: tuple[str, Any]) -> Any:
        """What a reply holds, or the error that it is."""
        kind, said = reply
        if kind == "error":
            error = wire.error_from_json(said)
            if isinstance(error, WorkerDied):
                slot.loaded = None
                slot.deaths += 1
            self.pool.need_going()
            raise error
        return said

    def _counted(self, slot: Slot, reply: tuple[Any, WorkDone]) -> tuple[Any, WorkDone]:
        slot.tokens += reply[1].tokens
        slot.seconds += reply[1].seconds
        return reply

    @contextmanager
    def _deaths(self, slot: Slot) -> Iterator[None]:
        """Turns the end of an actor, or of its node, into the error that has the work done elsewhere."""
        actor = slot.actor
        try:
            yield
        except RayTaskError as error:
            raise EngineError(f"{slot.name} failed: {_why(error)}") from error
        except RayError as error:
            self.pool.need_going()
            if slot.actor is actor and slot.state != "starting":
                self.pool.lost(slot)
                with suppress(
                    Exception
                ):  # it may only be out of reach: it would keep the place of the next one
                    ray.kill(actor)
                self._bring_up(slot)
            raise WorkerDied(
                f"{slot.name} went away ({_why(error)}).",
                advice="Run the same command again: it goes on from what is there.",
            ) from error


class _Crew:
    """Engines of one kind; see `medbench_local.engine.several.Crew`."""

    def __init__(self, engines: RayEngines, kind: str) -> None:
        self._engines, self._kind = engines, kind
        self._repack: dict[str, str] = {}

    def start(self, path: Path, options: EngineOptions, effort: Effort = ANY_EFFORT) -> LeasedEngine:
        """See `medbench_local.engine.several.Crew.start`.

        In the fast mode each node tries whether to rearrange weights; what the first one found holds for all, so that
        both models are computed alike.
        """
        if options.mode != "fast":
            return self._engines.lease(path, options, self._kind, effort)
        file_type = read_gguf_header(path).file_type
        while True:
            if self._repack.get(file_type) == "off":
                options = replace(options, repack=False)
            engine = self._engines.lease(path, options, self._kind, effort)
            first = self._repack.setdefault(file_type, engine.info.numerics["repack"])
            if engine.info.numerics["repack"] == first:
                return engine
            others = self._engines.pool.unfit(engine.slot, engine.model, self._kind)
            engine.close()
            if first == "on" and not others:
                raise EngineError(
                    f"The engines that are left do not rearrange the weights of {path.name}, as the first one did.",
                    advice='Run the comparison with `mode="reproducible"`, where nothing depends on that.',
                )


def _is_of_the_node(error: BaseException) -> TypeGuard[MedbenchError]:
    """Whether another node may do what this one cannot: no memory, no room on its disk, a broken transfer."""
    return isinstance(error, MedbenchError) and not isinstance(error, CancelledError | WorkerDied)


def _pieces(actor: Any, pack: Pack) -> Iterator[tuple[str, Any]]:
    """What `EngineActor.think` gives, as it comes; through the gate for clients at its end."""
    if gate.is_connected():
        yield from ray.get(actor.think_unheard.remote(pack))
        return
    for reference in actor.think.options(num_returns="streaming").remote(pack):
        yield ray.get(reference)


def _why(error: BaseException) -> str:
    """What says most of the many lines that Ray tells: of an error in an actor the last one, else the first."""
    return said_by(error)[-1 if isinstance(error, RayTaskError) else 0].rstrip(".")[:300]
