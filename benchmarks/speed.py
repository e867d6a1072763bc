"""The tables of docs/speed.md, on a model that is made for them: threads, precisions, repacking, interrupts.

    python -m benchmarks.speed threads|precisions|repacking|interrupts [--rounds 5] [--quant q4_k_m]

Ways are taken in turn, and the tables show medians: a machine that is busy for a while is busy for all of them.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from medbench_local.acquire.calibration import CANDIDATES, measured_speeds
from medbench_local.acquire.quantise import quantise
from medbench_local.acquire.trial_model import write_trial_model
from medbench_local.catalog.quantisation import FULL, load_quant
from medbench_local.engine.base import EngineOptions, GenerateRequest, Pack, ScoreRequest
from medbench_local.engine.machine import MachineNotes
from medbench_local.engine.remote import WorkerEngine, start_engine
from medbench_local.engine.repacking import repacking_pays

OPTIONS = EngineOptions(n_ctx=512)
WAITING: dict[str, tuple[int, dict[str, str]]] = {
    "1 thread": (1, {}),
    "2, spinning (the default of libgomp)": (2, {"OMP_WAIT_POLICY": ""}),
    "2, spinning shortly (GOMP_SPINCOUNT=1000)": (2, {"GOMP_SPINCOUNT": "1000"}),
    "2, sleeping (OMP_WAIT_POLICY=passive)": (2, {"OMP_WAIT_POLICY": "passive"}),
}


def trial(folder: Path, quant: str) -> Path:
    """The model at a precision."""
    full = folder / "full.gguf"
    if not full.exists():
        write_trial_model(full)
    path = folder / f"{quant}.gguf"
    if quant != FULL and not path.exists():
        quantise(full, load_quant(quant), path)
    return path


def prompts(count: int, tokens: int = 256) -> Pack:
    draw = np.random.default_rng(0)
    contexts = [(1, *map(int, draw.integers(300, 500, tokens - 1))) for _ in range(count)]
    return Pack((), tuple(ScoreRequest(context, ((310,),)) for context in contexts))


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    yield
    os.environ.clear()
    os.environ.update(before)


def threads(folder: Path, rounds: int, quant: str) -> None:
    path = trial(folder, quant)
    text = Pack((), (GenerateRequest(prompts(1, 40).requests[0].context, (), 60),))
    with ExitStack() as stack:
        engines: dict[str, WorkerEngine] = {}
        for name, (count, values) in WAITING.items():
            with environment(values):
                engines[name] = stack.enter_context(WorkerEngine(path, replace(OPTIONS, threads=count)))
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for number in range(-1, rounds):  # the first one warms up
            for name in engines if number % 2 else reversed(engines):
                for kind in ("8 prompts of 256", "a text of 60"):
                    before, clock = engines[name].work, time.monotonic()
                    if kind == "a text of 60":
                        engines[name].generate(text)
                    else:
                        engines[name].score(prompts(8))
                    took = engines[name].work.since(before).cpu_seconds, time.monotonic() - clock
                    if number >= 0:
                        found.setdefault((kind, name), []).append(took)
    print(f"{quant}, load {os.getloadavg()[0]:.1f}; seconds of processor and of wall time")
    for (kind, name), measured in sorted(found.items()):
        cpu, wall = (statistics.median(one[column] for one in measured) for column in (0, 1))
        print(f"{kind:18}{name:44}{cpu:8.2f}{wall:8.2f}")


def precisions(folder: Path) -> None:
    for mode in ("exact", "fast"):
        speeds = measured_speeds(folder, replace(OPTIONS, mode=mode), start_engine)
        most = max(speeds.values())
        print(mode, *(f"{name} {speed / 1e9:.0f} ({speed / most:.2f})" for name, speed in speeds.items()))


def repacking(folder: Path) -> None:
    for quant in (*CANDIDATES, "q4_0"):
        repacking_pays(trial(folder, quant), replace(OPTIONS, mode="fast"), folder, WorkerEngine)
    for name, found in MachineNotes(folder).read("repacking").items():
        print(name, found)


def interrupts(folder: Path, rounds: int, quant: str) -> None:
    took = []
    with start_engine(trial(folder, quant), replace(OPTIONS, n_ctx=1024)) as engine:
        for _ in range(rounds):
            pressed: list[float] = []

            def press(pressed: list[float] = pressed) -> None:
                pressed.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)

            threading.Timer(0.5, press).start()
            try:
                engine.score(prompts(500, 900))
            except KeyboardInterrupt:
                took.append(time.monotonic() - pressed[0])
        engine.score(prompts(1))
    print(
        f"from Ctrl-C to the answer: {statistics.median(took):.3f} s, at most {max(took):.3f} s; same worker after"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("threads", "precisions", "repacking", "interrupts"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quant", default="q4_k_m")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MEDBENCH_HOME"] = name
        if given.what == "threads":
            threads(folder, given.rounds, given.quant)
        elif given.what == "precisions":
            precisions(folder)
        elif given.what == "repacking":
            repacking(folder)
        else:
            interrupts(folder, given.rounds, given.quant)


if __name__ == "__main__":
    main()
