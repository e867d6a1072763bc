"""The real files: official sizes, published facts, and the gold letters that others printed."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medbench_local.catalog.task import study_tasks, task_entry
from medbench_local.files.rows import SourceFile
from medbench_local.tasks.load import load_task
from medbench_local.tasks.question import SPLITS, Question, Task
from medbench_local.tasks.readers import mmlu

SUBJECTS = tuple(name for name in study_tasks() if name.startswith("mmlu-"))
INCOMPLETE = {
    ("medqa", "demonstrations"): 1000,
    ("medqa-4", "demonstrations"): 756,
    ("medmcqa", "demonstrations"): 800,
    ("medmcqa", "validation"): 200,
    ("pubmedqa", "demonstrations"): 50,
    ("pubmedqa", "validation"): 450,
    ("mmlu-high-school-biology", "validation"): 34,
}


@pytest.fixture(scope="module")
def tasks(shared_data: Path) -> dict[str, Task]:
    return {name: load_task(name, data_dir=shared_data) for name in study_tasks()}


def gold(question: Question) -> str:
    return question.options[question.answer]


@pytest.mark.parametrize("name", study_tasks())
def test_every_split_has_its_official_size_or_a_warning_with_both_numbers(
    tasks: dict[str, Task], name: str
) -> None:
    task, sizes = tasks[name], task_entry(name).sizes
    assert sizes is not None
    for split, official in zip(SPLITS, sizes, strict=True):
        here = INCOMPLETE.get((name, split), official)
        assert len(task.questions(split)) == here
        assert task.splits[split].expected == official
        told = [w for w in task.warnings if f"{split} has {here:,} questions, officially {official:,}" in w]
        assert len(told) == (here != official)
    notes = {"pubmedqa": 1, "medmcqa": 2}.get(name, 0)  # on demonstrations; on repeats across and in splits
    assert len(task.warnings) == notes + sum(key[0] == name for key in INCOMPLETE)


@pytest.mark.parametrize("name", study_tasks())
def test_every_question_is_well_formed(tasks: dict[str, Task], name: str) -> None:
    for split in SPLITS:
        questions = tasks[name].questions(split)
        assert len({question.id for question in questions}) == len(questions)
        for question in questions:
            assert question.text
            assert question.text == question.text.strip()
            assert len(question.options) == task_entry(name).options
            assert question.options.index(gold(question)) == question.answer


@pytest.mark.parametrize("name", study_tasks())
def test_files_are_hashed_as_stored(tasks: dict[str, Task], name: str) -> None:
    for split in SPLITS:
        for file in tasks[name].splits[split].files:
            assert file.sha256 == hashlib.sha256(Path(file.path).read_bytes()).hexdigest()
            assert file.source == "local"


def test_the_sizes_of_mmlu_add_up_to_the_published_sums() -> None:
    sizes = [task_entry(name).sizes or (0, 0, 0) for name in SUBJECTS]
    assert [sum(column) for column in zip(*sizes, strict=True)] == [45, 206, 1871]
    assert len(SUBJECTS) == 9


def test_pubmedqa_has_the_published_labels_and_order(tasks: dict[str, Task], shared_data: Path) -> None:
    task = tasks["pubmedqa"]
    labels = {split: Counter(map(gold, task.questions(split))) for split in SPLITS}
    assert labels["test"] == {"yes": 276, "no": 169, "maybe": 55}
    assert labels["validation"] == {"yes": 249, "no": 152, "maybe": 49}
    assert labels["demonstrations"] == {"yes": 27, "no": 17, "maybe": 6}
    ids = {split: [question.id for question in task.questions(split)] for split in SPLITS}
    assert ids["test"][:5] == ["12377809", "26163474", "19100463", "18537964", "12913878"]
    assert ids["validation"][:3] == ["18251357", "17606778", "19504993"]
    assert ids["demonstrations"][:3] == ["15879722", "12607666", "17593459"]
    truth = json.loads((shared_data / "pubmedqa/test_ground_truth.json").read_text(encoding="utf-8"))
    assert {q.id: gold(q) for q in task.questions("test")} == truth
    assert ids["test"] == list(truth)
    folds = json.loads((shared_data / "pubmedqa/pqal_split_ids.json").read_text(encoding="utf-8"))
    assert ids["demonstrations"] == folds["cv_dev_folds"][0]
    assert ids["validation"] == [id for fold in folds["cv_dev_folds"][1:] for id in fold]


def test_pubmedqa_shows_the_abstract_then_the_question(tasks: dict[str, Task], shared_data: Path) -> None:
    stored = json.loads((shared_data / "pubmedqa/ori_pqal.json").read_text(encoding="utf-8"))
    for question in tasks["pubmedqa"].questions("test"):
        record = stored[question.id]
        assert question.text == " ".join(record["CONTEXTS"]) + "\n\n" + record["QUESTION"]
        assert question.options == ("yes", "no", "maybe")


def test_pubmedqa_never_shows_a_test_question_elsewhere(tasks: dict[str, Task]) -> None:
    ids = [question.id for split in SPLITS for question in tasks["pubmedqa"].questions(split)]
    assert len(set(ids)) == len(ids) == 1000


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_header_form_and_the_original_csv_have_the_same_test_rows(
    tasks: dict[str, Task], shared_data: Path, name: str
) -> None:
    subject = task_entry(name).config
    original = list(mmlu.read(SourceFile(shared_data / f"mmlu/data/test/{subject}_test.csv"), 4))
    headed = list(mmlu.read(SourceFile(shared_data / f"mmlu/hf_form/test/{subject}_test.csv"), 4))
    differing = [pair for pair in zip(original, headed, strict=True) if pair[0] != pair[1]]
    assert len(differing) == (4 if subject == "nutrition" else 0)
    assert all((a.options, a.answer) == (b.options, b.answer) for a, b in differing)
    assert [(q.text, q.options, q.answer) for q in tasks[name].questions("test")] == [
        (q.text, q.options, q.answer) for q in headed
    ]


@pytest.mark.parametrize("name", SUBJECTS)
def test_mmlu_validation_has_the_cells_of_the_csv(
    tasks: dict[str, Task], shared_data: Path, name: str
) -> None:
    path = shared_data / f"mmlu/data/val/{task_entry(name).config}_val.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    found = [(q.text, *q.options, gold(q)) for q in tasks[name].questions("validation")]
    assert found == [(row[0].strip(), *row[1:5], row[1 + "ABCD".index(row[5])]) for row in rows]


def printed(shared_data: Path, task: str) -> list[dict[str, Any]]:
    path = shared_data / f"predictions/medagents.DeepSeek-V3.{task}.zero_shot.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows: list[dict[str, Any]] = json.load(stream)
    return rows


def test_medqa_letters_are_those_that_others_printed(tasks: dict[str, Task], shared_data: Path) -> None:
    path = shared_data / "predictions/mistral-7b-v0.3-nf4.medqa.baseline_results.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = json.load(stream)["predictions"]
    letters = ["ABCD"[question.answer] for question in tasks["medqa-4"].questions("test")]
    assert letters == [row["ground_truth"] for row in rows]


def test_medmcqa_letters_are_those_that_others_printed(tasks: dict[str, Task], shared_data: Path) -> None:
    rows = {row["realidx"]: row for row in printed(shared_data, "medmcqa")}
    known = [question for question in tasks["medmcqa"].questions("test") if question.id in rows]
    assert len(known) == len(rows) == 2816
    for question in known:
        row = rows[question.id]
        assert question.options.index(question.options["ABCD".index(row["answer_idx"])]) == question.answer
        assert question.text == row["question"].strip()


def test_pubmedqa_letters_are_those_that_others_printed(tasks: dict[str, Task], shared_data: Path) -> None:
    rows = {row["realidx"]: row["answer_idx"] for row in printed(shared_data, "pubmedqa")}
    assert {q.id: "ABC"[q.answer] for q in tasks["pubmedqa"].questions("test")} == rows


def test_mmlu_letters_are_those_that_others_printed(tasks: dict[str, Task], shared_data: Path) -> None:
    here = {(q.text, q.options): "ABCD"[q.answer] for name in SUBJECTS for q in tasks[name].questions("test")}
    rows = printed(shared_data, "mmlu")
    found = [here.get((row["question"].strip(), tuple(row["options"].values()))) for row in rows]
    assert found == [row["answer_idx"] for row in rows]


def test_the_ten_malformed_options_of_medmcqa_are_rewritten_and_no_others(
    tasks: dict[str, Task], shared_data: Path
) -> None:
    with gzip.open(shared_data / "medmcqa/dev.json.gz", "rt", encoding="utf-8") as stream:
        rows = {row["id"]: row for row in map(json.loads, stream)}
    changed = {}
    for question in tasks["medmcqa"].questions("test"):
        row = rows[question.id]
        for name, option in zip(("opa", "opb", "opc", "opd"), question.options, strict=True):
            if option != row[name]:
                changed[row[name]] = option
    assert len(changed) == 10
    assert changed["c)\tCannot be separated by probe"] == "Cannot be separated by probe"
    assert changed["d)\tNone of the above"] == "None of the above"
    assert changed["A. i) B. ii) C. i) D. i) E. ii)"] == "A: (i), B: (ii), C: (i), D: (i), E: (ii)"
    assert sum("\t" in option for option in changed) == 6
    shown = {option for question in tasks["medmcqa"].questions("test") for option in question.options}
    assert "a)Zone of decomposed dentin" in shown


def test_medmcqa_demonstrations_and_validation_share_nothing(tasks: dict[str, Task]) -> None:
    task = tasks["medmcqa"]
    texts = [(q.text, q.options) for name in ("demonstrations", "validation") for q in task.questions(name)]
    assert len(set(texts)) == len(texts) == 1000


def test_ids_are_the_data_sets_own_or_split_and_row(tasks: dict[str, Task]) -> None:
    assert tasks["medmcqa"].questions("test")[0].id == "45258d3d-b974-44dd-a161-c3fccbdadd88"
    assert tasks["medmcqa"].questions("test")[0].subject == "Physiology"
    assert tasks["medmcqa"].questions("validation")[7].id == "validation-7"
    assert tasks["medqa"].questions("test")[1272].id == "test-1272"
    assert tasks["mmlu-anatomy"].questions("demonstrations")[4].id == "demonstrations-4"


def test_only_the_wanted_splits_are_read(shared_data: Path) -> None:
    task = load_task("pubmedqa", data_dir=shared_data, splits=("validation",))
    assert list(task.splits) == ["validation"]
    # The same 450 as beside the demonstrations: a split never depends on what else is wanted.
    assert len(task.questions("validation")) == 450
