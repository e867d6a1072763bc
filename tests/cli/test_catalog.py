"""Commands that show what is known: data on stdout, the same as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local import api
from medbench_local.catalog.model import models
from medbench_local.catalog.quantisation import quant_names
from medbench_local.catalog.task import task_names
from medbench_local.prompts.export import ExportedPrompt
from medbench_local.tasks.picture_store import PictureStore
from tests.cli.command import Command


def _json(command: Command, *words: str) -> Any:
    ended = command(*words, "--json")
    assert ended.code == 0
    return json.loads(ended.out)


def test_lists_name_everything(command: Command, home: Path) -> None:
    assert {row["name"] for row in _json(command, "models", "list")} == set(models())
    assert [row["name"] for row in _json(command, "quants", "list")] == quant_names()
    assert [row["id"] for row in _json(command, "tasks", "list")] == list(task_names())
    for kind, names in (("models", models()), ("quants", quant_names()), ("tasks", task_names())):
        text = command(kind, "list").out
        assert all(name in text for name in names)


def test_one_of_each_is_shown(command: Command, home: Path) -> None:
    assert _json(command, "quants", "show", "q4_k_m")["name"] == "q4_k_m"
    shown = _json(command, "tasks", "show", "demo-anatomy", "--item", "3")
    assert shown["splits"]["test"]["questions"] >= 300
    assert shown["question"]["text"] in command("tasks", "show", "demo-anatomy", "--item", "3").out
    facts = _json(command, "models", "show", "demo-med")
    assert facts["model"] == "demo-med"
    assert facts["fits this machine"] == "yes"
    assert "demo-med" in command("models", "show", "demo-med").out


def test_the_doctor_says_what_is_here_and_what_is_missing(command: Command, home: Path) -> None:
    found = _json(command, "doctor")
    assert {"version", "engine", "devices", "memory", "threads", "hub", "missing"} <= set(found)
    assert "llama.cpp" in command("doctor").out


def test_runs_are_listed_finished_or_not(command: Command, home: Path) -> None:
    ended = command("runs", "list")
    assert (ended.code, ended.out) == (0, "")
    assert "no runs" in ended.err
    for name in ("half", "damaged"):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / "manifest.json").write_text("{}")
    (home / "runs" / "damaged" / "results.json").write_text("{")
    rows = {row["name"]: row["state"] for row in _json(command, "runs", "list")}
    assert rows["half"] == "not finished"
    assert rows["damaged"].startswith("damaged")


@pytest.mark.parametrize("model", ["llama-2-7b-chat", "biomistral-7b", "med42-v1-70b"])
def test_all_formats_are_always_eleven(command: Command, home: Path, model: str) -> None:
    path = home / "p.jsonl"
    words = [
        "prompts",
        "export",
        "--model",
        model,
        "--task",
        "demo-anatomy",
        "--items",
        "0:2",
        "--output",
        path,
    ]
    ended = command(*words, "--format", "all", "--shots", "3", "--demonstrations", "0,1")
    assert ended.code == 0
    assert ended.out == ""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    expected = [(f, d, i) for f in ("default", *range(10)) for d in (0, 1) for i in (0, 1)]
    assert [(row["format"], row["demonstrations"], row["item"]) for row in rows] == expected
    assert len({row["prompt"] for row in rows[::4]}) == 11
    assert all(row["special"] is (model == "llama-2-7b-chat") for row in rows)


def test_a_prompt_is_shown_as_it_is(command: Command, home: Path) -> None:
    words = ["prompts", "show", "--model", "llama-2-7b", "--task", "demo-anatomy", "--format", "4"]
    row = _json(command, *words)
    shown = command(*words).out
    kept = row["prompt"].rstrip(" ")
    assert kept + "␣" * (len(row["prompt"]) - len(kept)) + "\n" in shown


def test_what_the_places_of_a_prompt_show_is_said(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    row = ExportedPrompt(
        model="med-flamingo-9b",
        task="mmmu-pharmacy",
        split="test",
        item=0,
        id="x",
        shots=1,
        format="default",
        demonstrations=0,
        prompt="<image><image>Which? ",
        special=True,
        options=("(A)", "(B)"),
        answer=0,
        images=(None, ("p1.png", "x#image_2")),
        image_sha256=(None, ("0" * 64, "1" * 64)),
    )
    monkeypatch.setattr(api, "task_prompts", lambda *_, **__: [row])
    words = ["prompts", "show", "--model", "med-flamingo-9b", "--task", "mmmu-pharmacy"]
    shown = command(*words).out
    assert (
        "<image><image>Which?␣\n--- <image> 1 shows nothing\n--- <image> 2 shows p1.png and x#image_2\n"
        in shown
    )
    assert _json(command, *words)["images"] == [None, ["p1.png", "x#image_2"]]


def test_a_system_prompt_of_one_s_own_is_used(command: Command, home: Path) -> None:
    words = ["prompts", "show", "--model", "llama-2-7b", "--task", "demo-anatomy"]
    assert _json(command, *words, "--system-prompt", "Be [bold]brief[/].")["prompt"].startswith(
        "Be [bold]brief[/]."
    )
    assert "Be [bold]brief[/]." in command(*words, "--system-prompt", "Be [bold]brief[/].").out


def test_pairs_are_listed_by_size_and_by_what_fits(command: Command, home: Path) -> None:
    rows = _json(command, "models", "list", "--pair")
    assert {"medical": "baichuan-m2-32b", "base": "qwen2.5-32b-instruct"}.items() <= next(
        row for row in rows if row["partner"] == "alternative" and row["medical"] == "baichuan-m2-32b"
    ).items()
    small = _json(command, "models", "list", "--up-to", "2")
    assert {row["name"] for row in small} >= {"medpsy-1.7b", "qwen3-1.7b", "demo-med"}
    assert all(row["parameters"] < 2.3e9 for row in small)
    assert "demo-med" in command("models", "list", "--pair", "--fits").out
    shown = command("models", "list", "--pair", "--up-to", "2").out
    assert "unconfirmed" in shown
    assert "medpsy-1.7b" in shown
    assert "huatuogpt-o1-7b" not in shown


def test_several_partners_are_offered_and_the_only_one_is_taken(command: Command, home: Path) -> None:
    offered = command("compare", "baichuan-m2-32b", "--offline")
    assert offered.code == 2
    assert "qwen2.5-32b (what it was trained from), or qwen2.5-32b-instruct" in offered.err
    unknown = command("compare", "./nowhere")
    assert unknown.code == 2
    assert "Name the model it was built from" in unknown.err
    planned = _json(command, "compare", "demo-med", "--tasks", "demo-anatomy", "--limit", "10", "--dry-run")
    assert planned["base"]["model"] == "demo-base"


def test_the_doctor_counts_what_is_kept_of_pictures(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(home))
    for name, size in (("features/tower/rule/a.npy", 1000), ("features/tower/rule/b.npy", 2000)):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(bytes(size))
    (home / "features/tower/rule/.lock").write_bytes(b"")
    PictureStore(home).keep(b"a picture")
    encoded, stored = _json(command, "doctor")["pictures"]
    assert encoded == f"2 encoded: {home / 'features'} (3.0 kB)"
    assert stored == f"1 taken out of tables and archives: {home / 'pictures'} (9 B)"
