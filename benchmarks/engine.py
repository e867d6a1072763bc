"""Speed of the engine on one GGUF: a reused prefix against whole prompts, the exact mode against the fast one.

    python benchmarks/engine.py MODEL.gguf [--questions 12] [--rounds 3]

Every round runs each way once, in turn, so that a machine that is busy for a while is busy for all of them; the
table shows medians. Prompts are random tokens: their content does not change the work.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medbench_local.engine.base import EngineOptions, Mode, Pack, ScoreRequest, Tokens
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.packs import new_tokens, shared_length


@dataclass(frozen=True)
class Way:
    name: str
    mode: Mode
    shared: bool
    parallel: int = 1


WAYS = (
    Way("exact, prefix reused", "exact", True),
    Way("exact, whole prompts", "exact", False),
    Way("fast, 1 a decode", "fast", True, 1),
    Way("fast, 4 a decode", "fast", True, 4),
    Way("fast, 8 a decode", "fast", True, 8),
)


def prompts(prefix_length: int, question_length: int, count: int) -> tuple[Tokens, list[ScoreRequest]]:
    generator = np.random.default_rng(0)

    def draw(length: int) -> Tokens:
        return tuple(int(token) for token in generator.integers(300, 500, length))

    prefix = draw(prefix_length)
    letters = tuple((token,) for token in range(310, 315))
    return prefix, [ScoreRequest(prefix + draw(question_length), letters) for _ in range(count)]


def run(engine: LlamaEngine, way: Way, prefix: Tokens, requests: list[ScoreRequest]) -> tuple[float, int]:
    """Seconds and decoded tokens, the decoding of the prefix included."""
    warm = ScoreRequest((1,) * 40, ((5,),))
    engine.score(Pack((), (warm,)))
    packs = [Pack(prefix, tuple(requests))] if way.shared else [Pack((), (one,)) for one in requests]
    start = time.perf_counter()
    for pack in packs:
        engine.score(pack)
    return time.perf_counter() - start, unique_tokens(packs)


def unique_tokens(packs: Sequence[Pack]) -> int:
    """Tokens that are decoded for ``packs`` in this order: each run of equal prefixes counts once."""
    total = 0
    decoded: Tokens = ()
    for pack in packs:
        total += len(pack.prefix) - shared_length(decoded, pack.prefix)
        decoded = pack.prefix
        total += sum(new_tokens(request, len(pack.prefix)) for request in pack.requests)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefix", type=int, default=765, help="tokens all prompts share (3 demonstrations)")
    parser.add_argument("--question", type=int, default=245, help="tokens of each question")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--gpu-layers", type=int, default=-1)
    given = parser.parse_args()
    prefix, requests = prompts(given.prefix, given.question, given.questions)
    with ExitStack() as stack:
        engines = {
            way: stack.enter_context(
                LlamaEngine(
                    given.model,
                    EngineOptions(
                        mode=way.mode,
                        n_ctx=given.prefix + given.question * (way.parallel + 1) + 64,
                        threads=given.threads,
                        gpu_layers=given.gpu_layers,
                        parallel=way.parallel,
                    ),
                )
            )
            for way in WAYS
        }
        info = engines[WAYS[0]].info
        print(f"{info.description}, {info.device}; {len(requests)} questions of {given.question} tokens")
        print(f"behind a prefix of {given.prefix}; medians of {given.rounds} rounds")
        seconds: dict[Way, list[float]] = {way: [] for way in WAYS}
        decoded: dict[Way, int] = {}
        for number in range(given.rounds):
            for way in WAYS if number % 2 == 0 else WAYS[::-1]:
                took, decoded[way] = run(engines[way], way, prefix, requests)
                seconds[way].append(took)
    print(f"{'':24}{'s a question':>14}{'decoded tokens/s':>18}{'prompt tokens/s':>17}")
    prompt_tokens = sum(len(request.context) for request in requests)
    for way in WAYS:
        median = statistics.median(seconds[way])
        print(
            f"{way.name:24}{median / len(requests):14.3f}{decoded[way] / median:18.0f}"
            f"{prompt_tokens / median:17.0f}"
        )


if __name__ == "__main__":
    main()
