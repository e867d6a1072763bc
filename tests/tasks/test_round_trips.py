"""What is written in each format is read back, whatever the texts hold."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from medbench_local.files.readers import json_mapping
from medbench_local.files.rows import SourceFile
from medbench_local.tasks.question import LETTERS, Question
from medbench_local.tasks.readers import medmcqa, medqa, mmlu, own, pubmedqa
from tests.tasks.data import MEDMCQA, MEDQA, OWN, lines, write

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
asked = st.tuples(texts, st.tuples(texts, texts, texts, texts), st.integers(0, 3))
batches = st.lists(asked, min_size=1, max_size=6)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def found(questions: Any) -> list[tuple[str, tuple[str, ...], int]]:
    return [(question.text, question.options, question.answer) for question in questions]


def expected(batch: list[tuple[str, tuple[str, ...], int]]) -> list[tuple[str, tuple[str, ...], int]]:
    """Questions stripped, options not, the first of identical options correct."""
    return [(text.strip(), options, options.index(options[answer])) for text, options, answer in batch]


def table(path: Path, **columns: Any) -> SourceFile:
    parquet.write_table(pa.table(columns), path)
    return SourceFile(path)


@quick
@given(
    batch=batches, headed=st.booleans(), end=st.sampled_from(["\n", "\r\n"]), quoting=st.sampled_from([0, 1])
)
def test_mmlu_csv(tmp_path: Path, batch: Any, headed: bool, end: str, quoting: Any) -> None:
    # Without quotes, the csv module writes a carriage return that it then reads as the end of a line.
    assume(quoting or not any("\r" in cell for text, options, _ in batch for cell in (text, *options)))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator=end, quoting=quoting)
    if headed:
        writer.writerow(mmlu.HEADER)
    for text, options, answer in batch:
        writer.writerow([text, *options, answer if headed else "ABCD"[answer]])
    path = write(tmp_path / "x.csv", stream.getvalue().encode())
    assert found(mmlu.read(SourceFile(path), 4)) == expected(batch)


@quick
@given(batch=batches)
def test_mmlu_parquet(tmp_path: Path, batch: Any) -> None:
    text, options, answer = zip(*batch, strict=True)
    file = table(tmp_path / "x.parquet", question=text, choices=[list(o) for o in options], answer=answer)
    assert found(mmlu.read(file, 4)) == expected(batch)


@quick
@given(batch=batches, ascii=st.booleans(), packed=st.booleans())
def test_medqa_json_lines(tmp_path: Path, batch: Any, ascii: bool, packed: bool) -> None:
    records = [
        {
            "question": text,
            "answer": options[answer],
            "options": dict(zip("ABCD", options, strict=True)),
            "meta_info": "step1",
            "answer_idx": "ABCD"[answer],
        }
        for text, options, answer in batch
    ]
    data = "\n".join(json.dumps(record, ensure_ascii=ascii) for record in records).encode()
    path = tmp_path / ("x.jsonl.gz" if packed else "x.jsonl")
    write(path, gzip.compress(data) if packed else data)
    assert found(medqa.read(SourceFile(path), 4)) == expected(batch)


@quick
@given(batch=batches)
def test_medqa_parquet(tmp_path: Path, batch: Any) -> None:
    text, options, answer = zip(*batch, strict=True)
    file = table(
        tmp_path / "x.parquet",
        meta_info=["step1"] * len(batch),
        question=text,
        answer_idx=["ABCD"[index] for index in answer],
        answer=[given[index] for given, index in zip(options, answer, strict=True)],
        options=[
            [{"key": key, "value": value} for key, value in zip("ABCD", given, strict=True)]
            for given in options
        ],
        metamap_phrases=[["a"]] * len(batch),
    )
    assert found(medqa.read(file, 4)) == expected(batch)


@quick
@given(batch=batches)
def test_medmcqa_counts_from_one_in_json_and_from_zero_in_parquet(tmp_path: Path, batch: Any) -> None:
    records = [
        dict(
            zip(("question", *medmcqa.OPTIONS, "cop"), (text, *options, answer), strict=True),
            id=str(row),
            exp=None,
            choice_type="single",
            subject_name="Skin",
            topic_name=None,
        )
        for row, (text, options, answer) in enumerate(batch)
    ]
    data = "".join(json.dumps(record | {"cop": record["cop"] + 1}) + "\n" for record in records)
    lines = SourceFile(write(tmp_path / "x.json", data.encode()))
    packed = table(tmp_path / "x.parquet", **{key: [r[key] for r in records] for key in records[0]})
    assert found(medmcqa.read(lines, 4)) == found(medmcqa.read(packed, 4)) == expected(batch)
    assert list(medmcqa.read(lines, 4)) == list(medmcqa.read(packed, 4))


abstracts = st.lists(
    st.tuples(st.lists(texts, min_size=1, max_size=3), texts, st.sampled_from(pubmedqa.LABELS)),
    min_size=1,
    max_size=5,
)


@quick
@given(batch=abstracts, indent=st.sampled_from([None, 4]))
def test_pubmedqa_json_and_parquet_say_the_same(tmp_path: Path, batch: Any, indent: Any) -> None:
    records = {
        str(row): {
            "QUESTION": question,
            "CONTEXTS": sections,
            "LABELS": ["BACKGROUND"],
            "MESHES": [],
            "YEAR": None,
            "final_decision": label,
            "LONG_ANSWER": "x",
        }
        for row, (sections, question, label) in enumerate(batch)
    }
    file = SourceFile(write(tmp_path / "x.json", json.dumps(records, indent=indent).encode()))
    sections, question, label = zip(*batch, strict=True)
    packed = table(
        tmp_path / "x.parquet",
        pubid=pa.array(range(len(batch)), pa.int32()),
        question=question,
        context=[{"contexts": part, "labels": ["BACKGROUND"], "meshes": ["a"]} for part in sections],
        long_answer=["x"] * len(batch),
        final_decision=label,
    )
    read = list(pubmedqa.read(file, 3))
    assert read == list(pubmedqa.read(packed, 3))
    assert read == [
        Question(
            id=str(row),
            text=f"{' '.join(sections).strip()}\n\n{question.strip()}".strip(),
            options=("yes", "no", "maybe"),
            answer=("yes", "no", "maybe").index(label),
        )
        for row, (sections, question, label) in enumerate(batch)
    ]


solid = texts.filter(lambda text: text.strip())


@quick
@given(options=st.lists(solid, min_size=2, max_size=26, unique=True), text=solid, id=solid, data=st.data())
def test_own_questions(tmp_path: Path, options: list[str], text: str, id: str, data: Any) -> None:
    answer = data.draw(st.integers(0, len(options) - 1))
    for written in (answer, LETTERS[answer]):
        record = {"id": id, "question": text, "options": options, "answer": written, "more": None}
        file = SourceFile(write(tmp_path / "x.jsonl", json.dumps(record).encode()))
        assert list(own.read(file, None)) == [Question(id, text.strip(), tuple(options), answer)]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@quick
@given(
    records=st.dictionaries(texts, st.dictionaries(texts, values, max_size=4), max_size=5),
    indent=st.integers(0, 3),
)
def test_a_json_mapping_read_in_pieces_is_what_json_reads(tmp_path: Path, records: Any, indent: int) -> None:
    data = json.dumps(records, indent=indent or None, ensure_ascii=False).encode()
    rows = list(json_mapping(SourceFile(write(tmp_path / "x.json", data))))
    assert {row.key: dict(row.fields) for row in rows} == records
    assert [row.key for row in rows] == list(records)


def test_a_json_mapping_of_many_megabytes_is_read_in_pieces(tmp_path: Path) -> None:
    """Values lie across the borders of the pieces; one of them is longer than several pieces."""
    records = {
        str(row): {"text": "ß" * (3_000_000 if row == 7 else 100_000), "row": row} for row in range(40)
    }
    path = write(tmp_path / "x.json", json.dumps(records, ensure_ascii=False).encode())
    assert {row.key: dict(row.fields) for row in json_mapping(SourceFile(path))} == records


@pytest.mark.parametrize("cell", ["None", "NA", "nan", "null", "", " ", "1.0", "TRUE", "=1+1"])
def test_cells_are_never_taken_for_anything_but_text(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "x.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerow(["What?", cell, "b", "c", "d", "A"])
    assert found(mmlu.read(SourceFile(path), 4)) == [("What?", (cell, "b", "c", "d"), 0)]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    sheet = write(tmp_path / "x.csv", mark + b"What?,a,b,c,d,A\n")
    assert found(mmlu.read(SourceFile(sheet), 4)) == [("What?", ("a", "b", "c", "d"), 0)]
    line = b'{"id": "1", "question": "What?", "options": ["a", "b"], "answer": 0}\r\n\r\n'
    assert found(own.read(SourceFile(write(tmp_path / "x.jsonl", mark + line)), None)) == [
        ("What?", ("a", "b"), 0)
    ]


def test_an_answer_with_stray_characters_is_found_by_its_letter(tmp_path: Path) -> None:
    record = {"question": "q", "answer": 'beta\n"', "answer_idx": "B", "options": {"A": "alpha", "B": "beta"}}
    path = write(tmp_path / "x.jsonl", json.dumps(record).encode())
    assert found(medqa.read(SourceFile(path), 2)) == [("q", ("alpha", "beta"), 1)]


def test_the_first_of_identical_options_is_correct(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", b"What?,a,b,b,d,C\n")
    assert found(mmlu.read(SourceFile(path), 4)) == [("What?", ("a", "b", "b", "d"), 1)]


def test_an_optional_key_that_is_null_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    """pandas writes a missing value as null."""
    for reader, record, keys in ((own, OWN, ["subject"]), (medmcqa, MEDMCQA, ["subject_name", "id"])):
        for key in keys:
            without = {name: value for name, value in record.items() if name != key}
            path = write(tmp_path / f"{key}.jsonl", lines(without, record | {key: None}))
            first, second = reader.read(SourceFile(path), None)
            assert first == second


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_medqa_row_that_names_two_answers_is_noted_with_its_place(tmp_path: Path, form: str) -> None:
    same: Any = {"A": "beta", "B": "beta", "C": "gamma", "D": "delta"}
    records: list[dict[str, Any]] = [
        MEDQA,
        MEDQA | {"answer_idx": "D"},
        MEDQA
        | {"answer": "beta.", "answer_idx": "D"},  # a stray character: the letter is all there is to go by
        MEDQA | {"options": same, "answer_idx": "B"},  # the same text twice: both name it
        MEDQA | {"answer_idx": "E"},
    ]
    if form == "jsonl":
        path = write(tmp_path / "x.jsonl", lines(*records))
        where = "line {} of x.jsonl"
    else:
        path, where = tmp_path / "x.parquet", "row {} of x.parquet"
        rows = [
            record | {"options": [{"key": key, "value": value} for key, value in record["options"].items()]}
            for record in records
        ]
        parquet.write_table(pa.Table.from_pylist(rows), path)
    found = list(medqa.read(SourceFile(path), 4))
    assert [question.answer for question in found] == [1, 1, 3, 0, 1]
    assert [question.contradiction for question in found] == [
        "",
        f"{where.format(2)}: answer is option B, answer_idx says D",
        "",
        "",
        f"{where.format(5)}: answer is option B, answer_idx says E",
    ]
