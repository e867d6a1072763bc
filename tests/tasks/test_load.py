"""Names into tasks: one's own folders, the data folder, and the hub's cache."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from medbench_local.catalog import task as catalog
from medbench_local.catalog.task import demo_tasks
from medbench_local.errors import AcquireError, InputError, UsageError
from medbench_local.tasks.load import load_task
from medbench_local.tasks.question import SPLITS
from tests.tasks.data import MEDMCQA, MEDQA, OWN, PUBMEDQA, lines, write, write_own

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    folder = write_own(tmp_path / "my-questions", test=lines(OWN, OWN | {"id": "q2", "answer": "A"}))
    task = load_task(str(folder), data_dir=None)
    assert (task.id, task.title) == ("my-questions", "my-questions")
    assert task.warnings == (
        "my-questions: 1 test question repeats an earlier one (case, blanks, punctuation and the order of options "
        "aside), 1 with another answer, first q2.",
    )
    assert [question.answer for question in task.questions("test")] == [1, 0]
    assert task.splits["test"].expected is None
    assert task.splits["test"].files[0].source == "local"


def test_a_folder_in_the_working_folder_needs_no_separator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert load_task("mine", data_dir=None).id == "mine"


def test_no_split_at_all_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no split is wanted"):
        load_task(str(write_own(tmp_path / "mine")), data_dir=None, splits=())


@pytest.mark.parametrize("split", SPLITS)
def test_each_file_of_ones_own_folder_is_needed_if_wanted(tmp_path: Path, split: Any) -> None:
    folder = write_own(tmp_path / "mine")
    (folder / f"{split}.jsonl").unlink()
    with pytest.raises(InputError, match=rf"{split}\.jsonl.*no such file"):
        load_task(str(folder), data_dir=None)
    others = [name for name in SPLITS if name != split]
    assert list(load_task(str(folder), data_dir=None, splits=others).splits) == others


def test_ids_given_twice_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"test\.jsonl, id 'q1': two questions have this id"):
        load_task(str(write_own(tmp_path / "a", test=lines(OWN, OWN))), data_dir=None)
    with pytest.raises(InputError, match=r"test\.jsonl: there are no test questions in it"):
        load_task(str(write_own(tmp_path / "b", test=b"\n \n")), data_dir=None)


def test_a_question_in_two_splits_is_told(tmp_path: Path) -> None:
    folder = write_own(tmp_path / "mine", demonstrations=lines(OWN), test=lines(OWN, OWN | {"id": "q2"}))
    warnings = load_task(str(folder), data_dir=None).warnings
    aside = "(case, blanks, punctuation and the order of options aside)"
    assert warnings == (
        f"mine: 2 test questions are also among the demonstrations {aside}, first q1.",
        f"mine: 1 test question repeats an earlier one {aside}, first q2.",
    )


@pytest.mark.parametrize("name", ["medqa", "bad name", "-x"])
def test_folder_names_that_cannot_name_a_task(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        load_task(str(write_own(tmp_path / name)), data_dir=None)


@pytest.mark.parametrize("name", ["medqa5", "no/such/folder", "", "MedQA"])
def test_names_that_are_nothing(name: str) -> None:
    with pytest.raises(UsageError):
        load_task(name, data_dir=None)


def test_embedded_tasks_need_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_own(tmp_path / "demo-stars")
    monkeypatch.setattr(catalog, "EMBEDDED", tmp_path)
    monkeypatch.setattr("medbench_local.tasks.load.EMBEDDED", tmp_path)
    assert demo_tasks() == ("demo-stars",)
    task = load_task("demo-stars", data_dir=tmp_path / "not there", offline=True)
    assert (task.title, task.splits["test"].files[0].source) == ("Made-up stars", "embedded")


@pytest.mark.parametrize("name", demo_tasks())
def test_the_packages_own_tasks(name: str) -> None:
    task = load_task(name, data_dir=None, offline=True)
    assert task.warnings == ()
    assert len(task.questions("test")) >= 300
    assert len(task.questions("validation")) >= 100
    assert len(task.questions("demonstrations")) >= 20


def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        load_task("medmcqa", data_dir=tmp_path)
    assert str(tmp_path / "medmcqa" / "train.json") in refused.value.message
    assert "github.com/medmcqa/medmcqa" in refused.value.advice
    with pytest.raises(InputError, match="no such folder"):
        load_task("medmcqa", data_dir=tmp_path / "nowhere")


def test_the_missing_file_named_is_the_one_that_is_left(shared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(shared_data / "medqa", tmp_path / "medqa", copy_function=shutil.copyfile)
    (tmp_path / "medqa/US").chmod(0o755)
    (tmp_path / "medqa/US/test.jsonl.gz").unlink()
    with pytest.raises(
        InputError, match=r"test\.jsonl: no such file, nor the same with \.gz; the test questions"
    ):
        load_task("medqa", data_dir=tmp_path)
    assert len(load_task("medqa", data_dir=tmp_path, splits=("validation",)).questions("validation")) == 1272


def test_the_whole_train_file_is_preferred_to_a_part_of_it(tmp_path: Path) -> None:
    train = [MEDMCQA | {"id": str(row), "question": f"q{row}"} for row in range(10)]
    write(tmp_path / "medmcqa/train.json", lines(*train))
    write(tmp_path / "medmcqa/train_1000.converted.jsonl", lines(MEDMCQA))
    write(tmp_path / "medmcqa/dev.json", lines(MEDMCQA))
    task = load_task("medmcqa", data_dir=tmp_path)
    assert [len(task.questions(split)) for split in SPLITS] == [8, 2, 1]
    assert task.warnings == (
        "medmcqa: demonstrations has 8 questions, officially 146,257 (train.json).",
        "medmcqa: validation has 2 questions, officially 36,565 (train.json).",
        "medmcqa: test has 1 questions, officially 4,183 (dev.json).",
    )


def test_five_options_in_the_file_of_four_are_refused(shared_data: Path, tmp_path: Path) -> None:
    for name in ("train_756_4options.converted", "4_options/phrases_no_exclude_dev"):
        source = shared_data / f"medqa/US/{name}.jsonl.gz"
        write(tmp_path / f"medqa/US/{name}.jsonl.gz", source.read_bytes())
    wrong = (shared_data / "medqa/US/test.jsonl.gz").read_bytes()
    write(tmp_path / "medqa/US/4_options/phrases_no_exclude_test.jsonl.gz", wrong)
    with pytest.raises(InputError, match="line 1: expected 4 options, found 5"):
        load_task("medqa-4", data_dir=tmp_path)


def test_labelled_questions_in_another_order_are_told(shared_data: Path, tmp_path: Path) -> None:
    """The official split is worked out from the order of the file; another order gives another split."""
    stored = json.loads((shared_data / "pubmedqa/ori_pqal.json").read_text(encoding="utf-8"))
    write(tmp_path / "pubmedqa/ori_pqal.json", json.dumps(dict(sorted(stored.items()))).encode())
    task = load_task("pubmedqa", data_dir=tmp_path, splits=("test",))
    assert len(task.questions("test")) == 500
    assert any("but not the same (ori_pqal.json)" in warning for warning in task.warnings)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache that the hub's client uses, without a network."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "hub"


def keep(cache: Path, repository: str, revision: str, path: str, data: bytes) -> None:
    """Put a file where the hub's client keeps it."""
    folder = cache / ("datasets--" + repository.replace("/", "--"))
    commit = revision
    if len(revision) != len(COMMIT):
        commit = COMMIT
        write(folder / "refs" / revision, commit.encode())
    write(folder / "snapshots" / commit / path, data)


def packed(**columns: Any) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("revision", "file"),
    [
        ("c30699e8356da336a370243923dbaf21066bb9fe", "anatomy/{}-00000-of-00001.parquet"),
        ("refs/convert/parquet", "anatomy/{}/0000.parquet"),
    ],
)
def test_mmlu_from_the_hub(cache: Path, revision: str, file: str) -> None:
    for name, rows in (("dev", 5), ("validation", 14), ("test", 135)):
        data = packed(
            question=[f"{name} {row}?" for row in range(rows)],
            subject=["anatomy"] * rows,
            choices=[["a", "b", "c", "d"]] * rows,
            answer=pa.array([row % 4 for row in range(rows)], pa.int64()),
        )
        keep(cache, "cais/mmlu", revision, file.format(name), data)
    task = load_task("mmlu-anatomy", data_dir=None, offline=True)
    first = len(revision) == len(COMMIT)
    assert len(task.warnings) == (0 if first else 1)
    assert task.questions("test")[134].text == "test 134?"
    assert task.questions("test")[134].answer == 2
    assert task.splits["test"].files[0].source == f"hub:cais/mmlu@{revision if first else COMMIT}"


def test_medmcqa_from_the_hub_is_split_as_the_study_split_it(cache: Path) -> None:
    revision = "91c6572c454088bf71b679ad90aa8dffcd0d5868"
    for name, rows in (("train", 182_822), ("validation", 4183)):
        columns: dict[str, Any] = {key: [value] * rows for key, value in MEDMCQA.items()}
        columns["cop"] = pa.array([1] * rows, pa.int64())
        columns["id"] = [f"{name}{row}" for row in range(rows)]
        columns["question"] = [f"{name} {row}?" for row in range(rows)]
        data = packed(**columns, exp=pa.nulls(rows, pa.string()))
        keep(cache, "openlifescienceai/medmcqa", revision, f"data/{name}-00000-of-00001.parquet", data)
    task = load_task("medmcqa", data_dir=None, offline=True)
    assert task.warnings == ()
    ids = {split: [question.id for question in task.questions(split)] for split in SPLITS}
    assert ids["validation"][:3] == ["train140983", "train115498", "train104061"]
    assert ids["demonstrations"][:3] == ["train163771", "train168290", "train19484"]
    assert ids["test"][:2] == ["validation0", "validation1"]


def test_pubmedqa_from_the_archives_keeps_their_order_and_fetches_only_what_is_wanted(cache: Path) -> None:
    def records(*ids: str) -> bytes:
        return json.dumps(dict.fromkeys(ids, PUBMEDQA), indent=4).encode()

    labelled = archive(
        **{
            "pqal_fold0/train_set.json": records("3", "1"),
            "pqal_fold0/dev_set.json": records("2"),
            "pqal_test_set.json": records("9", "8"),
        }
    )
    keep(cache, "bigbio/pubmed_qa", "main", "pqal.zip", labelled)
    task = load_task("pubmedqa", data_dir=None, offline=True, splits=("validation", "test"))
    assert [question.id for question in task.questions("validation")] == ["3", "1", "2"]
    assert [question.id for question in task.questions("test")] == ["9", "8"]
    assert [file.source for file in task.splits["validation"].files] == [f"hub:bigbio/pubmed_qa@{COMMIT}"]
    with pytest.raises(AcquireError):
        load_task("pubmedqa", data_dir=None, offline=True)


def test_pubmedqa_from_the_second_repository_has_the_official_split(cache: Path, shared_data: Path) -> None:
    stored = json.loads((shared_data / "pubmedqa/ori_pqal.json").read_text(encoding="utf-8"))
    records = list(stored.values())
    data = packed(
        pubid=pa.array([int(id) for id in stored], pa.int32()),
        question=[record["QUESTION"] for record in records],
        context=[
            {"contexts": record["CONTEXTS"], "labels": record["LABELS"], "meshes": record["MESHES"]}
            for record in records
        ],
        long_answer=[record["LONG_ANSWER"] for record in records],
        final_decision=[record["final_decision"] for record in records],
    )
    keep(cache, "qiaojin/PubMedQA", "main", "pqa_labeled/train-00000-of-00001.parquet", data)
    task = load_task("pubmedqa", data_dir=None, offline=True, splits=("test",))
    local = load_task("pubmedqa", data_dir=shared_data, splits=("test",))
    assert task.questions("test") == local.questions("test")
    assert len(task.warnings) == 1
    assert "The first choice of files cannot be had" in task.warnings[0]
    assert "qiaojin/PubMedQA" in task.warnings[0]


@pytest.mark.parametrize(
    ("name", "folder", "options"),
    [("medqa", "med_qa_en_source", 5), ("medqa-4", "med_qa_en_4options_source", 4)],
)
def test_medqa_from_the_hub_or_its_archive(
    cache: Path, shared_data: Path, name: str, folder: str, options: int
) -> None:
    local = load_task(name, data_dir=shared_data)
    stem = "4_options/phrases_no_exclude_" if options == 4 else ""
    members = {}
    for split, official in (("validation", "dev"), ("test", "test")):
        data = gzip.decompress((shared_data / f"medqa/US/{stem}{official}.jsonl.gz").read_bytes())
        members[f"data_clean/questions/US/{stem}{official}.jsonl"] = data
        records = [json.loads(line) for line in data.splitlines()]
        for record in records:
            record["options"] = [{"key": key, "value": value} for key, value in record["options"].items()]
        columns = {key: [record[key] for record in records] for key in records[0]}
        keep(
            cache,
            "bigbio/med_qa",
            "484a6c066fe8e75c83edea0c88b5169316714fcd",
            f"{folder}/{split}-00000-of-00001.parquet",
            packed(**columns),
        )
    first = load_task(name, data_dir=None, offline=True, splits=("validation", "test"))
    assert first.warnings == ()
    shutil.rmtree(cache)
    keep(cache, "bigbio/med_qa", "main", "data_clean.zip", archive(**members))
    second = load_task(name, data_dir=None, offline=True, splits=("validation", "test"))
    for split in first.splits:
        assert first.questions(split) == second.questions(split) == local.questions(split)
    assert second.splits["test"].files[0].path.endswith("data_clean.zip")


def test_medqa_rows_that_name_two_answers_are_counted(tmp_path: Path) -> None:
    def row(number: int, letter: str) -> dict[str, Any]:
        return MEDQA | {"question": f"Which of {number}?", "answer_idx": letter}

    for name, letters in (("train", "BB"), ("dev", "BA"), ("test", "BDBA")):
        data = lines(*[row(ord(name[0]) * 10 + i, letter) for i, letter in enumerate(letters)])
        write(tmp_path / f"medqa/US/4_options/phrases_no_exclude_{name}.jsonl", data)
    warnings = load_task("medqa-4", data_dir=tmp_path).warnings
    said = "of which `answer` is taken; first line 2 of phrases_no_exclude"
    assert [warning for warning in warnings if "two different answers" in warning] == [
        f"medqa-4: validation: 1 row names two different answers, {said}_dev.jsonl: answer is option B, "
        "answer_idx says A.",
        f"medqa-4: test: 2 rows name two different answers, {said}_test.jsonl: answer is option B, "
        "answer_idx says D.",
    ]
