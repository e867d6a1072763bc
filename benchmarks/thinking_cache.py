"""What an attention cache of 16 bits changes in what a model thinks, beside what the rounding of its weights does.

    python -m benchmarks.thinking_cache [--prompts 20] [--tokens 200] [--checkpoint FOLDER ...]

Greedy traces of the mode "exact" with a cache of 16 and of 32 bits: of how many prompts they differ from each other and
from those of float32 weights with 32 bits, and at which token for the first time (median of those that do). The models
are the embedded pair with the questions of its tasks, the checkpoints named with the first half of these, and random
Llamas of two head sizes with random prompts. A random model is the worst case: hardly any of its tokens is much
likelier than the next best. Needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import transformers

import medbench_local.demo as demo
from benchmarks.modes import PAIR, random_checkpoint, stored_as
from medbench_local import api
from medbench_local.engine.base import EngineOptions, Pack, ThinkRequest, Tokens, Trace
from medbench_local.engine.llama import LlamaEngine

QUANTS = ("q8_0", "q4_k_m")
TASKS = Path(demo.__file__).parent / "tasks"


def texts(count: int) -> list[str]:
    """Questions of the embedded pair's tasks, as many of each."""
    files = sorted(TASKS.rglob("test.jsonl"))
    rows = [file.read_text(encoding="utf-8").splitlines() for file in files]
    found = []
    for number in range(count):
        row = json.loads(rows[number % len(rows)][number // len(rows)])
        found.append(f"### Question: {row['question']}\n### Answer:")
    return found


def traces(
    path: Path, cache: Literal["f32", "f16"], prompts: Sequence[str] | Sequence[Tokens], tokens: int
) -> list[Trace]:
    """What is thought about each prompt, a text or its tokens."""
    options = EngineOptions(cache=cache, n_ctx=1024, threads=1, gpu_layers=0)
    with LlamaEngine(path, options) as engine:
        contexts = [
            engine.tokenize([prompt], special=False)[0] if isinstance(prompt, str) else prompt
            for prompt in prompts
        ]
        requests = tuple(ThinkRequest(context, (), tokens) for context in contexts)
        return engine.think(Pack((), requests), lambda *_: None)


def said(ones: Sequence[Trace], others: Sequence[Trace]) -> str:
    """How many differ, and where for the first time."""
    places = []
    for one, other in zip(ones, others, strict=True):
        if one != other:
            pairs = zip(one.tokens, other.tokens, strict=False)
            shorter = min(len(one.tokens), len(other.tokens))
            places.append(next((place for place, (a, b) in enumerate(pairs) if a != b), shorter) + 1)
    share = f"{len(places)} of {len(ones)}"
    return f"{share}, token {statistics.median_low(places)}" if places else share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--checkpoint", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    transformers.logging.set_verbosity_error()
    asked = texts(given.prompts)
    torch.set_num_threads(1)
    print("| model | weights | tokens | f16 to f32 cache | f32 cache to float32 | f16 cache to float32 |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as room:
        work = Path(room)
        sources: dict[str, tuple[Path, Sequence[str] | Sequence[Tokens]]] = {
            folder.name: (folder, asked) for folder in sorted(PAIR.glob("demo-*"))
        }
        halves = [text[: len(text) // 2] for text in asked]
        sources |= {folder.name: (folder, halves) for folder in given.checkpoint}
        draw = np.random.default_rng(0)
        drawn = [(1, *map(int, draw.integers(3, 1280, draw.integers(40, 400)))) for _ in asked]
        for head in (64, 128):
            sources[f"random, heads of {head}"] = random_checkpoint(head, work / f"random-{head}"), drawn
        for number, (name, (folder, prompts)) in enumerate(sources.items()):
            full = work / f"{number}.gguf"
            api.convert(str(stored_as(folder, "f32", work / f"{number}-f32")), full)
            plain: list[Trace] = []
            for kind in ("f32", "bf16", *QUANTS):
                path = full if kind == "f32" else work / f"{number}-{kind}.gguf"
                if kind == "bf16":
                    api.convert(str(stored_as(folder, "bf16", work / f"{number}-bf16")), path)
                elif kind != "f32":
                    api.quantize(full, path, quant=kind, threads=1)
                wide, narrow = (
                    traces(path, "f32", prompts, given.tokens),
                    traces(path, "f16", prompts, given.tokens),
                )
                plain = plain or wide
                length = statistics.median_low(len(trace.tokens) for trace in wide)
                compared = said(wide, narrow), said(plain, wide), said(plain, narrow)
                print(f"| {name} | {kind} | {length} | {' | '.join(compared)} |", flush=True)


if __name__ == "__main__":
    main()
