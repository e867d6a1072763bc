"""Questions about pictures from the real files: the sizes that were measured on them. The pictures that are not there
are made up; those of VQA-RAD are the real ones."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medbench_local.catalog.task import task_entry, visual_tasks
from medbench_local.catalog.visual_options import options_by_question
from medbench_local.tasks.load import load_task
from medbench_local.tasks.question import SPLITS, Question, SplitName, Task
from medbench_local.tasks.readers import vqa_rad
from tests.tasks.data import write
from tests.tasks.pictures import as_hub, picture, table, write_pictures

RAD_VALIDATION = [527, 359, 447, 31, 621]
MMMU_TEST = [29, 16, 7, 25, 24]
MMMU_VALIDATION = [4, 27, 1, 13, 8]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def stored(path: Path) -> Any:
    zipped = path.with_name(f"{path.name}.gz")
    return json.loads(gzip.decompress(zipped.read_bytes()) if zipped.is_file() else path.read_bytes())


def sizes(task: Task) -> dict[SplitName, int]:
    return {name: len(task.questions(name)) for name in task.splits}


def gold(question: Question) -> str:
    return question.options[question.answer]


def asked(question: Question) -> tuple[str, tuple[str, ...], int]:
    return question.text, question.options, question.answer


# --- VQA-RAD


def test_vqa_rad_is_the_studys(shared_data: Path) -> None:
    task = load_task("vqa-rad", data_dir=shared_data)
    assert sizes(task) == {"demonstrations": 1025, "validation": 205, "test": 272}
    pool = task.questions("demonstrations")
    assert [q.id for q in task.questions("validation")][:5] == [pool[row].id for row in RAD_VALIDATION]
    assert {q.id for q in task.questions("validation")} < {q.id for q in pool}
    assert not {q.id for q in pool} & {q.id for q in task.questions("test")}
    other = {name: sum(gold(q) not in ("yes", "no") for q in task.questions(name)) for name in SPLITS}
    assert (other["demonstrations"], other["test"]) == (85, 21)
    said = [warning for warning in task.warnings if "this program's own" in warning]
    assert [w.split()[2] for w in said] == ["85", str(other["validation"]), "21"]
    (leak,) = [warning for warning in task.warnings if "also among the demonstrations" in warning]
    assert "205 validation questions" in leak
    for question in (*pool, *task.questions("test")):
        assert question.text == question.text.capitalize()
        assert "  " not in question.text
        assert " ?" not in question.text
        assert gold(question) == gold(question).lower()
        (shown,) = question.pictures
        assert shown.path == shared_data / "vqa_rad/images" / shown.name
    first = pool[0].pictures[0]
    assert first.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()


def test_the_table_has_exactly_the_questions_of_vqa_rad_that_need_it(shared_data: Path) -> None:
    task, table = load_task("vqa-rad", data_dir=shared_data), options_by_question("vqa-rad")
    asked = [q for name in ("demonstrations", "test") for q in task.splits[name].questions]
    needed = {q.text: q for q in asked if gold(q) not in ("yes", "no")}
    assert len(needed) == len(table) == 99
    for text, question in needed.items():
        assert table.get(text) == question.options
        assert len({option.lower() for option in question.options}) == len(question.options)
        # Answers that the question names come in its order: nothing about their order tells the right one.
        words = text.lower().replace("-", " ").split()
        places = [
            min((words.index(word) for word in option.split() if word in words), default=-1)
            for option in question.options
        ]
        if len(question.options) == 2 and min(places) >= 0 and len(set(places)) == 2:
            distinct = [
                set(o.split()) - set(question.options[1 - i].split()) for i, o in enumerate(question.options)
            ]
            found = [min((words.index(w) for w in own if w in words), default=-1) for own in distinct]
            assert -1 in found or found[0] < found[1], text
    assert len({q.options for q in needed.values()}) == 69


def test_vqa_rad_in_its_official_form_says_the_same(shared_data: Path, tmp_path: Path) -> None:
    rows = []
    for name, prefix in (("trainset", ""), ("testset", "test_")):
        for row in stored(shared_data / f"vqa_rad/{name}.json"):
            if row["phrase_type"] != "frame":
                rows.append(row | {"phrase_type": prefix + row["phrase_type"], "qid": row["qid"] - 1})
    rows.sort(key=lambda row: row["qid"])
    write(tmp_path / "data/vqa_rad/VQA_RAD Dataset Public.json", json.dumps(rows).encode())
    (tmp_path / "data/vqa_rad/images").symlink_to(shared_data / "vqa_rad/images")
    one, two = (load_task("vqa-rad", data_dir=folder) for folder in (tmp_path / "data", shared_data))
    for split in SPLITS:
        assert [asked(q) for q in one.questions(split)] == [asked(q) for q in two.questions(split)]
        assert [q.pictures for q in one.questions(split)] == [q.pictures for q in two.questions(split)]
        assert [int(q.id) + 1 for q in one.questions(split)] == [int(q.id) for q in two.questions(split)]


def test_vqa_rad_from_a_table_asks_yes_and_no_only(shared_data: Path, tmp_path: Path) -> None:
    names: dict[str, int] = {}
    for name, split in (("trainset", "train"), ("testset", "test")):
        once = {}
        for row in stored(shared_data / f"vqa_rad/{name}.json"):
            if row["phrase_type"] != "frame":
                number = names.setdefault(row["image_name"], len(names))
                cells = {
                    "image": as_hub(picture(number)),
                    "question": row["question"],
                    "answer": str(row["answer"]).lower(),
                }
                once[number, row["question"], str(row["answer"])] = cells
        table(tmp_path / f"vqa_rad/data/{split}-00000-of-00001-0123456789abcdef.parquet", list(once.values()))
    task = load_task("vqa-rad", data_dir=tmp_path)
    official = load_task("vqa-rad", data_dir=shared_data)
    yes_no = [asked(q) for q in official.questions("test") if gold(q) in ("yes", "no")]
    assert len(yes_no) == 251
    # Open questions that happen to be answered by yes or no are in, too: the table does not tell them apart.
    assert set(yes_no) <= {asked(q) for q in task.questions("test")}
    assert any("does not say which questions are closed" in warning for warning in task.warnings)
    assert any("officially 272" in warning for warning in task.warnings)


# --- SLAKE


@pytest.fixture(scope="module")
def slake_data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real questions, and made-up pictures under their names."""
    data = tmp_path_factory.mktemp("slake")
    names = {}
    for split in ("train", "validate", "test"):
        name = f"slake/{split}.json.gz"
        (data / "slake").mkdir(exist_ok=True)
        (data / name).symlink_to(shared_data / name)
        names.update(dict.fromkeys(row["img_name"] for row in stored(data / f"slake/{split}.json")))
    write_pictures(data / "slake/imgs", list(names))
    return data


def test_slake_is_the_studys(slake_data: Path, shared_data: Path) -> None:
    task = load_task("slake", data_dir=slake_data)
    assert sizes(task) == {"demonstrations": 1943, "validation": 422, "test": 415}
    assert not any("officially" in warning for warning in task.warnings)
    (dropped,) = [warning for warning in task.warnings if "left out" in warning]
    assert dropped.startswith("slake: test: 1 question is left out")
    known = json.loads((shared_data / "visual_options/slake_options.json").read_text(encoding="utf-8"))
    found: dict[str, set[tuple[str, ...]]] = {}
    for split in SPLITS:
        for question in task.questions(split):
            if question.options != ("yes", "no"):
                found.setdefault(question.text, set()).add(question.options)
    assert found == {text.strip(): {tuple(options) for options in lists} for text, lists in known.items()}


@pytest.mark.parametrize("form", ["nested", "zip", "zip of a folder"])
def test_slakes_pictures_in_other_places(slake_data: Path, tmp_path: Path, form: str) -> None:
    for split in ("train", "validate", "test"):
        write(tmp_path / f"slake/{split}.json.gz", (slake_data / f"slake/{split}.json.gz").read_bytes())
    if form == "nested":
        (tmp_path / "slake/imgs").mkdir()
        (tmp_path / "slake/imgs/imgs").symlink_to(slake_data / "slake/imgs")
    else:
        with zipfile.ZipFile(tmp_path / "slake/imgs.zip", "w") as archive:
            for file in (slake_data / "slake/imgs").rglob("*.jpg"):
                name = file.relative_to(slake_data / "slake/imgs").as_posix()
                archive.write(file, name if form == "zip" else f"imgs/{name}")
    here, there = (load_task("slake", data_dir=data, splits=("test",)) for data in (tmp_path, slake_data))
    assert here.questions("test") == there.questions("test")


# --- PathVQA


def test_pathvqa_as_a_list_without_a_training_part(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "pathvqa").mkdir()
    name = "pathvqa/val_then_test.json.gz"
    (tmp_path / name).symlink_to(shared_data / name)
    one = write(tmp_path / "one.png", picture(1))
    rows = stored(tmp_path / "pathvqa/val_then_test.json")
    for number, row in enumerate(rows):
        if row["answer"] in ("yes", "no"):
            split, own = ("validation", number) if number < 6259 else ("test", number - 6259)
            path = tmp_path / f"pathvqa/images/{split}/pathvqa_{own:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(one, path)
    task = load_task("pathvqa", data_dir=tmp_path)
    assert sizes(task) == {"demonstrations": 3125, "validation": 3125, "test": 3362}
    assert any("no training part" in warning for warning in task.warnings)
    assert any("test has 3,362 questions, officially 3,391" in warning for warning in task.warnings)
    answers = Counter(gold(question) for question in task.questions("test"))
    assert set(answers) == {"yes", "no"}
    first = next(row for row in rows[6259:] if row["answer"] in ("yes", "no"))
    assert task.questions("test")[0].text == first["question"].capitalize().strip()


# --- MMMU


@pytest.mark.parametrize("name", [name for name in visual_tasks() if name.startswith("mmmu-")])
def test_mmmu_is_split_before_open_questions_go(shared_data: Path, tmp_path: Path, name: str) -> None:
    """The real answer key, with made-up texts and pictures."""
    entry = task_entry(name)
    key = json.loads((shared_data / "mmmu/answer_dict_val.json").read_text(encoding="utf-8"))
    own = {id: row for id, row in key.items() if id.rpartition("_")[0] == f"validation_{entry.config}"}
    assert len(own) == 30

    def row(id: str, kind: str, answer: str) -> dict[str, Any]:
        open = kind != "multiple-choice"
        return {
            "id": id,
            "question": f"<image 1> What of {id}?",
            "options": "[]" if open else "['a', 'b', 'c', 'd', 'e']",
            "answer": answer,
            "question_type": "open" if open else kind,
            "subfield": "Anything",
            **{f"image_{n}": as_hub(picture(len(id))) if n == 1 else None for n in range(1, 8)},
        }

    columns = tuple(f"image_{n}" for n in range(1, 8))
    folder = tmp_path / "mmmu" / entry.config
    rows = [row(id, found["question_type"], found["ground_truth"]) for id, found in own.items()]
    table(folder / "validation-00000-of-00001.parquet", rows, pictures=columns)
    dev = [row(f"dev_{entry.config}_{n}", "multiple-choice", "A") for n in range(1, 6)]
    table(folder / "dev-00000-of-00001.parquet", dev, pictures=columns)
    task = load_task(name, data_dir=tmp_path)
    assert entry.sizes is not None
    assert sizes(task) == dict(zip(SPLITS, entry.sizes, strict=True))
    assert task.warnings == ()
    ids = list(own)
    closed = {id for id, found in own.items() if found["question_type"] == "multiple-choice"}
    for split, order in (("test", MMMU_TEST), ("validation", MMMU_VALIDATION)):
        expected = [ids[row] for row in order if ids[row] in closed]
        assert [q.id for q in task.splits[split].questions][: len(expected)] == expected  # type: ignore[index]
    for question in task.questions("test"):
        assert question.text == f"<image> What of {question.id}?"
        assert "abcde"[question.answer] == own[question.id]["ground_truth"].lower()


def test_what_is_cleaned_of_a_text() -> None:
    assert vqa_rad.clean("Is  this a   CT ?") == "is this a ct?"
    assert vqa_rad.clean(" No ?Yes\t") == "no?yes"
