"""Tensors bit by bit, and metadata key by key, against llama.cpp's own converter on the same checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medbench_local.acquire.conversion.convert import FileType, convert_checkpoint
from tests.acquire.checkpoints import (
    LLAMA3_ROPE,
    config,
    small_sentencepiece,
    tensors,
    write_json,
    write_llama2_tokenizer,
    write_llama3_tokenizer,
    write_weights,
)
from tests.acquire.conftest import Checkpoints
from tests.acquire.conversion import checkpoints_of
from tests.acquire.conversion.official_converter import convert_officially
from tests.acquire.gguf_content import Content, read_content
from tests.conftest import SHARED

WEIGHTS = SHARED / "data" / "weights"

NAMED_EXCEPTIONS = {
    "general.name": "theirs is made up from the name of the folder",
    "llama.attention.sliding_window": "they leave it out, llama.cpp does not read it; we keep it for planning",
}


@dataclass(frozen=True)
class Family:
    """A checkpoint in the layout of a real one, and the type to convert it to."""

    changes: dict[str, Any]
    dtype: torch.dtype
    tokenizer: str = "llama2"
    kind: str = "safetensors"
    shards: int = 1
    to: FileType = "auto"
    added: tuple[str, ...] = ()
    files: dict[str, Any] = field(default_factory=dict)


FAMILIES = {
    "llama2": Family({"vocab_size": 32000}, torch.float16, shards=2),
    "meditron": Family(
        {"vocab_size": 32017, "max_position_embeddings": 2048},
        torch.bfloat16,
        kind="bin",
        shards=2,
        added=tuple(f"<extra_{i}>" for i in range(17)),
    ),
    "llama3": Family(
        {
            "vocab_size": 128256,
            "num_key_value_heads": 2,
            "rope_theta": 500000.0,
            "rope_scaling": {**LLAMA3_ROPE, "original_max_position_embeddings": 2048},
            "bos_token_id": 128000,
            "eos_token_id": [128001, 128009],
        },
        torch.bfloat16,
        tokenizer="llama3",
        shards=2,
        files={"chat_template.jinja": "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"},
    ),
    "mistral": Family(
        {
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "num_key_value_heads": 2,
            "sliding_window": 1024,
            "vocab_size": 32000,
        },
        torch.float32,
        to="f32",
    ),
    "grouped": Family(
        {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": True},
        torch.bfloat16,
        tokenizer="small",
        files={
            "tokenizer_config.json": {
                "bos_token": {"content": "<s>"},
                "eos_token": "</s>",
                "add_prefix_space": False,
                "chat_template": [
                    {"name": "default", "template": "{{ messages }}"},
                    {"name": "tool_use", "template": "tools {{ messages }}"},
                ],
                "added_tokens_decoder": {
                    "0": {"content": "<unk>", "special": True},
                    "1": {"content": "<s>", "special": True},
                    "2": {"content": "</s>", "special": True},
                    "395": {"content": "▁two▁words", "special": False},
                    "396": {"content": "<|looks_special|>", "special": False},
                },
            }
        },
    ),
    "linear_bias": Family(
        {"attention_bias": True, "rope_scaling": {"type": "linear", "factor": 4.0}, "vocab_size": 420},
        torch.float16,
        tokenizer="small",
        kind="bin",
        to="bf16",
    ),
    "to_f16": Family({}, torch.float32, tokenizer="small", to="f16"),
    "to_f32": Family({}, torch.bfloat16, tokenizer="small", to="f32"),
}


def _write(folder: Path, family: Family, weights: Path) -> None:
    folder.mkdir()
    values = config(**family.changes)
    write_json(folder / "config.json", values)
    write_weights(folder, tensors(values, family.dtype), kind=family.kind, shards=family.shards)
    if family.tokenizer == "llama3":
        write_llama3_tokenizer(folder, weights)
    elif family.tokenizer == "llama2":
        write_llama2_tokenizer(folder, weights, family.added)
    else:
        (folder / "tokenizer.model").write_bytes(small_sentencepiece())
    for name, content in family.files.items():
        if isinstance(content, str):
            (folder / name).write_text(content, encoding="utf-8")
        else:
            write_json(folder / name, content)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Path:
    root = tmp_path_factory.mktemp("families")
    families = {n: f for n, f in FAMILIES.items() if f.tokenizer == "small" or WEIGHTS.is_dir()}
    for name, family in families.items():
        _write(root / name, family, WEIGHTS)
    made = [
        (checkpoints.folder(name), root / f"{name}.theirs.gguf", "auto") for name in checkpoints_of.distinct()
    ]
    convert_officially([*((root / n, root / f"{n}.theirs.gguf", f.to) for n, f in families.items()), *made])
    for name, family in families.items():
        convert_checkpoint(root / name, root / f"{name}.ours.gguf", file_type=family.to)
    return root


@pytest.mark.parametrize("name", FAMILIES)
def test_equals_the_official_conversion(converted: Path, name: str) -> None:
    if not (converted / name).is_dir():
        pytest.skip(f"needs the real tokenizers under {WEIGHTS} (not part of the project)")
    ours, theirs = (read_content(converted / f"{name}.{side}.gguf") for side in ("ours", "theirs"))
    _check_equal(ours, theirs, NAMED_EXCEPTIONS)


@pytest.mark.parametrize("name", checkpoints_of.distinct())
def test_of_every_architecture(converted: Path, checkpoints: Checkpoints, name: str) -> None:
    ours = read_content(checkpoints.converted(name))
    theirs = read_content(converted / f"{name}.theirs.gguf")
    if other := checkpoints_of.made()[name].official:
        kind = ours.value("general.architecture")
        named = {key.replace(f"{other}.", f"{kind}.", 1): value for key, value in theirs.metadata.items()}
        theirs = replace(theirs, metadata=named)
    _check_equal(ours, theirs, {**NAMED_EXCEPTIONS, **checkpoints_of.made()[name].exceptions})


@pytest.mark.parametrize("name", sorted(checkpoints_of.made().keys() - checkpoints_of.distinct().keys()))
def test_the_same_in_another_way(checkpoints: Checkpoints, name: str) -> None:
    other = checkpoints_of.made()[name].same_as
    assert checkpoints.converted(name).read_bytes() == checkpoints.converted(other).read_bytes()


def _check_equal(ours: Content, theirs: Content, exceptions: Mapping[str, str]) -> None:
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert [key for key in theirs.tensors if ours.tensors[key] != theirs.tensors[key]] == []
    keys = ours.metadata.keys() | theirs.metadata.keys()
    different = {key for key in keys if ours.metadata.get(key) != theirs.metadata.get(key)}
    assert different <= exceptions.keys()
