"""What is on this machine: runs and models are listed with their sizes, shown, and removed on demand only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local.catalog.task import expand_tasks
from medbench_local.files.lock import only_process
from tests.cli.command import Command

ASKED = ["compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--limit", "5", "--shots", "0"]


def _json(command: Command, *words: object) -> Any:
    return json.loads(command(*words, "--json").out)


@pytest.fixture
def run(command: Command, home: Path) -> Path:
    assert command(*ASKED).code == 0
    (folder,) = (home / "runs").iterdir()
    return folder


def test_a_run_is_listed_with_date_and_tasks_shown_and_removed(command: Command, run: Path) -> None:
    (row,) = _json(command, "runs", "list")
    started = json.loads((run / "results.json").read_text())["timing"]["started"]
    assert (row["tasks"], row["date"], row["state"]) == (["demo-anatomy"], started, "finished")
    listed = command("runs", "list").out
    assert started[:10] in listed
    assert "demo-anatomy" in listed

    shown = command("runs", "show", run.name)
    assert "demo-anatomy" in shown.out
    assert started[:10] in shown.out
    size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert _json(command, "runs", "show", run.name)["size"] == size

    assert "--yes" in command.fails("runs", "rm", run.name)
    assert run.is_dir()
    assert command("runs", "rm", run.name, "--yes").code == 0
    assert not run.exists()
    assert "No run is called" in command.fails("runs", "rm", run.name, "--yes")


def test_an_unfinished_run_tells_its_tasks(command: Command, run: Path) -> None:
    (run / "results.json").unlink()
    (row,) = _json(command, "runs", "list")
    assert (row["tasks"], row["state"]) == (["demo-anatomy"], "not finished")
    assert "not finished" in command("runs", "show", run.name).out


def test_only_what_the_tool_wrote_is_removed(command: Command, run: Path, tmp_path: Path) -> None:
    (run / "thesis.txt").write_text("mine")
    ended = command("runs", "rm", run.name, "--yes")
    assert "did not write" in ended.err
    assert [path.name for path in run.iterdir()] == ["thesis.txt"]
    link = run.parent / "link"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "manifest.json").write_text("{}")
    link.symlink_to(elsewhere)
    assert "is a link" in command.fails("runs", "rm", "link", "--yes").replace("\n", " ")
    assert (elsewhere / "manifest.json").is_file()


def test_a_run_that_is_computed_is_not_removed(command: Command, run: Path) -> None:
    with only_process(run):
        assert "in use" in " ".join(command.fails("runs", "rm", run.name, "--yes").split())
    assert (run / "results.json").is_file()


def test_models_are_removed_and_caches_have_sizes(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = home / "own"
    for name, size in (("my-model-" + "0" * 16, 1000), ("my-model-2-" + "1" * 16, 500)):
        (own / "models" / name).mkdir(parents=True)
        (own / "models" / name / "full.gguf").write_bytes(bytes(size))
    (own / "models" / "notes").mkdir()
    (own / "hashes").mkdir()
    (own / "hashes" / "x.json").write_bytes(bytes(7))
    (own / "pictures" / "ab").mkdir(parents=True)
    (own / "pictures" / "ab" / "abc").write_bytes(bytes(30))
    monkeypatch.setenv("MEDBENCH_HOME", str(own))
    sizes = {(row["kind"], row["name"]): row["size"] for row in _json(command, "cache")}
    assert sizes["model", "my-model"] == 1000
    assert sizes["model", "my-model-2"] == 500
    kinds = {kind: size for (kind, _), size in sizes.items()}
    assert (kinds["pictures"], kinds["notes"]) == (30, 7)
    assert "1.0 kB" in command("cache").out

    assert "There is: my-model, my-model-2" in " ".join(
        command.fails("models", "rm", "mine", "--yes").split()
    )
    assert "--yes" in command.fails("models", "rm", "my-model")
    assert command("models", "rm", "my-model", "--yes").code == 0
    assert sorted(path.name for path in (own / "models").iterdir()) == ["my-model-2-" + "1" * 16, "notes"]


@pytest.mark.parametrize("group", ["mmlu", "all", "visual", "demo"])
def test_a_group_lists_its_tasks(command: Command, home: Path, group: str) -> None:
    wanted = list(expand_tasks([group]))
    assert [row["id"] for row in _json(command, "tasks", "show", group)] == wanted
    assert all(name in command("tasks", "show", group).out for name in wanted)


def test_files_are_replaced_only_on_demand(command: Command, home: Path) -> None:
    (home / "full.gguf").write_text("hours of work")
    said = command.fails("convert", "demo-med", "--output", "full.gguf")
    assert "--force" in said
    assert (home / "full.gguf").read_text() == "hours of work"
    assert command("convert", "demo-med", "--output", "full.gguf", "--force").code == 0
    assert (home / "full.gguf").read_bytes().startswith(b"GGUF")
    quantise = ["quantize", "full.gguf", "--quant", "q8_0", "--output", "small.gguf"]
    assert command(*quantise).code == 0
    first = (home / "small.gguf").read_bytes()
    assert "--force" in command.fails(*quantise)
    assert command(*quantise, "--force").code == 0
    assert (home / "small.gguf").read_bytes() == first
