"""Run folders: what is in them, and how they are found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench_local.catalog.protocol import load_protocol
from medbench_local.errors import InputError, UsageError
from medbench_local.results.folder import RunFolder, find_run, identity, list_runs


def _run(root: Path, name: str) -> Path:
    RunFolder(root / name).write_manifest({"identity": name})
    return root / name


def test_a_run_is_found_by_path_name_beginning_or_end(tmp_path: Path) -> None:
    _run(tmp_path, "a-vs-b-11111111")
    _run(tmp_path, "a-vs-c-22222222")
    assert find_run(str(tmp_path / "a-vs-b-11111111")).name == "a-vs-b-11111111"
    for name in ("a-vs-b-11111111", "a-vs-b", "11111111"):
        assert find_run(name, tmp_path).name == "a-vs-b-11111111"
    with pytest.raises(UsageError, match="means 2 runs"):
        find_run("a-vs", tmp_path)
    with pytest.raises(UsageError, match=r"No run is called 'x'.*list_runs"):
        find_run("x", tmp_path)


def test_a_name_that_begins_another_still_means_itself(tmp_path: Path) -> None:
    _run(tmp_path, "a")
    _run(tmp_path, "a-b")
    assert find_run("a", tmp_path).name == "a"


def test_other_folders_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "something").mkdir()
    _run(tmp_path, "b")
    assert [run.name for run in list_runs(tmp_path)] == ["b"]
    assert list_runs(tmp_path / "absent") == []


def test_identity_depends_on_every_part_and_not_on_their_order() -> None:
    parts = {"a": 1, "b": [1, 2], "c": {"x": None, "y": "é"}}
    assert identity(parts) == identity(dict(reversed(parts.items())))
    assert len(identity(parts)) == 8
    assert len({identity(parts | change) for change in ({}, {"a": 2}, {"b": [2, 1]}, {"d": 0})}) == 4


@pytest.mark.parametrize("text", ["{", "[]", "", "[" * 100_000])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    run.manifest_file.write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        run.manifest()


def test_the_protocol_comes_back_as_it_was(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("laptop", "emnlp2024"):
        run.write_manifest({"protocol": load_protocol(name).model_dump(mode="json")})
        assert run.protocol() == load_protocol(name)
    run.write_manifest({"protocol": {"shots": "three"}})
    with pytest.raises(InputError, match="key 'protocol'"):
        run.protocol()


def test_an_unfinished_run_has_no_results(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).results() is None


def test_damaged_results_are_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for text, said in (
        ("{", "not valid JSON"),
        ('{"schema": 9}', "expected a number from 1 to 2, found 9"),
        ('{"schema": 1}', "key '"),
    ):
        run.results_file.write_text(text)
        with pytest.raises(InputError) as caught:
            run.results()
        assert said in str(caught.value)
