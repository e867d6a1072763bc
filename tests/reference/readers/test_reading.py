"""The same rows in every format are the same results; the format is told by name and content."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError
from medbench_local.reference.file_verdicts import verdicts_of_files
from medbench_local.reference.outcomes import Result, read_results
from medbench_local.reference.rows import read_rows
from tests.reference.written import log_line, write_lines

Rows = Sequence[Mapping[str, Any]]
ROWS: Rows = [
    {
        "task": "x",
        "id": str(i),
        "prediction": "ABCD"[i // 4 % 4] if i else None,
        "answer": "ABCD"[i % 4],
        "options": ["aspirin, 5 mg", "heparin", 'so-called "zinc"', "iron\nor none"],
        "question": f"Which, {i}?",
        "shots": 3,
    }
    for i in range(20)
]


def lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(rows: Rows) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(rows[0])
    for row in rows:
        cells = [json.dumps(cell) if isinstance(cell, list) else cell for cell in row.values()]
        writer.writerow(cells)
    return text.getvalue()


FORMATS: dict[str, tuple[str, Callable[[Rows], str]]] = {
    "lines": ("r.jsonl", lines),
    "lines in .json": ("r.json", lines),
    "no ending": ("r", lines),
    "list": ("r.json", json.dumps),
    "indented list": ("r.json", lambda rows: json.dumps(rows, indent=2)),
    "object with one list": (
        "r.json",
        lambda rows: json.dumps({"n": 20, "more": {}, "rows": rows, "tags": ["a"]}),
    ),
    "table": ("r.csv", table),
    "table of another system": ("r.csv", lambda rows: "\ufeff" + table(rows)),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("name", "text"), FORMATS.values(), ids=FORMATS)
def test_every_format_holds_the_same(
    tmp_path: Path, name: str, text: Callable[[Rows], str], compressed: bool
) -> None:
    path = tmp_path / (name + ".gz" * compressed)
    data = text(ROWS).encode()
    path.write_bytes(gzip.compress(data) if compressed else data)
    found = read_results(path)

    def said(result: Result) -> dict[str, Any]:
        return {**vars(result), "where": ""}

    expected = read_results(write_lines(tmp_path / "expected.jsonl", ROWS))
    assert {key: said(each) for key, each in found.results.items()} == {
        key: said(each) for key, each in expected.results.items()
    }
    assert found.notes == expected.notes == ("task x: 1 prediction is empty and counted as wrong",)
    assert [(row.id, row.prediction, row.answer, row.shots) for row in read_rows(path)] == [
        (str(i), i // 4 % 4 if i else None, i % 4, 3) for i in range(20)
    ]


def test_tables_are_text(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("id,correct,note,\n01,True,,x\n1,0,a,\n2.0,FALSE,,\n3,1.0,,\n", encoding="utf-8")
    found = {id: result.correct for (_, id), result in read_results(path).results.items()}
    assert found == {"01": True, "1": False, "2.0": False, "3": True}
    path.write_text("id,prediction,answer\na,0,2\nb,2,2\n", encoding="utf-8")
    assert [(row.prediction, row.answer) for row in read_rows(path)] == [(0, 2), (2, 2)]
    path.write_text('id,prediction,answer,logprobs\na,1,1,"[-2, -1.5]"\n', encoding="utf-8")
    assert read_rows(path)[0].logprobs == (-2, -1.5)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("r.csv", "id,id,correct\n1,1,1\n", "line 1: the header has 'id' twice"),
        ("r.csv", "id,correct\n1,1\n2\n", "line 3: 1 cells, but the header has 2: id, correct"),
        ("r.csv", "id,correct\n1,yes\n", "line 2, key 'correct': expected true or false, found 'yes'"),
        ("r.csv", "id;correct\n1;1\n", "the row has id;correct"),
        ("r.csv", "id,corect\n1,1\n", "expected 'correct', or .*; the row has id, corect"),
        ("r.csv", "id,correct,options\n1,1,['a']\n", "line 2, key 'options'.*not valid JSON"),
        ("r.csv", "id,correct\n", "no rows"),
        ("r.csv", "", "no rows"),
        ("r.json", "", "no rows"),
        ("r.json", "[]", "no rows"),
        ("r.json", "7", "expected a list of rows"),
        ("r.json", "[1]", "row 1: expected an object"),
        ("r.json", '[{"id": 1, "correct": true}, {"id": 2}]', "row 2: expected 'correct'"),
        ("r.json", '{"a": [{"id": 1}], "b": [{"id": 1}]}', "several lists of rows: a, b"),
        ("r.json", '{"rows": [{"id": 1}]}', "key 'rows', row 1: expected 'correct'"),
        ("r.json", '{"rows": [{"id": 1', "not valid JSON"),
        ("r.json", '[{"id": 1, "id": 2}]', "given twice"),
        ("r.json", '{"id": 1, "correct": true}\n{"id": 2', "line 2.*not valid JSON"),
        ("r.jsonl", '[{"id": 1, "correct": true}]', "line 1"),
    ],
)
def test_refusals(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=problem):
        read_results(tmp_path / name)


def test_names_of_other_programs_are_read_where_ours_say_nothing(tmp_path: Path) -> None:
    theirs = {"id": 1, "predicted_answer": "B", "ground_truth": "A", "is_correct": False}
    (result,) = read_results(write_lines(tmp_path / "r.jsonl", [theirs])).results.values()
    assert not result.correct
    with pytest.raises(InputError, match="contradicts"):
        read_results(write_lines(tmp_path / "r.jsonl", [theirs | {"is_correct": True}]))
    ours = {"id": 1, "prediction": "A", "answer": "A", "is_correct": "unknown", "ground_truth": "the first"}
    (result,) = read_results(write_lines(tmp_path / "r.jsonl", [ours])).results.values()
    assert result.correct


def test_ids_that_are_equal_json_numbers_are_one(tmp_path: Path) -> None:
    medical = write_lines(tmp_path / "m.jsonl", [{"id": i, "correct": True} for i in range(9)])
    base = write_lines(tmp_path / "b.jsonl", [{"id": float(i), "correct": True} for i in range(9)])
    assert verdicts_of_files(medical, base).rows[0].n == 9
    for id in (0.5, 1e300, float("inf")):
        with pytest.raises(InputError, match="key 'id'"):
            read_results(write_lines(tmp_path / "b.jsonl", [{"id": id, "correct": True}]))


def test_the_text_of_the_question_stands_for_a_missing_id(tmp_path: Path) -> None:
    def row(text: str, *options: str, **more: object) -> dict[str, object]:
        return {"question": text, "options": [*options], "prediction": "A", "answer": "A"} | more

    path = write_lines(
        tmp_path / "r.jsonl", [row("Which?", "w", "x"), row("Which?", "y", "z"), row(" Who? ", "w", "x")]
    )
    found = read_results(path)
    assert [id for _, id in found.results] == ["Which? (w / x)", "Which? (y / z)", "Who?"]
    assert found.notes == ("rows have no 'id' and are told apart by the text of 'question'",)
    for bad in (row("", "w", "x"), {"prediction": "A", "answer": "A"}, row("Which?", "w", "x", id=1)):
        with pytest.raises(InputError, match="key 'id'"):
            read_results(write_lines(tmp_path / "r.jsonl", [row("Who?", "w", "x"), bad]))


def test_rows_of_one_id_must_have_the_same_options(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "prediction": "A", "answer": "A", "options": options}
        for options in (["w", "x"], ["w", "y"])
    ]
    with pytest.raises(InputError, match=r"another answer|other options"):
        read_results(write_lines(tmp_path / "r.jsonl", rows))


def sampled(role: str, shots: int, correct: bool, n: int = 4) -> list[dict[str, object]]:
    return [
        {
            "task": "x",
            "shots": shots,
            "scoring": "label",
            "model": role,
            "role": role,
            "id": str(i),
            "logprobs": [-1.0, -2.0],
            "prediction": 0,
            "answer": int(not correct),
            "correct": correct,
        }
        for i in range(n)
    ]


def test_a_run_s_folder(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    for role, right in (("medical", True), ("base", False)):
        for shots in (0, 3):
            write_lines(
                tmp_path / "samples" / f"{role}.x.{shots}-shot.jsonl",
                sampled(role, shots, right and shots == 3),
            )
    for folder in (tmp_path, tmp_path / "samples"):
        found = verdicts_of_files(folder, folder)
        assert [(row.task, row.n, row.difference) for row in found.rows] == [
            ("x, 0-shot, label", 4, 0.0),
            ("x, 3-shot, label", 4, 1.0),
        ]
    assert len(read_rows(tmp_path)) == 16
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"a folder without files \*\.jsonl"):
        read_results(empty)


def test_a_log_line_with_our_names_is_our_row(tmp_path: Path) -> None:
    row = log_line() | {"id": 7, "correct": False}
    (result,) = read_results(write_lines(tmp_path / "r.jsonl", [row])).results.values()
    assert not result.correct


REAL = Path(__file__).parents[4] / "shared" / "data" / "predictions"


@pytest.mark.skipif(not REAL.is_dir(), reason="real predictions are not here: ../shared/data/predictions")
@pytest.mark.parametrize(
    ("medical", "base", "n", "accuracies"),
    [
        (
            "mistral-7b-v0.3-nf4.medqa.finetuned_results",
            "mistral-7b-v0.3-nf4.medqa.baseline_results",
            1273,
            (665 / 1273, 628 / 1273),
        ),
        (
            "medagents.DeepSeek-V3.medqa.zero_shot",
            "medagents.QwQ-32B-Preview.medqa.zero_shot",
            1273,
            (1009 / 1273, 908 / 1273),
        ),
        (
            "medagents.Llama-3.3-70B-Instruct-Turbo.pubmedqa.zero_shot",
            "medagents.QwQ-32B-Preview.pubmedqa.zero_shot",
            500,
            (389 / 500, 386 / 500),
        ),
    ],
)
def test_published_files_as_they_are(
    medical: str, base: str, n: int, accuracies: tuple[float, float]
) -> None:
    found = verdicts_of_files(*(REAL / f"{name}.json.gz" for name in (medical, base)))
    (row,) = found.rows
    assert (row.n, row.accuracy_medical, row.accuracy_base) == (n, *map(pytest.approx, accuracies))
