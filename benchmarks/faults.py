"""Kill and interrupt a run at random moments and see what is lost.

    python -m benchmarks.faults --trials 50 --interrupts 10

Each trial starts the same small comparison of the embedded pair in folders of its own, kills the main process,
its worker or both (SIGKILL) at a random moment, and runs the same command again. Nothing is lost if the second
run scores exactly what the first had not committed, and ends with the samples and the ``results.json`` of an
uninterrupted run, byte for byte but for ``timing``. What a kill costs is the pack that was being computed.

An interrupt (SIGINT to the main process and its worker, as Ctrl-C at a terminal) must end the run with code 130 and
the command that resumes it; the last column then says after how many seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

Target = Literal["main", "worker", "both", "worker, retried", "Ctrl-C"]
TARGETS: tuple[Target, ...] = ("main", "worker", "both", "worker, retried")

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 600.0
"""Seconds after which a run counts as hanging."""

PROTOCOL = """\
name: faults
summary: A small search and a small test, so that every stage of a run can be hit.
shots: [0, 2]
selection: {method: exhaustive, formats: [0], demonstration_seeds: [0, 1], validation_questions: 12}
"""


@dataclass(frozen=True)
class Trial:
    """What one kill did.

    Attributes:
        target: what was killed.
        moment: seconds after the start.
        stage: what the run folder held at that moment.
        code: exit code of the process that was hit; negative for a signal.
        committed: prompts in the store after the kill.
        scored: prompts that the run after it computed.
        problems: what was lost, in words; empty if nothing was.
        ended: seconds from an interrupt to the end of the process; None for kills.
    """

    target: Target
    moment: float
    stage: str
    code: int
    committed: int
    scored: int
    problems: tuple[str, ...]
    ended: float | None = None


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Attributes:
        seconds: from start to end.
        prompts: in its store.
        files: results (without timing), samples, questions and prompts by name.
    """

    seconds: float
    prompts: int
    files: dict[str, bytes]


class Comparison:
    """The same small comparison in any folder.

    Args:
        folder: where home, protocol and run go; made if absent.
        limit: test questions a task.
        protocol: the protocol file's text.
        quant: precision; one that is checked loads four models, "none" two.
    """

    def __init__(
        self, folder: Path, *, limit: int = 30, protocol: str = PROTOCOL, quant: str = "q8_0"
    ) -> None:
        self.folder = folder
        self.run = folder / "runs" / "run"
        self._limit = limit
        self._quant = quant
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "protocol.yaml").write_text(protocol, encoding="utf-8")

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the command; what it says goes to the folder's ``log``."""
        words = [sys.executable, "-m", "medbench_local", "compare", "demo-med", "demo-base"]
        words += ["--tasks", "demo-anatomy", "--limit", str(self._limit), "--quant", self._quant]
        words += ["--protocol", "protocol.yaml", "--output", "runs/run", *more]
        environment = os.environ | {
            "MEDBENCH_HOME": str(self.folder / "home"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(ROOT),
        }
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                words,
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a group of its own, which an interrupt reaches as a whole
            )

    def finish(self, *more: str) -> Outcome:
        """Run the command to its end.

        Raises:
            RuntimeError: it hangs or does not end well.
        """
        started = time.monotonic()
        process = self.start(*more)
        code = _wait(process)
        if code != 0:
            raise RuntimeError(f"exit code {code}: {self.said()}")
        return self.outcome(time.monotonic() - started)

    def outcome(self, seconds: float = 0.0) -> Outcome:
        """What the finished run's folder holds."""
        text = (self.run / "results.json").read_bytes()
        files = {"results.json": text[: text.index(b'"timing"')]}
        for folder in ("samples", "questions"):
            for path in sorted((self.run / folder).iterdir()):
                files[f"{folder}/{path.name}"] = path.read_bytes()
        files["prompts.jsonl"] = (self.run / "prompts.jsonl").read_bytes()
        return Outcome(seconds, self.committed(), files)

    def committed(self) -> int:
        """Prompts in the store; 0 if there is none yet. The store must be whole at any time."""
        if not (self.run / "scores.sqlite").exists():
            return 0
        database = sqlite3.connect(self.run / "scores.sqlite", timeout=30)
        try:
            if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise RuntimeError("the score store is damaged")
            tables = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'scores'").fetchone()[
                0
            ]
            return int(database.execute("SELECT count(*) FROM scores").fetchone()[0]) if tables else 0
        finally:
            database.close()

    def scored(self) -> int:
        """Prompts that the run which wrote the results computed itself."""
        timing = json.loads((self.run / "results.json").read_text(encoding="utf-8"))["timing"]
        return int(timing["prompts_scored"])

    def stage(self) -> str:
        """How far the run has come, in a word."""
        if (self.run / "results.json").exists():
            return "done"
        if (self.run / "samples").is_dir():
            return "reporting"
        if (self.run / "scores.sqlite").exists():
            return "scoring"
        if list(self.folder.glob("home/models/*/*")):
            return "preparing"
        return "starting"

    def said(self) -> str:
        """The last line of the log."""
        lines = (self.folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " ".join(lines[-3:])


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The engine's workers of a running command."""
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if "medbench_local.engine.worker" in child.cmdline():
                    found.append(child)
    return found


def trial(comparison: Comparison, expected: Outcome, target: Target, moment: float) -> Trial | None:
    """Kill a run of ``comparison``, run it again, and compare it with ``expected``.

    Args:
        comparison: in a fresh folder.
        expected: an uninterrupted run.
        target: what to kill.
        moment: seconds after the start; a worker is waited for.

    Returns:
        What happened; None if the run had ended before it could be hit.
    """
    more = ("--retries", "1") if target == "worker, retried" else ()
    process = comparison.start(*more)
    started = time.monotonic()
    time.sleep(moment)
    hit = workers(process)
    while target != "main" and not hit and process.poll() is None:
        time.sleep(0.01)
        hit = workers(process)
    at, stage = time.monotonic() - started, comparison.stage()
    if process.poll() is not None or stage == "done":
        _wait(process)
        return None
    with suppress(psutil.NoSuchProcess):
        if target != "worker" and target != "worker, retried":
            process.kill()
        if target != "main":
            for worker in hit:
                worker.kill()
    code = _wait(process)
    problems = []
    if target in ("main", "both") and psutil.wait_procs(hit, timeout=10)[1]:
        problems.append("the worker outlived its parent")
    if target == "worker" and code == 0 and comparison.stage() == "done":
        return None  # it had nothing left to do
    if target == "worker" and (code != 2 or "ended while" not in comparison.said()):
        problems.append(f"exit code {code}: {comparison.said()}")
    if target == "worker, retried":
        if code != 0:
            problems.append(f"exit code {code}: {comparison.said()}")
        committed, scored = comparison.committed(), comparison.scored()
        if scored != expected.prompts:
            problems.append(f"{scored} prompts scored, {expected.prompts} needed")
    else:
        committed = comparison.committed()
        done = comparison.finish()
        scored = comparison.scored()
        if committed + scored != expected.prompts:
            problems.append(f"{committed} + {scored} prompts scored, {expected.prompts} needed")
        if done.prompts != expected.prompts:
            problems.append(f"{done.prompts} prompts in the store, {expected.prompts} expected")
    if not problems:
        problems += _differences(comparison.outcome(), expected)
    return Trial(target, at, stage, code, committed, scored, tuple(problems))


def interruption(comparison: Comparison, expected: Outcome, moment: float) -> Trial | None:
    """Interrupt a run of ``comparison`` ``moment`` seconds after its start, and run it again; see `trial`."""
    process = comparison.start()
    started = time.monotonic()
    time.sleep(moment)
    at, stage = time.monotonic() - started, comparison.stage()
    if process.poll() is not None or stage == "done":
        _wait(process)
        return None
    os.killpg(process.pid, signal.SIGINT)
    code = _wait(process)
    ended = time.monotonic() - started - at
    committed = comparison.committed()
    problems = []
    if code not in _INTERRUPTED or "medbench-local compare" not in comparison.said():
        problems.append(f"exit code {code}: {comparison.said()}")
    comparison.finish()
    scored = comparison.scored()
    if committed + scored != expected.prompts:
        problems.append(f"{committed} + {scored} prompts scored, {expected.prompts} needed")
    problems += _differences(comparison.outcome(), expected)
    return Trial("Ctrl-C", at, stage, code, committed, scored, tuple(problems), ended)


def _differences(found: Outcome, expected: Outcome) -> list[str]:
    if found.files.keys() != expected.files.keys():
        return ["other files than an uninterrupted run"]
    return [f"{name} differs" for name in expected.files if found.files[name] != expected.files[name]]


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        raise RuntimeError(f"a run did not end within {LONGEST:.0f} s") from None


def trials(
    folder: Path,
    count: int,
    *,
    seed: int,
    limit: int = 30,
    interrupts: int = 0,
    tell: Callable[[str], None] = print,
) -> list[Trial]:
    """Kill ``count`` runs, each target in turn, then interrupt some, at moments drawn over an uninterrupted run."""
    expected = Comparison(folder / "whole", limit=limit).finish()
    tell(f"uninterrupted: {expected.prompts} prompts in {expected.seconds:.1f} s")
    generator = random.Random(seed)
    done: list[Trial] = []
    number = 0
    while len(done) < count + interrupts:
        number += 1
        moment = generator.uniform(0.02, 0.95) * expected.seconds
        comparison = Comparison(folder / f"trial-{number}", limit=limit)
        if len(done) < count:
            found = trial(comparison, expected, TARGETS[len(done) % len(TARGETS)], moment)
        else:
            found = interruption(comparison, expected, max(moment, _BEGUN))
        if found is None:
            continue  # the run was faster than the uninterrupted one
        done.append(found)
        tell(line(len(done), found))
    return done


_BEGUN = 1.0
"""Seconds in which the command line is read; before that Python itself ends the process."""

_INTERRUPTED = (130, -signal.SIGINT)
"""Exit codes; the second, the same to a shell, where the signal hit a class that Python was just making."""

HEADER = f"{'':>4}{'hit':<17}{'at, s':>7}  {'stage':<10}{'code':>5}{'kept':>7}{'scored then':>13}  lost"


def line(number: int, found: Trial) -> str:
    """A row of the table."""
    lost = "; ".join(found.problems) or "nothing"
    if found.ended is not None:
        lost += f", ended after {found.ended:.1f} s"
    return (
        f"{number:>3} {found.target:<17}{found.moment:>7.2f}  {found.stage:<10}{found.code:>5}"
        f"{found.committed:>7}{found.scored:>13}  {lost}"
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the trials, print the table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description="Hit a run at random moments and see what is lost.")
    parser.add_argument("--trials", type=int, default=50, help="kills")
    parser.add_argument("--interrupts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, default=30, help="test questions")
    asked = parser.parse_args(words)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or runs would inherit that it is ignored
    with tempfile.TemporaryDirectory() as folder:
        print(HEADER)
        done = trials(
            Path(folder), asked.trials, seed=asked.seed, limit=asked.limit, interrupts=asked.interrupts
        )
    lost = sum(bool(found.problems) for found in done)
    print(f"{asked.trials} runs killed, {asked.interrupts} interrupted, {lost} lost anything")
    slowest = max((found.ended for found in done if found.ended is not None), default=0.0)
    print(f"longest time from interrupt to end: {slowest:.1f} s")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
