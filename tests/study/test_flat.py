"""Ten times the questions take ten times the work and little more memory: nothing but what is said of each is held."""

from __future__ import annotations

import gc
import itertools
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.prepare import prepare_model
from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.quantisation import load_quant
from medbench_local.engine.base import OptionScores, Pack
from medbench_local.engine.fake import FakeEngine
from medbench_local.progress import Silent
from medbench_local.scoring import own_prompts, request_builder
from medbench_local.scoring.opened import OpenedModel
from medbench_local.scoring.own_prompts import read_requests
from medbench_local.scoring.scored_file import write_scores
from medbench_local.store import scores
from medbench_local.store.database import Database
from tests.study.conftest import Fakes, knowing, model_of

FEW, MANY = 40, 140
WORDS, OPTIONS = 30, 8
HELD = 2400
"""Bytes a question that may be held: text and options (400 characters here), an answer of each model and precision."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of prompts that are held together, much smaller than a test set."""
    monkeypatch.setattr(request_builder, "BLOCK", 20)
    monkeypatch.setattr(request_builder, "_TOGETHER", 10)
    monkeypatch.setattr(own_prompts, "_HELD", 20)
    monkeypatch.setattr(own_prompts, "_TOGETHER", 10)


def _text(number: int) -> str:
    return " ".join(f"word{(number * 7 + i * i) % 300}" for i in range(WORDS))


def _task(folder: Path, test: int) -> str:
    folder.mkdir()
    for split, count in (("demonstrations", 3), ("validation", 2), ("test", test)):
        with (folder / f"{split}.jsonl").open("w") as file:
            for i in range(count):
                options = [f"the choice {(i + 31 * j) % 300} of {j}" for j in range(OPTIONS)]
                row = {
                    "id": f"{split}-{i}",
                    "question": f"{_text(i)} {split} {i}?",
                    "options": options,
                    "answer": i % OPTIONS,
                }
                file.write(json.dumps(row) + "\n")
    return str(folder)


class _Held:
    """The most bytes of Python objects that are held whenever an engine is asked for scores."""

    def __init__(self) -> None:
        self.most = 0

    def watched(self, engine: FakeEngine) -> FakeEngine:
        """``engine``, noting what is held."""
        score = engine.score

        def noting(pack: Pack) -> list[OptionScores]:
            if tracemalloc.is_tracing():
                gc.collect()  # what is only waiting to be freed is not held
                self.most = max(self.most, tracemalloc.get_traced_memory()[0])
            return score(pack)

        engine.score = noting  # type: ignore[method-assign]
        return engine


def _held_a_question(work: Callable[[int, _Held], None]) -> float:
    """Bytes that a question more takes; ``work`` is done with that many."""
    work(MANY, _Held())  # imports, and all words that the fake engine will know
    gc.freeze()  # collecting is looked at among what is new only, which takes a tenth of the time
    found = []
    for count in (FEW, MANY):
        held = _Held()
        tracemalloc.start()
        try:
            work(count, held)
        finally:
            tracemalloc.stop()
        found.append(held.most)
    gc.unfreeze()
    return (found[1] - found[0]) / (MANY - FEW)


def test_a_comparison_holds_little_of_each_question(fakes: Fakes, tmp_path: Path) -> None:
    runs = itertools.count()

    def compare(count: int, held: _Held) -> None:
        fakes.make = lambda path: held.watched(knowing(model_of(path)))
        folder = tmp_path / f"{next(runs)}"
        folder.mkdir()
        fakes.compare(
            tasks=[_task(folder / "task", count)], shots=[0], check="full", output=folder / "runs" / "run"
        )

    assert _held_a_question(compare) < HELD


def test_prompts_of_ones_own_are_not_held_tokenised(tmp_path: Path, demo_home: Path) -> None:
    prepared = prepare_model(resolve_model("demo-med"), quant=load_quant("full"), home=demo_home)
    source, target = tmp_path / "requests.jsonl", tmp_path / "scores.jsonl"

    def score(count: int, held: _Held) -> None:
        with source.open("w") as file:
            for i in range(count):
                options = [f" the choice {(i + 31 * j) % 300} of {j}" for j in range(OPTIONS)]
                file.write(json.dumps({"id": i, "prompt": f"{_text(i)} {i}?", "options": options}) + "\n")
        opened = OpenedModel(held.watched(FakeEngine()), prepared)
        write_scores(opened, read_requests(source), target, special=False, source=source, progress=Silent())
        assert len(target.read_text().splitlines()) == count

    assert _held_a_question(score) < HELD


def test_what_is_known_is_looked_up_once_a_prompt(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows of the store for each prompt of a run that is found again: which score it has, and the score."""
    read: Counter[str] = Counter()
    rows = scores._rows

    def counted(database: Database, what: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        for row in rows(database, what, keys):
            read[what.split()[-1]] += 1
            yield row

    for count in (FEW, MANY):
        task, output = _task(tmp_path / f"task-{count}", count), tmp_path / f"{count}" / "run"
        fakes.compare(tasks=[task], shots=[0], check="none", output=output)
        (output / "results.json").unlink()
        monkeypatch.setattr(scores, "_rows", counted)
        read.clear()
        found = fakes.compare(tasks=[task], shots=[0], check="none", output=output).results.timing
        monkeypatch.setattr(scores, "_rows", rows)
        assert found.prompts_scored == 0
        assert found.prompts_reused >= 2 * count
        assert read == {"requests": found.prompts_reused, "scores": found.prompts_reused}
