"""What a run has found before it is finished: in which order, told, kept, read, and gone on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medbench_local import InputError, UsageError, api, read_results
from medbench_local.catalog.protocol import default_protocol
from medbench_local.engine.base import OptionScores, Pack, ScoreRequest
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Silent
from medbench_local.results.folder import Run, RunFolder
from medbench_local.results.partial import PartialResults
from medbench_local.store.scores import ScoreStore
from medbench_local.study import loading, memory, schedule
from medbench_local.study.compare import run_comparison
from medbench_local.study.loaded_models import Room, Seat
from medbench_local.study.loading import seconds_of
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.plan import Plan
from medbench_local.study.planner import Planner
from medbench_local.study.tools import Tools
from tests.study.conftest import Fakes, knowing, model_of, precision_of, write_task

WORDS = {"one": "towards", "two": "upwards"}
"""What the questions of each task are told apart by."""


class Listening(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Watched:
    """The two-task run, with everything that its engines are asked.

    Attributes:
        asked: "demo-med q8_0 one" for each piece of work, in order, neighbours that are alike once.
        open_at_once: most engines that were open at the same time.
        stop: ends the work with an interrupt where it says so of such a piece.
    """

    def __init__(self, fakes: Fakes) -> None:
        self.fakes = fakes
        self.asked: list[str] = []
        self.open_at_once = 0
        self.stop: Callable[[str], bool] = lambda piece: False
        self.listener = Listening()
        fakes.make = self._make
        for task, word in WORDS.items():
            folder = write_task(Path(task), test=8)
            for file in folder.iterdir():
                file.write_text(file.read_text().replace("point to", f"point {word} to"))

    def run(self, output: Path, **options: Any) -> Run:
        """Compare, with reports."""
        asked = CompareOptions(tasks=["./one", "./two"], shots=[0], output=output, **options)
        found = resolve(asked, protocol=default_protocol("demo-med", "demo-base"))
        tools = Tools(self.fakes.start, self.listener, api.tools_for(Silent()).write_reports)
        return run_comparison("demo-med", "demo-base", found, tools)

    def _make(self, path: Path) -> Any:
        engine = knowing(model_of(path))
        words = {word: engine.token_of(word) for word in WORDS.values()}
        score = engine.score

        def watched(pack: Pack) -> list[OptionScores]:
            (request, *_) = pack.requests
            assert isinstance(request, ScoreRequest)
            (task,) = (
                task for task, word in WORDS.items() if words[word] in (*pack.prefix, *request.context)
            )
            piece = f"{model_of(path)} {precision_of(path)} {task}"
            if self.stop(piece):
                raise KeyboardInterrupt
            if self.asked[-1:] != [piece]:
                self.asked.append(piece)
            return score(pack)

        engine.score = watched  # type: ignore[method-assign]
        still = [one for one in self.fakes.started if not one.closed]
        self.open_at_once = max(self.open_at_once, len(still) + 1)
        return engine


@pytest.fixture
def watched(fakes: Fakes) -> Watched:
    """Nothing was computed yet."""
    return Watched(fakes)


ONE_BY_ONE = [
    f"{model} {precision} {task}"
    for task in WORDS
    for precision in ("q8_0", "full")
    for model in ("demo-med", "demo-base")
]


def test_a_comparison_is_scored_and_checked_before_the_next_begins(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    real = ScoreStore.put

    def put(self: ScoreStore, *arguments: Any) -> None:
        real(self, *arguments)
        kept.append(len(watched.asked))

    monkeypatch.setattr(ScoreStore, "put", put)
    run = watched.run(tmp_path / "run")
    assert watched.asked == ONE_BY_ONE
    assert sorted(set(kept)) == list(range(1, len(ONE_BY_ONE) + 1)), (
        "each is in the store before the next is asked"
    )
    assert (len(watched.fakes.started), watched.open_at_once) == (4, 4), "each loaded once, all kept"
    told = [line for line in watched.listener.notes if line.startswith(("one, ", "two, "))]
    verdicts = [comparison.verdict for comparison in run.results.comparisons]
    assert [line.split(";")[0] for line in told] == [
        f"one, 0-shot: {verdicts[0]} (provisional)",
        f"one, 0-shot: {verdicts[0]}, verified (8 of 8 questions asked again at full precision)",
        f"two, 0-shot: {verdicts[1]} (provisional)",
        f"two, 0-shot: {verdicts[1]}, verified (8 of 8 questions asked again at full precision)",
    ]
    assert not run.folder.partial_file.exists()


def test_an_interrupt_leaves_a_whole_first_comparison_that_the_same_command_goes_on_from(
    watched: Watched, tmp_path: Path
) -> None:
    whole = watched.run(tmp_path / "whole" / "run")
    folder = RunFolder(tmp_path / "broken" / "run")
    for piece, provisional in (("demo-base full one", ["one"]), ("demo-base q8_0 two", [])):
        watched.stop = lambda asked, piece=piece: asked == piece  # type: ignore[misc]
        with pytest.raises(KeyboardInterrupt):
            watched.run(folder.path)
        partial = folder.so_far().results
        assert isinstance(partial, PartialResults)
        assert [name.task for name in partial.missing] == ["two"]
        assert [name.task for name in partial.provisional] == provisional
        (comparison,) = partial.comparisons
        assert comparison.provisional is bool(provisional)
        assert comparison.verdict == whole.results.comparisons[0].verdict
    finished = whole.results.comparisons[0].model_copy(update={"holm_p": comparison.mcnemar_p})
    assert comparison == finished, "but for what depends on the other comparisons nothing will change"
    page, text = ((folder.path / f"report.{ending}").read_text("utf-8") for ending in ("html", "md"))
    for report in (page, text):
        assert "PARTIAL: 1 of 2 comparisons answered by both models" in report
        assert "missing: two, 0-shot" in report
        assert "one" in report
    assert "What does test item 0 point towards to?" in page, "with the evidence for what is finished"

    assert not folder.results_file.exists()
    with pytest.raises(UsageError, match="not finished"):
        api.verify(folder.path)
    with pytest.raises(InputError, match="key 'schema'"):
        read_results(folder.partial_file)

    watched.stop = lambda piece: False
    watched.asked.clear()
    run = watched.run(folder.path)
    assert watched.asked == ["demo-base q8_0 two", "demo-med full two", "demo-base full two"]
    assert _but_timing(run) == _but_timing(whole)
    assert not folder.partial_file.exists()
    assert "PARTIAL" not in (folder.path / "report.md").read_text("utf-8")


def _but_timing(run: Run) -> str:
    data = json.loads(run.folder.results_file.read_bytes())
    del data["timing"]
    return json.dumps(data)


def test_models_that_do_not_fit_together_take_turns(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = watched.run(tmp_path / "whole" / "run")
    watched.asked.clear()
    watched.fakes.started.clear()
    watched.open_at_once = 0
    room = memory.room_for
    monkeypatch.setattr(
        "medbench_local.study.one_precision.room_for", lambda plan: Room(room(plan).needs, 10**6)
    )
    monkeypatch.setattr(schedule, "LOADING_SHARE", 1e12)  # as if every cell were a night's work
    run = watched.run(tmp_path / "turns" / "run")
    assert watched.open_at_once == 1
    first, second = ("demo-med", "demo-base"), ("demo-base", "demo-med")
    # who is checked first is the check's own business
    scored = [piece for piece in watched.asked if "q8_0" in piece]
    assert scored == [
        f"{model} q8_0 {task}" for task, both in zip(WORDS, (first, second), strict=True) for model in both
    ]
    assert _but_timing(run) == _but_timing(whole)

    watched.asked.clear()
    monkeypatch.setattr(schedule, "LOADING_SHARE", 0.01)
    watched.run(tmp_path / "together" / "run")
    assert [piece.rpartition(" ")[0] for piece in watched.asked][::2] == [
        f"{model} {precision}" for precision in ("q8_0", "full") for model in first
    ], "so little work is not worth a second loading"


def _planned(**options: Any) -> Plan:
    asked = CompareOptions(tasks=["./made-up"], shots=[0], limit=5, quant="q8_0", **options)
    planner = Planner("demo-med", "demo-base", resolve(asked), Silent())
    return planner.plan(planner.quants[0])


def test_free_memory_decides_what_stays_loaded(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _planned()
    pair, everything = (
        [Seat("medical"), Seat("base")],
        [Seat(r, f) for r in ("medical", "base") for f in (False, True)],
    )
    needs = memory.room_for(plan).needs
    for seats in (pair, everything):
        together = sum(needs[seat] for seat in seats)
        for free, fits in (
            (together / memory.KEPT_SHARE + 2, True),
            (together / memory.KEPT_SHARE - 2, False),
        ):
            monkeypatch.setattr(memory, "memory_available", lambda free=free: int(free))
            assert memory.room_for(plan).holds(*seats) is fits
            assert memory.room_for(plan).holds(seats[0])
    assert not memory.room_for(_planned(scoring="thinking")).holds(*pair), "thoughts take what is free"


def test_work_is_estimated_by_length_speed_and_thinking_and_what_is_done_is_none(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "known_speeds", lambda home, options: {})  # others time this machine
    plan = _planned()
    (cell,) = plan.cells
    once = seconds_of(plan, (), gpu=False)[cell.key]
    letters = sum(len("".join((q.text, *q.options))) for q in cell.task.questions("test")[:5])
    weights = sum(read_gguf_header(model.quantised.path).asked for model in plan.models.values())
    assert once == pytest.approx(letters / 4 * weights / 2e12)
    assert seconds_of(plan, (), gpu=True)[cell.key] == pytest.approx(once / 15)
    assert seconds_of(plan, {cell.key}, gpu=False) == {cell.key: 0.0}
    thinking = _planned(scoring="thinking")
    assert max(seconds_of(thinking, (), gpu=False).values()) > 10 * once


def test_a_partial_file_that_cannot_be_read_does_not_keep_a_run_from_going_on(
    watched: Watched, tmp_path: Path
) -> None:
    whole = watched.run(tmp_path / "whole" / "run")
    folder = RunFolder(tmp_path / "broken" / "run")
    watched.stop = lambda asked: asked == "demo-base q8_0 two"
    with pytest.raises(KeyboardInterrupt):
        watched.run(folder.path)
    left = folder.partial_file.read_text("utf-8")
    folder.partial_file.write_text(left.replace('"partial 1"', '"partial 2"'), encoding="utf-8")
    watched.stop = lambda piece: False
    watched.asked.clear()
    watched.listener.notes.clear()
    run = watched.run(folder.path)
    assert watched.asked == ["demo-base q8_0 two", "demo-med full two", "demo-base full two"]
    assert any("found 'partial 2'" in line and "written anew" in line for line in watched.listener.notes)
    assert _but_timing(run) == _but_timing(whole)
    assert not folder.partial_file.exists()


def test_a_verdict_that_the_report_doubts_is_told_as_doubtful(watched: Watched, tmp_path: Path) -> None:
    run = watched.run(tmp_path / "run", limit=5)
    told = [line for line in watched.listener.notes if line.startswith("one, ")]
    assert len(told) == 2
    assert all(line.endswith("; doubtful (too few questions)") for line in told)
    assert "doubtful" in (run.folder.path / "report.md").read_text("utf-8")
