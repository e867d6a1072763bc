"""The process in which llama.cpp runs: `python -m medbench_local.engine.worker`.

It answers every message with one, before which it may tell how far it is; see `Channel`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medbench_local.engine import wire
from medbench_local.engine.base import EngineOptions, Trace
from medbench_local.engine.channel import Channel
from medbench_local.engine.stop import STOP
from medbench_local.errors import DoesNotFitError, MedbenchError


class _Service:
    """Answers requests with one engine, once it is loaded.

    Args:
        tell: gives the parent a message before the reply: ``{"event": [...]}``.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._methods: dict[str, Callable[..., Any]] = {"load": self._load}
        self._work: Callable[[], dict[str, Any]] = dict

    def _load(self, path: str, options: dict[str, Any]) -> dict[str, Any]:
        from medbench_local.engine import bindings
        from medbench_local.engine.llama import LlamaEngine

        bindings.LOG.echo(sys.stderr)
        engine = LlamaEngine(Path(path), EngineOptions(**options))
        self._methods = {
            "tokenize": lambda **asked: wire.token_lists_to_json(engine.tokenize(**asked)),
            "tokenize_parts": lambda **asked: wire.token_lists_to_json(engine.tokenize_parts(**asked)),
            "token_of": engine.token_of,
            "text_sizes": engine.text_sizes,
            "score": lambda pack: wire.scores_to_json(engine.score(wire.pack_from_json(pack))),
            "generate": lambda pack: engine.generate(wire.pack_from_json(pack)),
            "think": lambda pack: [
                wire.trace_to_json(trace) for trace in engine.think(wire.pack_from_json(pack), self._heard)
            ],
            "spell": engine.spell,
        }
        self._work = lambda: asdict(engine.work)
        return asdict(engine.info)

    def _heard(self, number: int, written: int, trace: Trace | None) -> None:
        self._tell({"event": [number, written, trace and wire.trace_to_json(trace)]})

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request."""
        try:
            result = self._methods[message["call"]](**message["arguments"])
            return {"result": result, "work": self._work()}
        except MedbenchError as error:
            return {"error": wire.error_to_json(error)}
        except MemoryError:
            problem = DoesNotFitError(
                "The worker ran out of memory.", advice="Use a smaller context or a smaller precision."
            )
            return {"error": wire.error_to_json(problem)}


def main() -> None:
    """Serve until the parent is gone."""
    if sys.platform != "win32":
        import resource

        # What an abort would leave on the disk holds the weights.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    channel = Channel(on_stop=STOP.ask, on_message=STOP.clear)
    service = _Service(channel.send)
    while True:
        channel.send(service.answer(channel.receive()))


if __name__ == "__main__":
    main()
