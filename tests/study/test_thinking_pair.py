"""From two checkpoint folders that think to verdicts: llama.cpp, the store, the reports, the reference."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from medbench_local import (
    check,
    compare,
    export_prompts,
    read_results,
    run_reference,
    task_prompts,
    validate,
    verify,
)
from medbench_local.catalog.protocol import Protocol, ThinkingSettings
from medbench_local.errors import InputError, UsageError
from medbench_local.progress import Advance, Silent
from medbench_local.report.sweep import show_sweep
from medbench_local.report.tabular import as_csv
from medbench_local.results.evidence_reading import read_evidence
from medbench_local.results.folder import Run
from medbench_local.results.sweep import Sweep, summarise
from tests.cli.command import Command
from tests.study import thinking_pair

QUESTIONS, RIDDLES, BUDGET = 12, 2, 40


def _protocol(**thinking: Any) -> Protocol:
    return Protocol(
        name="thinks",
        summary="Small.",
        shots=(0,),
        scoring="thinking",
        thinking=ThinkingSettings(**({"budget": BUDGET} | thinking)),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The pair, its questions and a home of its own; it is the current folder."""
    folder = tmp_path_factory.mktemp("thinking")
    thinking_pair.write(folder / "med")
    thinking_pair.write(folder / "base", knows=("north", "south"))
    thinking_pair.write_task(folder / "clues", test=QUESTIONS, riddles=RIDDLES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(folder / "home"))
        patch.delenv("MEDBENCH_DATA", raising=False)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    return _compare(output=place / "first" / "run")


def _compare(medical: str = "./med", base: str = "./base", **options: Any) -> Run:
    given: dict[str, Any] = {"protocol": _protocol(), "tasks": ["./clues"], "quant": "q8_0", "check": "full"}
    return compare(medical, base, **(given | {"threads": 1} | options))


class _Listener(Silent):
    """Hears notes; presses Ctrl-C when the work has got so far."""

    def __init__(self, after: float = float("inf")) -> None:
        self.notes: list[str] = []
        self._left = after

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        def advance(amount: float, *, known: bool = False) -> None:
            if unit == "prompts":
                self._left -= amount
            if self._left <= 0:
                raise KeyboardInterrupt

        yield advance

    def note(self, text: str) -> None:
        self.notes.append(text)


def _right(*letters: int) -> int:
    """Test questions, riddles aside, whose answer is one of these letters."""
    return sum(i % 4 in letters for i in range(RIDDLES, QUESTIONS))


def test_the_fair_cells_of_a_pair_that_thinks(run: Run) -> None:
    """The medical model knows all clues, the base model two; at once both say A."""
    all_clues, two_clues, none = _right(0, 1, 2, 3), _right(0, 1), _right(0)
    found = {c.thinkers: c for c in run.results.comparisons}
    assert list(found) == ["both", "medical", "none"]
    assert {
        who: (round(c.accuracy.medical * QUESTIONS), round(c.accuracy.base * QUESTIONS), c.verdict)
        for who, c in found.items()
    } == {
        "both": (all_clues, two_clues, "win"),
        "medical": (all_clues, none, "win"),
        "none": (none, none, "tie"),
    }
    assert {who: c.scoring for who, c in found.items()} == {
        "both": "thinking",
        "medical": "thinking",
        "none": "constrained",
    }
    assert all(c.verified and c.check.checked == QUESTIONS for c in found.values())
    assert run.results.summary.comparisons == 1


def test_what_was_thought_is_counted(run: Run) -> None:
    both, medical, none = run.results.comparisons
    assert both.thinking is not None
    assert medical.thinking is not None
    assert none.thinking is None
    assert medical.thinking.base is None
    for side in (both.thinking.medical, both.thinking.base, medical.thinking.medical):
        assert side is not None
        assert (side.questions, side.truncated, side.ended, side.loops) == (QUESTIONS, RIDDLES, 0, RIDDLES)
        assert side.median_tokens == 3


def _samples(run: Run, name: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in run.folder.samples_file(name).read_text(encoding="utf-8").splitlines()
    ]


def test_samples_say_what_was_thought_and_who_thinks(run: Run) -> None:
    rows = _samples(run, "medical.clues.0-shot.both-think")
    assert {row["thinkers"] for row in rows} == {"both"}
    assert rows[RIDDLES]["thinking"] == {
        "tokens": 3,
        "end": "closed",
        "loops": False,
        "text": "HmmGamma</think>",
    }
    assert rows[0]["thinking"] == {"tokens": BUDGET, "end": "budget", "loops": True, "text": "Hmm" * BUDGET}
    rows = _samples(run, "base.clues.0-shot.medical-thinks")
    assert {row["scoring"] for row in rows} == {"constrained"}
    assert not any("thinking" in row for row in rows)


def test_thoughts_are_in_the_evidence_and_the_run_verifies(run: Run) -> None:
    found = read_evidence(run.folder, run.results)
    thoughts: dict[str, set[bool]] = {}
    for question in found.questions:
        thoughts.setdefault(str(question.thinkers), set()).add(bool(question.medical.thought))
        assert question.text
    assert thoughts == {"both": {True}, "medical": {True}, "none": {False}}
    assert len(found.prompts) == 2 * len(run.results.comparisons)
    verified = verify(run)
    assert verified.outcome == "holds", str(verified)


def test_the_same_command_finds_its_run(run: Run) -> None:
    again = _compare(output=run.folder.path)
    assert not again.computed
    assert again.results == run.results


@pytest.mark.parametrize("after", [0.7, 6 * QUESTIONS + 0.7])
def test_interrupted_and_resumed_it_finds_the_same(run: Run, place: Path, after: float) -> None:
    """In the middle of the first thought about a riddle, and of a thought in the check."""
    output = place / f"after {after}" / "run"
    with pytest.raises(KeyboardInterrupt):
        _compare(output=output, progress=_Listener(after))
    resumed = _compare(output=output)
    assert resumed.results.timing.prompts_reused > 0
    timing = {"timing": run.results.timing}
    assert resumed.results.model_copy(update=timing).to_json() == run.results.to_json()
    for path in sorted((run.folder.path / "samples").rglob("*.jsonl")):
        assert (output / path.relative_to(run.folder.path)).read_bytes() == path.read_bytes()


def test_what_a_sample_is_likely_to_miss_is_said_first(place: Path) -> None:
    listener = _Listener(after=0.2)
    with pytest.raises(KeyboardInterrupt):
        _compare(output=place / "said" / "run", protocol=_protocol(questions=8), progress=listener)
    (said,) = (note for note in listener.notes if "with 8 questions of clues" in note)
    assert "80 % probability" in said


def test_reports_say_who_thinks(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(capsys)
    ended = command("report", run.folder.path)
    assert ended.code == 0, ended.err
    assert "0-shot, both think: win 100.0 %" in ended.out, (
        "the rates say which of the comparisons they are over"
    )
    for said in ("both think", "medical thinks", "without thinking", "16.7 %", "truncated"):
        assert said in ended.out
    assert json.loads(command("report", run.folder.path, "--format", "json").out) == run.results.to_dict()
    rows = list(csv.DictReader(io.StringIO(as_csv(run.results))))
    assert [
        (row["thinkers"], row["thinking_medical_truncated"], row["thinking_base_truncated"]) for row in rows
    ] == [
        ("both", "2", "2"),
        ("medical", "2", ""),
        ("none", "", ""),
    ]
    sweep = Sweep((run,), ("a pair",), summarise(("a pair",), [run.results.comparisons]))
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(show_sweep(sweep))
    assert re.search(r"a pair, both think +1 +100.0 %", console.export_text())
    report = (run.folder.path / "report.md").read_text(encoding="utf-8")
    assert "the budget ended its thinking about more than 5.0 %" in report
    assert len(set(str(run.results).splitlines())) == 4, "a line of its own for each comparison"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"truncated": QUESTIONS + 1}, "truncated"),
        ({"ended": QUESTIONS - 1}, "truncated"),
        ({"loops": QUESTIONS + 1}, "loops"),
        ({"questions": QUESTIONS + 1}, "questions"),
        ({"questions": QUESTIONS - 1}, "questions"),
        ({"median_tokens": None}, "median_tokens"),
    ],
)
def test_numbers_of_thinking_that_contradict_each_other_are_refused(
    run: Run, tmp_path: Path, change: dict[str, Any], key: str
) -> None:
    data = run.results.to_dict()
    data["comparisons"][0]["thinking"]["medical"] |= change
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert caught.value.where == f"key 'comparisons.0.thinking.medical.{key}'"


@pytest.mark.parametrize(
    ("number", "change", "where"),
    [
        (0, {"thinking": None}, "thinking.medical"),
        (1, {"thinking": None}, "thinking.medical"),
        (0, {"thinkers": "none", "thinking": None}, "thinkers"),
        (0, {"thinkers": None, "thinking": None}, "thinkers"),
        (2, {"thinkers": "both"}, "thinkers"),
        (0, {"scoring": "constrained"}, "thinkers"),
    ],
)
def test_who_thinks_and_what_was_thought_go_together(
    run: Run, tmp_path: Path, number: int, change: dict[str, Any], where: str
) -> None:
    data = run.results.to_dict()
    data["comparisons"][number] |= change
    if where == "thinkers":
        data["comparisons"] = data["comparisons"][number : number + 1]
        data["comparisons"][0]["holm_p"] = data["comparisons"][0]["mcnemar_p"]
        number = 0
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert caught.value.where == f"key 'comparisons.{number}.{where}'"


def test_who_does_not_think_has_no_thoughts(run: Run, tmp_path: Path) -> None:
    data = run.results.to_dict()
    data["comparisons"][1]["thinking"]["base"] = data["comparisons"][0]["thinking"]["base"]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="by key 'thinkers' the medical model thinks"):
        read_results(path)


def test_the_reference_thinks_the_same(run: Run, place: Path) -> None:
    """transformers in float32, by code of its own; each model is asked once, whatever the other one does."""
    torch.set_num_threads(1)  # more of them only wait for each other here
    rows = export_prompts(run)
    asked = [(row.model, row.scoring) for row in rows[::QUESTIONS]]
    assert asked == [
        ("med", "thinking"),
        ("base", "thinking"),
        ("base", "constrained"),
        ("med", "constrained"),
    ]
    assert len(rows) == 4 * QUESTIONS
    prompts = place / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(row.as_row()) + "\n" for row in rows))
    files = []
    for model in ("med", "base"):
        files.append(place / f"{model}.jsonl")
        run_reference(place / model, prompts, files[-1], model=model, device="cpu", dtype="float32")
    found = validate(run, files)
    assert found.outcome == "agrees"
    assert (len(found.matches.matches), found.matches.unmatched_samples) == (6 * QUESTIONS, 0)
    assert {(v.thinkers, v.run, v.reference) for v in found.verdicts} == {
        ("both", "win", ("win",)),
        ("medical", "win", ("win",)),
        ("none", "tie", ("tie",)),
    }
    assert found.logprobs is not None
    assert found.logprobs.largest < 1e-3
    assert any(f"{3 * QUESTIONS} have the same thinking on both sides" in said for said in found.statements)


def test_a_sample_is_exported_with_its_own_rows(place: Path) -> None:
    found = _compare(
        output=place / "sample" / "run", protocol=_protocol(questions=6), quant="none", check="none"
    )
    rows = [row for row in export_prompts(found) if (row.model, row.scoring) == ("med", "thinking")]
    assert [row.id for row in rows] == [
        row["id"] for row in _samples(found, "medical.clues.0-shot.both-think")
    ]
    assert [row.id for row in rows] == [f"test-{row.item}" for row in rows]
    assert len(rows) == 6


def test_many_at_once_think_the_same_here(run: Run, place: Path) -> None:
    fast = _compare(output=place / "fast" / "run", mode="fast", quant="none", check="none")
    assert [(c.thinkers, c.accuracy, c.thinking) for c in fast.results.comparisons] == [
        (c.thinkers, c.accuracy, c.thinking) for c in run.results.comparisons
    ]
    assert fast.results.identity != run.results.identity


def test_marks_that_are_control_tokens_and_marks_of_ones_own(place: Path) -> None:
    """One model's marks are control tokens; the other one is told to take its own thought for the end."""
    thinking_pair.write(place / "control", control=True)
    found = _compare(
        "./control",
        "./base",
        output=place / "marks" / "run",
        quant="none",
        check="none",
        think_close={"base": "Beta"},
    )
    rows = _samples(found, "medical.clues.0-shot.both-think")
    assert rows[RIDDLES]["thinking"] == {
        "tokens": 3,
        "end": "closed",
        "loops": False,
        "text": "HmmGamma</think>",
    }
    assert found.results.comparisons[0].accuracy.medical == _right(0, 1, 2, 3) / QUESTIONS
    rows = _samples(found, "base.clues.0-shot.both-think")
    assert rows[5]["thinking"] == {"tokens": 2, "end": "closed", "loops": False, "text": "HmmBeta"}
    close = {(row.model, row.think.close) for row in export_prompts(found) if row.think}
    assert close == {("control", ("</think>",)), ("base", ("Beta",))}


def test_a_check_counts_each_question_once(place: Path) -> None:
    """What a comparison asks beside, and what it asks twice, would be more questions than there are."""
    asked: dict[str, Any] = {"quant": "q8_0", "tasks": ["./clues"], "threads": 1}
    found = check("./med", protocol=_protocol(), output=place / "check", **asked)
    assert [(task.task, task.shots) for task in found.tasks] == [("clues", 0)]
    right = _right(0, 1, 2, 3) / QUESTIONS
    assert (found.overall.n, found.overall.accuracy_full) == (QUESTIONS, right)


def test_a_check_refuses_a_budget_beyond_the_context(place: Path) -> None:
    """All prompts would count as wrong at both precisions, which would then be called equivalent."""
    with pytest.raises(UsageError, match="12 of 12 prompts of clues do not fit the context of 4,096 tokens"):
        check(
            "./med",
            protocol=_protocol(budget=4090),
            output=place / "check too long",
            quant="q8_0",
            tasks=["./clues"],
            threads=1,
        )


def test_a_check_without_thinking_says_so(place: Path) -> None:
    listener = _Listener()
    check(
        "./med",
        output=place / "check at once",
        quant="q8_0",
        tasks=["./clues"],
        shots=[0],
        threads=1,
        progress=listener,
    )
    assert any("here it answers without thinking" in note for note in listener.notes)


@pytest.mark.parametrize("scoring", ["thinking", "constrained", "label", "cloze"])
def test_prompts_of_a_scoring_are_exported_without_a_run(
    run: Run, place: Path, capsys: pytest.CaptureFixture[str], scoring: str
) -> None:
    """As a run with that scoring exports them."""
    command, file = Command(capsys), place / f"plain-{scoring}.jsonl"
    protocol = place / "thinks.yaml"
    protocol.write_text(f"name: thinks\nsummary: Small.\nthinking: {{budget: {BUDGET}}}\n")
    plain = ("prompts", "export", "--model", "./med", "--task", "./clues", "--protocol", protocol)
    ended = command(*plain, "--scoring", scoring, "--output", file)
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert {row["scoring"] for row in rows} == {scoring}
    if scoring in ("thinking", "constrained"):
        exported = [row.as_row() for row in export_prompts(run)]
        assert rows == [row for row in exported if (row["model"], row["scoring"]) == ("med", scoring)]
    else:
        assert ("gap" in rows[0]) == (scoring == "cloze")
    ended = command(*plain, "--output", file)
    assert "scoring" not in json.loads(file.read_text(encoding="utf-8").splitlines()[0])


def test_marks_of_ones_own_are_exported_without_a_run(place: Path) -> None:
    (row,) = task_prompts("./med", "./clues", items=[3], scoring="thinking", think_close="Beta")
    assert row.think is not None
    assert (row.think.close, row.think.budget) == (("Beta",), 4096)
