"""compare from checkpoint folders of other architectures to a verdict, with llama.cpp."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.acquire.conversion import checkpoints_of
from tests.cli.command import Command

PROTOCOL = """
name: small
summary: Few candidates.
shots: [0]
selection: {method: exhaustive, formats: [1]}
"""


def _trained_further(base: Path, folder: Path) -> Path:
    """The same model with other numbers, as after more training."""
    shutil.copytree(base, folder)
    file, generator = folder / "model.safetensors", torch.Generator().manual_seed(1)
    tensors = {
        name: tensor + 0.02 * torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
        for name, tensor in load_file(file).items()
    }
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(("name", "quant"), [("gemma2", "q8_0"), ("gemma3 whole", "none")])
def test_two_folders_become_a_verdict(command: Command, home: Path, name: str, quant: str) -> None:
    (home / "small.yaml").write_text(PROTOCOL)
    base = checkpoints_of.write(home / "base", checkpoints_of.made()[name])
    medical = _trained_further(base, home / "medical")
    small = ["--protocol", "small.yaml", "--tasks", "demo-anatomy", "--limit", "6"]
    ended = command("compare", medical, base, *small, "--quant", quant, "--check", "full", "--json")
    assert ended.code == 0, ended.err
    results = json.loads(ended.out)
    (comparison,) = results["comparisons"]
    assert comparison["verdict"] in ("win", "tie", "loss")
    assert comparison["n"] == 6
    if quant == "q8_0":
        assert comparison["equivalence"]["verified"]
        assert comparison["equivalence"]["verdict_full_precision"] == comparison["verdict"]
    assert results["precision"] == {"none": "full"}.get(quant, quant)
    manifest = json.loads(next((home / "runs").glob("*/manifest.json")).read_text(encoding="utf-8"))
    assert [model["name"] for model in manifest["models"].values()] == ["medical", "base"]
