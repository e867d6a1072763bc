"""LoRA adapters and other things as MODEL, through every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.source import DEMO
from tests.acquire.test_adapters import merged_by_hand, write_adapter
from tests.cli.command import Command

COMPARISON = [
    "--tasks",
    "demo-anatomy",
    "--limit",
    "6",
    "--shots",
    "0",
    "--quant",
    "full",
    "--protocol",
    "demo",
]


def _requests(folder: Path) -> Path:
    path = folder / "requests.jsonl"
    path.write_text(
        json.dumps({"id": "1", "prompt": "Answer: ", "options": ["A", "B"]}) + "\n", encoding="utf-8"
    )
    return path


def _json(command: Command, *words: object) -> Any:
    ended = command(*words, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_an_adapter_is_compared_with_its_base(command: Command, home: Path) -> None:
    adapter = write_adapter(home / "my-lora", base="/home/somebody/base-model")
    words = ["compare", adapter, "demo-base", *COMPARISON]
    said = command.fails(*words)
    assert "was trained on /home/somebody/base-model, a path of another machine" in said
    assert "--adapter-base" in said
    found = _json(command, *words, "--adapter-base", "demo-base")
    assert found["models"]["medical"]["source"] == "local merged into demo-base (local)"
    (run,) = (home / "runs").iterdir()
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    checkpoint = manifest["models"]["medical"]["checkpoint"]
    assert checkpoint["merged_into"]["name"] == "demo-base"
    by_path = {file["path"]: file["sha256"] for file in checkpoint["files"]}
    of_base = {file["path"]: file["sha256"] for file in manifest["models"]["base"]["checkpoint"]["files"]}
    assert {
        path.removeprefix("base/"): digest for path, digest in by_path.items() if path[:5] == "base/"
    } == of_base
    assert manifest["models"]["base"]["checkpoint"]["merged_into"] is None
    again = command(*words, "--adapter-base", str(DEMO / "demo-base"))
    assert "found the finished run" in again.err, "the same base by another name is the same comparison"
    other = _json(command, *words, "--adapter-base", "demo-med")
    assert other["identity"] != found["identity"]


def test_an_adapter_is_scored_converted_shown_and_fetched(command: Command, home: Path) -> None:
    adapter = write_adapter(home / "my-lora")
    merged = merged_by_hand(adapter, DEMO / "demo-base", home / "merged")
    requests = _requests(home)
    ours, theirs = (command("score", model, requests) for model in (adapter, merged))
    assert (ours.code, ours.out) == (0, theirs.out)
    assert ours.out != command("score", "demo-base", requests).out
    assert "my-lora is a LoRA adapter; it is merged into demo-base" in ours.err
    for model in (adapter, merged):
        assert command("convert", model, "--output", f"{model.name}.gguf").code == 0
    assert (home / "my-lora.gguf").read_bytes() == (home / "merged.gguf").read_bytes()
    facts = _json(command, "models", "show", adapter)
    assert (facts["model"], facts["merged into"]) == ("my-lora", "demo-base")
    assert command("models", "fetch", adapter, "--quant", "q8_0").code == 0
    words = ["check", adapter, "--quant", "q8_0", "--tasks", "demo-anatomy", "--limit", "6", "--shots", "0"]
    assert _json_of_check(command, words)["model"] == "my-lora"


def _json_of_check(command: Command, words: list[object]) -> Any:
    ended = command(*words, "--json")
    assert ended.code in (0, 3), ended.err
    return json.loads(ended.out)


@pytest.mark.parametrize("word", ["score", "compare", "fetch"])
def test_a_base_for_what_is_no_adapter_is_refused(command: Command, home: Path, word: str) -> None:
    words: dict[str, list[object]] = {
        "score": ["score", "demo-med", _requests(home)],
        "compare": ["compare", "demo-med", "demo-base", *COMPARISON],
        "fetch": ["models", "fetch", "demo-med", "--quant", "full"],
    }
    said = command.fails(*words[word], "--adapter-base", "demo-base")
    assert "--adapter-base names demo-base, but no model here is an adapter" in said


def test_two_sets_of_weights_are_said_whoever_reads_them(command: Command, home: Path) -> None:
    folder = merged_by_hand(write_adapter(home / "lora"), DEMO / "demo-base", home / "model")
    (folder / "model-00001-of-00001.safetensors").write_bytes(
        (DEMO / "demo-base" / "model.safetensors").read_bytes()
    )
    said = "holds two sets of weights, model.safetensors and model-00001-of-00001.safetensors"
    assert said in command("score", folder, _requests(home)).err
    assert said in command("convert", folder, "--output", "m.gguf").err
    assert said in command("models", "fetch", folder, "--quant", "full").err
    command("compare", folder, "demo-base", *COMPARISON)
    (run,) = (home / "runs").iterdir()
    assert said in (run / "report.md").read_text(encoding="utf-8")
