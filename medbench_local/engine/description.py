"""What an engine says of itself: above all, everything that decides the last bit of a score."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from medbench_local.engine import devices
from medbench_local.engine.base import EngineInfo, EngineOptions, limits, questions_together
from medbench_local.engine.bindings import versions
from medbench_local.engine.llama_model import Model
from medbench_local.engine.support import ExactLimit

if TYPE_CHECKING:
    from medbench_local.engine.visual import Visual


def describe(
    model: Model,
    options: EngineOptions,
    *,
    path: Path,
    gpu: bool,
    threads: int,
    repacks: bool,
    limit: ExactLimit | None,
    thinking: str,
    visual: Visual | None,
) -> EngineInfo:
    """What was loaded.

    Args:
        model: the model.
        options: how it is decoded.
        path: its file.
        gpu: whether a GPU is used.
        threads: of the processor that compute.
        repacks: whether weights were rearranged for the processor.
        limit: up to where llama.cpp computes what the model was trained for, if there is one.
        thinking: what decides what is thought.
        visual: what it sees pictures with, or None.
    """
    bos, eos = model.bos, model.eos
    used = devices.gpus() if gpu else []
    names = ", ".join(f"{device.backend} {device.description}" for device in used) or "CPU"
    alone = f", as in the exact mode, {options.cache} cache" if options.mode == "reproducible" else ""
    flash = {"exact": "off", "reproducible": "on", "fast": "auto"}[options.mode]
    if visual is not None:
        flash = "off"
    # flash attention rounds keys and values to 16 bits, however they are kept: no bit depends on that
    narrow = options.mode == "fast" or flash == "on"
    numerics = versions() | {
        "mode": options.mode,
        "cache": "f16" if narrow else options.cache,
        "flash_attention": flash,
        "repack": "on" if repacks else "off",
        "device": names,
        "generation": f"{options.parallel} at once{alone}",
        **{name: value for name, value in sorted(os.environ.items()) if _decides(name)},
    }
    if gpu:
        numerics["gpu_layers"] = str(options.gpu_layers)
    if visual is not None:
        numerics |= visual.numerics
    elif options.mode == "fast":
        together = "1 question" if model.has_state else f"{questions_together(options, gpu=gpu)} questions"
        numerics["batch"] = f"{together}, {options.batch_tokens} tokens at once"
    return EngineInfo(
        model=str(path),
        description=model.description,
        n_ctx_train=model.n_ctx_train,
        bos_text="" if bos is None else model.entry(bos),
        eos_text="" if eos is None else model.entry(eos),
        device=f"{names}; {threads} thread{'s' * (threads > 1)}",
        numerics=numerics,
        threads=threads,
        exact_up_to=0 if limit is None else limit.tokens,
        limited_by="" if limit is None else limit.reason,
        thinking=thinking,
        vocabulary=model.vocabulary,
        picture_tokens=0 if visual is None else visual.picture_tokens,
        pack_tokens=limits(options.mode, gpu=gpu).pack_tokens,
    )


def _decides(variable: str) -> bool:
    return variable.startswith("GGML_") and variable != "GGML_NO_BACKTRACE"
