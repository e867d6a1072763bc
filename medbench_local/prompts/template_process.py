"""Chat templates are rendered in another process, with a limit on memory and time: they are programs from outside."""

from __future__ import annotations

import atexit
import hashlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

from medbench_local.engine.process import end_process, start_process
from medbench_local.prompts.template_worker import COSTLY, CREDIT, MEMORY

LOOK = 0.05
"""Seconds between two looks at what a rendering has taken so far."""

WAIT = 120.0
"""Seconds that are waited for an answer at most, however little the process does."""


class TemplateFailure(Exception):
    """What a template ran into.

    Args:
        kind: name of the exception.
        message: its text.
        line: of the template, where it is known.

    Attributes:
        refused: whether it did what templates may not do.
        costly: whether it took more time or memory than templates may take.
    """

    def __init__(self, kind: str, message: str, line: int | None = None) -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.line = line
        self.refused = kind == "SecurityError"
        self.costly = kind in (COSTLY, "MemoryError")


class TemplateProcess:
    """Renders templates one at a time; started when it is needed, and anew after one that had to be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._known: set[str] = set()

    def text(self, source: str, names: Mapping[str, Any] | None) -> str:
        """What a template makes of the names that it is given.

        Args:
            source: the template.
            names: of texts, numbers, lists and mappings; None only sees whether it is a template.

        Raises:
            TemplateFailure: it is none, refuses, or takes more time or memory than a template may.
        """
        name = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        with self._lock:
            try:
                answer = self._asked(name, source, names)
            except BaseException:  # an answer may be under way that nobody waits for
                self.close()
                raise
            if "text" in answer:
                return str(answer["text"])
            failure = TemplateFailure(answer["error"], answer["message"], answer["line"])
            if failure.costly:
                self.close()
            raise failure

    def close(self) -> None:
        """End the process; safe to call twice."""
        if self._process is not None:
            end_process(self._process)
            self._process = None

    def _asked(self, name: str, source: str, names: Mapping[str, Any] | None) -> dict[str, Any]:
        process = self._running()
        message: dict[str, Any] = {"template": name, "names": names}
        if name not in self._known:
            message["source"] = source
        assert process.stdin is not None
        process.stdin.write(json.dumps(message).encode("ascii") + b"\n")
        process.stdin.flush()
        line = self._awaited(process)
        if not line.endswith(b"\n"):
            raise TemplateFailure(COSTLY, "the process that rendered it ended")
        answer: dict[str, Any] = json.loads(line)
        self._known.add(name)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        self._process = start_process("prompts.template_worker", None, trusted=False)
        self._known.clear()
        self._answers = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True).start()
        return self._process

    def _awaited(self, process: subprocess.Popen[bytes]) -> bytes:
        """The next line of the process, unless it takes too much meanwhile."""
        began, before = time.monotonic(), None
        while True:
            try:
                return self._answers.get(timeout=LOOK)
            except queue.Empty:
                seconds, memory = _taken(process.pid)
            before = seconds if before is None else before
            if seconds - before > CREDIT or time.monotonic() - began > WAIT:
                raise TemplateFailure(COSTLY, "it takes too long")
            if memory > MEMORY:
                raise TemplateFailure(COSTLY, "it takes too much memory")


def _read(lines: IO[bytes], answers: queue.SimpleQueue[bytes]) -> None:
    for line in lines:
        answers.put(line)
    answers.put(b"")


def _taken(pid: int) -> tuple[float, int]:
    """Seconds of processor and bytes of memory that a process has taken so far."""
    import psutil  # slow to import, and seldom needed

    try:
        process = psutil.Process(pid)
        used = process.cpu_times()
        return used.user + used.system, process.memory_info().rss
    except psutil.Error:  # it has just ended; its last line is under way
        return 0.0, 0


templates = TemplateProcess()
"""The one of this process."""

atexit.register(templates.close)
