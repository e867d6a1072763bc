"""What is said of models that cannot be converted or are not computed right, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from medbench_local.acquire.source import DEMO
from tests.acquire.checkpoints import edit_json
from tests.cli.command import Command
from tests.engine.tiny import Shape, write_random

COMPARE = ("--tasks", "demo-anatomy", "--shots", "0", "--limit", "5", "--quant", "none", "--check", "none")


def _windowed(folder: Path, window: int) -> Path:
    """The embedded base model, said to attend to its last tokens only."""
    shutil.copytree(DEMO / "demo-base", folder)
    edit_json(folder / "config.json", architectures=["MistralForCausalLM"], sliding_window=window)
    return folder


def _requests(path: Path, words: int) -> Path:
    prompt = "a b c d e f g h " * (words // 8)
    rows = [
        {"id": "short", "prompt": "a b", "options": ["A", "B"]},
        {"id": "long", "prompt": prompt, "options": ["A"]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _imatrix(path: Path) -> Path:
    writer = gguf.GGUFWriter(path, "")
    writer.kv_data[0].clear()
    writer.add_type("imatrix")
    writer.add_tensor("blk.0.attn_q.weight.in_sum2", np.ones(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_score_names_the_prompt_that_is_too_long(home: Path, command: Command) -> None:
    path = write_random(home / "window.gguf", Shape(window=64))
    refused = command("score", path, _requests(home / "long.jsonl", 80), "--output", home / "scores.jsonl")
    assert refused.code == 2
    assert "long.jsonl, line 2, key 'prompt'" in refused.err
    assert "computed right up to 64: the model attends to the last 64 tokens only" in refused.err
    assert not (home / "scores.jsonl").exists()
    short = command("score", path, _requests(home / "short.jsonl", 24), "--output", home / "scores.jsonl")
    assert short.code == 0, short.err


@pytest.mark.parametrize("window", [32, 512])
def test_compare_asks_only_what_is_computed_right(home: Path, command: Command, window: int) -> None:
    model = _windowed(home / "windowed", window)
    ended = command("compare", model, "demo-base", *COMPARE, "--output", home / "run")
    if window == 512:
        assert ended.code == 0, ended.err
    else:
        assert ended.code == 2
        assert "demo-anatomy, question" in ended.err
        assert "computed right up to 32 only" in ended.err
        assert "--shots" in ended.err
        assert not (home / "run" / "results.json").exists()


def test_other_files_are_named_by_every_command(home: Path, command: Command) -> None:
    path = _imatrix(home / "imatrix.gguf")
    for words in (
        ("models", "show", path),
        ("score", path, _requests(home / "requests.jsonl", 8)),
        ("compare", path, "demo-base", *COMPARE),
        ("compare", "demo-med", path, *COMPARE, "--dry-run"),
    ):
        ended = command(*words)
        assert ended.code == 2
        assert "imatrix.gguf" in ended.err
        assert "importance matrix" in ended.err


def test_models_show_says_whether_it_can_be_converted(home: Path, command: Command) -> None:
    def facts(model: object) -> dict[str, str]:
        found: dict[str, str] = json.loads(command("models", "show", model, "--json").out)
        return found

    assert facts("demo-base")["can be converted"] == "yes (LlamaForCausalLM)"
    folder = _windowed(home / "strange", 4096)
    assert facts(folder)["can be converted"] == "yes (MistralForCausalLM)"
    edit_json(folder / "config.json", architectures=["StrangeForCausalLM"])
    said = facts(folder)
    assert "no: " in said["can be converted"]
    assert "StrangeForCausalLM" in said["can be converted"]
    assert "\n" not in said["can be converted"]
    assert "memory needed" in said
    edit_json(folder / "config.json", architectures=["LlamaForCausalLM"], num_hidden_layers=99)
    assert "model.layers." in facts(folder)["can be converted"]
    edit_json(
        folder / "config.json",
        num_hidden_layers=json.loads((DEMO / "demo-base/config.json").read_text())["num_hidden_layers"],
    )
    for name in ("tokenizer.json", "tokenizer.model"):
        (folder / name).unlink(missing_ok=True)
    assert "tokenizer" in facts(folder)["can be converted"]


def test_models_show_says_whether_a_file_can_be_scored(home: Path, command: Command) -> None:
    def said(shape: Shape) -> str:
        path = write_random(home / "model.gguf", shape)
        return str(json.loads(command("models", "show", path, "--json").out)["can be scored"])

    assert said(Shape()) == "yes, if llama.cpp knows llama"
    assert said(Shape(window=64)).startswith("prompts of up to 64 tokens: beyond, the model attends")
    assert said(Shape("gpt-oss", window=64)).startswith("no: ")
