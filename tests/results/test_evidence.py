"""From a run's folder to its evidence: what is joined, what is left out, and what is refused with its line."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError
from medbench_local.files.hashes import prompt_sha256
from medbench_local.report.files import report_text, write_reports
from medbench_local.results.evidence import AskedQuestion, Evidence
from medbench_local.results.evidence_reading import ABSENT, LEFT_OUT, PER_BYTE, read_evidence
from medbench_local.results.folder import Run, RunFolder
from medbench_local.results.record import ROLES
from tests.study.conftest import Fakes

OPTIONS: dict[str, Any] = {"tasks": ["./made-up"], "shots": [2], "quant": "q8_0", "limit": 15}
QUESTIONS, PROMPTS = "questions/made-up.jsonl", "prompts.jsonl"
MEDICAL = "samples/medical.made-up.2-shot.jsonl"


@pytest.fixture
def run(fakes: Fakes) -> Run:
    return fakes.compare(**OPTIONS)


def lines(run: Run, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder.path / name).read_text(encoding="utf-8").splitlines()]


def test_every_question_stands_there_with_both_answers(run: Run) -> None:
    found = read_evidence(run.folder, run.results)
    source = Path("made-up/test.jsonl").read_text(encoding="utf-8").splitlines()[:15]
    own = [json.loads(line) for line in source]
    assert [(q.id, q.text, list(q.options), q.answer) for q in found.questions] == [
        (row["id"], row["question"], row["options"], row["answer"]) for row in own
    ]
    for place, question in enumerate(found.questions):
        sample = lines(run, MEDICAL)[place]
        assert question.medical.prediction == sample["prediction"]
        weights = [math.exp(value) for value in sample["logprobs"]]
        assert question.medical.probabilities == pytest.approx([w / sum(weights) for w in weights])
        assert (question.medical.text, question.medical.thought, question.medical.near_tie) == ("", "", False)
    (comparison,) = run.results.comparisons
    right = [q for q in found.questions if q.medical.prediction == q.answer]
    assert len(right) / 15 == comparison.accuracy.medical
    known = [q for q in found.questions if q.medical.flipped is not None]
    assert len(known) == comparison.check.checked


def test_the_prompt_is_the_one_that_was_sent(run: Run) -> None:
    medical, base = read_evidence(run.folder, run.results).prompts
    assert (medical.role, base.role, medical.task, medical.shots) == ("medical", "base", "made-up", 2)
    for prompt, name in ((medical, "medical"), (base, "base")):
        first = lines(run, f"samples/{name}.made-up.2-shot.jsonl")[0]
        assert prompt_sha256(prompt.text) == first["prompt_sha256"]
        assert "What does test item 0 point to?" in prompt.text


def test_provenance_is_told_and_no_home_folder(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, demo_home: Path
) -> None:
    monkeypatch.setenv("HOME", str(demo_home.parent))
    monkeypatch.setenv("USERPROFILE", str(demo_home.parent))
    run = fakes.compare(**OPTIONS, output=tmp_path / "a folder" / "run")
    found = read_evidence(run.folder, run.results)
    assert found.started == run.results.timing.started
    assert found.command.startswith("medbench-local compare demo-med demo-base --tasks ./made-up --shots 2 ")
    assert {"machine", "Python", "method", "files of medical"} <= set(found.facts)
    assert "emnlp-main.677" in found.facts["method"]
    told = run.folder.manifest_file.read_text(encoding="utf-8")
    assert f"~/{demo_home.name}/models" in told.replace("\\\\", "/")
    assert f"{demo_home.parent}/{demo_home.name}" not in told


@pytest.mark.parametrize("scoring", ["greedy", "cloze"])
def test_texts_and_scores_per_byte_are_said(fakes: Fakes, scoring: str) -> None:
    run = fakes.compare(**OPTIONS, scoring=scoring)
    found = read_evidence(run.folder, run.results)
    wrote = [sample["text"] for sample in lines(run, MEDICAL)]
    assert [q.medical.text for q in found.questions] == [text or "" for text in wrote]
    assert (PER_BYTE in found.notes) == (scoring == "cloze")
    assert all((q.base.probabilities == ()) == (scoring == "greedy") for q in found.questions)


def test_what_may_not_leave_is_neither_in_the_folder_nor_on_the_page(fakes: Fakes) -> None:
    kept, left_out = (
        fakes.compare(**OPTIONS, questions=wanted, output=Path(f"r{wanted}")) for wanted in (True, False)
    )
    assert not (left_out.folder.path / "questions").exists()
    assert not (left_out.folder.path / PROMPTS).exists()
    for path in left_out.folder.path.rglob("*"):
        if path.is_file():
            assert b"point to" not in path.read_bytes(), path
    evidence = read_evidence(left_out.folder, left_out.results)
    assert (evidence.questions, evidence.prompts, evidence.notes) == ((), (), (LEFT_OUT,))
    assert LEFT_OUT in report_text("html", left_out.results, evidence)
    evidence = read_evidence(kept.folder, kept.results, questions=False)
    assert (evidence.questions, evidence.prompts, evidence.notes) == ((), (), (LEFT_OUT,))
    assert kept.results.identity == left_out.results.identity
    assert kept.results.comparisons == left_out.results.comparisons


def test_a_finished_run_forgets_its_questions_when_it_is_asked_to(fakes: Fakes) -> None:
    run = fakes.compare(**OPTIONS)
    asked = fakes.prompts
    again = fakes.compare(**OPTIONS, questions=False)
    assert (again.computed, fakes.prompts) == (False, asked)
    assert not run.folder.questions_folder.exists()
    assert read_evidence(run.folder, run.results).notes == (LEFT_OUT,)


def test_equal_runs_and_resumed_ones_keep_equal_bytes(fakes: Fakes) -> None:
    one = fakes.compare(**OPTIONS, output=Path("one"))
    other = fakes.compare(**OPTIONS, output=Path("other"))
    other.folder.results_file.unlink()
    (other.folder.path / PROMPTS).write_text("half")
    fakes.compare(**OPTIONS, output=Path("other"))
    for name in (QUESTIONS, PROMPTS):
        assert (one.folder.path / name).read_bytes() == (other.folder.path / name).read_bytes()


def test_a_folder_with_nothing_but_results_is_reported(run: Run, tmp_path: Path) -> None:
    old = RunFolder(tmp_path / "old")
    old.write_results(run.results)
    found = read_evidence(old, run.results)
    assert found == Evidence(started=run.results.timing.started, facts=found.facts, notes=(ABSENT,))
    write_reports(old.path, run.results)
    assert ABSENT.replace("'", "&#39;") in (old.path / "report.html").read_text(encoding="utf-8")


def _cut(text: str) -> str:
    return text[: text.rstrip().rindex("\n") + 1]


DAMAGES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "cut off": (QUESTIONS, _cut, "expected 15 questions as its first line says, found 14"),
    "empty": (QUESTIONS, lambda _: "", "is empty"),
    "a newer layout": (
        QUESTIONS,
        lambda t: t.replace('"schema": 1', '"schema": 2', 1),
        "line 1, key 'schema'",
    ),
    "not JSON": (QUESTIONS, lambda t: t.replace('{"id": "test-3"', "{", 1), "line 5"),
    "another text": (
        QUESTIONS,
        lambda t: t.replace("item 3 point", "item 9 point"),
        "line 5.*test-3 are not those",
    ),
    "another answer": (
        QUESTIONS,
        lambda t: t.replace('"answer": 3', '"answer": 2', 1),
        "line 5, key 'answer'",
    ),
    "another id": (QUESTIONS, lambda t: t.replace("test-3", "test-99"), "line 5, key 'id'"),
    "an id twice": (QUESTIONS, lambda t: t.replace('"test-3"', '"test-2"'), "twice"),
    "an answer without an option": (
        QUESTIONS,
        lambda t: t.replace('"answer": 3', '"answer": 4', 1),
        "expected 0 to 3",
    ),
    "another prompt": (
        PROMPTS,
        lambda t: t.replace("test item 0", "test item 1"),
        "line 2, key 'prompt_sha256'",
    ),
    "prompts cut off": (PROMPTS, _cut, "expected 2 prompts as its first line says, found 1"),
    "fewer samples": (MEDICAL, _cut, "expected 15 lines, found 14"),
    "samples of text": (
        MEDICAL,
        lambda t: t.replace('"mass": 0', '"mass": "0"', 1) + "x\n",
        "line 1|line 16",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_its_line(run: Run, damage: str) -> None:
    name, change, said = DAMAGES[damage]
    path = run.folder.path / name
    before = path.read_text(encoding="utf-8")
    path.write_text(change(before), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != before
    with pytest.raises(InputError, match=said) as refused:
        read_evidence(run.folder, run.results)
    assert path.name in refused.value.message


@pytest.mark.parametrize("name", [PROMPTS, MEDICAL])
def test_a_file_that_is_missing_beside_the_others_is_named(run: Run, name: str) -> None:
    (run.folder.path / name).unlink()
    with pytest.raises(InputError, match="no such file"):
        read_evidence(run.folder, run.results)


def test_near_ties_and_flips_are_those_of_the_counts(run: Run) -> None:
    """With the engine's own threshold, by hand: log-probabilities of a line are moved next to each other."""
    path = run.folder.path / MEDICAL
    rows = lines(run, MEDICAL)
    rows[0]["logprobs"] = [-1.0, -1.0499, -3.0, -3.0]
    rows[1]["logprobs"] = [-1.0, -1.0501, -3.0, -3.0]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert run.results.mode == "reproducible"
    found = read_evidence(run.folder, run.results).questions
    assert [question.medical.near_tie for question in found[:3]] == [True, False, False]
    assert [role for role in ROLES if any(getattr(question, role).flipped for question in found)] == []
    (other,) = (run.folder.path / "samples").glob("*/medical*")
    rows = [json.loads(line) for line in other.read_text(encoding="utf-8").splitlines()]
    rows[0]["prediction"] = (rows[0]["prediction"] + 1) % 4
    other.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    again: tuple[AskedQuestion, ...] = read_evidence(run.folder, run.results).questions
    assert [question.id for question in again if question.medical.flipped] == [rows[0]["id"]]


def test_a_prompt_that_was_not_sent_is_no_evidence_even_with_its_own_hash(run: Run) -> None:
    path = run.folder.prompts_file
    head, medical, base = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    for change, said in (
        ({"parts": ["Fair?"], "prompt_sha256": prompt_sha256("Fair?")}, "not the prompt that was sent"),
        ({"task": "another"}, "of no comparison"),
    ):
        rows = (head, medical | change, base)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        with pytest.raises(InputError, match=f"line 2: .*{said}"):
            read_evidence(run.folder, run.results)


def test_answers_that_give_other_counts_than_the_results_are_refused(run: Run) -> None:
    path = run.folder.path / MEDICAL
    rows = lines(run, MEDICAL)
    row = next(row for row in rows if row["correct"])
    scores, to = row["logprobs"], (row["answer"] + 1) % len(row["logprobs"])
    scores[row["answer"]], scores[to] = scores[to], scores[row["answer"]]
    row |= {"prediction": to, "correct": False, "acc": 0}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(InputError, match=r"do not give the accuracies and counts of results\.json"):
        read_evidence(run.folder, run.results)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_in_a_run_s_folder_lead_nothing_out_of_it(fakes: Fakes, tmp_path: Path) -> None:
    run = fakes.compare(**OPTIONS)
    names = {path.name for path in run.folder.path.iterdir()}
    outside = tmp_path / "outside"
    (outside / "full").mkdir(parents=True)
    for name in ("mine.jsonl", "full/mine.jsonl", "mine.jpg"):
        (outside / name).write_text("precious", encoding="utf-8")
    for name in ("samples", "questions", "thumbnails"):
        shutil.rmtree(run.folder.path / name, ignore_errors=True)
        (run.folder.path / name).symlink_to(outside, target_is_directory=True)
    run.folder.results_file.unlink()
    manifest = run.folder.manifest_file
    shutil.copy(manifest, outside / "manifest")
    manifest.unlink()
    manifest.symlink_to(outside / "manifest")
    for name in ("report.md", "report.html", "prompts.jsonl", ".lock.json"):
        (run.folder.path / name).unlink(missing_ok=True)
        (run.folder.path / name).symlink_to(outside / "mine.jpg")
    left = run.folder.path / ".report.html.0123456789abcdef.part"
    left.write_text("half a page with questions", encoding="utf-8")
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    again = fakes.compare(**OPTIONS)
    assert again.computed
    write_reports(run.folder.path, again.results)
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before
    assert {path.name for path in run.folder.path.iterdir()} == names | {"report.md", "report.html"}
    assert not any(path.is_symlink() for path in run.folder.path.iterdir())
