"""Chat templates are rendered in another process, with a limit on memory and time: they are programs from outside."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from medbench_local.engine.process import Process, end_process, start_process
from medbench_local.prompts.template_limits import COSTLY, TemplateLimits

LOOK = 0.05
"""Seconds between two looks at what a rendering has taken so far."""

WAIT = 120.0
"""Seconds that are waited for an answer at most, however little the process does: other programs may have the cores."""

LONGEST = 128 << 20
"""Bytes of an answer at most; the sandbox writes ten million characters, of which each takes twelve at most."""


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
        shown = "" if kind == COSTLY else kind
        super().__init__(": ".join(filter(None, (shown, message))))
        self.line = line
        self.refused = kind == "SecurityError"
        self.costly = kind == COSTLY


class TemplateProcess:
    """Renders templates one at a time, whichever thread asks; started when it is needed, and anew after one that had
    to be ended.

    Args:
        limits: what it may take.
    """

    def __init__(self, limits: TemplateLimits | None = None) -> None:
        self._limits = limits or TemplateLimits()
        self._left: list[Process] = []
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._reader: threading.Thread | None = None
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
                answer = _checked(self._asked(name, source, names))
            except BaseException:  # an answer may be under way that nobody waits for
                self.close()
                raise
            if isinstance(answer, str):
                self._known.add(name)
                return answer
            if answer.costly:
                self.close()
            raise answer

    def close(self) -> None:
        """End the process; safe to call twice. The next template starts another."""
        process, self._process = self._process, None
        reader, self._reader = self._reader, None
        if process is not None:
            end_process(process)
        if reader is not None:
            reader.join()

    def leave(self) -> None:
        """Forget a process that is another's: this one is a copy of its parent, made while that went on."""
        if self._process is not None:
            self._left.append(self._process)  # collected, it would be waited for
        self._begin()

    def _asked(self, name: str, source: str, names: Mapping[str, Any] | None) -> bytes:
        message: dict[str, Any] = {"template": name, "names": names}
        try:
            process = self._running()
            if name not in self._known:
                message["source"] = source
            _tell(process, message)
        except OSError:  # it was killed since the last time, or just now
            return b""
        return self._awaited(process)

    def _running(self) -> Process:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        process = self._process = start_process("prompts.template_worker", None, trusted=False)
        self._known.clear()
        self._answers = queue.SimpleQueue()
        self._reader = threading.Thread(target=_read, args=(process.stdout, self._answers), daemon=True)
        self._reader.start()
        _tell(process, asdict(self._limits))
        return process

    def _awaited(self, process: Process) -> bytes:
        """The next line of the process, unless it takes too much meanwhile."""
        began, before = time.monotonic(), None
        while True:
            try:
                return self._answers.get(timeout=LOOK)
            except queue.Empty:
                seconds, memory = _taken(process.pid)
            before = seconds if before is None else before
            if seconds - before > self._limits.credit or time.monotonic() - began > WAIT:
                raise TemplateFailure(COSTLY, "it takes too long")
            if memory > self._limits.memory:
                raise TemplateFailure(COSTLY, "it takes too much memory")


def _tell(process: Process, message: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode("ascii") + b"\n")
    process.stdin.flush()


def _read(lines: IO[bytes], answers: queue.SimpleQueue[bytes]) -> None:
    while True:
        try:
            line = lines.readline(LONGEST)
        except ValueError:  # it was closed just before
            line = b""
        answers.put(line)
        if not line.endswith(b"\n"):  # it ended, or says what no rendering says
            return


def _checked(line: bytes) -> str | TemplateFailure:
    """The text, or what went wrong, of an answer that is not believed to be one."""
    if not line.endswith(b"\n"):
        return TemplateFailure(COSTLY, "the process that rendered it ended")
    try:
        answer = json.loads(line)
        if "text" in answer:
            return str(answer["text"])
        place = answer["line"] if type(answer["line"]) is int else None
        return TemplateFailure(str(answer["error"]), str(answer["message"]), place)
    except (ValueError, RecursionError, TypeError, KeyError):
        return TemplateFailure(COSTLY, "the process that rendered it says what cannot be understood")


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
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=templates.leave)
