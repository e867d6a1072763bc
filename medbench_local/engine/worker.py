"""The process in which llama.cpp runs: `python -m medbench_local.engine.worker`.

It reads one JSON object a line from its standard input and answers each with one line, on pipes that
llama.cpp cannot write into. It ends when its parent does, and leaves Ctrl-C to it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from medbench_local.engine import wire
from medbench_local.engine.base import EngineOptions
from medbench_local.errors import DoesNotFitError, MedbenchError


def _private_channel() -> tuple[BinaryIO, BinaryIO]:
    """Take over standard input and output; whoever else writes to them writes to standard error."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, replies


def _read(requests: BinaryIO, arrived: queue.SimpleQueue[bytes]) -> None:
    """Pass lines on; when the parent is gone, end at once, in the middle of a decode if need be."""
    for line in requests:
        arrived.put(line)
    os._exit(0)


class _Service:
    """Answers requests with one engine, once it is loaded."""

    def __init__(self) -> None:
        self._methods: dict[str, Callable[..., Any]] = {"load": self._load}

    def _load(self, path: str, options: dict[str, Any]) -> dict[str, Any]:
        from medbench_local.engine import bindings
        from medbench_local.engine.llama import LlamaEngine

        bindings.LOG.echo(sys.stderr)
        engine = LlamaEngine(Path(path), EngineOptions(**options))
        self._methods = {
            "tokenize": engine.tokenize,
            "token_of": engine.token_of,
            "text_sizes": engine.text_sizes,
            "score": lambda pack: wire.scores_to_json(engine.score(wire.pack_from_json(pack))),
            "generate": lambda pack: engine.generate(wire.pack_from_json(pack)),
        }
        return asdict(engine.info)

    def answer(self, line: bytes) -> dict[str, Any]:
        """The reply to one request."""
        try:
            message = json.loads(line)
            return {"result": self._methods[message["call"]](**message["arguments"])}
        except MedbenchError as error:
            return {"error": wire.error_to_json(error)}
        except MemoryError:
            problem = DoesNotFitError(
                "The worker ran out of memory.", advice="Use a smaller context or a smaller precision."
            )
            return {"error": wire.error_to_json(problem)}


def main() -> None:
    """Serve until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies = _private_channel()
    arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, arrived), daemon=True).start()
    service = _Service()
    while True:
        reply = service.answer(arrived.get())
        replies.write(json.dumps(reply, allow_nan=False).encode("ascii") + b"\n")
        replies.flush()


if __name__ == "__main__":
    main()
