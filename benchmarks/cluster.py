"""Sweeps on several engines: real ones on this machine, and up to 64 simulated ones.

    python -m benchmarks.cluster real [--repeats 5] [--limit 200] [--tasks demo]
    python -m benchmarks.cluster simulated [--engines 16,32,64] [--rate 1000] [--scale 50] [--pairs 10]

**real**: the embedded pair both ways, as the command of the README, without a cluster and on a local Ray of one and two
engines, in turn. Wall is of the whole command, with the start of Python and of Ray; work is what the comparisons say of
themselves, from the first that begins to the last that ends. CPU is of all processes, Ray's included.

**simulated**: the study's ten pairs, which share bases (17 models), on its 13 tasks without and with three
demonstrations. The driver and Ray are real, and each engine is an actor of Ray's in a process of its own; it sleeps
for as long as its tokens take at ``--rate``. Prompts of search and test are ``--scale`` times fewer than the study's,
and of the 110 candidates there are two, so that cells keep their proportions and prompts their lengths; packs have
1,024 tokens. A driver has as much to do for a prompt as at full size; what is done once a cell, or once a run, weighs
``--scale`` times as much. Reports, which are made once a pair, are left out. Columns are of

* wall: from the first comparison's start to the last one's end, models being ready and engines up;
* speed-up: seconds that engines were at work by their rate, in wall; share: of the number of engines, 1.00 is linear;
* bound: the longest work of one model in one cell, in seconds, which more engines do not make shorter but for its test
  pass;
* load: the driver's processor seconds in wall; near 1.00 it has no more to give, being one Python process;
* driver, Ray, engines: processor seconds of the driver, of Ray's own processes, and of the simulated engines, all of
  which this machine's cores share here;
* ms a prompt: processor time of the driver.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from benchmarks import simulated_engine
from benchmarks.made_up_questions import write_questions
from medbench_local.cluster.connect import Layout
from medbench_local.engine.several import Effort
from medbench_local.progress import Silent

ROOT = Path(__file__).resolve().parents[1]
PAIRS = ("demo-med=demo-base", "demo-base=demo-med")

# Real engines

WAYS: dict[str, list[str]] = {
    "no cluster, 1 thread": ["--threads", "1"],
    "no cluster, all threads": [],
    "1 engine of 1 core": ["--cluster", "ray", "--engines", "1", "--cpus-per-engine", "1"],
    "2 engines of 1 core": ["--cluster", "ray", "--engines", "2", "--cpus-per-engine", "1"],
}


class Processors:
    """Looks at the processor time of a process and all that it starts, until it is told to stop.

    Args:
        root: the process.
    """

    def __init__(self, root: int) -> None:
        self._root = psutil.Process(root)
        self._ended = threading.Event()
        self._seconds: dict[tuple[int, float], tuple[str, float]] = {}
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """Seconds by what the processes are."""
        self._ended.set()
        self._thread.join()
        found: dict[str, float] = {}
        for kind, seconds in self._seconds.values():
            found[kind] = found.get(kind, 0.0) + seconds
        return found

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            self._once()

    def _once(self) -> None:
        with suppress(psutil.Error):
            for process in [self._root, *self._root.children(recursive=True)]:
                with suppress(psutil.Error):
                    used = process.cpu_times()
                    self._seconds[process.pid, process.create_time()] = (
                        _kind(process),
                        used.user + used.system,
                    )


def _kind(process: psutil.Process) -> str:
    name = " ".join(process.cmdline())
    if "SimulatedActor" in name:
        return "engines"
    return "Ray" if "ray" in name else "others"


def real(repeats: int, limit: int, tasks: str) -> None:
    """Print the medians of each way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | {"MEDBENCH_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
        found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
        results: set[bytes] = set()
        for repeat in range(-1, repeats):  # the first one converts the models
            for way, more in WAYS.items():
                output = folder / f"{way}-{repeat}"
                command = [sys.executable, "-m", "medbench_local", "sweep", *PAIRS, "--limit", str(limit)]
                command += ["--tasks", tasks]
                began = time.monotonic()
                process = subprocess.Popen(
                    [*command, "--output", str(output), *more],
                    env=environment,
                    cwd=folder,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                )
                processors = Processors(process.pid)
                said = process.communicate()[1]
                wall = time.monotonic() - began
                if process.returncode:
                    raise RuntimeError(said.decode())
                cpu = sum(processors.stop().values())
                print(f"{way}: {wall:.1f} s, {_work(output):.1f} s, {cpu:.1f} s", file=sys.stderr, flush=True)
                if repeat >= 0:
                    found[way].append((wall, _work(output), cpu))
                results.add(_scored(output))
        print(f"{repeats} runs each, in turn; medians; {os.cpu_count()} cores; limit {limit}")
        print(f"the same results: {'yes' if len(results) == 1 else 'NO'}")
        print(f"\n{'':26}{'wall, s':>9}{'work, s':>9}{'CPU, s':>9}{'speed-up of work':>18}")
        first = statistics.median(one[1] for one in found["no cluster, 1 thread"])
        for way, rows in found.items():
            wall, work, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
            print(f"{way:26}{wall:>9.1f}{work:>9.1f}{cpu:>9.1f}{first / work:>18.2f}")


def _runs(output: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(output.glob("*/results.json"))]


def _work(output: Path) -> float:
    """Seconds from the first comparison's start to the last one's end."""
    timings = [run["timing"] for run in _runs(output)]
    begun = [datetime.fromisoformat(timing["started"]).timestamp() for timing in timings]
    ended = [one + timing["seconds"] for one, timing in zip(begun, timings, strict=True)]
    return float(max(ended) - min(begun))


def _scored(output: Path) -> bytes:
    """All results but for their timing."""
    runs = [{key: value for key, value in run.items() if key != "timing"} for run in _runs(output)]
    return json.dumps(runs, sort_keys=True).encode()


# Simulated engines

TASKS = {
    # demonstrations, validation and test questions, words of a question, options, words of an option
    "medqa": (1000, 500, 1273, 116, 5, 4),
    "medqa-4": (1000, 500, 1273, 116, 4, 4),
    "medmcqa": (1000, 500, 4183, 14, 4, 3),
    "pubmedqa": (1000, 500, 500, 215, 3, 1),
    "anatomy": (5, 14, 135, 20, 4, 4),
    "clinical-knowledge": (5, 29, 265, 18, 4, 6),
    "college-biology": (5, 16, 144, 28, 4, 8),
    "college-medicine": (5, 22, 173, 40, 4, 8),
    "high-school-biology": (5, 32, 310, 30, 4, 9),
    "medical-genetics": (5, 11, 100, 15, 4, 5),
    "nutrition": (5, 33, 306, 20, 4, 8),
    "professional-medicine": (5, 31, 272, 100, 4, 5),
    "virology": (5, 18, 166, 16, 4, 6),
}

FORMATS, SETS, PROMPTS, CANDIDATES = 1, 1, 3800, 110
"""Sampled formats and sets of demonstrations here, which make two candidates; prompts and candidates of the study's."""

PACK = 1024
LOADING = 0.2


def _task(folder: Path, sizes: tuple[int, ...], scale: float) -> str:
    pool, validation, test, words, options, option = sizes
    folder.mkdir(parents=True)
    large = validation > 100
    asked = 200 if large else max(2, round(validation * CANDIDATES / (SETS * (FORMATS + 1)) / scale))
    splits = {
        "demonstrations": min(pool, 50),
        "validation": asked,
        "test": max(2, round(test / scale)),
    }
    write_questions(
        folder,
        random.Random(folder.name),
        splits,
        words=words,
        options=options,
        words_of_an_option=option,
    )
    return str(folder)


def _models(folder: Path, count: int) -> dict[str, Path]:
    """Checkpoints under the names of the study's models: the embedded base with another context and other weights."""
    from safetensors.torch import load_file, save_file

    import medbench_local
    from medbench_local.study.sweep import study_pairs

    source = Path(medbench_local.__file__).parent / "demo" / "checkpoints" / "demo-base"
    found: dict[str, Path] = {}
    for pair in study_pairs()[:count]:
        for name in (pair.medical, pair.base):
            place = folder / name
            if name in found:
                continue
            place.mkdir(parents=True)
            for path in source.iterdir():
                (place / path.name).write_bytes(path.read_bytes())
            for file in ("config.json", "tokenizer_config.json"):
                text = (place / file).read_text(encoding="utf-8").replace(": 1024", ": 4096")
                (place / file).write_text(text, encoding="utf-8")
            weights = load_file(place / "model.safetensors")
            first = sorted(weights)[0]
            weights[first] = weights[first] * (1 + len(found) / 64)
            save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
            found[name] = place
    return found


def simulated(engines: int, rate: float, scale: float, pairs: int) -> dict[str, float]:
    """One sweep on so many simulated engines."""
    from medbench_local.acquire.prepare import prepare_model
    from medbench_local.acquire.source import resolve_model
    from medbench_local.catalog.protocol import Protocol, load_protocol
    from medbench_local.catalog.quantisation import load_quant
    from medbench_local.cluster import connect
    from medbench_local.engine.remote import start_engine
    from medbench_local.study import one_precision
    from medbench_local.study.options import SweepOptions, resolve
    from medbench_local.study.sweep import PairNames, run_sweep, study_pairs
    from medbench_local.study.tools import Tools

    protocol = load_protocol("laptop")
    search = protocol.selection.model_copy(
        update={
            "formats": tuple(range(FORMATS)),
            "demonstration_seeds": tuple(range(SETS)),
            "max_prompts": max(8, round(PROMPTS / scale)),
            "min_gain": None,
        }
    )
    protocol = Protocol.model_validate(protocol.model_copy(update={"selection": search}).model_dump())
    leases: list[Any] = []

    def effort_of(plan: Any, seat: Any, tokens: float) -> Effort:
        del plan, seat
        return Effort(tokens / rate, LOADING)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = Path(os.environ.setdefault("MEDBENCH_HOME", str(folder / "home")))
        os.environ |= {
            simulated_engine.RATE: str(rate),
            simulated_engine.PACK: str(PACK),
            simulated_engine.LOADING: str(LOADING),
            "RAY_prestart_worker_first_driver": "0",  # 64 at once are too much for a small machine
            "RAY_raylet_start_wait_time_s": "120",
        }
        models = _models(folder / "models", pairs)
        for path in models.values():
            prepare_model(resolve_model(str(path)), quant=load_quant("full"), home=home)
        tasks = [_task(folder / "tasks" / f"like-{task}", sizes, scale) for task, sizes in TASKS.items()]
        options = resolve(
            SweepOptions(tasks=tasks, shots=[0, 3], quant="full", protocol=protocol, output=folder / "sweep")
        )
        wanted = [
            PairNames(str(models[pair.medical]), str(models[pair.base])) for pair in study_pairs()[:pairs]
        ]
        asked = connect.ClusterOptions("ray", engines, 1, 0)
        with (
            patch.object(one_precision, "effort_of", effort_of),
            connect.connected(asked, Silent()),
            _crew(engines, home, leases) as crew,
        ):
            while any(slot.state != "idle" for slot in crew.pool.slots):
                time.sleep(0.2)
            tools = Tools(start_engine, engines=crew)  # no reports: these do not grow with the questions
            before, driver, began = _used(os.getpid()), time.process_time(), time.monotonic()
            run_sweep(wanted, replace(options, memory=crew.memory), tools)
            wall, driver = time.monotonic() - began, time.process_time() - driver
            after = _used(os.getpid())
        runs = [
            json.loads(path.read_text(encoding="utf-8"))["timing"]
            for path in folder.glob("sweep/*/results.json")
        ]
        busy = sum(engine.work.seconds for engine in leases)
        return {
            "engines": engines,
            "wall": wall,
            "speed-up": busy / wall,
            "share": busy / engines / wall,
            "bound": max(engine.work.seconds for engine in leases),
            "load": driver / wall,
            "driver": driver,
            "ray": after.get("Ray", 0.0) - before.get("Ray", 0.0),
            "actors": after.get("engines", 0.0) - before.get("engines", 0.0),
            "prompts": sum(run["prompts_scored"] for run in runs),
        }


@contextmanager
def _crew(count: int, home: Path, leases: list[Any]) -> Iterator[Any]:
    """Simulated engines; those that are lent are noted."""
    from medbench_local.cluster import ray_engines  # Ray reads how it is to be when it is imported

    class Engines(ray_engines.RayEngines):
        def lease(self, path: Path, options: Any, kind: str, effort: Effort) -> Any:
            engine = super().lease(path, options, kind, effort)
            leases.append(engine)
            return engine

    with (
        patch.object(ray_engines, "EngineActor", simulated_engine.SimulatedActor),
        Engines(Layout(count, 1, 0), home=home, progress=Silent()) as crew,
    ):
        yield crew


def _used(root: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for process in psutil.Process(root).children(recursive=True):
        with suppress(psutil.Error):
            used = process.cpu_times()
            kind = _kind(process)
            found[kind] = found.get(kind, 0.0) + used.user + used.system
    return found


COLUMNS = ("wall", "speed-up", "share", "bound", "load", "driver", "ray", "actors")


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables; each row of simulated engines is measured in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("real", "simulated"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--tasks", default="demo")
    parser.add_argument("--engines", default="16,32,64")
    parser.add_argument("--rate", type=float, default=1000.0, help="tokens a second of an engine")
    parser.add_argument("--scale", type=float, default=50.0)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.what == "real":
        real(asked.repeats, asked.limit, asked.tasks)
        return 0
    if asked.one:
        print(json.dumps(simulated(int(asked.engines), asked.rate, asked.scale, asked.pairs)))
        return 0
    print(
        f"{asked.pairs} pairs, scale 1/{asked.scale:g}, {asked.rate:g} tokens a second, {os.cpu_count()} cores"
    )
    print(f"{'engines':>8}" + "".join(f"{name:>10}" for name in COLUMNS) + f"{'ms a prompt':>13}")
    for engines in asked.engines.split(","):
        more = ["--rate", str(asked.rate), "--scale", str(asked.scale), "--pairs", str(asked.pairs)]
        command = [sys.executable, "-m", "benchmarks.cluster", "simulated", "--one", "--engines", engines]
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        print(row(json.loads(done.stdout.splitlines()[-1])), flush=True)
    return 0


def row(found: dict[str, float]) -> str:
    """A row of the table."""
    digits = {"share": 2, "load": 2}
    cells = "".join(f"{found[name]:>10.{digits.get(name, 1)}f}" for name in COLUMNS)
    return f"{found['engines']:>8}{cells}{1000 * found['driver'] / found['prompts']:>13.2f}"


if __name__ == "__main__":
    sys.exit(main())
