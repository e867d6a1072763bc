"""Malformed results, reference results and score requests, and damaged run folders, through the command line."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.command_line import files_below, refusal, run
from tests.reference.written import log_line

GOOD = {"id": "q1", "correct": True}
Content = bytes | list[Any]

NO_LINES: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": (b"", ("no rows",)),
    "blank": (b"\n \n", ("no rows",)),
    "cut short": (b'{"id": "q1", "corr', ("line 1", "not valid JSON")),
    "a list": ([[1, 2]], ("line 1", "expected")),
    "a text": (["x"], ("line 1", "expected")),
    "null": ([None], ("line 1", "expected")),
    "a JSON file of one list": (json.dumps([GOOD], indent=1).encode(), ("line 1", "not valid JSON")),
    "Python's own": (b"{'id': 'q1'}\n", ("line 1", "not valid JSON")),
    "not UTF-8": (b'{"id": "\xe9"}\n', ("UTF-8",)),
    "UTF-16": (json.dumps(GOOD).encode("utf-16"), ("UTF-8",)),
    "binary": (bytes(range(128, 256)), ("UTF-8",)),
    "deep": (b"[" * 100_000, ("line 1",)),
    "a long number": (b'{"id": ' + b"9" * 5000 + b"}", ("line 1", "not valid JSON")),
}

VERDICTS: dict[str, tuple[Content, tuple[str, ...]]] = NO_LINES | {
    "no id": ([{"correct": True}], ("line 1, key 'id'", "required")),
    "id a list": ([{"id": [], "correct": True}], ("line 1, key 'id'",)),
    "id null": ([{"id": None, "correct": True}], ("line 1, key 'id'",)),
    "nothing to judge": ([GOOD, {"id": "q2"}], ("line 2", "correct")),
    "correct a text": ([{"id": "q1", "correct": "yes"}], ("line 1, key 'correct'",)),
    "correct 2": ([{"id": "q1", "correct": 2}], ("line 1, key 'correct'",)),
    "correct half": ([{"id": "q1", "correct": 0.5}], ("line 1, key 'correct'",)),
    "correct null": ([{"id": "q1", "correct": None}], ("line 1",)),
    "prediction alone": ([{"id": "q1", "prediction": 1}], ("line 1", "answer")),
    "answer alone": ([{"id": "q1", "answer": 1}], ("line 1",)),
    "task a number": ([GOOD | {"task": 7}], ("line 1, key 'task'",)),
    "the same question twice, differently": ([GOOD, GOOD | {"correct": False}], ("q1",)),
    "correct against its own row": (
        [GOOD, {"id": "q2", "correct": True, "prediction": "(A)", "answer": "B"}],
        ("line 2, key 'correct'", "contradicts"),
    ),
    "predictions in sentences": (
        [GOOD, {"id": "q2", "prediction": "It is B", "answer": "B"}],
        ("line 2, key 'prediction'", "another way"),
    ),
    "numbers that may count from 0 or 1": (
        [GOOD, {"id": "q2", "prediction": 1, "answer": "B"}],
        ("line 2, key 'prediction'", "does not show"),
    ),
    "a prediction that is a list": (
        [GOOD, {"id": "q2", "prediction": ["B"], "answer": "B"}],
        ("line 2, key 'prediction'",),
    ),
    "an answer that is no option": (
        [GOOD, {"id": "q2", "prediction": "A", "answer": "D", "options": ["x", "y"]}],
        ("line 2, key 'answer'", "none of the row's options"),
    ),
    "the same question twice, with two answers": (
        [GOOD | {"answer": "A"}, GOOD | {"answer": "B"}],
        ("q1", "another answer"),
    ),
    "a prompt with half a character": ([GOOD | {"prompt": "\ud800"}], ("line 1, key 'prompt'", "surrogate")),
    "a text hash that is a list": ([GOOD | {"text_sha256": []}], ("line 1, key 'text_sha256'",)),
    "nothing in common": ([{"id": "other", "correct": True}], ("no question",)),
    "no JSON number": (b'{"id": "q1", "correct": NaN}\n', ("line 1",)),
}

REQUESTS: dict[str, tuple[Content, tuple[str, ...]]] = NO_LINES | {
    "empty": (b"", ("there are no requests",)),
    "blank": (b"\n \n", ("there are no requests",)),
    "no id": ([{"prompt": "p", "options": ["a"]}], ("line 1, key 'id'", "required")),
    "no prompt": ([{"id": 1, "options": ["a"]}], ("line 1, key 'prompt'", "required")),
    "no options": ([{"id": 1, "prompt": "p"}], ("line 1, key 'options'", "required")),
    "id twice": ([{"id": 1, "prompt": "p", "options": ["a"]}] * 2, ("line 2, key 'id'",)),
    "id a truth": ([{"id": True, "prompt": "p", "options": ["a"]}], ("line 1, key 'id'", "expected")),
    "id a fraction": ([{"id": 1.5, "prompt": "p", "options": ["a"]}], ("line 1, key 'id'", "expected")),
    "prompt empty": ([{"id": 1, "prompt": "", "options": ["a"]}], ("line 1, key 'prompt'", "not empty")),
    "prompt a list": ([{"id": 1, "prompt": [], "options": ["a"]}], ("line 1, key 'prompt'", "a text")),
    "prompt half a character": (
        b'{"id": 1, "prompt": "\\ud800", "options": ["a"]}\n',
        ("line 1, key 'prompt'", "surrogate"),
    ),
    "options empty": (
        [{"id": 1, "prompt": "p", "options": []}],
        ("line 1, key 'options'", "a list of texts"),
    ),
    "options a text": ([{"id": 1, "prompt": "p", "options": "ab"}], ("line 1, key 'options'", "a list")),
    "option empty": ([{"id": 1, "prompt": "p", "options": ["a", ""]}], ("line 1, key 'options'", "empty")),
    "option a number": ([{"id": 1, "prompt": "p", "options": [1]}], ("line 1, key 'options'", "texts")),
    "too many options": (
        [{"id": 1, "prompt": "p", "options": [str(n) for n in range(2000)]}],
        ("line 1, key 'options'", "at most"),
    ),
    "unknown key": ([{"id": 1, "prompt": "p", "options": ["a"], "x": 1}], ("line 1, key 'x'", "unknown")),
    "NaN": (b'{"id": NaN, "prompt": "p", "options": ["a"]}\n', ("line 1", "not valid JSON")),
}

EXPORT = {"model": "demo-med", "task": "demo-anatomy", "id": "q", "prompt": "P", "options": ["A", "B", "C"]}
REFERENCES: dict[str, tuple[Content, tuple[str, ...]]] = NO_LINES | {
    "no prediction": ([EXPORT], ("line 1", "'prediction' or 'logprobs'")),
    "prediction outside": ([EXPORT | {"prediction": 3}], ("line 1, key 'prediction'",)),
    "prediction no label": ([EXPORT | {"prediction": "D"}], ("line 1, key 'prediction'",)),
    "too few values": ([EXPORT | {"logprobs": [-1.0]}], ("line 1",)),
    "not a number": (b'{"options": ["A", "B"], "logprobs": [NaN, -1]}\n', ("line 1",)),
    "positive": ([EXPORT | {"logprobs": [0.5, -1, -2]}], ("line 1, key 'logprobs'", "0.5")),
    "another hash": ([EXPORT | {"prediction": 0, "prompt_sha256": "0" * 64}], ("line 1", "hash")),
    "shots a text": ([EXPORT | {"prediction": 0, "shots": "three"}], ("line 1, key 'shots'",)),
    "log of generation": ([log_line(filtered_resps=["A"])], ("line 1", "multiple-choice")),
    "log without document": ([log_line(doc=None)], ("line 1, key 'doc'",)),
    "log that contradicts itself": ([log_line(acc=0.0)], ("line 1", "contradicts")),
}


def written(path: Path, content: Content) -> Path:
    data = (
        content if isinstance(content, bytes) else "".join(json.dumps(row) + "\n" for row in content).encode()
    )
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("content", "says"), VERDICTS.values(), ids=VERDICTS)
@pytest.mark.parametrize("order", ["medical", "base"])
def test_two_result_files(tmp_path: Path, order: str, content: Content, says: tuple[str, ...]) -> None:
    good = written(tmp_path / "good.jsonl", [GOOD])
    bad = written(tmp_path / "bad.jsonl", content)
    line = refusal("verdict", *((bad, good) if order == "medical" else (good, bad)))
    for part in ("bad.jsonl", *says):
        assert part in line, line


@pytest.mark.parametrize(("content", "says"), REQUESTS.values(), ids=REQUESTS)
def test_score_requests(tmp_path: Path, content: Content, says: tuple[str, ...]) -> None:
    bad = written(tmp_path / "bad.jsonl", content)
    line = refusal("score", "demo-med", bad, "--output", tmp_path / "out.jsonl")
    for part in ("bad.jsonl", *says):
        assert part in line, line
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jsonl"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the embedded pair, with the home that it was made with beside it."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(folder / "home"))
        ended = run(*COMPARE, "--output", folder / "run")
    assert ended.code == 0, ended.err
    return folder


COMPARE = (
    "compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--shots", "0", "--limit", "20", "--quant", "none"
)  # fmt: skip


@pytest.mark.parametrize(("content", "says"), REFERENCES.values(), ids=REFERENCES)
def test_reference_results(tmp_path: Path, finished: Path, content: Content, says: tuple[str, ...]) -> None:
    bad = written(tmp_path / "bad.jsonl", content)
    line = refusal("validate", finished / "run", "--reference", bad)
    for part in ("bad.jsonl", *says):
        assert part in line, line


def test_compressed_results_cut_short(tmp_path: Path) -> None:
    good = written(tmp_path / "good.jsonl", [GOOD])
    bad = written(tmp_path / "bad.jsonl.gz", gzip.compress(json.dumps(GOOD).encode() * 99)[:-9])
    assert "bad.jsonl.gz" in refusal("verdict", good, bad)


def _text(change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda path: path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def _json(**changes: Any) -> Callable[[Path], object]:
    return _text(lambda text: json.dumps(json.loads(text) | changes))


def _comparison(**changes: Any) -> Callable[[Path], object]:
    def change(text: str) -> str:
        data = json.loads(text)
        data["comparisons"][0] |= changes
        return json.dumps(data)

    return _text(change)


def _layout(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()


def _other_table(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("DROP TABLE scores")
    database.execute("CREATE TABLE scores (a, b)")
    database.close()


def _middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100 : len(data)] = b"\xa5" * (len(data) - 100)
    path.write_bytes(bytes(data))


DAMAGED: dict[str, tuple[str, Callable[[Path], object], tuple[str, ...]]] = {
    "results cut short": ("results.json", _text(lambda text: text[:300]), ("line", "not valid JSON")),
    "results empty": ("results.json", _text(lambda text: ""), ("line 1", "not valid JSON")),
    "results a list": ("results.json", _text(lambda text: "[]"), ("key 'schema'",)),
    "results of another schema": ("results.json", _json(schema=99), ("key 'schema'", "expected", "99")),
    "results without comparisons": ("results.json", _json(comparisons=None), ("key 'comparisons'", "a list")),
    "results with an odd verdict": (
        "results.json",
        _text(lambda text: text.replace('"verdict": "', '"verdict": "x')),
        ("verdict",),
    ),
    "results with more": ("results.json", _json(extra=1), ("key 'extra'",)),
    "results with NaN": ("results.json", _json(confidence=float("nan")), ("not valid JSON", "NaN")),
    "results with Infinity": ("results.json", _json(confidence=float("-inf")), ("-Infinity",)),
    "results with an overflow": (
        "results.json",
        _text(lambda text: text.replace('\n "confidence": 0.95', '\n "confidence": 1e999')),
        ("key 'confidence'", "finite number"),
    ),
    "results with an overflow in the protocol": (
        "results.json",
        _text(lambda text: text.replace('\n   "confidence": 0.95', '\n   "confidence": 1e999')),
        ("key 'protocol_content.bootstrap.confidence'", "finite number"),
    ),
    "results with an accuracy of 5": (
        "results.json",
        _comparison(accuracy={"medical": 5, "base": 0.5}),
        ("key 'comparisons.0.accuracy.medical'", "less than or equal to 1"),
    ),
    "results of no question": ("results.json", _comparison(n=0), ("key 'comparisons.0.n'",)),
    "results with an impossible difference": (
        "results.json",
        _comparison(difference=-1.5),
        ("key 'comparisons.0.difference'",),
    ),
    "results with half a character": (
        "results.json",
        _json(precision="\ud800"),
        ("key 'precision'", "surrogate"),
    ),
    "results with half a character in a list": (
        "results.json",
        _json(warnings=["good", "a\udfff"]),
        ("key 'warnings'", "surrogate"),
    ),
    "results not UTF-8": ("results.json", lambda path: path.write_bytes(b"\xff{}"), ("not UTF-8",)),
    "manifest cut short": ("manifest.json", _text(lambda text: text[:300]), ("line", "not valid JSON")),
    "manifest a list": ("manifest.json", _text(lambda text: "[]"), ("line 1", "expected a JSON object")),
    "manifest binary": ("manifest.json", lambda path: path.write_bytes(b"\xff\xfe"), ("not UTF-8",)),
}
SCORES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda path: path.write_bytes(b"hello " * 999), "damaged"),
    "zeros": (lambda path: path.write_bytes(bytes(4096)), "damaged"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "damaged"),
    "pages overwritten": (_middle, "damaged"),
    "another layout": (_layout, "another version"),
    "another table": (_other_table, "damaged"),
}


@pytest.mark.parametrize(("name", "damage", "says"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_run_folders(
    tmp_path: Path,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: Callable[[Path], object],
    says: tuple[str, ...],
) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(finished / "home"))
    shutil.copytree(finished / "run", tmp_path / "run")
    damage(tmp_path / "run" / name)
    before = files_below(tmp_path)
    line = refusal(*COMPARE, "--output", tmp_path / "run")
    for part in (name, *says):
        assert part in line, line
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(("damage", "says"), SCORES.values(), ids=SCORES)
def test_damaged_score_stores(
    tmp_path: Path,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], object],
    says: str,
) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(finished / "home"))
    shutil.copytree(finished / "run", tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()  # not finished, so that the scores are read
    damage(tmp_path / "run" / "scores.sqlite")
    line = refusal(*COMPARE, "--output", tmp_path / "run")
    assert "scores.sqlite" in line
    assert says in line
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_folder_with_another_run(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(finished / "home"))
    before = files_below(finished / "run")
    line = refusal(*COMPARE, "--tasks", "demo-biology", "--output", finished / "run")
    assert "holds another run" in line
    assert files_below(finished / "run") == before
