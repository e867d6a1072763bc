"""What is on this machine: runs and models are listed with their sizes, shown, and removed on demand only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.cache import lock_of
from medbench_local.catalog.task import expand_tasks
from medbench_local.files.lock import held, only_process
from medbench_local.vision.parts import write_vision
from tests.cli.command import Command
from tests.vision.models import llava, llava_tensors

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


def test_a_list_says_which_verdicts_its_rates_leave_out(command: Command, run: Path) -> None:
    assert "not verified" not in command("runs", "list").out
    assert command(*ASKED, "--check", "none").code == 0
    assert "finished, 100% not verified" in command("runs", "list").out


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


def test_a_check_is_listed_shown_and_removed(command: Command, run: Path) -> None:
    asked = [
        "check",
        "demo-med",
        "--quant",
        "q8_0",
        "--tasks",
        "demo-anatomy",
        "--limit",
        "5",
        "--shots",
        "0",
    ]
    found = command(*asked, "--json")
    row = next(row for row in _json(command, "runs", "list") if row["name"] != run.name)
    assert row["name"].startswith("check-demo-med-q8_0-")
    assert row["state"] == f"check: {json.loads(found.out)['outcome']}"
    assert (row["tasks"], row["models"], row["precision"]) == (["demo-anatomy"], ["demo-med"], "q8_0")
    shown = command("runs", "show", "check-demo-med").out
    assert command(*asked).out in shown
    assert "is a check" in " ".join(command.fails("report", "check-demo-med").split())
    folder = run.parent / row["name"]
    (folder / "checks.json").write_text('{"identities": ["one"]}')
    assert "check, not finished" in command("runs", "list").out
    (folder / "checks.json").write_text('{"identities": ["one"], "found": {"one": 1}}')
    assert "damaged" in command("runs", "list").out
    assert command("runs", "rm", "check-demo-med", "--yes").code == 0
    assert [path.name for path in run.parent.iterdir()] == [run.name]


def test_a_sweep_s_runs_have_its_name(command: Command, home: Path, run: Path) -> None:
    sweep = ["sweep", "demo-med=demo-base", "demo-base=demo-med", *ASKED[3:], "--output", "runs/both"]
    assert command(*sweep).code == 0
    rows = {row["name"]: row for row in _json(command, "runs", "list")}
    assert set(rows) == {run.name, "both", "both/01", "both/02"}
    assert (rows["both"]["state"], rows["both"]["tasks"]) == ("sweep: 2 of 2 pairs", ["demo-anatomy"])
    assert rows["both/02"]["models"] == ["demo-base", "demo-med"]
    assert "demo-base against demo-med" in command("runs", "list").out
    assert "demo-base" in command("runs", "show", "both/02").out
    (home / "elsewhere").mkdir()
    (home / "elsewhere" / "manifest.json").write_text("{}")
    (run.parent / "both" / "03").symlink_to(home / "elsewhere")
    assert set(rows) == {row["name"] for row in _json(command, "runs", "list")}, "no link is followed"
    (run.parent / "both" / "03").unlink()
    assert command("runs", "rm", "both", "--yes").code == 0
    assert [path.name for path in run.parent.iterdir()] == [run.name]


def test_a_sweep_is_shown_and_removed_without_the_runs_beside_it(
    command: Command, home: Path, run: Path
) -> None:
    assert command("sweep", "demo-med=demo-base", *ASKED[3:]).code == 0
    (sweep,) = (home / "runs").glob("sweep-*")
    assert (sweep / "figures").is_dir()
    shown = command("runs", "show", "sweep-").out
    assert "1 of 1 pairs" in shown
    assert "What differs from the study" in shown
    (sweep / "figures" / "own.svg").write_text("drawn by hand")
    assert "still there" in command("runs", "rm", sweep.name, "--yes").err
    assert [path.name for path in sweep.rglob("*")] == ["figures", "own.svg"]
    assert run.is_dir(), "it may be of other sweeps, too"


def test_what_says_sweep_but_is_none_is_left_alone(command: Command, home: Path, run: Path) -> None:
    other = run.parent / "other"
    other.mkdir()
    (other / "sweep.json").write_text("{}")
    (other / "report.md").write_text("mine")
    assert "schema" in command.fails("runs", "rm", "other", "--yes")
    assert (other / "report.md").is_file()


def test_what_is_no_run_is_not_removed(command: Command, home: Path, run: Path) -> None:
    page = home / "page"
    page.mkdir()
    (page / "manifest.json").write_text('{"name": "a page of the web", "icons": []}')
    assert "no run of this tool" in " ".join(command.fails("runs", "rm", "./page", "--yes").split())
    assert (page / "manifest.json").is_file()
    for folder in (home, home / "runs", "."):
        assert "No run is called" in command.fails("runs", "rm", folder, "--yes")
    assert run.is_dir()


def test_links_in_a_run_lead_nowhere(command: Command, home: Path, run: Path) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.jsonl").write_text("mine")
    (run / "samples" / "link").symlink_to(elsewhere)
    (run / "report.md").unlink()
    (run / "report.md").symlink_to(elsewhere / "mine.jsonl")
    (run / "samples" / "notes.txt").write_text("mine")
    assert "did not write" in command("runs", "rm", run.name, "--yes").err
    assert (elsewhere / "mine.jsonl").read_text() == "mine"
    assert sorted(path.name for path in run.rglob("*")) == ["link", "notes.txt", "samples"]


def test_a_precision_is_removed_and_shared_towers_stay(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = home / "own"
    monkeypatch.setenv("MEDBENCH_HOME", str(own))
    for quant in ("q8_0", "q4_0"):
        assert command("models", "fetch", "demo-med", "--quant", quant).code == 0
    (folder,) = (own / "models").iterdir()
    assert "There is: full, q4_0, q8_0" in " ".join(
        command.fails("models", "rm", "demo-med", "--quant", "q6_k", "--yes").split()
    )
    (target,) = folder.glob("q4_0-*.gguf")
    size = target.stat().st_size
    with held(target, lock_of(target, own), "Wait."):
        assert "in use" in command.fails("models", "rm", "demo-med", "--quant", "q4_0", "--yes")
        assert "in use" in command.fails("models", "rm", "demo-med", "--yes")
    ended = command("models", "rm", "demo-med", "--quant", "q4_0", "--yes")
    assert f"removed {size / 1e3:.1f} kB" in ended.err
    assert sorted(path.name.partition("-")[0] for path in folder.glob("*.gguf")) == ["full.gguf", "q8_0"]
    (folder / "unfinished-q6_k-00000000.gguf").write_bytes(b"GG")
    being_made = folder / "q6_k-00000000.gguf"
    with held(being_made, lock_of(being_made, own), "Wait."):
        assert "in use" in command.fails("models", "rm", "demo-med", "--yes")
    assert target.with_name("full.gguf").is_file()

    sha256 = "a" * 64
    tower = own / "towers" / ("b" * 16)
    tower.mkdir(parents=True)
    (tower / "tower.safetensors").write_bytes(bytes(2000))
    (tower / "tower.safetensors.json").write_text(json.dumps({"sha256": sha256}))
    other = own / "models" / ("other-" + "0" * 16)
    other.mkdir()
    for place in (folder, other):
        write_vision(place / "vision-12345678.safetensors", llava(sha256), llava_tensors(llava()))
    said = command("models", "rm", "demo-med", "--yes").err
    assert "stays: other look through it" in said
    assert tower.is_dir()
    assert not folder.exists()
    assert "tower of its pictures" in command("models", "rm", "other", "--yes").err
    assert not tower.exists()


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
