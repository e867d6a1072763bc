"""Finding the weight files of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.errors import InputError
from tests.acquire.checkpoints import config, edit_json, tensors, write_json, write_weights

STATE = tensors(config(), torch.float16)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("index", [True, False])
def test_finds_every_layout(tmp_path: Path, kind: str, shards: int, index: bool) -> None:
    write_weights(tmp_path, STATE, kind=kind, shards=shards)
    if not index:
        for path in tmp_path.glob("*.json"):
            path.unlink()
    checkpoint = CheckpointFolder(tmp_path)
    assert len(checkpoint.files) == shards
    assert checkpoint.tensors.keys() == STATE.keys()
    nbytes = sum(tensor.nbytes for tensor in checkpoint.tensors.values())
    assert nbytes == sum(tensor.nbytes for tensor in STATE.values())


def test_prefers_safetensors(tmp_path: Path) -> None:
    write_weights(tmp_path, STATE, kind="safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"not even a checkpoint")
    assert [path.name for path in CheckpointFolder(tmp_path).files] == ["model.safetensors"]


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "a\\b.safetensors",
        "C:x.safetensors",
        "",
        3,
        None,
        "..",
    ],
)
def test_an_index_cannot_leave_the_folder(tmp_path: Path, name: Any) -> None:
    (tmp_path / "inner").mkdir()
    write_weights(tmp_path, STATE)
    write_json(
        tmp_path / "inner" / "model.safetensors.index.json", {"weight_map": dict.fromkeys(STATE, name)}
    )
    with pytest.raises(InputError, match="not the name of a file in the folder"):
        _ = CheckpointFolder(tmp_path / "inner").tensors


@pytest.mark.parametrize("weight_map", [None, {}, [], "x"])
def test_refuses_an_index_without_map(tmp_path: Path, weight_map: Any) -> None:
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": weight_map})
    with pytest.raises(InputError, match="weight_map"):
        _ = CheckpointFolder(tmp_path).tensors


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("index", [True, False])
def test_names_the_missing_shard(tmp_path: Path, kind: str, index: bool) -> None:
    write_weights(tmp_path, STATE, kind=kind, shards=3)
    next(tmp_path.glob(f"*00002-of-00003.{kind}")).unlink()
    if not index:
        next(tmp_path.glob("*.json")).unlink()
    with pytest.raises(InputError, match=r"00002-of-00003.*missing"):
        _ = CheckpointFolder(tmp_path).tensors


def test_index_and_files_must_agree(tmp_path: Path) -> None:
    write_weights(tmp_path, STATE, shards=2)
    path = tmp_path / "model.safetensors.index.json"
    right = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    first, last = next(iter(right)), list(right)[-1]
    edit_json(path, weight_map={**right, "model.extra": right[first]})
    with pytest.raises(InputError, match=r"'model\.extra'.*not in"):
        _ = CheckpointFolder(tmp_path).tensors
    edit_json(path, weight_map={**right, first: right[last]})
    with pytest.raises(InputError, match="where the index places it"):
        _ = CheckpointFolder(tmp_path).tensors
    edit_json(path, weight_map={key: value for key, value in right.items() if key != first})
    with pytest.raises(InputError, match="which the index does not know"):
        _ = CheckpointFolder(tmp_path).tensors


def test_refuses_a_tensor_in_two_files(tmp_path: Path) -> None:
    write_weights(tmp_path, STATE, shards=2)
    (tmp_path / "model.safetensors.index.json").unlink()
    (tmp_path / "other").mkdir()
    write_weights(tmp_path / "other", {"model.norm.weight": STATE["model.norm.weight"]})
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(InputError, match="also in"):
        _ = CheckpointFolder(tmp_path).tensors


def test_refuses_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights"):
        _ = CheckpointFolder(tmp_path).tensors
    with pytest.raises(InputError, match="no such folder"):
        _ = CheckpointFolder(tmp_path / "absent").tensors
