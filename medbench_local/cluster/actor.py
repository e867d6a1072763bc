"""The far end: one engine on a node, in a process of Ray's.

It holds a worker process around llama.cpp as this machine would, and gives its errors back as JSON objects: what
travels is plain data of this package, over Ray's own channel.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from medbench_local._version import __version__
from medbench_local.cluster.node_files import NodeFiles
from medbench_local.engine import wire
from medbench_local.engine.base import Engine, EngineInfo, EngineOptions, Pack, Trace
from medbench_local.engine.machine import MachineNotes, processor_name
from medbench_local.engine.memory import memory_available, refuse_what_does_not_fit
from medbench_local.engine.remote import start_engine
from medbench_local.engine.threads import default_threads
from medbench_local.errors import MedbenchError, WorkerDied
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.settings import read_settings

Reply = tuple[str, Any]
"""("done", what came out and the work done for it) or ("error", the error as a JSON object)."""


class EngineActor:
    """What Ray runs on a node; its methods are called one after the other.

    Args:
        threads: of the processor for llama.cpp.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._files = NodeFiles(read_settings().home)
        self._engine: Engine | None = None
        self._loaded: tuple[str, EngineOptions] | None = None

    def describe(self) -> dict[str, Any]:
        """What this is and where; ``kind`` is the same where the same file gives the same bits."""
        import ray

        context = ray.get_runtime_context()
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "") if context.get_accelerator_ids().get("GPU") else ""
        # What gives other bits counts, not how much of it there is: processor, build, and whether a GPU computes.
        kind = (
            f"{MachineNotes(read_settings().home, -1 if gpus else 0).numerics} {_gpu_names() if gpus else ''}"
        )
        return {
            "version": __version__,
            "bindings": metadata.version("llama-cpp-python"),
            "host": socket.gethostname(),
            "node": context.get_node_id(),
            "pid": os.getpid(),
            "processor": processor_name(),
            "gpus": gpus,
            "kind": kind.strip(),
            "memory": memory_available(),
            "threads": self._threads,
        }

    # Files

    def find(self, sha256: str, size: int, path: str) -> str:
        """Where the file with this content is here; "" if it is not."""
        found = self._files.find(sha256, size, Path(path))
        return "" if found is None else str(found)

    def receive(self, sha256: str, size: int, offset: int, data: bytes) -> Reply:
        """Take a piece of a file; with the last one, the path of the whole one."""
        return _replied(lambda: self._files.receive(sha256, size, offset, data))

    def sees(self, path: str, size: int) -> bool:
        """Whether a file of the driver's is here under its own name."""
        try:
            return Path(path).stat().st_size == size
        except OSError:
            return False

    # The model

    def load(self, path: str, sha256: str, options: EngineOptions, force: bool) -> Reply:
        """Load a model in the place of what is loaded, unless it is this one; its `EngineInfo`."""
        return _replied(lambda: self._load(Path(path), sha256, options, force))

    def _load(self, path: Path, sha256: str, options: EngineOptions, force: bool) -> EngineInfo:
        threads = options.threads or min(self._threads, default_threads(read_gguf_header(path).asked))
        options = replace(options, threads=threads)
        if self._engine is None or self._loaded != (sha256, options):
            self.unload()
            refuse_what_does_not_fit([(f"{path.name} on {socket.gethostname()}", path)], options, force=force)
            self._engine = start_engine(path, options)
            self._loaded = (sha256, options)
        return self._engine.info

    def unload(self) -> None:
        """Free the model."""
        engine, self._engine, self._loaded = self._engine, None, None
        if engine is not None:
            engine.close()

    # Work

    def call(self, name: str, *arguments: Any, **named: Any) -> Reply:
        """One of the methods of `Engine` that answer at once."""
        return self._worked(lambda engine: getattr(engine, name)(*arguments, **named))

    def think(self, pack: Pack) -> Iterator[tuple[str, Any]]:
        """`Engine.think`: what is heard ("heard"), as it comes, and at last a `Reply`."""
        heard: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

        def told(number: int, written: int, trace: Trace | None) -> None:
            heard.put(("heard", (number, written, trace)))

        def run() -> None:
            try:
                heard.put(self._worked(lambda engine: engine.think(pack, told)))
            except BaseException as error:  # nobody else would say that it is over
                heard.put(("raised", error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while True:
            said = heard.get()
            if said[0] == "raised":
                raise said[1]
            yield said
            if said[0] != "heard":
                break
        thread.join()

    def think_unheard(self, pack: Pack) -> list[tuple[str, Any]]:
        """All that `think` gives, at its end: Ray's gate for clients passes on nothing piece by piece."""
        return list(self.think(pack))

    def _worked(self, work: Callable[[Engine], Any]) -> Reply:
        engine = self._engine
        if engine is None:
            return "error", wire.error_to_json(WorkerDied("The engine has no model any more."))
        before = engine.work
        reply = _replied(lambda: (work(engine), engine.work.since(before)))
        if reply[0] == "error" and reply[1]["kind"] in ("WorkerDied", "CancelledError"):
            self.unload()
        return reply


def _replied(work: Callable[[], Any]) -> Reply:
    try:
        return "done", work()
    except MedbenchError as error:
        return "error", wire.error_to_json(error)


def _gpu_names() -> str:
    from medbench_local.engine.devices import gpus  # loads llama.cpp, and only a GPU needs it

    return ", ".join(f"{device.backend} {device.description}" for device in gpus())
