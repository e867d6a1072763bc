"""Ten thousand prompts through the embedded pair: memory, size of the store, and how good the estimate is.

    python -m benchmarks.long_run

Resident memory of the main process and of each worker is read while the comparison runs; it should not grow after
a process's first thousand prompts. The time left, as the progress display works it out after a tenth of the
prompts of a model, is compared with the time that was really left.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from medbench_local.api import tools_for
from medbench_local.progress import Advance
from medbench_local.report.live import Pace
from medbench_local.study.compare import run_comparison
from medbench_local.study.options import CompareOptions, resolve

PROTOCOL = """\
name: long-run
summary: Many formats and demonstrations, so that there are many prompts.
shots: [1]
selection:
  method: exhaustive
  formats: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  demonstration_seeds: [0, 1, 2, 3, 4]
  validation_questions: {questions}
"""
WARM = 1000
"""Prompts after which memory should not grow any more."""
MIB = 2**20


@dataclass
class Step:
    """One model's pass over its prompts.

    Attributes:
        label: what the display says.
        total: prompts announced.
        pace: what the display works speed and time left out with.
        done: (seconds since the start, prompts done, seconds left as told), one a pack.
        memory: (prompts done, bytes of the main process, bytes of the worker).
    """

    label: str
    total: float
    pace: Pace
    done: list[tuple[float, float, float]] = field(default_factory=list)
    memory: list[tuple[float, int, int]] = field(default_factory=list)

    def estimate(self) -> tuple[float, float]:
        """Seconds left after a tenth: as told, and as they were."""
        seconds, _, told = next(point for point in self.done if point[1] >= self.total / 10)
        return told, self.done[-1][0] - seconds


def _ignore(amount: float, *, known: bool = False) -> None:
    """Not counted: reading, converting."""
    del amount, known


class Recorder:
    """Listens to a run and notes how it gets on."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `medbench_local.progress.Progress.step`."""
        if unit != "prompts" or total is None:
            yield _ignore
            return
        pace = Pace(total)
        step = Step(label, total, pace)
        self.steps.append(step)

        def advance(amount: float, *, known: bool = False) -> None:
            pace.advance(amount, known=known)
            if pace.left is not None:
                step.done.append((pace.seconds, pace.done, pace.left))

        yield advance

    def note(self, text: str) -> None:
        """See `medbench_local.progress.Progress.note`."""
        print(text, file=sys.stderr)


def watch(recorder: Recorder, ended: threading.Event) -> None:
    """Note the memory of this process and of its worker, four times a second."""
    own = psutil.Process()
    while not ended.wait(0.25):
        if not recorder.steps or not recorder.steps[-1].done:
            continue
        step = recorder.steps[-1]
        with suppress(psutil.Error, IndexError):
            worker = own.children()[-1].memory_info().rss
            step.memory.append((step.done[-1][1], own.memory_info().rss, worker))


def growth(points: Sequence[tuple[float, int]], warm: float) -> tuple[float, float]:
    """MiB after ``warm`` prompts, and the most after that."""
    later = [size / MIB for prompts, size in points if prompts >= warm]
    return (later[0], max(later)) if later else (float("nan"), float("nan"))


def main(words: Sequence[str] | None = None) -> int:
    """Run, print, and return 1 if memory grew by more than a tenth."""
    parser = argparse.ArgumentParser(description="Ten thousand prompts through the embedded pair.")
    parser.add_argument(
        "--questions", type=int, default=30, help="validation questions of each of three tasks"
    )
    asked = parser.parse_args(words)
    recorder, ended = Recorder(), threading.Event()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "protocol.yaml").write_text(PROTOCOL.format(questions=asked.questions), encoding="utf-8")
        os.environ["MEDBENCH_HOME"] = str(folder / "home")
        options = resolve(
            CompareOptions(protocol=folder / "protocol.yaml", quant="none", output=folder / "runs" / "run")
        )
        watcher = threading.Thread(target=watch, args=(recorder, ended))
        watcher.start()
        try:
            run = run_comparison("demo-med", "demo-base", options, tools_for(recorder))
        finally:
            ended.set()
            watcher.join()
        timing = run.results.timing
        size = sum(path.stat().st_size for path in (folder / "runs" / "run").glob("scores.sqlite*"))
    print(f"{timing.prompts_scored:,} prompts in {timing.seconds:.0f} s")
    print(f"store: {size / 1e6:.2f} MB, {size / timing.prompts_scored:.0f} bytes a prompt")
    first = recorder.steps[0]
    before, most = growth(
        [(prompts, main) for prompts, main, _ in first.memory]
        + [(WARM, main) for step in recorder.steps[1:] for _, main, _ in step.memory],
        WARM,
    )
    grew = most / before > 1.1
    print(f"main process: {before:.0f} MiB after {WARM:,} prompts, at most {most:.0f} MiB later")
    for step in recorder.steps:
        before, most = growth([(prompts, worker) for prompts, _, worker in step.memory], WARM)
        grew |= most / before > 1.1
        told, real = step.estimate()
        print(
            f"{step.label}: worker {before:.0f} MiB after {WARM:,} prompts, at most {most:.0f} MiB later; ",
            end="",
        )
        print(f"after a tenth {told:.0f} s were told, {real:.0f} s were left ({told / real - 1:+.0%})")
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main())
