"""A thousand to fifty thousand questions: processor time, memory, size of the store, time of the reports.

    python -m benchmarks.scaling [--sizes 1000,10000,50000] [--options 4,26] [--scoring constrained,label]
        [--check none|sample|full]

Everything but the engine's arithmetic is real: the questions are read from files, the embedded pair's tokenizer works
in its worker process, scores go into the store, verdicts, samples and reports are made. The scores themselves are made
up (a hash of the prompt), because decoding takes the same time a prompt however many there are. Each row is a process
of its own, and its columns are of

* main: processor time of the main process; worker: of the worker processes, which load the model and tokenise;
* first: wall time from the start of the work to the first score;
* peak: largest resident memory of the main process (ru_maxrss);
* again: processor time of the main process in a second run, of which every score is known;
* store: size of scores.sqlite (for `score`, of the file of results);
* reports: processor time of report.md and report.html; page: their size.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.made_up_questions import made_up_text, write_questions
from medbench_local.acquire.prepare import prepare_model
from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.names import Scoring
from medbench_local.catalog.quantisation import load_quant
from medbench_local.engine.base import EngineOptions, OptionScores, Pack, ScoreRequest
from medbench_local.engine.remote import WorkerEngine
from medbench_local.progress import Silent
from medbench_local.report.files import write_reports
from medbench_local.results.folder import Run
from medbench_local.results.schema import Results
from medbench_local.scoring.opened import OpenedModel
from medbench_local.scoring.own_prompts import read_requests
from medbench_local.scoring.scored_file import write_scores
from medbench_local.study.compare import run_comparison
from medbench_local.study.options import CheckScope, CompareOptions, resolve
from medbench_local.study.tools import Tools

WORDS, WORDS_OF_AN_OPTION = 60, 3
"""Of a question."""

PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


class MadeUp(WorkerEngine):
    """The real worker with the real tokenizer; only its scores are made up."""

    first: float | None = None

    def score(self, pack: Pack) -> list[OptionScores]:
        """A number from the prompt's last tokens for each option."""
        if MadeUp.first is None:
            MadeUp.first = time.monotonic()
        found = []
        for request in pack.requests:
            assert isinstance(request, ScoreRequest)
            key = repr((self._path.parent.name[:8], request.context[-40:])).encode()
            values = [
                -4.0 - (zlib.crc32(b"%d" % tokens[-1] + key) % 1000) / 500 for tokens in request.continuations
            ]
            found.append(OptionScores(tuple(values), 0.1))
        return found


def start(path: Path, options: EngineOptions) -> MadeUp:
    """In place of `medbench_local.engine.remote.start_engine`."""
    return MadeUp(path, options)


def _task(folder: Path, questions: int, options: int) -> Path:
    folder.mkdir()
    splits = {"demonstrations": 20, "validation": 100, "test": questions}
    write_questions(
        folder, random.Random(1), splits, words=WORDS, options=options, words_of_an_option=WORDS_OF_AN_OPTION
    )
    return folder


def _seconds() -> float:
    return time.process_time()


def _workers() -> float:
    """Processor seconds of the worker processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT / 2**20


def cell(folder: Path, questions: int, options: int, scoring: Scoring, check: CheckScope) -> dict[str, Any]:
    """A comparison of one cell, then the same again with its scores known."""
    task = _task(folder / "task", questions, options)
    seconds = {}
    reports = 0.0

    def timed_reports(path: Path, results: Results) -> None:
        nonlocal reports
        begun = _seconds()
        write_reports(path, results)
        reports = _seconds() - begun

    def compare() -> Run:
        asked = resolve(
            CompareOptions(tasks=[str(task)], shots=[0], scoring=scoring, check=check, output=folder / "run")
        )
        return run_comparison("demo-med", "demo-base", asked, Tools(start, Silent(), timed_reports))

    for model in ("demo-med", "demo-base"):  # converted before anything is timed
        _prepared(model)
    for attempt in ("first", "again"):
        begun, others, wall = _seconds(), _workers(), time.monotonic()
        compare()
        seconds[attempt] = _seconds() - begun
        if attempt == "first":
            waited = (MadeUp.first or wall) - wall
            peak, workers = _peak(), _workers() - others
        (folder / "run" / "results.json").unlink()
    size = sum(path.stat().st_size for path in (folder / "run").glob("scores.sqlite*"))
    return {
        "main": seconds["first"],
        "worker": workers,
        "again": seconds["again"],
        "first": waited,
        "peak": peak,
        "store": size / 2**20,
        "reports": reports,
        "page": sum(path.stat().st_size for path in (folder / "run").glob("report.*")) / 2**20,
    }


def own(folder: Path, questions: int, options: int) -> dict[str, Any]:
    """`score` of prompts of one's own, into a file."""
    dice = random.Random(1)
    requests = folder / "requests.jsonl"
    with requests.open("w", encoding="utf-8") as file:
        for number in range(questions):
            row = {
                "id": number,
                "prompt": f"Question: {made_up_text(dice, WORDS)} {number}?\n\nAnswer:",
                "options": [f" {made_up_text(dice, WORDS_OF_AN_OPTION)} {i}" for i in range(options)],
            }
            file.write(json.dumps(row) + "\n")
    prepared = _prepared("demo-med")
    begun, others, wall = _seconds(), _workers(), time.monotonic()
    asked = read_requests(requests)
    with start(prepared.quantised.path, EngineOptions()) as engine:
        write_scores(
            OpenedModel(engine, prepared),
            asked,
            folder / "scores.jsonl",
            special=False,
            source=requests,
            progress=Silent(),
        )
    return {
        "main": _seconds() - begun,
        "worker": _workers() - others,
        "first": (MadeUp.first or wall) - wall,
        "peak": _peak(),
        "store": (folder / "scores.jsonl").stat().st_size / 2**20,
    }


def _prepared(model: str) -> Any:
    home = Path(os.environ["MEDBENCH_HOME"])
    return prepare_model(resolve_model(model), quant=load_quant("full"), home=home)


def main(words: Sequence[str] | None = None) -> int:
    """Print a table; each row is measured in a process of its own."""
    parser = argparse.ArgumentParser(description="A thousand to fifty thousand questions.")
    parser.add_argument("--sizes", default="1000,10000,50000")
    parser.add_argument("--options", default="4,26")
    parser.add_argument("--scoring", default="constrained,label")
    parser.add_argument("--check", default="sample", help="none, sample or full, as of compare")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.one:
        what, size, options, scoring = asked.one.split(",")
        with tempfile.TemporaryDirectory() as name:
            folder, questions, count = Path(name), int(size), int(options)
            if what == "score":
                found = own(folder, questions, count)
            else:
                found = cell(folder, questions, count, scoring, asked.check)
            print(json.dumps(found))
        return 0
    kinds = [("score", "label"), *(("compare", scoring) for scoring in asked.scoring.split(","))]
    columns = ("main", "worker", "first", "peak", "again", "store", "reports", "page")
    units = ("s", "s", "s", "MiB", "s", "MiB", "s", "MiB")
    print(
        "| | options | questions | "
        + " | ".join(f"{c}, {u}" for c, u in zip(columns, units, strict=True))
        + " |"
    )
    print("|---" * (3 + len(columns)) + "|")
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"MEDBENCH_HOME": os.environ.get("MEDBENCH_HOME", home)}
        for what, scoring in kinds:
            for options in asked.options.split(","):
                for size in asked.sizes.split(","):
                    one = f"{what},{size},{options},{scoring}"
                    command = [
                        sys.executable,
                        "-m",
                        "benchmarks.scaling",
                        "--one",
                        one,
                        "--check",
                        asked.check,
                    ]
                    done = subprocess.run(
                        command, env=environment, capture_output=True, text=True, check=False
                    )
                    if done.returncode:
                        print(done.stderr, file=sys.stderr)
                        return 1
                    found = json.loads(done.stdout.splitlines()[-1])
                    digits = {"page": 2}
                    cells = [
                        f"{found[name]:,.{digits.get(name, 1)}f}" if name in found else "" for name in columns
                    ]
                    print(
                        f"| {what}, {scoring} | {options} | {int(size):,} | {' | '.join(cells)} |", flush=True
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
