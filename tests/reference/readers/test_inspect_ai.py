"""Logs of inspect_ai: which samples count as correct, and every choice that is not made for the user."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError
from medbench_local.files.hashes import text_sha256
from medbench_local.reference.file_verdicts import verdicts_of_files
from medbench_local.reference.outcomes import read_results
from medbench_local.reference.readers.record import Selection
from medbench_local.reference.rows import read_rows
from tests.reference.readers.logs import CHOICES, log, sample, write_eval, write_json

VALUES = ["C", "I", "C", "N", 1, 0, 1.0, False]
CORRECT = [True, False, True, False, True, False, True, False]
Write = Callable[[Path, dict[str, Any]], Path]


def zstandard(path: Path, value: dict[str, Any]) -> Path:
    return write_eval(path.with_suffix(".eval"), value, zstandard=True)


WRITERS: dict[str, Write] = {
    "json": lambda path, value: write_json(path.with_suffix(".json"), value),
    "eval": lambda path, value: write_eval(path.with_suffix(".eval"), value),
    "eval, Zstandard": zstandard,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_scores_of_samples(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "log", log([sample(i, value) for i, value in enumerate(VALUES)]))
    found = read_results(path)
    assert [*found.results] == [("anatomy", f"q{i}") for i in range(8)]
    assert [result.correct for result in found.results.values()] == CORRECT
    assert found.notes == ("1 of 8 samples have no answer (score N) and count as wrong",)
    first = found.results["anatomy", "q0"]
    assert first.gold is not None
    assert (first.gold.text, first.text_sha256) == ("aspirin", text_sha256("Question 0?", CHOICES))
    assert first.settings == {"scoring": "choice", "model": "mockllm/model"}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_rows_for_validate(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "log", log([sample(0, "C"), sample(1, "I"), sample(2, "N")]))
    rows = read_rows(path, model="demo-med", task="demo-anatomy")
    assert [(row.prediction, row.answer) for row in rows] == [(0, 0), (2, 1), (None, 2)]
    assert {(row.model, row.task, row.scoring) for row in rows} == {("demo-med", "demo-anatomy", None)}
    assert rows[0].text_sha256 == text_sha256("Question 0?", CHOICES)
    contradiction = write(
        tmp_path / "other", log([sample(0, "I", scores={"choice": {"value": "I", "answer": "A"}})])
    )
    with pytest.raises(InputError, match="contradicts"):
        read_rows(contradiction)


def two(number: int) -> dict[str, Any]:
    return sample(
        number, scores={"choice": {"value": "C", "answer": "A"}, "parts": {"value": {"x": 1, "y": 0.5}}}
    )


def test_one_of_several_scorers_is_chosen(tmp_path: Path) -> None:
    path = write_json(tmp_path / "log.json", log([two(0), two(1)]))
    with pytest.raises(
        InputError, match=r"scorers there: choice, parts/x, parts/y Choose one, as in `metric=.choice.`"
    ):
        read_results(path)
    assert len(read_results(path, Selection(metric="parts/x")).results) == 2
    with pytest.raises(InputError, match=r"key 'scores.parts/y': .* found 0.5"):
        read_results(path, Selection(metric="parts/y"))
    with pytest.raises(InputError, match="no scorer 'match'; scorers there: choice"):
        read_results(path, Selection(metric="match"))


@pytest.mark.parametrize("value", ["P", 0.5, 2, "correct", [1]])
def test_a_score_that_is_neither_right_nor_wrong_is_refused(tmp_path: Path, value: object) -> None:
    path = write_json(tmp_path / "log.json", log([sample(0), sample(1, value)]))
    with pytest.raises(InputError, match=r"sample 2, key 'scores\.choice': expected C"):
        read_results(path)


def test_samples_without_a_score_are_left_out_and_counted(tmp_path: Path) -> None:
    failed = sample(2, scores=None, error={"message": "timeout"})
    path = write_json(tmp_path / "log.json", log([sample(0), sample(1, math.nan), failed], status="error"))
    found = read_results(path)
    assert [*found.results] == [("anatomy", "q0")]
    assert found.notes == (
        "the log says that its evaluation did not end well (status 'error')",
        "2 of 3 samples have no score by choice and are left out",
    )


def reduced(*values: object, **names: str) -> dict[str, Any]:
    return {
        "scorer": "choice",
        "samples": [{"value": value, "answer": "A", "sample_id": f"q{i}"} for i, value in enumerate(values)],
    } | names


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_epochs_need_a_reducer(tmp_path: Path, write: Write) -> None:
    samples = [
        sample(i, value, epoch=e + 1) for i in range(2) for e, value in enumerate("CIC" if i else "CCC")
    ]
    with pytest.raises(InputError, match="several epochs, and no reducer"):
        read_results(write(tmp_path / "none", log(samples)))
    mean = write(tmp_path / "mean", log(samples, reductions=[reduced(1.0, 2 / 3)]))
    with pytest.raises(InputError, match=r"found 0\.6666"):
        read_results(mean)
    both = [reduced("C", "C", reducer="mode"), reduced(1, 0, reducer="at_least_3")]
    several = write(tmp_path / "several", log(samples, reductions=both))
    with pytest.raises(InputError, match="choice/mode, choice/at_least_3"):
        read_results(several)
    found = read_results(several, Selection(metric="choice/at_least_3")).results.values()
    assert [result.correct for result in found] == [True, False]
    assert {result.settings["scoring"] for result in found} == {"choice/at_least_3 of 3 epochs"}


def test_summaries_do_where_samples_are_not_kept_and_cut_texts_are_no_questions(tmp_path: Path) -> None:
    whole = log([sample(0), sample(1, "I", input="Long" * 300 + "...\n(content truncated)")])
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(whole | {"samples": None}))
        archive.writestr("summaries.json", json.dumps(whole["samples"]))
    first, second = read_results(path).results.values()
    assert (first.correct, second.correct) == (True, False)
    assert (first.question, second.question) == ("question 0?", None)


def test_shuffled_options_are_the_same_question_only_if_the_same_text_is_correct(tmp_path: Path) -> None:
    shuffled = [CHOICES[1], CHOICES[0], *CHOICES[2:]]
    one = write_json(tmp_path / "m.json", log([sample(i, choices=CHOICES, input="Q") for i in range(2)]))
    other = write_json(tmp_path / "b.json", log([sample(i, choices=shuffled, input="Q") for i in range(2)]))
    with pytest.raises(InputError, match="the correct answer is another one"):
        verdicts_of_files(one, other)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"samples": [7]}, "sample 1: expected an object"),
        ({"samples": {}}, "no rows"),
        ({"samples": "x"}, "key 'samples': expected a list"),
        ({"samples": [sample(0, id=None)]}, "key 'id'"),
        ({"samples": [sample(0) | {"epoch": "one"}]}, "key 'epoch'"),
        ({"samples": [sample(0, scores=[])]}, "scorers there: none"),
        ({"samples": [sample(0, scores="C")]}, "key 'scores': expected a mapping"),
        ({"samples": [sample(0), sample(0)]}, "sample 'q0' is also sample 1"),
    ],
)
def test_malformed_logs(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_results(write_json(tmp_path / "log.json", log([sample(0)]) | change))


def test_archives_that_are_no_finished_logs(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_journal/start.json", "{}")
    with pytest.raises(InputError, match=r"no header\.json in it"):
        read_results(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", "{}")
    with pytest.raises(InputError, match="not the header of an inspect_ai log"):
        read_results(path)
    path.write_bytes(b"PK\3\4 cut")
    with pytest.raises(InputError, match="zip"):
        read_results(path)
