"""Rows for the paired verdict: real predictions in the documented form, and files that do not fit together."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError
from medbench_local.reference.outcomes import pair_results, read_results
from medbench_local.statistics.paired import paired_bootstrap
from tests.reference.written import write_lines


def test_real_predictions(shared_data: Path, tmp_path: Path) -> None:
    files = {}
    for name in ("baseline", "finetuned"):
        source = shared_data / "predictions" / f"mistral-7b-v0.3-nf4.medqa.{name}_results.json.gz"
        with gzip.open(source, "rt", encoding="utf-8") as file:
            predictions = json.load(file)["predictions"]
        rows = [{"id": p["question"], "correct": p["is_correct"]} for p in predictions]
        files[name] = write_lines(tmp_path / f"{name}.jsonl", rows)
    pairing = pair_results(read_results(files["finetuned"]), read_results(files["baseline"]))
    (task,) = pairing.tasks
    assert (pairing.medical_unmatched, pairing.base_unmatched) == (0, 0)
    assert (int(task.medical.sum()), int(task.base.sum()), task.medical.size) == (665, 628, 1273)
    assert paired_bootstrap(task.medical, task.base).verdict == "win"


def test_pairing_by_task_and_id(tmp_path: Path) -> None:
    medical = write_lines(
        tmp_path / "m.jsonl",
        [
            {"task": "a", "id": 1, "correct": True},
            {"task": "a", "id": "2", "correct": False},
            {"task": "b", "id": "1", "prediction": "C", "answer": "C"},
            {"task": "b", "id": "9", "prediction": None, "answer": "C"},
            {"task": "a", "id": "1", "correct": 1},
        ],
    )
    base = write_lines(
        tmp_path / "b.jsonl",
        [
            {"task": "b", "id": "1", "prediction": 0, "answer": 2},
            {"task": "a", "id": "2", "correct": 1},
            {"task": "a", "id": "1", "correct": 0},
            {"task": "c", "id": "1", "correct": 0},
        ],
    )
    pairing = pair_results(read_results(medical), read_results(base))
    assert [(t.task, t.ids, t.medical.tolist(), t.base.tolist()) for t in pairing.tasks] == [
        ("a", ("1", "2"), [True, False], [False, True]),
        ("b", ("1",), [True], [False]),
    ]
    assert (pairing.medical_unmatched, pairing.base_unmatched) == (1, 1)
    assert (pairing.medical_duplicates, pairing.base_duplicates) == (1, 0)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"correct": True}, "key 'id'"),
        ({"id": "x"}, "'correct', or 'prediction' and 'answer'"),
        ({"id": "x", "prediction": 1}, "'correct', or"),
        ({"id": "x", "correct": "yes"}, "true or false"),
        ({"id": "x", "correct": 0.5}, "true or false"),
        ({"id": "x", "prediction": 1, "answer": "B"}, "same form"),
        ({"id": "x", "prediction": 1, "answer": None}, "key 'answer'"),
        ({"id": True, "correct": True}, "key 'id'"),
        ({"id": "first", "correct": False}, "the opposite on line 1"),
    ],
)
def test_refusals_name_the_line(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    path = write_lines(tmp_path / "bad.jsonl", [{"id": "first", "correct": True}, row])
    with pytest.raises(InputError, match=problem) as caught:
        read_results(path)
    assert caught.value.where.startswith("line 2")


def test_nothing_in_common(tmp_path: Path) -> None:
    one = read_results(write_lines(tmp_path / "1.jsonl", [{"id": "x", "correct": True}]))
    other = read_results(write_lines(tmp_path / "2.jsonl", [{"id": "y", "correct": True}]))
    with pytest.raises(InputError, match="no question in common"):
        pair_results(one, other)
