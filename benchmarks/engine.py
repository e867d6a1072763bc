"""Speed of the engine on one GGUF at several depths: its modes against plain decodes of llama.cpp.

    python -m benchmarks.engine MODEL.gguf [--depths 0 768 2048] [--questions 4] [--rounds 5] [--ways raw exact ...]
        [--gpu-layers N]

Each question is decoded behind a prefix of so many tokens (the depth) that is decoded before the clock starts. "raw"
is llama.cpp itself, called with plain decodes: flash attention, F16 cache, weights not repacked, one question a decode.
Every round runs each way once, in turn, so that a machine that is busy for a while is busy for all of them; the tables
show medians of processor seconds (of all threads), which other programs disturb less than the time on the wall. Prompts
are random tokens: their content does not change the work.

On a GPU, which is used if there is one, the clock is the one on the wall, weights lie on the GPU for "raw", too, and
without ``--questions`` there are 64 of them.

pp512 and pp2048 are what llama-bench calls so: one prompt of so many tokens from an empty cache, flash attention as
llama.cpp chooses, micro-batches of 512. Its program is not part of the bindings: the same calls are made here, with
weights not repacked. The share is that of each way at each depth.
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
from medbench_local.engine.devices import has_gpu
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.llama_model import Model


@dataclass(frozen=True)
class Way:
    """How the engine is asked; without a mode it is llama.cpp itself."""

    mode: Mode | None
    whole: bool = False
    questions: int | None = None
    batch: int = 2048
    cache: Literal["f32", "f16"] = "f32"


WAYS = {
    "raw": Way(None),
    "exact": Way("exact"),
    "reproducible": Way("reproducible"),
    "reproducible-f16-cache": Way("reproducible", cache="f16"),
    "exact-whole-prompts": Way("exact", whole=True),
    "reproducible-whole-prompts": Way("reproducible", whole=True),
    "fast": Way("fast"),
    "fast-8192": Way("fast", batch=8192),
    "fast-1": Way("fast", questions=1),
    "fast-4": Way("fast", questions=4),
    "fast-8": Way("fast", questions=8),
}
USUAL = ("raw", "exact", "reproducible")
ON_GPU = (*USUAL, "fast", "fast-8192")
Clock = Callable[[], float]


class Passes:
    """What llama-bench measures: tokens a second of one prompt of ``length`` tokens."""

    def __init__(self, model: Model, length: int, *, threads: int) -> None:
        params = llama_cpp.llama_context_default_params()
        set_fields(params, n_ctx=length, n_batch=2048, n_threads=threads, n_threads_batch=threads)
        self._context = llama_cpp.llama_init_from_model(model.handle, params)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._tokens = (llama_cpp.llama_token * length)(*draw(length, 7))
        self.run(time.perf_counter)  # warms up

    def run(self, clock: Clock) -> float:
        """Seconds of one pass."""
        llama_cpp.llama_memory_clear(self._memory, True)
        start = clock()
        batch = llama_cpp.llama_batch_get_one(self._tokens, len(self._tokens))
        if llama_cpp.llama_decode(self._context, batch):
            raise SystemExit("llama.cpp could not decode")
        llama_cpp.llama_synchronize(self._context)
        return clock() - start

    def close(self) -> None:
        llama_cpp.llama_free(self._context)


def passes(path: Path, *, gpu_layers: int, threads: int, rounds: int, clock: Clock) -> dict[int, float]:
    """Tokens a second of passes of 512 and of 2,048 tokens, medians of rounds in turn."""
    model = Model(path, gpu_layers=gpu_layers)
    ways = {length: Passes(model, length, threads=threads) for length in (512, 2048)}
    took: dict[int, list[float]] = {length: [] for length in ways}
    for _ in range(rounds):
        for length, way in ways.items():
            took[length].append(way.run(clock))
    for way in ways.values():
        way.close()
    model.close()
    return {length: length / statistics.median(seconds) for length, seconds in took.items()}


class Raw:
    """Plain decodes: a prefix once, then each question behind it, its last row read."""

    def __init__(self, path: Path, *, n_ctx: int, threads: int, gpu_layers: int = 0) -> None:
        self._model = Model(path, gpu_layers=gpu_layers)
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
    parser.add_argument("--questions", type=int)
    parser.add_argument("--question", type=int, default=256, help="tokens of each question")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpu-layers", type=int, help="without it all, if there is a GPU")
    parser.add_argument("--ways", nargs="+", choices=WAYS)
    given = parser.parse_args()
    if given.gpu_layers is None:
        given.gpu_layers = -1 if has_gpu() else 0
    gpu = given.gpu_layers != 0
    clock: Clock = time.perf_counter if gpu else time.process_time
    given.ways = given.ways or (ON_GPU if gpu else USUAL)
    given.questions = given.questions or (64 if gpu else 4)
    letters = tuple(range(310, 315))
    questions = [draw(given.question, number) for number in range(given.questions)]
    with ExitStack() as stack:
        deepest = max(given.depths) + given.question * 9 + 64
        runs: dict[str, Callable[[Tokens], float]] = {}
        for name in given.ways:
            way = WAYS[name]
            runs[name] = (
                _raw(stack, given, questions, letters, clock)
                if way.mode is None
                else _engine(stack, given, way, way.mode, deepest, questions, letters, clock)
            )
        tokens = given.questions * given.question
        print(
            f"{given.model.name}: {given.questions} questions of {given.question} tokens, {given.threads} thread(s)"
        )
        second = "second on the wall" if gpu else "CPU second"
        print(
            f"tokens per {second}, medians of {given.rounds} rounds in turn; in brackets of what is first\n"
        )
        print("| depth | " + " | ".join(runs) + " |\n|---|" + "---|" * len(runs))
        speeds: dict[int, dict[str, float]] = {}
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
            speeds[depth] = speed
    plain = passes(
        given.model, gpu_layers=given.gpu_layers, threads=given.threads, rounds=given.rounds, clock=clock
    )
    print("\n| share of | tokens per second | depth | " + " | ".join(given.ways) + " |")
    print("|---|---|---|" + "---|" * len(given.ways))
    for length, most in plain.items():
        for depth, speed in speeds.items():
            cells = [f"{speed[name] / most:.2f}" for name in given.ways]
            print(f"| pp{length} | {most:.1f} | {depth} | " + " | ".join(cells) + " |")


def _raw(
    stack: ExitStack,
    given: argparse.Namespace,
    questions: Sequence[Tokens],
    letters: Sequence[int],
    clock: Clock,
) -> Callable[[Tokens], float]:
    n_ctx = max(given.depths) + given.question
    raw = Raw(given.model, n_ctx=n_ctx, threads=given.threads, gpu_layers=given.gpu_layers)
    stack.callback(raw.close)

    def run(prefix: Tokens) -> float:
        raw.begin(prefix)
        start = clock()
        raw.score(prefix, questions, letters)
        return clock() - start

    return run


def _engine(
    stack: ExitStack,
    given: argparse.Namespace,
    way: Way,
    mode: Mode,
    n_ctx: int,
    questions: Sequence[Tokens],
    letters: Sequence[int],
    clock: Clock,
) -> Callable[[Tokens], float]:
    options = EngineOptions(
        mode=mode,
        n_ctx=n_ctx,
        threads=given.threads,
        gpu_layers=given.gpu_layers,
        questions=way.questions,
        batch_tokens=way.batch,
        cache=way.cache,
    )
    engine = stack.enter_context(LlamaEngine(given.model, options))
    options_of = tuple((token,) for token in letters)

    def run(prefix: Tokens) -> float:
        requests = [ScoreRequest(prefix + question, options_of) for question in questions]
        packs = [Pack((), (one,)) for one in requests] if way.whole else [Pack(prefix, tuple(requests))]
        engine.score(Pack(prefix, (ScoreRequest(prefix + draw(given.question, 99), options_of),)))
        start = clock()
        for pack in packs:
            engine.score(pack)
        return clock() - start

    return run


if __name__ == "__main__":
    main()
