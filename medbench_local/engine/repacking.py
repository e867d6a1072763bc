"""Whether weights are rearranged for the processor in the fast mode: only where a try shows that it works and pays.

With some builds of llama.cpp, a model whose weights are rearranged for AMX ends its process with an illegal instruction
before the first logits. Elsewhere it is faster, or not, by processor and precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from medbench_local.engine.base import Engine, EngineOptions, Pack, ScoreRequest
from medbench_local.engine.machine import MachineNotes
from medbench_local.errors import WorkerDied
from medbench_local.files.gguf_header import LOSSLESS, read_gguf_header

_CRASHES = ("SIGILL", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGABRT")
"""Signals that say that a program is wrong; one that took too much memory gets another one."""

_TEXT = "The patient has had a fever and a cough for three days. " * 40
_TOKENS = 256
_WORTH = 0.95
"""Rearranged weights take more memory than the file mapped into it: they must save some time."""


def repacking_pays(path: Path, options: EngineOptions, home: Path, start: Callable[..., Any]) -> bool:
    """Whether this file's weights are to be rearranged on this machine.

    The first time, the file is loaded twice and decodes some tokens each way, in processes of their own.

    Args:
        path: a GGUF file.
        options: how it will be loaded.
        home: MEDBENCH_HOME, where the answer is kept for each file type.
        start: starts a worker process with a file and options.
    """
    file_type = read_gguf_header(path).file_type.lower()
    if file_type in LOSSLESS:
        return True
    notes = MachineNotes(home, options.gpu_layers)
    known = notes.read("repacking").get(file_type)
    if not isinstance(known, dict) or not {"ended_by", "with", "without"} <= known.keys():
        tried = replace(options, n_ctx=2 * _TOKENS, parallel=1, batch_tokens=_TOKENS)
        known = {"ended_by": None, "with": None, "without": None}
        try:
            with start(path, replace(tried, repack=True)) as engine:
                known["with"] = _seconds(engine)
            with start(path, replace(tried, repack=False)) as engine:
                known["without"] = _seconds(engine)
        except WorkerDied as error:
            if error.signal not in _CRASHES or known["with"] is not None:
                return False
            known["ended_by"] = error.signal
        notes.note("repacking", file_type, known)
    return known["ended_by"] is None and known["with"] < _WORTH * known["without"]


def _seconds(engine: Engine) -> float:
    """Processor seconds of a short prompt, the better of two: other programs do not change it."""
    (tokens,) = engine.tokenize([_TEXT], special=False)
    pack = Pack((), (ScoreRequest(tokens[:_TOKENS], ((tokens[1],),)),))
    found = []
    for _ in range(3):
        before = engine.work
        engine.score(pack)
        found.append(engine.work.since(before).cpu_seconds)
    return round(min(found[1:]), 4)
