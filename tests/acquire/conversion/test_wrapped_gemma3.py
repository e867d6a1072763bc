"""Gemma 3 inside its multimodal wrapper: names of tensors, rows of the embedding, what config.json says where."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.errors import InputError
from tests.acquire.checkpoints import edit_json, write_json, write_weights
from tests.acquire.conftest import Checkpoints
from tests.acquire.gguf_content import read_content


def _in_memory(name: str) -> str:
    """What transformers calls it in memory since 4.52, and some tools save."""
    for before, after in (
        ("language_model.model.", "model.language_model."),
        ("language_model.lm_head.", "lm_head."),
        ("vision_tower.", "model.vision_tower."),
        ("multi_modal_projector.", "model.multi_modal_projector."),
    ):
        if name.startswith(before):
            return after + name.removeprefix(before)
    raise AssertionError(name)


def _on_the_hub(name: str) -> str:
    return name


def _alone(name: str) -> str:
    """The language model taken out, under the class of the whole."""
    return name.removeprefix("language_model.")


def _rewritten(source: Path, folder: Path, name_of: Callable[[str], str], **more: torch.Tensor) -> Path:
    shutil.copytree(source, folder)
    tensors = load_file(folder / "model.safetensors")
    assert any(name.startswith("vision_tower.") for name in tensors)
    assert any(name.startswith("multi_modal_projector.") for name in tensors)
    write_weights(folder, {name_of(name): tensor for name, tensor in tensors.items()} | more)
    return folder


def _said_as_transformers_5_says_it(config: dict[str, Any]) -> dict[str, Any]:
    text = config["text_config"]
    rope = {
        "full_attention": {**text.pop("rope_scaling"), "rope_theta": text.pop("rope_theta")},
        "sliding_attention": {"rope_type": "default", "rope_theta": text.pop("rope_local_base_freq")},
    }
    kinds = [*["sliding_attention"] * 5, "full_attention"]
    more = {"rope_parameters": rope, "layer_types": kinds, "architectures": None}
    return {**config, "text_config": {**text, **more}}


@pytest.mark.parametrize(
    ("name_of", "rewrite"),
    [
        (_on_the_hub, _said_as_transformers_5_says_it),
        (_in_memory, _said_as_transformers_5_says_it),
        (_alone, dict),
    ],
)
def test_every_layout_becomes_the_same_file(
    checkpoints: Checkpoints,
    tmp_path: Path,
    name_of: Callable[[str], str],
    rewrite: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    folder = _rewritten(checkpoints.folder("gemma3 whole"), tmp_path / "folder", name_of)
    path = folder / "config.json"
    write_json(path, rewrite(json.loads(path.read_text(encoding="utf-8"))))
    convert_checkpoint(folder, tmp_path / "ours.gguf")
    assert (tmp_path / "ours.gguf").read_bytes() == checkpoints.converted("gemma3 whole").read_bytes()


def test_a_tensor_that_belongs_nowhere_is_refused(checkpoints: Checkpoints, tmp_path: Path) -> None:
    folder = _rewritten(
        checkpoints.folder("gemma3 whole"),
        tmp_path / "x",
        _in_memory,
        **{"model.ears.weight": torch.ones(2, 2)},
    )
    with pytest.raises(
        InputError, match=r"model\.ears\.weight.*not part of a Gemma3ForConditionalGeneration"
    ):
        convert_checkpoint(folder, tmp_path / "x.gguf")


def test_rows_beyond_vocab_size_are_left_out(checkpoints: Checkpoints, tmp_path: Path) -> None:
    whole = checkpoints.converted("gemma3")
    folder = tmp_path / "folder"
    shutil.copytree(checkpoints.folder("gemma3"), folder)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = torch.cat([embedding, torch.ones_like(embedding[:64])])
    write_weights(folder, tensors)
    made = convert_checkpoint(folder, tmp_path / "cut.gguf")
    assert (tmp_path / "cut.gguf").read_bytes() == whole.read_bytes()
    assert made.warnings == ()
    edit_json(folder / "config.json", vocab_size=464)
    convert_checkpoint(folder, tmp_path / "all.gguf")
    content = read_content(tmp_path / "all.gguf")
    assert content.tensors["token_embd.weight"][1] == (256, 464)
    assert content.value("tokenizer.ggml.tokens")[-1] == "[PAD463]"


def test_no_window_where_every_layer_sees_everything(checkpoints: Checkpoints, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(checkpoints.folder("gemma3"), folder)
    edit_json(folder / "config.json", sliding_window_pattern=1)
    convert_checkpoint(folder, tmp_path / "x.gguf")
    key = "gemma3.attention.sliding_window"
    assert key not in read_content(tmp_path / "x.gguf").metadata
    assert read_content(checkpoints.converted("gemma3")).value(key) == 64
