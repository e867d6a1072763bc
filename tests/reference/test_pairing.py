"""Two files paired: only what is the same question, on real predictions and on made-up ones."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError
from medbench_local.reference.outcomes import read_results
from medbench_local.reference.pairing import Pairing, pair_results
from medbench_local.statistics.paired import paired_bootstrap
from tests.reference.written import write_lines

Rows = Sequence[Mapping[str, Any]]

MEDICAL = "mistral-7b-v0.3-nf4.medqa.finetuned_results.json.gz"
BASE = "mistral-7b-v0.3-nf4.medqa.baseline_results.json.gz"


def real(shared_data: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(shared_data / "predictions" / name, "rt", encoding="utf-8") as file:
        found = json.load(file)
    rows: list[dict[str, Any]] = found["predictions"] if isinstance(found, dict) else found
    return rows


def numbered(rows: Rows) -> list[dict[str, Any]]:
    """The rows of real predictions with their number as id, as README's lines of Python write them."""
    return [{"id": i, "prediction": r["prediction"], "answer": r["ground_truth"]} for i, r in enumerate(rows)]


def pair(folder: Path, medical: Rows, base: Rows) -> Pairing:
    return pair_results(
        read_results(write_lines(folder / "m.jsonl", medical)),
        read_results(write_lines(folder / "b.jsonl", base)),
    )


def test_real_predictions(shared_data: Path, tmp_path: Path) -> None:
    pairing = pair(tmp_path, numbered(real(shared_data, MEDICAL)), numbered(real(shared_data, BASE)))
    (task,) = pairing.tasks
    assert (pairing.medical_unmatched, pairing.base_unmatched, pairing.compared) == (0, 0, 1273)
    assert (int(task.medical.sum()), int(task.base.sum()), task.medical.size) == (665, 628, 1273)
    difference = paired_bootstrap(task.medical, task.base)
    assert (difference.medical_only, difference.base_only, difference.verdict) == (173, 136, "win")


def test_real_predictions_by_their_text(shared_data: Path, tmp_path: Path) -> None:
    files = [
        [{"id": r["question"], "correct": r["is_correct"]} for r in real(shared_data, name)]
        for name in (MEDICAL, BASE)
    ]
    pairing = pair(tmp_path, *files)
    assert (pairing.questions, pairing.compared, pairing.medical_unmatched) == (1273, 0, 0)


def test_one_real_file_shuffled_is_refused(shared_data: Path, tmp_path: Path) -> None:
    medical, base = real(shared_data, MEDICAL), real(shared_data, BASE)
    random.Random(0).shuffle(medical)
    equal = sum(m["ground_truth"] == b["ground_truth"] for m, b in zip(medical, base, strict=True))
    with pytest.raises(InputError, match=rf"in {1273 - equal} of the 1,273 questions in common") as caught:
        pair(tmp_path, numbered(medical), numbered(base))
    assert "Row numbers do for ids only where both files list the same questions" in caught.value.advice


@pytest.mark.parametrize("lost", [0, 600, 1200])
def test_one_real_file_slipped_by_a_row_is_refused(shared_data: Path, tmp_path: Path, lost: int) -> None:
    medical = real(shared_data, MEDICAL)
    slipped = numbered(medical[:lost] + medical[lost + 1 :])
    for files in ((slipped, numbered(real(shared_data, BASE))), (numbered(real(shared_data, BASE)), slipped)):
        with pytest.raises(InputError, match="the correct answer is another one"):
            pair(tmp_path, *files)


@pytest.mark.parametrize("task", ["medqa", "medmcqa", "pubmedqa", "mmlu"])
def test_real_predictions_of_one_kind_in_other_notations(
    shared_data: Path, tmp_path: Path, task: str
) -> None:
    medical, base = (
        real(shared_data, f"medagents.{model}.{task}.zero_shot.json.gz")
        for model in ("DeepSeek-V3", "QwQ-32B-Preview")
    )
    truth = [r["predicted_answer"] == r["answer_idx"] for r in medical]
    plain = [
        {"id": r["realidx"], "prediction": r["predicted_answer"], "answer": r["answer_idx"]} for r in base
    ]

    def rows(**fields: str) -> list[dict[str, Any]]:
        found = []
        for row in medical:
            options, letter = row["options"], row["predicted_answer"]
            every = {
                "idx": row["answer_idx"],
                "text": row["answer"],
                "letter": letter,
                "both": f"{letter}. {options.get(letter)}",
                "number": "ABCDE".index(letter) + 1,
                "mapping": options,
                "list": list(options.values()),
            }
            found.append({"id": row["realidx"]} | {name: every[kind] for name, kind in fields.items()})
        return found

    for written in (
        {"answer": "idx", "prediction": "letter"},
        {"answer": "text", "prediction": "letter", "options": "mapping"},
        {"answer": "text", "prediction": "number", "options": "list"},
        {"answer": "idx", "prediction": "both", "options": "list"},
    ):
        pairing = pair(tmp_path, rows(**written), plain)
        assert pairing.tasks[0].medical.tolist() == truth, written
        assert pairing.compared == len(truth), written
    with pytest.raises(InputError, match="written in another way"):
        pair(tmp_path, rows(answer="text", prediction="letter"), plain)


def test_pairing_by_task_and_id(tmp_path: Path) -> None:
    medical: Rows = [
        {"task": "a", "id": 1, "correct": True},
        {"task": "a", "id": "2", "correct": False},
        {"task": "b", "id": "1", "prediction": "C", "answer": "C"},
        {"task": "b", "id": "9", "prediction": None, "answer": "C"},
        {"task": "a", "id": "1", "correct": 1},
    ]
    base: Rows = [
        {"task": "b", "id": "1", "prediction": 0, "answer": 2},
        {"task": "a", "id": "2", "correct": 1},
        {"task": "a", "id": "1", "correct": 0},
        {"task": "c", "id": "1", "correct": 0},
    ]
    pairing = pair(tmp_path, medical, base)
    assert [(t.task, t.ids, t.medical.tolist(), t.base.tolist()) for t in pairing.tasks] == [
        ("a", ("1", "2"), [True, False], [False, True]),
        ("b", ("1",), [True], [False]),
    ]
    assert (pairing.medical_unmatched, pairing.base_unmatched) == (1, 1)
    assert (pairing.medical_duplicates, pairing.base_duplicates) == (1, 0)
    assert (pairing.questions, pairing.compared) == (3, 0)


def test_nothing_in_common(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no question in common"):
        pair(tmp_path, [{"id": "x", "correct": True}], [{"id": "y", "correct": True}])


def answered(answers: Sequence[Any], **fields: Any) -> list[dict[str, Any]]:
    return [{"id": i, "answer": answer, "correct": i % 2 == 0, **fields} for i, answer in enumerate(answers)]


@pytest.mark.parametrize(
    "other",
    [
        answered([*"abcd"]),
        answered(["(A)", "B.", " C", "D"]),
        answered([0, 1, 2, 3]),
        answered([1, 2, 3, 4]),
        answered(["1", "2", "3", "4.0"]),
        answered([*"ABCD"], options=["w", "x", "y", "z"]),
        answered([*"wxyz"], options=["w", "x", "y", "z"]),
    ],
)
def test_the_same_answers_in_other_notations(tmp_path: Path, other: Rows) -> None:
    assert pair(tmp_path, answered([*"ABCD"]), other).compared == 4
    assert pair(tmp_path, other, answered([*"ABCD"])).compared == 4


@pytest.mark.parametrize(
    "other", [answered([*"ABCC"]), answered([0, 1, 3, 2]), answered([1, 1, 3, 4]), answered([2, 3, 4, 5])]
)
def test_other_answers_are_refused(tmp_path: Path, other: Rows) -> None:
    with pytest.raises(InputError, match="the correct answer is another one"):
        pair(tmp_path, answered([*"ABCD"]), other)


def test_texts_of_options_count_more_than_labels(tmp_path: Path) -> None:
    one = answered([*"AB"], options={"A": "Yes", "B": "No"})
    assert pair(tmp_path, one, answered([*"BA"], options={"A": "no", "B": "yes."})).compared == 2
    assert pair(tmp_path, one, answered(["YES", "NO"])).compared == 2
    with pytest.raises(InputError, match="the correct answer is another one"):
        pair(tmp_path, one, answered([*"AB"], options={"A": "no", "B": "yes"}))
    with pytest.raises(InputError, match="the options are others"):
        pair(tmp_path, one, answered([*"AB"], options=["yes", "no", "maybe"]))


@pytest.mark.parametrize("name", ["text_sha256", "question"])
def test_another_text_is_refused(tmp_path: Path, name: str) -> None:
    one = [{"id": i, "correct": True, name: f"{i}" * 64} for i in range(60)]
    assert pair(tmp_path, one, one).compared == 60
    other = [row | {name: "f" * 64} if row["id"] in (7, 8) else row for row in one]
    with pytest.raises(
        InputError, match=f"in 2 of the 60 questions .*'{name}'.*ids '7', '8'; line 8 here"
    ) as caught:
        pair(tmp_path, one, other)
    assert "two releases of the data set" in caught.value.advice


def test_answers_that_cannot_be_compared_are_not(tmp_path: Path) -> None:
    texts = answered(["aspirin", "heparin"])
    assert pair(tmp_path, answered([*"AB"]), texts).compared == 0
    assert pair(tmp_path, texts, [{"id": i, "correct": True} for i in range(2)]).compared == 0


def test_settings_that_differ(tmp_path: Path) -> None:
    row = {"correct": True, "shots": 0, "scoring": "constrained", "precision": "full", "protocol": "p"}
    one = [row | {"id": i, "prompt_sha256": f"{i}"} for i in range(3)]
    other = [r | {"shots": 3, "precision": "q8_0", "prompt_sha256": f"{i // 2}"} for i, r in enumerate(one)]
    found = pair(tmp_path, one, other)
    assert [(d.name, d.questions, d.medical, d.base) for d in found.differences] == [
        ("shots", 3, "0", "3"),
        ("precision", 3, "full", "q8_0"),
        ("prompt", 2, "1", "0"),
    ]
    assert pair(tmp_path, one, one).differences == ()


def test_files_that_are_the_same_model_or_swapped_or_copies(tmp_path: Path) -> None:
    def rows(**fields: Any) -> list[dict[str, Any]]:
        return [{"id": i, "correct": i % 3 == 0, **fields} for i in range(300)]

    def found(medical: Rows, base: Rows) -> tuple[str | None, bool, bool]:
        pairing = pair(tmp_path, medical, base)
        return pairing.one_model, pairing.swapped, pairing.copies

    other = [row | {"correct": row["id"] % 2 == 0} for row in rows()]
    assert found(rows(), other) == (None, False, False)
    assert found(rows(), [*reversed(rows())]) == (None, False, True)
    assert found(rows(), rows(seed=1)) == (None, False, True)  # other rows, the same outcome 300 times
    assert found(rows()[:99], rows(seed=1)[:99]) == (None, False, False)
    assert found(rows(model="x"), [row | {"model": "x"} for row in other]) == ("x", False, False)
    assert found(rows(model="x"), [row | {"model": "y"} for row in other]) == (None, False, False)
    medical, base = rows(role="medical"), [row | {"role": "base"} for row in other]
    assert found(medical, base) == (None, False, False)
    assert found(base, medical) == (None, True, False)
