"""The inner end of the pipes of a process that `medbench_local.engine.process` started: one JSON object a line."""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

STOP_LINE = b"stop\n"
"""Asks for an early answer to the message before it; is itself not answered."""


class Channel:
    """Takes over standard input and output, so that nothing that llama.cpp prints gets into them.

    Whoever else writes to standard output writes to standard error. A Ctrl-C is left to the parent; when the parent is
    gone, or closes the pipe, this process ends at once, in the middle of a decode if need be.

    Args:
        on_stop: called in another thread when the parent wants no more of what is being answered.
        on_message: likewise, before a message that follows.
    """

    def __init__(
        self, on_stop: Callable[[], None] | None = None, on_message: Callable[[], None] | None = None
    ) -> None:
        self._on_stop, self._on_message = on_stop, on_message
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        requests, self._replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        os.close(nothing)
        self._arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()

    def _read(self, requests: BinaryIO) -> None:
        for line in requests:
            told = self._on_stop if line == STOP_LINE else self._on_message
            if told is not None:
                told()
            if line != STOP_LINE:
                self._arrived.put(line)
        os._exit(0)

    def receive(self) -> dict[str, Any]:
        """The next message; waits for it."""
        message: dict[str, Any] = json.loads(self._arrived.get())
        return message

    def send(self, message: dict[str, Any]) -> None:
        """Give the parent a message; its numbers are finite."""
        self._replies.write(json.dumps(message, allow_nan=False).encode("ascii") + b"\n")
        self._replies.flush()
