"""Models with pictures on the command line: listed, shown, planned, fetched and converted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Command
from tests.hub_server import HubServer
from tests.vision_toys import Toys, edit_config, serve, write_toys

STUDIED = ("llava-med-7b", "llava-v0-7b", "med-flamingo-9b", "open-flamingo-9b")


@pytest.fixture
def toys(hub: HubServer, tmp_path: Path) -> Toys:
    """All toys, hosted under the names of their originals."""
    made = write_toys(tmp_path / "toys")
    serve(hub, made)
    return made


def _json(command: Command, *words: object) -> Any:
    ended = command(*words, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_the_list_says_what_a_model_reads(command: Command, hub: HubServer) -> None:
    rows = {row["name"]: row for row in _json(command, "models", "list")}
    assert rows["llava-med-7b"]["vision"]["base"]["repository"] == "huggyllama/llama-7b"
    assert rows["meditron-7b"]["vision"] is None
    text = command("models", "list")
    assert "not yet runnable" not in text.out + text.err
    for name in STUDIED:
        (line,) = (line for line in text.out.splitlines() if line.startswith(f"{name} "))
        assert "pictures" in line
        assert "not fetched" in line
    listed = {pair["medical"]: pair["modality"] for pair in _json(command, "models", "list", "--pair")}
    assert (listed["llava-med-7b"], listed["meditron-7b"]) == ("pictures", "text")


def test_show_names_every_repository_and_what_nobody_confirmed(command: Command, toys: Toys) -> None:
    facts = _json(command, "models", "show", "llava-med-7b", "--quant", "q8_0")
    assert facts["reads"] == "pictures and text"
    assert facts["gate, licence"] == "none, cc-by-nc-4.0"
    assert facts["merged into"].startswith("huggyllama/llama-7b at ")
    assert facts["tower"].startswith("openai/clip-vit-large-patch14 at ")
    assert facts["repository"].startswith("microsoft/llava-med-7b-delta at ")
    assert "unconfirmed: repository, gate, licence, size" in facts["language model: gate, licence"]
    assert "mit" in facts["tower: gate, licence"]
    assert "context" in facts["unconfirmed"]
    assert facts["can be converted"] == "known when it is fetched"
    assert facts["for pictures"].endswith("kB") or facts["for pictures"].endswith("MB")
    flamingo = _json(command, "models", "show", "med-flamingo-9b", "--quant", "full")
    assert flamingo["stands in"].startswith("huggyllama/llama-7b at ")
    assert "merged into" not in flamingo

    ended = command("models", "fetch", "llava-med-7b", "--quant", "q8_0")
    assert ended.code == 0, ended.err
    assert {line.split(" (")[0].rsplit(".", 1)[-1] for line in ended.out.splitlines()} == {
        "gguf",
        "safetensors",
    }
    after = _json(command, "models", "show", "llava-med-7b", "--quant", "q8_0")
    assert after["can be converted"] == "yes (LlamaForCausalLM)"
    assert after["still to download"] == "0 B"
    assert after["for pictures"].endswith("(here)")


def test_a_model_whose_files_are_not_what_was_assumed_says_so(
    command: Command, toys: Toys, hub: HubServer
) -> None:
    edit_config(toys.llava_v0, mm_use_im_start_end=None)
    serve(hub, toys)
    said = command.fails("models", "fetch", "llava-v0-7b", "--quant", "full")
    assert "mm_use_im_start_end" in said
    facts = _json(command, "models", "show", "llava-v0-7b", "--quant", "full")
    assert facts["can be converted"].startswith("no: ")


@pytest.mark.parametrize("pair", [STUDIED[:2], STUDIED[2:]])
def test_a_pair_is_planned(command: Command, toys: Toys, home: Path, pair: tuple[str, str]) -> None:
    words = ["compare", *pair, "--tasks", "demo-anatomy", "--limit", "4", "--shots", "0", "--quant", "q8_0"]
    ended = command(*words, "--dry-run")
    assert ended.code == 0, ended.err
    assert all(name in ended.out + ended.err for name in pair)


def test_convert_writes_a_folder(command: Command, toys: Toys, home: Path) -> None:
    parts = ("--base", toys.base, "--vision-tower", toys.tower)
    ended = command("convert", toys.open_flamingo / "checkpoint.pt", *parts, "--output", home / "mine")
    assert ended.code == 0, ended.err
    assert ended.out == ""
    for name in ("model.gguf", "vision.safetensors", "tower.safetensors"):
        assert name in ended.err
    facts = _json(command, "models", "show", home / "mine")
    assert facts["model"] == "mine"
    assert facts["for pictures"] == "in the folder"
    ended = command(
        "quantize", home / "mine" / "model.gguf", "--quant", "q4_0", "--output", home / "small.gguf"
    )
    assert ended.code == 0, ended.err

    said = command.fails("convert", toys.open_flamingo / "checkpoint.pt", "--output", home / "other")
    assert "--base" in said
    assert "--vision-tower" in said
    inside = command.fails("convert", toys.llava_v0, *parts, "--output", toys.base / "here")
    assert "which this command reads" in inside
    (home / "file").touch()
    assert "is a file" in command.fails("convert", toys.llava_v0, *parts, "--output", home / "file")
