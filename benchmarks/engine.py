"""Speed of the engine on one GGUF at several depths: its modes against plain decodes of llama.cpp.

    python benchmarks/engine.py MODEL.gguf [--depths 0 768 2048] [--questions 4] [--rounds 5] [--ways raw exact ...]

Each question is decoded behind a prefix of so many tokens (the depth) that is decoded before the clock starts. "raw"
is llama.cpp itself, called with plain decodes: flash attention, F16 cache, weights not repacked, one question a decode.
Every round runs each way once, in turn, so that a machine that is busy for a while is busy for all of them; the tables
show medians of processor seconds (of all threads), which other programs disturb less than the time on the wall. Prompts
are random tokens: their content does not change the work.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from medbench_local.engine.base import EngineOptions, Mode, Pack, ScoreRequest, Tokens
from medbench_local.engine.bindings import llama_cpp, set_fields
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.llama_model import Model


@dataclass(frozen=True)
class Way:
    """How the engine is asked; without a mode it is llama.cpp itself."""

    mode: Mode | None
    whole: bool = False
    parallel: int = 1
    cache: Literal["f32", "f16"] = "f32"


WAYS = {
    "raw": Way(None),
    "exact": Way("exact"),
    "reproducible": Way("reproducible"),
    "reproducible-f16-cache": Way("reproducible", cache="f16"),
    "exact-whole-prompts": Way("exact", whole=True),
    "reproducible-whole-prompts": Way("reproducible", whole=True),
    "fast-1": Way("fast", parallel=1),
    "fast-4": Way("fast", parallel=4),
    "fast-8": Way("fast", parallel=8),
}
USUAL = ("raw", "exact", "reproducible")


class Raw:
    """Plain decodes: a prefix once, then each question behind it, its last row read."""

    def __init__(self, path: Path, *, n_ctx: int, threads: int) -> None:
        self._model = Model(path)
        params = llama_cpp.llama_context_default_params()
        set_fields(
            params,
            n_ctx=n_ctx,
            n_batch=512,
            n_ubatch=512,
            n_threads=threads,
            n_threads_batch=threads,
            flash_attn_type=llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        )
        self._context = llama_cpp.llama_init_from_model(self._model.handle, params)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._held: Tokens = ()

    def _decode(self, tokens: Sequence[int]) -> None:
        for start in range(0, len(tokens), 512):
            part = tokens[start : start + 512]
            array = (llama_cpp.llama_token * len(part))(*part)
            if llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(array, len(part))):
                raise SystemExit("llama.cpp could not decode")

    def begin(self, prefix: Tokens) -> None:
        """Decode the prefix, unless it is there."""
        if prefix != self._held:
            llama_cpp.llama_memory_clear(self._memory, True)
            if prefix:
                self._decode(prefix)
            self._held = prefix

    def score(self, prefix: Tokens, questions: Sequence[Tokens], letters: Sequence[int]) -> list[list[float]]:
        """Log-probabilities of the letters behind each question."""
        found = []
        for question in questions:
            self._decode(question)
            row = np.ctypeslib.as_array(
                llama_cpp.llama_get_logits_ith(self._context, -1), shape=(self._model.vocabulary,)
            ).astype(np.float64)
            row -= row.max()
            found.append([float(value) for value in row[list(letters)] - np.log(np.exp(row).sum())])
            llama_cpp.llama_memory_seq_rm(self._memory, 0, len(prefix), -1)
        return found

    def close(self) -> None:
        """Free everything."""
        llama_cpp.llama_free(self._context)
        self._model.close()


def draw(length: int, seed: int) -> Tokens:
    return tuple(int(token) for token in np.random.default_rng(seed).integers(300, 500, length))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 768, 2048])
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--question", type=int, default=256, help="tokens of each question")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpu-layers", type=int, default=0)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=USUAL)
    given = parser.parse_args()
    letters = tuple(range(310, 315))
    questions = [draw(given.question, number) for number in range(given.questions)]
    with ExitStack() as stack:
        deepest = max(given.depths) + given.question * 9 + 64
        runs: dict[str, Callable[[Tokens], float]] = {}
        for name in given.ways:
            way = WAYS[name]
            runs[name] = (
                _raw(stack, given, questions, letters)
                if way.mode is None
                else _engine(stack, given, way, way.mode, deepest, questions, letters)
            )
        tokens = given.questions * given.question
        print(
            f"{given.model.name}: {given.questions} questions of {given.question} tokens, {given.threads} thread(s)"
        )
        print(
            f"tokens per CPU second, medians of {given.rounds} rounds in turn; in brackets of what is first\n"
        )
        print("| depth | " + " | ".join(runs) + " |\n|---|" + "---|" * len(runs))
        for depth in given.depths:
            prefix = draw(depth, 1000)
            seconds: dict[str, list[float]] = {name: [] for name in runs}
            for number in range(given.rounds):
                for name in list(runs) if number % 2 == 0 else list(runs)[::-1]:
                    seconds[name].append(runs[name](prefix))
            speed = {name: tokens / statistics.median(took) for name, took in seconds.items()}
            first = speed[next(iter(speed))]
            cells = [f"{value:.1f} ({value / first:.2f})" for value in speed.values()]
            print(f"| {depth} | " + " | ".join(cells) + " |", flush=True)


def _raw(
    stack: ExitStack, given: argparse.Namespace, questions: Sequence[Tokens], letters: Sequence[int]
) -> Callable[[Tokens], float]:
    raw = Raw(given.model, n_ctx=max(given.depths) + given.question, threads=given.threads)
    stack.callback(raw.close)

    def run(prefix: Tokens) -> float:
        raw.begin(prefix)
        start = time.process_time()
        raw.score(prefix, questions, letters)
        return time.process_time() - start

    return run


def _engine(
    stack: ExitStack,
    given: argparse.Namespace,
    way: Way,
    mode: Mode,
    n_ctx: int,
    questions: Sequence[Tokens],
    letters: Sequence[int],
) -> Callable[[Tokens], float]:
    options = EngineOptions(
        mode=mode,
        n_ctx=n_ctx,
        threads=given.threads,
        gpu_layers=given.gpu_layers,
        parallel=way.parallel,
        cache=way.cache,
    )
    engine = stack.enter_context(LlamaEngine(given.model, options))
    options_of = tuple((token,) for token in letters)

    def run(prefix: Tokens) -> float:
        requests = [ScoreRequest(prefix + question, options_of) for question in questions]
        packs = [Pack((), (one,)) for one in requests] if way.whole else [Pack(prefix, tuple(requests))]
        engine.score(Pack(prefix, (ScoreRequest(prefix + draw(given.question, 99), options_of),)))
        start = time.process_time()
        for pack in packs:
            engine.score(pack)
        return time.process_time() - start

    return run


if __name__ == "__main__":
    main()
