"""Reading files of results: the documented forms, and files that are not what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError
from medbench_local.reference.outcomes import read_results
from tests.reference.written import write_lines


def test_forms_of_rows(tmp_path: Path) -> None:
    found = read_results(
        write_lines(
            tmp_path / "m.jsonl",
            [
                {"task": "b", "id": "8", "prediction": " \n", "answer": "C"},
                {"task": "a", "id": 1, "correct": True},
                {"task": "a", "id": "2", "correct": 0.0},
                {"task": "b", "id": "1", "prediction": "(c)", "answer": "C"},
                {"task": "b", "id": "7", "prediction": "a", "answer": "A"},
                {"task": "b", "id": "9", "prediction": None, "answer": "C"},
                {"task": "a", "id": "1", "correct": 1},
            ],
        )
    )
    assert {key: result.correct for key, result in found.results.items()} == {
        ("a", "1"): True,
        ("a", "2"): False,
        ("b", "1"): True,
        ("b", "7"): True,
        ("b", "8"): False,
        ("b", "9"): False,
    }
    assert found.duplicates == 1
    assert found.notes == ("task b: 2 predictions are empty and counted as wrong",)


def test_tasks_of_a_file_may_be_written_differently(tmp_path: Path) -> None:
    rows = [
        {"task": task, "id": i, "answer": answer, "prediction": prediction}
        for task, written in (("x", ["A", "B"]), ("y", ["yes", "no"]), ("z", [0, 1]))
        for i, (answer, prediction) in enumerate(zip(written, reversed(written), strict=True))
    ]
    rows += [row | {"id": 9, "prediction": row["answer"]} for row in rows[::2]]
    found = read_results(write_lines(tmp_path / "m.jsonl", rows))
    assert found.notes == ()
    assert [key for key, result in found.results.items() if result.correct] == [
        ("x", "9"),
        ("y", "9"),
        ("z", "9"),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"correct": True}, "key 'id'"),
        ({"id": "x"}, "'correct', or 'prediction' and 'answer'"),
        ({"id": "x", "prediction": 1}, "'correct', or"),
        ({"id": "x", "correct": "yes"}, "true or false"),
        ({"id": "x", "correct": 0.5}, "true or false"),
        ({"id": "x", "prediction": 1, "answer": "B"}, "1 is written in another way"),
        ({"id": "x", "prediction": "It is B", "answer": "B"}, "written in another way"),
        ({"id": "x", "prediction": "B", "answer": "B", "correct": False}, "contradicts"),
        ({"id": "x", "prediction": 1, "answer": None}, "key 'answer'"),
        ({"id": "x", "prediction": 1, "answer": " "}, "key 'answer'"),
        ({"id": "x", "prediction": ["B"], "answer": "B"}, "key 'prediction'"),
        ({"id": True, "correct": True}, "key 'id'"),
        ({"id": "first", "correct": False}, "the opposite on line 1"),
    ],
)
def test_refusals_name_the_line(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    path = write_lines(tmp_path / "bad.jsonl", [{"id": "first", "correct": True}, row])
    with pytest.raises(InputError, match=problem) as caught:
        read_results(path)
    assert caught.value.where.startswith("line 2")


@pytest.mark.parametrize(
    ("again", "problem"),
    [
        ({"answer": "C"}, "has another answer here than on line 1"),
        ({"text_sha256": "1" * 64}, "has another text here than on line 1"),
        ({"question": "Where?"}, "has another text here than on line 1"),
    ],
)
def test_rows_of_one_id_must_be_one_question(tmp_path: Path, again: dict[str, str], problem: str) -> None:
    row = {"id": 1, "prediction": "A", "answer": "B", "text_sha256": "0" * 64, "question": "Which?"}
    path = write_lines(tmp_path / "m.jsonl", [row, row | again])
    with pytest.raises(InputError, match=problem):
        read_results(path)


def test_an_unclear_task_is_named(tmp_path: Path) -> None:
    rows = [{"task": "mine", "id": 1, "prediction": "I think B", "answer": "B"}]
    with pytest.raises(InputError, match="task 'mine': 'I think B'") as caught:
        read_results(write_lines(tmp_path / "m.jsonl", rows))
    assert "from a sentence, take the option alone" in caught.value.advice
