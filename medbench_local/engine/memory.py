"""How much memory a model will need, and how much there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from medbench_local.engine.base import EngineOptions, limits, states_needed
from medbench_local.engine.build import may_use_gpu
from medbench_local.errors import DoesNotFitError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.gguf_shape import model_shape

PROCESS = 150 * 2**20
"""Bytes of Python, the libraries and llama.cpp's own tables."""
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a loaded model needs.

    Attributes:
        weights: the file's tensors, and what pictures are seen with.
        cache: keys and values of the whole context, and running states.
        compute: room for intermediate results and logits, and the worker process itself.
    """

    weights: int
    cache: int
    compute: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.compute

    def __str__(self) -> str:
        parts = f"weights {gigabytes(self.weights)}, cache {gigabytes(self.cache)}"
        return f"{gigabytes(self.total)} ({parts}, computing {gigabytes(self.compute)})"


def gigabytes(size: int) -> str:
    """A number of bytes for people, in GiB or MiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def memory_needed(
    path: Path, options: EngineOptions, *, generates: bool = False, thinks: bool = False
) -> MemoryEstimate:
    """Estimate, from the file's header alone, what loading it with these options takes.

    Args:
        path: a GGUF file.
        options: mode, context, cache, batch and what pictures are seen with decide.
        generates: texts are generated, which the mode "reproducible" does as "exact" does.
        thinks: they are thought, for which it keeps keys and values in 16 bits.

    Raises:
        InputError: the file is not a sound GGUF file, or that of pictures is damaged.
    """
    shape = model_shape(read_gguf_header(path))
    context = -(-options.n_ctx // 256) * 256
    sees = _sight(options)
    # Models that are shown pictures have no flash attention in any mode.
    exact = bool(
        options.mode == "exact"
        or options.vision
        or ((generates or thinks) and options.mode == "reproducible")
    )
    wide = options.cache == "f32" and (
        options.mode == "exact" or (options.mode == "reproducible" and (not thinks or bool(options.vision)))
    )
    most = limits(options.mode, gpu=options.gpu_layers != 0 and may_use_gpu())
    rows = min(options.batch_tokens, most.micro_batch, context)
    # The mask, one more for layers with windows; flash attention has them in 16 bits, and so are its keys and values,
    # otherwise every row's scores over the whole context for all heads.
    if exact:
        attention = 4 * rows * context * (1 + shape.windows + shape.heads)
    else:
        attention = 4 * rows * context + (2 * context * shape.kv_layer if wide else 0)
    layer = (
        4
        * rows
        * (4 * max(shape.width, shape.attended) + shape.kv_layer + 3 * shape.hidden + 6 * shape.inner)
    )
    logits = 2 * 4 * most.rows * shape.vocabulary
    return MemoryEstimate(
        weights=shape.weights + sees[0],
        cache=context * shape.kv_width * (4 if wide else 2) + 4 * shape.state * states_needed(options),
        compute=attention + layer + logits + sees[1] + PROCESS,
    )


def _sight(options: EngineOptions) -> tuple[int, int]:
    """Bytes of the weights that pictures are seen with, and to compute with them."""
    if not options.vision:
        return 0, 0
    from medbench_local.engine.visual_memory import (
        vision_needed,
    )  # whatever reads text only does without its imports

    return vision_needed(Path(options.vision))


def slots_that_fit(path: Path, options: EngineOptions, cells: Sequence[int], free: int) -> int:
    """How many requests can be thought about at once within memory; at least 1.

    Args:
        path: a GGUF file.
        options: how it is decoded.
        cells: of the cache, in tokens, that one request needs, two need, and so on.
        free: bytes of memory for everything.
    """
    for slots in range(len(cells), 1, -1):
        wanted = replace(options, n_ctx=cells[slots - 1])
        if memory_needed(path, wanted, thinks=True).total <= free:
            return slots
    return 1


def memory_available() -> int:
    """Bytes that can be had now without swapping, within the limits of a container."""
    available = int(psutil.virtual_memory().available)
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit = int((_CGROUP / limit_name).read_text(encoding="ascii"))
            used = int((_CGROUP / used_name).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such file, or "max"
            continue
        available = min(available, max(0, limit - used))
    return available


EXPECTED_CONTEXT = 2048
"""Tokens for which the cache is counted: prompts with three demonstrations are seldom longer."""


def refuse_what_does_not_fit(
    files: Sequence[tuple[str, Path]],
    options: EngineOptions,
    *,
    force: bool,
    generates: bool = False,
    thinking: int = 0,
    advice: str = "",
    free: int | None = None,
) -> None:
    """Compare what each model needs, one loaded at a time, with what is free.

    Args:
        files: names for people, and the GGUF files.
        options: context size and cache decide how much is needed beside the weights.
        force: do not refuse.
        generates: texts are generated.
        thinking: tokens of the longest prompt with all that is thought about it; 0 where nobody thinks.
        advice: what to do about it; a general one if empty.
        free: bytes that there are; None for what is free on this machine.

    Raises:
        DoesNotFitError: a model needs more than is free; with the numbers.
    """
    if force:
        return
    free = memory_available() if free is None else free
    expected = replace(options, n_ctx=thinking or min(options.n_ctx, EXPECTED_CONTEXT))
    purpose = f" to think with prompts of up to {thinking:,} tokens" if thinking else ""
    for name, path in files:
        need = memory_needed(path, expected, generates=generates, thinks=thinking > 0)
        if need.total > free:
            raise DoesNotFitError(
                f"{name} needs about {need} of memory{purpose}; {gigabytes(free)} are free.",
                advice=advice
                or "Close other programs, choose a smaller precision with `quant=`, or override with `force=True`.",
            )
