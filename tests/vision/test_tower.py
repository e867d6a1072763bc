"""The tower is that of transformers, computed there with 64 bits; a file that is none is refused in one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from medbench_local.errors import InputError
from medbench_local.vision.tower import Tower, read_tower_config, write_tower
from tests.vision.models import clip, saved_tower, tower_config, tower_tensors


def drawn_pixels(count: int = 4) -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(0, 1, (count, 3, 56, 56)).astype("f4")


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_every_layer_says_what_it_says_in_transformers(tmp_path: Path, act: Any) -> None:
    model = clip(act=act)
    path = tmp_path / "tower.safetensors"
    write_tower(path, tower_config(hidden_act=act), tower_tensors(model))
    pixels = drawn_pixels()
    with torch.no_grad():
        states = model.double()(torch.from_numpy(pixels).double(), output_hidden_states=True).hidden_states
    assert len(states) == 5
    for layer in (*range(5), *range(-5, 0)):
        tower = Tower.open(path, layer=layer)
        for picture, expected in zip(pixels, states[layer].numpy(), strict=True):
            seen = tower.encode(picture)
            assert seen.dtype == np.float32
            np.testing.assert_allclose(seen, expected, rtol=0, atol=2e-5)
    last = states[-1].numpy()
    assert np.abs(last[0] - last[1]).max() > 1, "pictures look alike to this tower: the test could not fail"


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_narrow_numbers_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    model = clip().to(torch.float16 if kind == "F16" else torch.bfloat16)
    stored = {
        name: (value if kind == "F16" else value.view(torch.uint16)).numpy()
        for name, value in model.state_dict().items()
        if "position_ids" not in name
    }
    stored = {name.removeprefix("vision_model."): value for name, value in stored.items()}
    path = tmp_path / "tower.safetensors"
    write_tower(path, tower_config(), stored)
    with safe_open(path, "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {kind}  # noqa: SIM118
    pixels = drawn_pixels(1)
    with torch.no_grad():
        exact = model.double()(torch.from_numpy(pixels).double(), output_hidden_states=True)
    expected = exact.hidden_states[-1][0]
    np.testing.assert_allclose(Tower.open(path).encode(pixels[0]), expected.numpy(), rtol=0, atol=2e-5)


def test_the_file_is_what_the_library_reads(tmp_path: Path) -> None:
    path, sha256 = saved_tower(tmp_path)
    tensors = tower_tensors(clip())
    read = load_file(path)
    assert read.keys() == tensors.keys()
    assert all(np.array_equal(read[name], value) for name, value in tensors.items())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert read_tower_config(path) == tower_config()


def _damaged(path: Path, how: str) -> None:
    tensors = tower_tensors(clip())
    record = {"medbench_local": json.dumps({**vars(tower_config())})}
    match how:
        case "absent":
            path.unlink()
        case "cut off":
            path.write_bytes(path.read_bytes()[:-5])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("a tower, they said\n" * 9)
        case "pointer":
            path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        case "no record":
            save_file(tensors, path)
        case "missing":
            del tensors["encoder.layers.2.mlp.fc1.bias"]
            save_file(tensors, path, record)
        case "unknown":
            save_file({**tensors, "encoder.layers.4.mlp.fc1.bias": np.zeros(3, "f4")}, path, record)
        case "shape":
            save_file({**tensors, "post_layernorm.bias": np.zeros(3, "f4")}, path, record)
        case "whole numbers":
            save_file({**tensors, "post_layernorm.bias": np.zeros(48, "i4")}, path, record)
        case "value":
            config = {**vars(tower_config()), "num_attention_heads": 5}
            save_file(tensors, path, {"medbench_local": json.dumps(config)})
        case "kind":
            config = {**vars(tower_config()), "hidden_act": "relu"}
            save_file(tensors, path, {"medbench_local": json.dumps(config)})
        case "layers":
            config = {**vars(tower_config()), "num_hidden_layers": 10**12}
            save_file(tensors, path, {"medbench_local": json.dumps(config)})
        case "extra":
            config = {**vars(tower_config()), "colour": 1}
            save_file(tensors, path, {"medbench_local": json.dumps(config)})


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("absent", "no such file"),
        ("cut off", "no whole safetensors file"),
        ("empty", "no whole safetensors file"),
        ("text", "no whole safetensors file"),
        ("pointer", "pointer of Git LFS"),
        ("no record", "no record 'medbench_local'"),
        ("missing", "no tensors encoder.layers.2.mlp.fc1.bias"),
        ("unknown", "unknown tensors encoder.layers.4.mlp.fc1.bias"),
        ("shape", r"post_layernorm.bias': shape \[3\], expected \[48\]"),
        ("whole numbers", "numbers of type I32"),
        ("value", "5 heads for 48 numbers"),
        ("kind", "key 'hidden_act'"),
        ("layers", r"1000000000000 layers in a file of \d+ tensors"),
        ("extra", "key 'colour'"),
    ],
)
def test_a_file_that_is_no_tower_is_refused(tmp_path: Path, how: str, says: str) -> None:
    path, _ = saved_tower(tmp_path)
    _damaged(path, how)
    with pytest.raises(InputError, match=says) as caught:
        Tower.open(path)
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layer", [-6, 5])
def test_a_layer_that_is_not_there_is_refused(tmp_path: Path, layer: int) -> None:
    path, _ = saved_tower(tmp_path)
    with pytest.raises(InputError, match=f"4 layers, and layer {layer}"):
        Tower.open(path, layer=layer)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 224},
        {"patch_size": 0},
        {"patch_size": 15},
        {"std": (0.2, 0.0, 0.2)},
        {"mean": (0.5, 122.0, 0.5)},
        {"layer_norm_eps": float("nan")},
    ],
)
def test_what_makes_no_sense_cannot_be_written(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        tower_config(**changes)
