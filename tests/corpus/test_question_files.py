"""Malformed question files of every format, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.corpus.command_line import files_below, refusal, run
from tests.hub_server import HubServer
from tests.tasks.data import MEDMCQA, MEDQA, OWN, PUBMEDQA, lines, write, write_own
from tests.tasks.test_malformed import CASES, table

OWN_CASES = [case for case in CASES if case[0] == "own" and case[1] == "x.jsonl"]


@pytest.mark.parametrize(
    ("data", "where", "problem"),
    [case[2:] for case in OWN_CASES],
    ids=[f"{number}-{case[4][:30]}" for number, case in enumerate(OWN_CASES)],
)
def test_questions_of_ones_own(tmp_path: Path, data: bytes, where: str, problem: str) -> None:
    folder = write_own(tmp_path / "mine", test=data)
    for words in (
        ("tasks", "show", folder),
        ("compare", "demo-med", "demo-base", "--tasks", folder, "--output", tmp_path / "run"),
    ):
        before = files_below(tmp_path)
        line = refusal(*words)
        assert str(folder / "test.jsonl") in line
        assert where in line
        assert problem in line
        assert files_below(tmp_path) == before


LOCAL = {
    "medqa": (
        "medqa-4",
        "medqa/US/4_options/phrases_no_exclude_{}.jsonl",
        ("train", "dev", "test"),
        lines(MEDQA),
    ),
    "medmcqa": (
        "medmcqa",
        "medmcqa/{}.json",
        ("train", "dev"),
        lines(*[MEDMCQA | {"id": f"i{n}"} for n in range(9)]),
    ),
    "pubmedqa": (
        "pubmedqa",
        "pubmedqa/{}.json",
        ("ori_pqaa", "ori_pqal"),
        json.dumps({"1": PUBMEDQA}).encode(),
    ),
    "mmlu": ("mmlu-anatomy", "mmlu/data/{0}/anatomy_{0}.csv", ("dev", "val", "test"), b"What?,a,b,c,d,C\n"),
}
"""Task, its files in a data folder, their stems (the last one holds the test questions), good content."""

ENDINGS = (".jsonl", ".json", ".csv")
LOCAL_CASES = [case for case in CASES if case[0] in LOCAL and case[1].endswith(ENDINGS)]


@pytest.mark.parametrize(
    ("format", "data", "where", "problem"),
    [(case[0], *case[2:]) for case in LOCAL_CASES],
    ids=[f"{number}-{case[0]}-{case[4][:24]}" for number, case in enumerate(LOCAL_CASES)],
)
def test_files_of_the_data_sets(tmp_path: Path, format: str, data: bytes, where: str, problem: str) -> None:
    task, path, stems, good = LOCAL[format]
    for stem in stems:
        write(tmp_path / path.format(stem), good)
    damaged = write(tmp_path / path.format(stems[-1]), data)
    before = files_below(tmp_path)
    line = refusal("tasks", "show", task, "--data-dir", tmp_path)
    assert str(damaged) in line
    assert where.replace("x.json", damaged.name) in line
    assert problem in line
    assert files_below(tmp_path) == before


HUB_CASES = [case for case in CASES if case[0] == "mmlu" and case[1].endswith(".parquet")]


@pytest.mark.parametrize(
    ("data", "where", "problem"),
    [case[2:] for case in HUB_CASES],
    ids=[f"{number}-{case[4][:30]}" for number, case in enumerate(HUB_CASES)],
)
def test_parquet_from_the_hub(
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    where: str,
    problem: str,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    good = table(question=["q"], choices=[list("abcd")], answer=[1])
    for split in ("dev", "validation"):
        write(tmp_path / "anatomy" / split / "0000.parquet", good)
    write(tmp_path / "anatomy" / "test" / "0000.parquet", data)
    hub.add("cais/mmlu", tmp_path, kind="dataset", revisions=("refs/convert/parquet",))
    line = refusal("tasks", "show", "mmlu-anatomy")
    assert "0000.parquet" in line
    assert where.replace("x.parquet", "0000.parquet") in line
    assert problem in line


@pytest.mark.parametrize("split", ["demonstrations", "validation", "test"])
@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "no such file"),
        (b"", "there are no"),
        (b"\n\n \n", "there are no"),
        (lines(OWN, OWN), "two questions have this id"),
    ],
    ids=["absent", "empty", "blank", "ids twice"],
)
def test_splits_of_ones_own(tmp_path: Path, split: str, data: bytes | None, problem: str) -> None:
    folder = write_own(tmp_path / "mine", **({} if data is None else {split: data}))
    if data is None:
        (folder / f"{split}.jsonl").unlink()
    line = refusal("compare", "demo-med", "demo-base", "--tasks", folder, "--shots", "1")
    assert str(folder / f"{split}.jsonl") in line
    assert problem in line


def test_a_data_folder_without_the_files(tmp_path: Path) -> None:
    for task in ("medqa", "medqa-4", "medmcqa", "pubmedqa", "mmlu-anatomy", "mmlu-virology"):
        line = refusal("compare", "demo-med", "demo-base", "--tasks", task, "--data-dir", tmp_path)
        assert str(tmp_path) in line
        assert "no such file" in line


def test_the_contents_that_the_cases_damage_are_sound(tmp_path: Path) -> None:
    for task, path, stems, good in LOCAL.values():
        for stem in stems:
            write(tmp_path / path.format(stem), good)
        if task != "pubmedqa":  # whose official split needs the official ids
            ended = run("tasks", "show", task, "--data-dir", tmp_path)
            assert ended.code == 0, ended.err
