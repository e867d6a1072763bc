"""Tensors that are not written as tensors: the numbers of an activation, biases that are zero."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.errors import InputError, MedbenchError
from tests.acquire.checkpoints import write_weights
from tests.acquire.conftest import Checkpoints
from tests.acquire.gguf_content import read_content


def _changed(source: Path, folder: Path, changes: Mapping[str, torch.Tensor | None], *, kind: str) -> Path:
    shutil.copytree(source, folder)
    tensors = {**load_file(folder / "model.safetensors"), **changes}
    (folder / "model.safetensors").unlink()
    write_weights(folder, {name: tensor for name, tensor in tensors.items() if tensor is not None}, kind=kind)
    return folder


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_numbers_of_an_activation(
    checkpoints: Checkpoints, tmp_path: Path, kind: str, shape: tuple[int, ...]
) -> None:
    names = {
        f"model.layers.{i}.mlp.act_fn.{n}": i + j for i in (0, 1) for j, n in enumerate(("alpha_n", "eps"))
    }
    changes = {name: torch.full(shape, value - 2.5, dtype=torch.bfloat16) for name, value in names.items()}
    folder = _changed(checkpoints.folder("apertus"), tmp_path / "folder", changes, kind=kind)
    convert_checkpoint(folder, tmp_path / "x.gguf")
    content, plain = read_content(tmp_path / "x.gguf"), read_content(checkpoints.converted("apertus"))
    assert content.value("xielu.alpha_n") == [-2.5, -1.5]
    assert content.value("xielu.eps") == [-1.5, -0.5]
    assert content.value("xielu.beta") == [0.5, 0.75]
    assert content.tensors == plain.tensors
    assert not [name for name in content.tensors if "act_fn" in name or "xielu" in name]


@pytest.mark.parametrize(
    ("name", "tensor", "says"),
    [
        ("model.layers.1.mlp.act_fn.beta", None, r"act_fn\.beta.*missing"),
        ("model.layers.1.mlp.act_fn.beta", torch.ones(2), r"shape \[2\], config\.json asks for \[1\]"),
        ("model.layers.1.mlp.act_fn.eps", torch.tensor(float("nan")), "expected a number, not nan"),
        ("model.layers.2.mlp.act_fn.eps", torch.ones(1), "not part of a ApertusForCausalLM"),
    ],
)
def test_numbers_that_make_no_sense(
    checkpoints: Checkpoints, tmp_path: Path, name: str, tensor: torch.Tensor | None, says: str
) -> None:
    folder = _changed(checkpoints.folder("apertus"), tmp_path / "x", {name: tensor}, kind="safetensors")
    with pytest.raises(InputError, match=says):
        convert_checkpoint(folder, tmp_path / "x.gguf")


def test_biases(checkpoints: Checkpoints, tmp_path: Path) -> None:
    name = "model.layers.1.self_attn.q_proj.bias"
    zeros = {name: torch.zeros(256, dtype=torch.bfloat16)}
    source = checkpoints.folder("cohere2")
    folder = _changed(source, tmp_path / "zeros", zeros, kind="safetensors")
    convert_checkpoint(folder, tmp_path / "zeros.gguf")
    assert (tmp_path / "zeros.gguf").read_bytes() == checkpoints.converted("cohere2").read_bytes()
    one = torch.zeros(256)
    one[200] = 1e-3
    for number, (changes, says) in enumerate(
        (
            ({name: one}, "it is not zero, and llama.cpp has no place for it in a Cohere2ForCausalLM"),
            ({"model.layers.1.self_attn.q_proj.slope": torch.zeros(4)}, "not part of a Cohere2ForCausalLM"),
            ({name: torch.tensor(0.0)}, "not part of a Cohere2ForCausalLM"),
            ({name: torch.zeros(4, dtype=torch.int64)}, "not part of a Cohere2ForCausalLM"),
        )
    ):
        changed = _changed(source, tmp_path / f"folder{number}", changes, kind="safetensors")
        with pytest.raises(MedbenchError, match=says):
            convert_checkpoint(changed, tmp_path / "x.gguf")
