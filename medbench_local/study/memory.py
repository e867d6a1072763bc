"""Refuse what does not fit into memory before it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medbench_local.engine.base import EngineOptions
from medbench_local.engine.memory import gigabytes, memory_available, memory_needed
from medbench_local.errors import EngineError

EXPECTED_CONTEXT = 2048
"""Tokens for which the cache is counted: prompts with three demonstrations are seldom longer."""


def refuse_what_does_not_fit(
    files: Sequence[tuple[str, Path]], options: EngineOptions, *, force: bool, advice: str = ""
) -> None:
    """Compare what each model needs, one loaded at a time, with what is free.

    Args:
        files: names for people, and the GGUF files.
        options: context size and cache decide how much is needed beside the weights.
        force: do not refuse.
        advice: what to do about it; a general one if empty.

    Raises:
        EngineError: a model needs more than is free; with the numbers.
    """
    if force:
        return
    free = memory_available()
    expected = replace(options, n_ctx=min(options.n_ctx, EXPECTED_CONTEXT))
    for name, path in files:
        need = memory_needed(path, expected)
        if need.total > free:
            raise EngineError(
                f"{name} needs about {need} of memory; {gigabytes(free)} are free.",
                advice=advice
                or "Close other programs, choose a smaller precision with --quant, or insist with --force.",
            )
