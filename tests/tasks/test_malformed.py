"""Damaged and hostile files: each gets an error with its place and what was expected, nothing else."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from medbench_local.errors import InputError
from medbench_local.files.rows import SourceFile
from medbench_local.tasks.readers import medmcqa, medqa, mmlu, own, pubmedqa
from tests.tasks.data import MEDMCQA, MEDQA, OWN, PUBMEDQA, lines, write

READ = {
    "medqa": medqa.read,
    "medmcqa": medmcqa.read,
    "pubmedqa": pubmedqa.read,
    "mmlu": mmlu.read,
    "own": own.read,
}
OPTIONS = {"medqa": 4, "medmcqa": 4, "pubmedqa": 3, "mmlu": 4, "own": None}

GOOD_CSV = b"What?,a,b,c,d,C\n"
HEADER = b"question,choice0,choice1,choice2,choice3,answer\n"


def without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def mapping(**records: Any) -> bytes:
    return json.dumps(records).encode()


def zipped(data: bytes, cut: int = 0) -> bytes:
    packed = gzip.compress(data, mtime=0)
    return packed[: len(packed) - cut]


def archive(name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as packed:
        packed.writestr(zipfile.ZipInfo(name), data, method)  # its time is no part of a test
    return stream.getvalue()


def table(**columns: Any) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


DEEP = b"[" * 100_000
LONG = b'{"a": "' + b"x" * (17 * 2**20) + b'"}'
NAME_DAMAGED = archive("é.jsonl", lines(OWN)).replace("é".encode(), b"\xc3\xff", 1)
HALF = b'{"id": "q", "question": "\\ud800", "options": ["a", "b"], "answer": 0}\n'

# format, file name, bytes, then two texts that the error must hold: where, and what was expected.
CASES: list[tuple[str, str, bytes, str, str]] = [
    ("own", "x.jsonl", b"{bad\n", "line 1, column", "not valid JSON"),
    ("own", "x.jsonl", lines(OWN) + b"\n{\n", "line 3, column", "not valid JSON"),
    ("own", "x.jsonl", lines(OWN)[:-6], "line 1", "not valid JSON"),
    ("own", "x.jsonl", b"[1, 2]\n", "line 1", "expected a JSON mapping"),
    ("own", "x.jsonl", b"null\n", "line 1", "expected a JSON mapping"),
    ("own", "x.jsonl", lines(OWN) + b"\xff\xfe\n", "line 2", "not UTF-8 text (byte 1"),
    ("own", "x.jsonl", json.dumps(OWN).encode("utf-16"), "line 1", "not UTF-8"),
    ("own", "x.jsonl", DEEP, "line 1", "nested too deeply"),
    ("own", "x.jsonl", LONG, "line 1", "longer than 16 MiB"),
    ("own", "x.jsonl", b'{"id": ' + b"9" * 5000 + b"}\n", "line 1", "not valid JSON"),
    ("own", "x.jsonl", b'{"id": "a", "id": "b"}\n', "line 1", "the key 'id' is given twice"),
    ("own", "x.jsonl", HALF, "line 1, key 'question'", "surrogate"),
    ("own", "x.jsonl", lines(OWN | {"question": "a\0b"}), "line 1, key 'question'", "NUL"),
    ("own", "x.jsonl", lines(OWN | {"options": ["a", "b\0"]}), "line 1, key 'options'", "NUL"),
    ("own", "x.jsonl", lines(OWN | {"question": " \n"}), "line 1, key 'question'", "it is empty"),
    (
        "own",
        "x.jsonl",
        lines(OWN | {"question": None}),
        "line 1, key 'question'",
        "expected text, found null",
    ),
    ("own", "x.jsonl", lines(OWN | {"question": 7}), "line 1, key 'question'", "found the number 7"),
    ("own", "x.jsonl", lines(OWN | {"id": ""}), "line 1, key 'id'", "it is empty"),
    ("own", "x.jsonl", lines(OWN | {"id": 3}), "line 1, key 'id'", "expected text"),
    ("own", "x.jsonl", lines(OWN | {"subject": []}), "line 1, key 'subject'", "expected text, found a list"),
    ("own", "x.jsonl", lines(OWN | {"options": {}}), "line 1, key 'options'", "found a mapping"),
    ("own", "x.jsonl", lines(OWN | {"options": "ab"}), "line 1, key 'options'", "expected a list"),
    ("own", "x.jsonl", lines(OWN | {"options": [], "answer": 0}), "line 1", "2 to 26 options, found 0"),
    ("own", "x.jsonl", lines(OWN | {"options": ["a"], "answer": 0}), "line 1", "2 to 26 options, found 1"),
    ("own", "x.jsonl", lines(OWN | {"options": [f"o{n}" for n in range(27)]}), "line 1", "found 27"),
    ("own", "x.jsonl", lines(OWN | {"options": ["a", " "]}), "line 1, key 'options'", "option B is empty"),
    ("own", "x.jsonl", lines(OWN | {"options": ["a", "a"]}), "line 1, key 'options'", "'a' is given twice"),
    ("own", "x.jsonl", lines(OWN | {"options": ["a", 1]}), "line 1, key 'options'", "expected text"),
    ("own", "x.jsonl", lines(OWN | {"answer": 2}), "line 1, key 'answer'", "expected 0 to 1, found 2"),
    ("own", "x.jsonl", lines(OWN | {"answer": -1}), "line 1, key 'answer'", "expected 0 to 1, found -1"),
    ("own", "x.jsonl", lines(OWN | {"answer": True}), "line 1, key 'answer'", "the truth value True"),
    ("own", "x.jsonl", lines(OWN | {"answer": 1.0}), "line 1, key 'answer'", "expected an integer"),
    ("own", "x.jsonl", lines(OWN | {"answer": "C"}), "line 1, key 'answer'", "expected a letter from A to B"),
    ("own", "x.jsonl", lines(OWN | {"answer": "1"}), "line 1, key 'answer'", "found '1'"),
    ("own", "x.jsonl", lines(OWN | {"answer": ""}), "line 1, key 'answer'", "expected a letter from A to B"),
    ("own", "x.jsonl", lines(OWN | {"answer": "alpha"}), "line 1, key 'answer'", "found 'alpha'"),
    *(
        ("own", "x.jsonl", lines(without(OWN, key)), f"line 1, key '{key}'", "this key is required")
        for key in OWN
    ),
    ("own", "x.jsonl.gz", zipped(lines(OWN) * 99, cut=9), "x.jsonl.gz", "cut short"),
    ("own", "x.jsonl.gz", lines(OWN), "x.jsonl.gz", "compressed data damaged"),
    ("own", "x.jsonl.gz", zipped(lines(OWN)) + b"more", "x.jsonl.gz", "compressed data damaged"),
    ("own", "x.jsonl.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xff\xff\xff\xff", "x.jsonl.gz", "damaged"),
    ("own", "x.jsonl", b'{"\\u001b[2J\\n": 1}', "line 1, key 'id'", "the row has \\x1b[2J\\n"),
    ("pubmedqa", "x.json", b'{"\\n\\u001b": []}', "key '\\n\\x1b'", "expected a mapping"),
    ("mmlu", "x.parquet", table(**{"a\nb": [1]}), "column 'question'", "the file has a\\nb"),
    ("medqa", "x.jsonl", lines(MEDQA, without(MEDQA, "answer")), "line 2, key 'answer'", "required"),
    ("medqa", "x.jsonl", lines(without(MEDQA, "question")), "line 1, key 'question'", "required"),
    (
        "medqa",
        "x.jsonl",
        lines(MEDQA | {"options": list("abcd")}),
        "line 1, key 'options'",
        "letters to texts",
    ),
    ("medqa", "x.jsonl", lines(MEDQA | {"options": {"A": "beta"}}), "line 1", "expected 4 options, found 1"),
    ("medqa", "x.jsonl", lines(MEDQA | {"options": {"A": None}}), "line 1, key 'options'", "found null"),
    (
        "medqa",
        "x.jsonl",
        lines(MEDQA | {"answer": "beta ", "answer_idx": "E"}),
        "line 1, key 'answer_idx'",
        "the key of an option (A, B, C, D), found 'E'",
    ),
    (
        "medqa",
        "x.jsonl",
        lines(without(MEDQA, "answer_idx") | {"answer": "other"}),
        "line 1, key 'answer_idx'",
        "required",
    ),
    ("medqa", "x.jsonl", b'{"options": {"A": "a", "A": "b"}}\n', "line 1", "'A' is given twice"),
    ("medmcqa", "x.json", lines(MEDMCQA | {"cop": 0}), "line 1, key 'cop'", "expected 1 to 4, found 0"),
    ("medmcqa", "x.json", lines(MEDMCQA | {"cop": 5}), "line 1, key 'cop'", "expected 1 to 4, found 5"),
    ("medmcqa", "x.json", lines(MEDMCQA | {"cop": "2"}), "line 1, key 'cop'", "found the text '2'"),
    ("medmcqa", "x.json", lines(MEDMCQA | {"opb": None}), "line 1, key 'opb'", "expected text, found null"),
    ("medmcqa", "x.json", lines(MEDMCQA | {"id": 4}), "line 1, key 'id'", "expected text"),
    ("medmcqa", "x.json", lines(without(MEDMCQA, "opd")), "line 1, key 'opd'", "required"),
    ("medmcqa", "x.json", json.dumps([MEDMCQA]).encode(), "line 1", "expected a JSON mapping"),
    ("pubmedqa", "x.json", b"", "x.json", "expected '{', found the end of the file"),
    ("pubmedqa", "x.json", b"[]", "x.json", "expected '{', found '['"),
    ("pubmedqa", "x.json", mapping(a=PUBMEDQA)[:-1], "key 'a'", "expected ',' or '}', found the end"),
    ("pubmedqa", "x.json", mapping(a=PUBMEDQA)[:-9], "key 'a'", "not valid JSON"),
    ("pubmedqa", "x.json", mapping(a=PUBMEDQA) + b"{}", "key 'a'", "expected the end of the file"),
    ("pubmedqa", "x.json", b'{"a" 1}', "key 'a'", "expected ':'"),
    ("pubmedqa", "x.json", b"{1: {}}", "x.json", "expected a key"),
    ("pubmedqa", "x.json", mapping(a=PUBMEDQA, b=[1]), "key 'b'", "expected a mapping"),
    ("pubmedqa", "x.json", b'{"a": ' + DEEP + b"}", "key 'a'", "nested too deeply"),
    ("pubmedqa", "x.json", b'{"a": ' + b"9" * 5000 + b"}", "key 'a'", "not valid JSON"),
    ("pubmedqa", "x.json", b'{"a": {}, \xff', "not UTF-8", "not UTF-8"),
    (
        "pubmedqa",
        "x.json",
        mapping(a=PUBMEDQA)[:-1] + b", " + mapping(a=PUBMEDQA)[1:],
        "key 'a'",
        "this key is given twice",
    ),
    ("pubmedqa", "x.json", b'{"a": {"b": 1, "b": 2}}', "key 'a'", "the key 'b' is given twice"),
    (
        "pubmedqa",
        "x.json",
        mapping(a=PUBMEDQA | {"final_decision": "Yes"}),
        "key 'a', key 'final_decision'",
        "expected yes, no or maybe, found 'Yes'",
    ),
    ("pubmedqa", "x.json", mapping(a=PUBMEDQA | {"CONTEXTS": "x"}), "key 'a', key 'CONTEXTS'", "a list"),
    ("pubmedqa", "x.json", mapping(a=PUBMEDQA | {"CONTEXTS": [1]}), "key 'a', key 'CONTEXTS'", "text"),
    ("pubmedqa", "x.json", mapping(a=without(PUBMEDQA, "QUESTION")), "key 'a', key 'QUESTION'", "required"),
    ("mmlu", "x.csv", b"What?,a,b,c,C\n", "line 1", "expected 6 cells"),
    (
        "mmlu",
        "x.csv",
        b"Q,A,B,C,D,Right\n" + GOOD_CSV,
        "line 1, key 'answer'",
        "answer, not Q, A, B, C, D, Right",
    ),
    ("mmlu", "x.csv", GOOD_CSV + b"What?,a,b,c,d,e,C\n", "line 2", "found 7"),
    ("mmlu", "x.csv", GOOD_CSV + b'"two\nlines",a,b,c,d,A\nWhat?\n', "line 4", "found 1"),
    ("mmlu", "x.csv", b"What?,a,b,c,d,E\n", "line 1, key 'answer'", "expected one of A, B, C, D, found 'E'"),
    ("mmlu", "x.csv", b"What?,a,b,c,d,2\n", "line 1, key 'answer'", "found '2'"),
    ("mmlu", "x.csv", b"What?,a,b,c,d,\n", "line 1, key 'answer'", "found ''"),
    ("mmlu", "x.csv", b"What?,a,b,c,d,AB\n", "line 1, key 'answer'", "found 'AB'"),
    ("mmlu", "x.csv", HEADER + GOOD_CSV, "line 2, key 'answer'", "expected one of 0, 1, 2, 3, found 'C'"),
    ("mmlu", "x.csv", HEADER + b"What?,a,b,c,d,4\n", "line 2, key 'answer'", "found '4'"),
    ("mmlu", "x.csv", GOOD_CSV + b'"never closed,a,b,c,d,A\n', "line 2", "not valid csv"),
    ("mmlu", "x.csv", b'"a"b,a,b,c,d,A\n', "line 1", "not valid csv"),
    ("mmlu", "x.csv", GOOD_CSV + b"W\0hat?,a,b,c,d,A\n", "line 2", "NUL"),
    ("mmlu", "x.csv", GOOD_CSV + b"W\xe9,a,b,c,d,A\n", "line 2", "not UTF-8"),
    ("mmlu", "x.csv", GOOD_CSV + b"x" * 200_000 + b",a,b,c,d,A\n", "line 2", "not valid csv"),
    ("mmlu", "x.parquet", b"", "x.parquet", "not a readable parquet file"),
    ("mmlu", "x.parquet", b"PAR1" + b"\xff" * 60 + b"PAR1", "x.parquet", "not a readable parquet file"),
    ("mmlu", "x.parquet", table(question=["q"])[:-5], "x.parquet", "not a readable parquet file"),
    ("mmlu", "x.parquet", table(question=["q"], answer=[0]), "column 'choices'", "the file has question"),
    (
        "mmlu",
        "x.parquet",
        table(question=["q", "q"], choices=[list("abcd")] * 2, answer=[0, None]),
        "row 2, key 'answer'",
        "found null",
    ),
    (
        "mmlu",
        "x.parquet",
        table(question=["q"], choices=[["a", None, "c", "d"]], answer=[0]),
        "row 1, key 'choices'",
        "found null",
    ),
    ("mmlu", "x.parquet", table(question=["q"], choices=[list("abc")], answer=[0]), "row 1", "expected 4"),
    ("mmlu", "x.parquet", table(question=["q"], choices=[list("abcd")], answer=[4]), "row 1", "0 to 3"),
    ("mmlu", "x.parquet", table(question=["q"], choices=["abcd"], answer=[1]), "row 1", "expected a list"),
    (
        "medmcqa",
        "x.parquet",
        table(**{name: [value] for name, value in (MEDMCQA | {"cop": 4}).items()}),
        "row 1, key 'cop'",
        "expected 0 to 3, found 4",
    ),
    (
        "medmcqa",
        "x.parquet",
        table(**{name: [value] for name, value in (MEDMCQA | {"cop": -1}).items()}),
        "row 1, key 'cop'",
        "found -1",
    ),
    (
        "medqa",
        "x.parquet",
        table(question=["q"], answer=["b"], answer_idx=["B"], options=[[{"key": "A", "value": "x"}] * 4]),
        "row 1, key 'options'",
        "given twice",
    ),
    (
        "pubmedqa",
        "x.parquet",
        table(pubid=[1], question=["q"], context=["text"], final_decision=["yes"]),
        "x.parquet",
        "",
    ),
    ("own", "x.zip!x.jsonl", b"PK\x03\x04 not an archive", "x.zip", "not a whole zip archive"),
    ("own", "x.zip!y.jsonl", archive("x.jsonl", lines(OWN)), "x.zip", "expected y.jsonl in this archive"),
    ("own", "x.zip!x.jsonl", archive("x.jsonl", lines(OWN))[:-30], "x.zip", "not a whole zip archive"),
    ("own", "x.zip!é.jsonl", NAME_DAMAGED, "x.zip!é.jsonl", "not a whole zip archive"),
    ("own", "x.zip!x.jsonl", archive("x.jsonl", b"", zipfile.ZIP_BZIP2), "x.zip", "neither stored nor"),
    ("own", "x.zip!x.jsonl", archive("x.jsonl", b"{\n"), "x.zip!x.jsonl, line 1", "not valid JSON"),
]


@pytest.mark.parametrize(
    ("format", "name", "data", "where", "problem"),
    CASES,
    ids=[f"{number}-{case[0]}-{case[4][:24]}" for number, case in enumerate(CASES)],
)
def test_a_malformed_file_is_refused_with_its_place(
    tmp_path: Path, format: str, name: str, data: bytes, where: str, problem: str
) -> None:
    stored, _, member = name.partition("!")
    file = SourceFile(write(tmp_path / stored, data), member)
    with pytest.raises(InputError) as refused:
        list(READ[format](file, OPTIONS[format]))
    text = str(refused.value)
    assert str(tmp_path / stored) in text
    assert where in text
    assert problem in text
    assert text.isprintable()
    assert len(text) < 600


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60
    assert {case[0] for case in CASES} == set(READ)


@pytest.mark.parametrize("format", READ)
def test_a_missing_file_or_a_folder_in_its_place(tmp_path: Path, format: str) -> None:
    for ending in (".csv" if format == "mmlu" else ".json", ".parquet", ".jsonl.gz"):
        if ending == ".jsonl.gz" and format == "mmlu":
            continue
        (tmp_path / f"folder{ending}").mkdir()
        for name in ("missing", "folder"):
            with pytest.raises(InputError):
                list(READ[format](SourceFile(tmp_path / f"{name}{ending}"), 4))


def test_bytes_damaged_at_random_never_raise_anything_else(tmp_path: Path) -> None:
    dice = random.Random(1)
    good = {
        "x.jsonl": ("own", lines(*({**OWN, "id": f"é{n}"} for n in range(5)))),
        "x.json": ("pubmedqa", mapping(**{str(n): PUBMEDQA for n in range(5)})),
        "x.csv": ("mmlu", HEADER + b'"a\nb",a,b,c,d,1\n' * 5),
        "x.jsonl.gz": ("medqa", zipped(lines(*[MEDQA] * 5))),
        "x.parquet": ("mmlu", table(question=["q"] * 5, choices=[list("abcd")] * 5, answer=[1] * 5)),
        "x.zip": ("own", archive("x.jsonl", lines(OWN))),
    }
    for name, (format, data) in good.items():
        for _ in range(150):
            damaged = bytearray(data)
            for _ in range(dice.randint(1, 4)):
                damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            path = write(tmp_path / name, bytes(damaged[: dice.randint(len(damaged) // 2, len(damaged))]))
            with contextlib.suppress(InputError):
                list(READ[format](SourceFile(path, "x.jsonl" if name == "x.zip" else ""), OPTIONS[format]))
