"""Reading rows: each form by hand, every refusal with its line, anything else never an unexpected error."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medbench_local.errors import InputError
from medbench_local.files.hashes import prompt_sha256, text_sha256
from medbench_local.reference.rows import read_rows, read_samples
from tests.reference.written import log_line, write_lines

EXPORT: dict[str, Any] = {
    "model": "demo-med",
    "task": "demo-a",
    "split": "test",
    "item": 4,
    "id": "q4",
    "shots": 3,
    "format": "default",
    "demonstrations": 7,
    "prompt": "Which? (A) x (B) y\nAnswer: ",
    "options": ["(A)", "(B)", "(C)"],
    "answer": 1,
}
SAMPLE: dict[str, Any] = {
    "task": "demo-a",
    "shots": 0,
    "scoring": "constrained",
    "model": "demo-med",
    "role": "medical",
    "precision": "q8_0",
    "id": "q4",
    "prompt_sha256": "ab" * 32,
    "text_sha256": "cd" * 32,
    "logprobs": [-1.0, -0.5, -3.0],
    "mass": 0.99,
    "prediction": 1,
    "answer": 1,
    "correct": True,
    "target": 1,
    "acc": 1,
}


def test_our_own_samples(tmp_path: Path) -> None:
    (row,) = read_rows(write_lines(tmp_path / "s.jsonl", [SAMPLE]))
    assert (row.model, row.role, row.task, row.shots, row.id) == ("demo-med", "medical", "demo-a", 0, "q4")
    assert (row.logprobs, row.prediction, row.answer) == ((-1.0, -0.5, -3.0), 1, 1)
    assert (row.prompt_sha256, row.text_sha256) == ("ab" * 32, "cd" * 32)
    assert (row.file, row.where) == (str(tmp_path / "s.jsonl"), "line 1")


def test_a_sample_without_an_answer(tmp_path: Path) -> None:
    overlong = SAMPLE | {"logprobs": [], "prediction": None, "mass": None, "correct": False, "acc": 0}
    (row,) = read_rows(write_lines(tmp_path / "s.jsonl", [overlong]))
    assert (row.logprobs, row.prediction) == (None, None)


@pytest.mark.parametrize(
    ("added", "prediction"),
    [
        ({"prediction": 2}, 2),
        ({"prediction": "C"}, 2),
        ({"prediction": " (B) "}, 1),
        ({"prediction": ""}, None),
        ({"prediction": None}, None),
        ({"prediction": -1}, None),
        ({"logprobs": [-3, -2.5, float("-inf")]}, 1),
        ({"logprobs": [-1.0, -1.0, -2.0]}, 0),
        ({"logprobs": [-1.0, -3.0, -1.0], "prediction": 0}, 0),
        ({"logprobs": [-1.0, -3.0, -1.0], "prediction": 2}, 2),
        ({"logprobs": [], "prediction": 2, "correct": False}, 2),
        ({"prediction": 1, "correct": 1}, 1),
    ],
)
def test_exported_prompts_with_results(tmp_path: Path, added: dict[str, Any], prediction: int | None) -> None:
    (row,) = read_rows(write_lines(tmp_path / "r.jsonl", [EXPORT | added]))
    assert row.prediction == prediction
    assert row.prompt_sha256 == hashlib.sha256(EXPORT["prompt"].encode()).hexdigest()
    assert (row.model, row.task, row.id, row.answer) == ("demo-med", "demo-a", "q4", 1)


def test_the_answer_by_label(tmp_path: Path) -> None:
    (row,) = read_rows(write_lines(tmp_path / "r.jsonl", [EXPORT | {"answer": "(C)", "prediction": "A"}]))
    assert (row.answer, row.prediction) == (2, 0)


def test_a_harness_log(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "samples_mmlu_anatomy_2025-03-01T10-11-12.345678.jsonl", [log_line()])
    (row,) = read_rows(path, model="llama-2-7b")
    assert (row.task, row.model, row.answer, row.prediction) == ("mmlu-anatomy", "llama-2-7b", 2, 2)
    assert row.logprobs == (-3.5, -1.25, -0.5, -4.0)
    assert row.prompt_sha256 == prompt_sha256("Which?\nAnswer:")
    assert row.text_sha256 == text_sha256("Which?", ["a", "b", "c", "d"])


def test_an_older_harness_log(tmp_path: Path) -> None:
    line = log_line(
        doc={"id": "m1", "question": " Q ", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": 1},
        target=1,
        arguments=[["Q\nAnswer:", f" {letter}"] for letter in "ABCD"],
        resps=[[[-3.5, False]], [[-0.25, True]], [[-1.5, False]], [[-4.0, False]]],
    )
    del line["filtered_resps"]
    (row,) = read_rows(write_lines(tmp_path / "samples_medmcqa.jsonl", [line]))
    assert (row.id, row.task, row.answer, row.prediction) == ("m1", "medmcqa", 1, 1)
    assert row.text_sha256 == text_sha256("Q", ["w", "x", "y", "z"])


def test_a_harness_target_given_as_text(tmp_path: Path) -> None:
    yes_no = {
        "doc": {"QUESTION": "Does it?"},
        "target": "no",
        "arguments": [["Does it?\nAnswer:", " yes"], ["Does it?\nAnswer:", " no"]],
        "filtered_resps": [["-0.1", "True"], ["-2.0", "False"]],
        "acc": 0.0,
    }
    (row,) = read_rows(write_lines(tmp_path / "samples_pubmedqa.jsonl", [log_line(**yes_no)]))
    assert (row.answer, row.prediction, row.text_sha256) == (1, 0, None)


def test_a_harness_target_that_is_index_and_text(tmp_path: Path) -> None:
    # Continuations are the numbers 1, 0: "1" may be the index 1 or the text of option 0. acc decides.
    digits = {
        "target": "1",
        "arguments": [["1+0=", " 1"], ["1+0=", " 0"]],
        "filtered_resps": [["-0.1", "True"], ["-2.0", "False"]],
    }
    (row,) = read_rows(write_lines(tmp_path / "a.jsonl", [log_line(**digits, acc=1.0)]))
    assert row.answer == 0
    (row,) = read_rows(write_lines(tmp_path / "b.jsonl", [log_line(**digits, acc=0.0)]))
    assert row.answer == 1


def test_compressed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps(SAMPLE) + "\n\n" + json.dumps(SAMPLE))
    assert len(read_rows(path)) == 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (EXPORT, "'prediction' or 'logprobs'"),
        (EXPORT | {"prediction": 3}, "key 'prediction'"),
        (EXPORT | {"prediction": "D"}, "key 'prediction'"),
        (EXPORT | {"prediction": True}, "key 'prediction'"),
        (EXPORT | {"logprobs": [-1.0, -2.0]}, "3 options, but 2"),
        (EXPORT | {"logprobs": [-1.0, float("nan"), -2.0]}, "found nan"),
        (EXPORT | {"logprobs": [0.5, -1.0, -2.0]}, "found 0.5"),
        (EXPORT | {"logprobs": [-(10**400), -1.0, -2.0]}, "log-probabilities .*found -1000"),
        (EXPORT | {"logprobs": [10**400, -1.0, -2.0]}, "log-probabilities .*found 1000"),
        (EXPORT | {"logprobs": [float("-inf")] * 3}, "at least finite|one at least"),
        (EXPORT | {"logprobs": "none"}, "expected a list"),
        (
            EXPORT | {"logprobs": [-1, -2, -3], "prediction": 2},
            "option 2 is predicted, but option 0 is the most",
        ),
        (EXPORT | {"logprobs": [-1, -2, -1], "prediction": "B"}, "option 1 is predicted, but option 0"),
        (EXPORT | {"logprobs": [-1, -2, -3], "prediction": None}, "none is predicted, but option 0"),
        (SAMPLE | {"scoring": "cloze", "logprobs": [-30.0, -40.0, -50.0]}, "of cloze, in nats a byte"),
        (EXPORT | {"prediction": 1, "correct": False}, "contradicts the row's own prediction"),
        (EXPORT | {"prediction": None, "correct": True}, "contradicts the row's own prediction"),
        (EXPORT | {"prediction": 1, "correct": "yes"}, "expected true or false"),
        (EXPORT | {"logprobs": [-1, -1, -1], "prompt_sha256": "0" * 64}, "hash of the row's own prompt"),
        (SAMPLE | {"text_sha256": "xyz"}, "SHA-256"),
        (SAMPLE | {"id": 1.5}, "key 'id'"),
        (SAMPLE | {"shots": "three"}, "key 'shots'"),
        (log_line(filtered_resps=["A"]), "multiple-choice"),
        (log_line(filtered_resps=[["-1", "maybe"]] * 4), "is greedy"),
        (log_line(filtered_resps=[["x", "True"]] * 4), "log-likelihood"),
        (log_line(filtered_resps=[[-(10**400), False]] * 4), "log-likelihood"),
        (log_line(target="7"), "key 'target'"),
        (log_line(target=[1, 2]), "key 'target'"),
        (log_line(acc=0.0), "contradicts"),
        (log_line(arguments=[["a", " A"], ["b", " B"], ["c", " C"], ["d", " D"]]), "same context"),
        (log_line(arguments=[["a", " A"]]), "1 continuations, but 4"),
        (log_line(arguments={"x": 1}), "a context and a continuation"),
        (log_line(doc=None), "key 'doc'"),
    ],
)
def test_refusals_name_the_line(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    path = write_lines(tmp_path / "bad.jsonl", [SAMPLE, row])
    with pytest.raises(InputError, match=problem) as caught:
        read_rows(path)
    assert "line 2" in caught.value.where


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows"):
        read_rows(write_lines(tmp_path / "empty.jsonl", []))
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "absent.jsonl")


def test_the_samples_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    for name in ("medical.demo-a.0-shot", "base.demo-a.0-shot"):
        role = name.partition(".")[0]
        write_lines(tmp_path / "samples" / f"{name}.jsonl", [SAMPLE | {"role": role}] * 2)
    assert [row.role for row in read_samples(tmp_path)] == ["base", "base", "medical", "medical"]
    with pytest.raises(InputError, match="no samples"):
        read_samples(tmp_path / "samples")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from([EXPORT | {"prediction": 1}, SAMPLE, log_line()]),
    st.data(),
)
def test_any_damage_is_refused_or_read(tmp_path: Path, row: dict[str, Any], data: st.DataObject) -> None:
    damaged = dict(row)
    for name in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3, unique=True)):
        damaged[name] = data.draw(values)
    path = write_lines(tmp_path / "damaged.jsonl", [damaged])
    try:
        (read,) = read_rows(path)
    except InputError:
        return
    assert read.prediction is None or 0 <= read.prediction < 26
