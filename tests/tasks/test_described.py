"""Data sets that a YAML file describes: from a hub on loopback by the real client, and from folders."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from medbench_local import InputError, NotFoundError, QuestionsError, UsageError, import_questions
from medbench_local.tasks.load import load_task
from medbench_local.tasks.question import SPLITS
from tests.hub_server import HubServer


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def table(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), stream, row_group_size=7)
    return stream.getvalue()


def rows(split: str, count: int) -> list[dict[str, Any]]:
    """Questions with ids that start anew in each split, options under letters, and an answer from 0."""
    return [
        {
            "id": n,
            "sent": f"{split} question {n}?",
            "choices": {"label": ["A", "B", "C"], "text": [f"{split} a{n}", f"b{n}", f"c{n}"]},
            "gold": n % 3,
            "explanation": "because",
        }
        for n in range(count)
    ]


def host(hub: HubServer, folder: Path, files: dict[str, bytes], name: str = "clinic/cardio") -> str:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return hub.add(name, folder, kind="dataset")


def describe(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


COLUMNS = "columns: {question: sent, options: choices, answer: gold}\n"


def test_splits_of_a_configuration_by_their_names(hub: HubServer, tmp_path: Path) -> None:
    files = {
        "easy/test-00000-of-00001.parquet": table(rows("wrong", 30)),
        "hard/test-00000-of-00002.parquet": table(rows("test", 5)),
        "hard/test-00001-of-00002.parquet": table(rows("test", 9)[5:]),
        "hard/validation-00000-of-00001.parquet": table(rows("dev", 3)),
        "hard/train-00000-of-00001.parquet": table(rows("train", 6)),
        "cardio.py": b"raise SystemExit('a script of the repository was run')",
        "README.md": b"---\nconfigs: []\n---\n",
    }
    commit = host(hub, tmp_path / "repo", files)
    said = "repository: clinic/cardio\nconfig: hard\n" + COLUMNS
    said += "splits: {test: test, validation: validation, demonstrations: train}\n"
    path = describe(tmp_path / "cardio.yaml", said)
    task = load_task(str(path), data_dir=None)
    assert task.id == "cardio"
    assert {name: len(task.questions(name)) for name in SPLITS} == {
        "demonstrations": 6,
        "validation": 3,
        "test": 9,
    }
    question = task.questions("test")[4]
    assert (question.text, question.options, question.answer) == (
        "test question 4?",
        ("test a4", "b4", "c4"),
        1,
    )
    assert task.splits["test"].files[1].source == f"hub:clinic/cardio@{commit}"
    assert Path(task.splits["test"].files[0].path) == path
    fetched = [request.path for request in hub.requests if "/resolve/" in request.path]
    assert fetched
    assert not any("easy" in one or "cardio.py" in one for one in fetched)
    assert task.warnings == ()
    asked = len(hub.requests)
    assert load_task(str(path), data_dir=None, offline=True).splits["test"].questions == task.questions(
        "test"
    )
    assert len(hub.requests) == asked


def test_import_makes_a_folder_that_asks_the_same(hub: HubServer, tmp_path: Path) -> None:
    host(hub, tmp_path / "repo", {"all.jsonl": "\n".join(map(json.dumps, rows("q", 40))).encode()})
    path = describe(tmp_path / "c.yml", "repository: clinic/cardio@main\nfiles: all.jsonl\n" + COLUMNS)
    found = import_questions(path)
    assert found.sizes == {"demonstrations": 5, "validation": 8, "test": 27}
    at_once, folder = (load_task(str(one), data_dir=None) for one in (path, found.task))
    assert all(at_once.questions(name) == folder.questions(name) for name in SPLITS)
    with pytest.raises(UsageError, match="says itself how"):
        import_questions(path, answers="letters", force=True)


def test_a_split_that_two_names_share_is_divided(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(map(json.dumps, rows("train", 50))))
    (tmp_path / "data" / "test.csv").write_text(
        "sent,choices,gold\n" + "".join(f"test {n}?,a{n}|b{n}|c{n},{n % 3}\n" for n in range(9))
    )
    said = "path: data\nsplits: {test: test, validation: train, demonstrations: train}\n" + COLUMNS
    path = describe(tmp_path / "c.yaml", said)
    task = load_task(str(path), data_dir=None)
    assert [len(task.questions(name)) for name in SPLITS] == [40, 10, 9]
    texts = [{q.text for q in task.questions(name)} for name in SPLITS]
    assert len(set.union(*texts)) == 59


def test_pictures_of_a_table_and_of_files(hub: HubServer, tmp_path: Path) -> None:
    held = [
        {
            "question": f"What is {n}?",
            "options": [f"a{n}", f"b{n}"],
            "answer": "AB"[n % 2],
            "image": {"bytes": png(n // 2), "path": "x.png"},
        }
        for n in range(40)
    ]
    host(hub, tmp_path / "one", {"data.parquet": table(held)}, "clinic/held")
    path = describe(tmp_path / "held.yaml", "repository: clinic/held\nfiles: data.parquet\n")
    found = import_questions(path)
    places: dict[bytes, set[str]] = {}
    for name in SPLITS:
        for question in load_task(str(found.task), data_dir=None).questions(name):
            (picture,) = question.pictures
            assert picture.path.read_bytes() == png(int(question.text[8:-1]) // 2)
            places.setdefault(picture.path.read_bytes(), set()).add(name)
    assert len(places) == 20
    assert all(len(names) == 1 for names in places.values())
    named = [{**row, "image": f"{n // 2}.png"} for n, row in enumerate(held)]
    files = {f"pictures/{n}.png": png(n) for n in range(20)}
    files["data.jsonl"] = "\n".join(map(json.dumps, named)).encode()
    host(hub, tmp_path / "two", files, "clinic/named")
    text = "repository: clinic/named\nfiles: data.jsonl\n"
    path = describe(tmp_path / "named.yaml", text + "pictures: pictures\n")
    other = load_task(str(path), data_dir=None)
    assert [q.pictures for q in other.questions("test")] == [
        q.pictures for q in load_task(str(found.task), data_dir=None).questions("test")
    ]
    describe(path, text)
    with pytest.raises(QuestionsError, match=r"there is no picture 0.png"):
        load_task(str(path), data_dir=None)


def test_nested_fields_several_columns_and_rows_left_out(tmp_path: Path) -> None:
    lines = [
        {
            "q": {"text": f"Question {n}?"},
            "right": f"r{n}",
            "wrong": [f"w{n}", f"v{n}"],
            "o1": f"r{n}",
            "o2": f"w{n}",
        }
        for n in range(30)
    ]
    lines[4]["o2"] = "r4"
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
    said = "files: q.jsonl\ncolumns: {question: q.text, options: [o1, o2], answer: right}\n"
    path = describe(tmp_path / "c.yaml", said)
    with pytest.raises(QuestionsError, match="options A and B are the same"):
        load_task(str(path), data_dir=None)
    describe(path, said + "defects: leave out\n")
    task = load_task(str(path), data_dir=None)
    assert sum(len(task.questions(name)) for name in SPLITS) == 29
    assert any("1 of 30 rows have a defect and are left out, first line 5" in one for one in task.warnings)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("files: q.jsonl\ncolums: {}\n", "line 2, key 'colums': unknown key; known are repository, path"),
        ("files: q.jsonl\ncolumns: {frage: x}\n", "line 2, key 'columns.frage': unknown key"),
        (
            "files: q.jsonl\nrepository: cardio\n",
            "key 'repository': expected owner/name or owner/name@revision",
        ),
        ("files: ../q.jsonl\n", "line 1, key 'files.*leads out of the folder"),
        ("files: /etc/q.jsonl\n", "leads out of the folder"),
        ('files: "..\\\\q.jsonl"\n', "leads out of the folder"),
        ("path: .\n", "give 'files', which are split here, or 'splits'"),
        ("files: q.jsonl\npath: x\nrepository: a/b\n", "give 'repository' or 'path', not both"),
        ("files: q.jsonl\nanswers: yes please\n", "line 2, key 'answers'"),
        ("splits: {test: test, validation: dev}\n", "key 'splits.demonstrations': this key is required"),
        ("files: script.py\n", "key 'files': 'script.py' does not end as files that are read do"),
        (
            "files: gone-*.jsonl\n",
            "key 'files': no file is called gone-.*; there are link.jsonl, q.jsonl, sub/q.jsonl",
        ),
        (
            "splits: {test: q.jsonl, validation: [q.jsonl, sub/q.jsonl], demonstrations: sub/q.jsonl}\n",
            "q.jsonl is also among the files of",
        ),
        (
            "splits: {test: q, validation: q, demonstrations: q}\n",
            "several may be the split 'q'.*say `config`",
        ),
        ("path: nowhere\nfiles: q.jsonl\n", "key 'path': there is no folder"),
        (
            "files: q.jsonl\ncolumns: {question: Frage}\n",
            "There is no column 'Frage' for question; there are",
        ),
        ("files: [q.jsonl", "not valid YAML"),
        ("files: link.jsonl\n", "is a link that leads out of"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(tmp_path: Path, said: str, problem: str) -> None:
    folder = tmp_path / "here"
    (folder / "sub").mkdir(parents=True)
    for name in ("q.jsonl", "sub/q.jsonl"):
        lines = [json.dumps({"question": f"{n}?", "options": ["a", "b"], "answer": "A"}) for n in range(9)]
        (folder / name).write_text("\n".join(lines))
    (tmp_path / "out.jsonl").write_text("{}")
    try:
        (folder / "link.jsonl").symlink_to(tmp_path / "out.jsonl")
    except OSError:
        if "link" in said:
            pytest.skip("this system gives no links")
    path = describe(folder / "mine.yaml", said)
    with pytest.raises(InputError, match=problem) as caught:
        load_task(str(path), data_dir=None)
    assert "here" in caught.value.path


def test_a_repository_or_a_file_that_is_not_there(hub: HubServer, tmp_path: Path) -> None:
    path = describe(tmp_path / "c.yaml", "repository: clinic/none\nfiles: q.jsonl\n")
    with pytest.raises(NotFoundError, match="clinic/none"):
        load_task(str(path), data_dir=None)
    host(hub, tmp_path / "repo", {"q.jsonl": b"{}", "data/test.csv": b""})
    describe(path, "repository: clinic/cardio\nfiles: p.jsonl\n")
    with pytest.raises(InputError, match=r"no file is called p.jsonl; there are data/test.csv, q.jsonl"):
        load_task(str(path), data_dir=None)


def test_answers_that_are_not_clear_are_said_in_the_description(tmp_path: Path) -> None:
    lines = [{"question": f"{n}?", "options": ["a", "b", "c"], "answer": 1 + n % 2} for n in range(20)]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
    path = describe(tmp_path / "c.yaml", "files: q.jsonl\n")
    with pytest.raises(InputError, match="can be read as") as caught:
        load_task(str(path), data_dir=None)
    assert caught.value.advice == "Say it in c.yaml: `answers:`."
    describe(path, "files: q.jsonl\nanswers: from 1\n")
    assert {q.answer for q in load_task(str(path), data_dir=None).questions("test")} == {0, 1}
