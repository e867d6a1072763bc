"""config.json: what is read, what is assumed, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

from medbench_local.acquire.conversion.architectures import architecture_of
from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.model_config import read_model_config
from medbench_local.errors import AcquireError, InputError
from tests.acquire.checkpoints import LLAMA3_ROPE, config, write_json


def read(folder: Path, **changes: Any) -> Any:
    write_json(folder / "config.json", config(**changes))
    return read_folder(folder)


def read_folder(folder: Path) -> Any:
    checkpoint = CheckpointFolder(folder)
    return read_model_config(checkpoint, architecture_of(checkpoint))


@pytest.mark.parametrize("kind", ["Llama", "Mistral"])
def test_silence_means_what_transformers_assumes(tmp_path: Path, kind: str) -> None:
    values = {
        "architectures": [f"{kind}ForCausalLM"],
        "hidden_size": 256,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 16,
        "vocab_size": 400,
    }
    write_json(tmp_path / "config.json", values)
    ours = read_folder(tmp_path)
    theirs = getattr(transformers, f"{kind}Config")(
        **{k: v for k, v in values.items() if k != "architectures"}
    )
    for key in (
        "num_key_value_heads",
        "max_position_embeddings",
        "rms_norm_eps",
        "tie_word_embeddings",
        "hidden_act",
        "head_dim",
    ):
        assert getattr(ours, key) == getattr(theirs, key), key
    assert getattr(ours, "sliding_window", None) == getattr(theirs, "sliding_window", None)
    assert ours.rope_theta == 10000.0


def test_null_is_not_silence(tmp_path: Path) -> None:
    values = config(architectures=["MistralForCausalLM"])
    write_json(tmp_path / "config.json", {**values, "sliding_window": None, "num_key_value_heads": None})
    found = read_folder(tmp_path)
    assert found.sliding_window is None
    assert found.num_key_value_heads == found.num_attention_heads


def test_both_ways_of_writing_rope(tmp_path: Path) -> None:
    old = read(tmp_path, rope_theta=500000.0, rope_scaling=LLAMA3_ROPE)
    new = read(tmp_path, rope_theta=None, rope_parameters={**LLAMA3_ROPE, "rope_theta": 500000.0})
    assert old == new
    assert old.rope_theta == 500000.0
    assert old.rope_scaling.factor == 8.0
    assert read(tmp_path, rope_scaling={"type": "linear", "factor": 2.0}).rope_scaling.rope_type == "linear"


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "zero heads": ({"num_attention_heads": 0}, "num_attention_heads"),
    "negative heads": ({"num_attention_heads": -4}, "num_attention_heads"),
    "zero shared heads": ({"num_key_value_heads": 0}, "num_key_value_heads"),
    "heads no multiple": ({"num_attention_heads": 4, "num_key_value_heads": 3}, "not a multiple"),
    "width no multiple": ({"hidden_size": 65}, "not a multiple"),
    "odd head": ({"head_dim": 15}, "head_dim"),
    "zero width": ({"hidden_size": 0}, "hidden_size"),
    "zero layers": ({"num_hidden_layers": 0}, "num_hidden_layers"),
    "too many layers": ({"num_hidden_layers": 10**6}, "num_hidden_layers"),
    "layers as text": ({"num_hidden_layers": "2"}, "num_hidden_layers"),
    "layers as truth": ({"num_hidden_layers": True}, "num_hidden_layers"),
    "huge context": ({"max_position_embeddings": 1 << 40}, "max_position_embeddings"),
    "negative epsilon": ({"rms_norm_eps": -1e-5}, "rms_norm_eps"),
    "zero theta": ({"rope_theta": 0}, "rope_theta"),
    "endless theta": ({"rope_theta": float("inf")}, "rope_theta"),
    "rope no object": ({"rope_scaling": "linear"}, "rope_scaling"),
    "rope without factor": ({"rope_scaling": {"type": "linear"}}, "factor"),
    "rope negative": ({"rope_scaling": {"type": "linear", "factor": -1.0}}, "factor"),
    "activation no text": ({"hidden_act": 3}, "hidden_act"),
    "no architecture": ({"architectures": [], "model_type": None}, "architectures"),
    "two architectures": ({"architectures": ["LlamaForCausalLM", "X"]}, "architectures"),
    "architecture as text": ({"architectures": "LlamaForCausalLM"}, "architectures"),
}


@pytest.mark.parametrize(("changes", "says"), INVALID.values(), ids=INVALID)
def test_refuses_what_makes_no_sense(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"])
def test_names_a_missing_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError, match=key):
        read(tmp_path, **{key: None})


def test_another_architecture_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AcquireError) as caught:
        read(tmp_path, architectures=["Qwen2ForCausalLM"])
    for part in (
        "Qwen2ForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "convert_hf_to_gguf.py",
        ".gguf",
    ):
        assert part in str(caught.value)


UNSUPPORTED: dict[str, tuple[dict[str, Any], str]] = {
    "dynamic": ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope scaling 'dynamic'"),
    "yarn": ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "rope scaling 'yarn'"),
    "partial": ({"partial_rotary_factor": 0.5}, r"partial_rotary_factor 0\.5 cannot"),
    "partial, the newer way": ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    "activation": ({"hidden_act": "gelu"}, "hidden_act 'gelu' cannot be converted: .*silu"),
    "gptq": ({"quantization_config": {"quant_method": "gptq"}}, "already quantised"),
}


@pytest.mark.parametrize(("changes", "says"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_unsupported_properties_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(AcquireError, match=says):
        read(tmp_path, **changes)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff\xfe", b'{"a": 1, "a": 2}'])
def test_refuses_a_damaged_file(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(InputError):
        read_folder(tmp_path)
