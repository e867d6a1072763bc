"""config.json: what is read, what is assumed, what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import transformers

from medbench_local.acquire.conversion.architectures import architecture_of
from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.model_config import read_model_config
from medbench_local.errors import AcquireError, InputError
from tests.acquire.checkpoints import LLAMA3_ROPE, config, write_json
from tests.acquire.conversion.checkpoints_of import distinct


def read(folder: Path, **changes: Any) -> Any:
    write_json(folder / "config.json", config(**changes))
    return read_folder(folder)


ALONE = [name for name, made in distinct().items() if "ForCausalLM" in made.config["architectures"][0]]
"""Checkpoints that are no wrapper around a language model."""


@pytest.mark.parametrize("name", ALONE)
def test_what_transformers_writes_today_means_the_same(tmp_path: Path, name: str) -> None:
    """Its current release moves the settings of rope, and writes what older ones left out."""
    said = distinct()[name].config
    write_json(tmp_path / "config.json", said)
    before = read_folder(tmp_path)
    written = transformers.AutoConfig.from_pretrained(tmp_path)
    written.architectures = said["architectures"]
    written.save_pretrained(tmp_path)
    after = read_folder(tmp_path)
    for key in (
        "hidden_size",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
        "rms_norm_eps",
        "layer_norm_eps",
        "rope_theta",
        "partial_rotary_factor",
        "tie_word_embeddings",
        "hidden_act",
    ):
        assert getattr(after, key) == getattr(before, key), key
    ours, theirs = before.rope_scaling.model_dump(), after.rope_scaling.model_dump()
    if ours["rope_type"] in ("default", "linear"):  # has no use for it
        theirs["original_max_position_embeddings"] = ours["original_max_position_embeddings"]
    assert theirs == ours


def read_folder(folder: Path) -> Any:
    checkpoint = CheckpointFolder(folder)
    return read_model_config(checkpoint, architecture_of(checkpoint))


@pytest.mark.parametrize(
    "kind", ["Llama", "Mistral", "Mixtral", "Phi3", "Qwen2", "Qwen2Moe", "Qwen3", "Qwen3Moe"]
)
def test_silence_means_what_transformers_assumes(tmp_path: Path, kind: str) -> None:
    values = {
        "architectures": [f"{kind}ForCausalLM"],
        "hidden_size": 256,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 32,
        "vocab_size": 400,
        "norm_topk_prob": kind == "Qwen3Moe",
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
        derived = ours.hidden_size // ours.num_attention_heads if key == "head_dim" else None
        assert getattr(ours, key) == (getattr(theirs, key, derived) or derived or False), key
    for key in (
        "num_experts",
        "num_local_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
        "shared_expert_intermediate_size",
    ):
        if hasattr(ours, key):
            assert getattr(ours, key) == getattr(theirs, key), key
    if not hasattr(theirs, "use_sliding_window"):
        assert getattr(ours, "sliding_window", None) == getattr(theirs, "sliding_window", None)
    assert ours.rope_theta == theirs.rope_parameters["rope_theta"]


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
        read(tmp_path, architectures=["TulipForCausalLM"])
    for part in (
        "TulipForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "convert_hf_to_gguf.py",
        ".gguf",
    ):
        assert part in str(caught.value)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}


def windowed(kind: str, **changes: Any) -> dict[str, Any]:
    return {"architectures": [f"{kind}ForCausalLM"], "use_sliding_window": True, **changes}


UNSUPPORTED: dict[str, tuple[dict[str, Any], str]] = {
    "dynamic": (
        {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
        "'dynamic' cannot .* length of the prompt",
    ),
    "unknown rope": ({"rope_scaling": {"type": "spiral"}}, "rope scaling 'spiral'"),
    "yarn not rounded": (
        {"rope_scaling": {**YARN, "truncate": False}},
        "'yarn' with truncate False .* ignores",
    ),
    "yarn band": ({"rope_scaling": {**YARN, "beta_fast": 16}}, r"'yarn' with beta_fast 16\.0 .* ignores"),
    "yarn band below": ({"rope_scaling": {**YARN, "beta_slow": 2}}, r"'yarn' with beta_slow 2\.0 .* ignores"),
    "yarn attention": ({"rope_scaling": {**YARN, "attention_factor": 1.0}}, "with attention_factor 1"),
    "yarn scales": ({"rope_scaling": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0}}, "with mscale 1"),
    "yarn extrapolation": ({"rope_scaling": {**YARN, "extrapolation_factor": 0.5}}, "extrapolation_factor"),
    "long rope elsewhere": (
        {"rope_scaling": {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}},
        "'longrope' cannot .* not follow it in a LlamaForCausalLM",
    ),
    "llama3 rope elsewhere": (
        {"architectures": ["Qwen2ForCausalLM"], "rope_scaling": LLAMA3_ROPE},
        "'llama3' cannot .* not follow it in a Qwen2ForCausalLM",
    ),
    "yarn of Phi-3": ({"architectures": ["Phi3ForCausalLM"], "rope_scaling": YARN}, "'yarn' cannot"),
    "factors of Phi-3": (
        {
            "architectures": ["Phi3ForCausalLM"],
            "rope_scaling": {"type": "su", "short_factor": [1.0] * 8, "long_factor": [2.0] * 7},
        },
        "rope_scaling .* one number for every two",
    ),
    "window of Qwen2": (
        windowed("Qwen2", sliding_window=64, max_window_layers=1),
        "no window .* max_position",
    ),
    "window of Qwen2, a list": (
        windowed("Qwen2", sliding_window=64, layer_types=["full_attention", "sliding_attention"]),
        "use_sliding_window True cannot .* no window",
    ),
    "window of Qwen3": (windowed("Qwen3", sliding_window=64, max_window_layers=1), "no window"),
    "window of Qwen2Moe": (windowed("Qwen2Moe", sliding_window=64), "no window"),
    "window of Qwen3Moe": (windowed("Qwen3Moe", sliding_window=64), "no window"),
    "window of Mixtral": (windowed("Mixtral", sliding_window=64), "sliding_window 64 cannot .* no window"),
    "window of Phi-3": (
        {"architectures": ["Phi3ForCausalLM"], "sliding_window": 2047},
        "sliding_window 2047 cannot be converted: .* no window .*set max_position_embeddings",
    ),
    "size of heads": ({"architectures": ["Qwen2ForCausalLM"], "head_dim": 32}, "head_dim 32 cannot"),
    "biases of Qwen3": (
        {"architectures": ["Qwen3ForCausalLM"], "attention_bias": True},
        "attention_bias True",
    ),
    "dense layers": ({"architectures": ["Qwen3MoeForCausalLM"], "mlp_only_layers": [0]}, "mlp_only_layers"),
    "steps": ({"architectures": ["Qwen2MoeForCausalLM"], "decoder_sparse_step": 2}, "decoder_sparse_step 2"),
    "normed": ({"architectures": ["Qwen2MoeForCausalLM"], "norm_topk_prob": True}, "norm_topk_prob True"),
    "not normed": (
        {"architectures": ["Qwen3MoeForCausalLM"], "norm_topk_prob": False},
        "norm_topk_prob False",
    ),
    "partial": ({"partial_rotary_factor": 0.5}, r"partial_rotary_factor 0\.5 cannot"),
    "partial, the newer way": ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    "activation": ({"hidden_act": "gelu"}, "hidden_act 'gelu' cannot be converted: .*silu"),
    **{
        method: (
            {"quantization_config": {"quant_method": method}},
            rf"already quantised \({method}\).*16-bit",
        )
        for method in ("gptq", "awq", "fp8", "bitsandbytes", "compressed-tensors")
    },
    "compressed": ({"compression_config": {"format": "float-quantized"}}, "already quantised"),
    "gpt-oss": ({"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss"}, "GptOss.*truncate"),
    "remote code": (
        {
            "architectures": ["BaichuanForCausalLM"],
            "auto_map": {"AutoModelForCausalLM": "modeling_baichuan.X"},
        },
        "BaichuanForCausalLM.*modeling_baichuan.*nothing from a model's repository is executed",
    ),
}


@pytest.mark.parametrize(("changes", "says"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_unsupported_properties_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(AcquireError) as caught:
        read(tmp_path, **changes)
    message = str(caught.value)
    assert re.search(says, message.replace("\n", " ")), message
    assert caught.value.advice


def test_a_window_as_long_as_the_context_is_none(tmp_path: Path) -> None:
    for kind, changes in (
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 0}),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 2}),
        ("Qwen2", {"use_sliding_window": False, "sliding_window": 64, "max_window_layers": 0}),
        ("Qwen3Moe", {"use_sliding_window": False, "sliding_window": 64, "norm_topk_prob": True}),
        ("Phi3", {"sliding_window": 4096}),
    ):
        assert read(tmp_path, architectures=[f"{kind}ForCausalLM"], **changes).hidden_size == 64


def test_code_beside_a_class_that_is_known_is_not_needed(tmp_path: Path) -> None:
    mapped = {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}
    assert read(tmp_path, architectures=["Phi3ForCausalLM"], auto_map=mapped).hidden_size == 64


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff\xfe", b'{"a": 1, "a": 2}'])
def test_refuses_a_damaged_file(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(InputError):
        read_folder(tmp_path)


@pytest.mark.parametrize("value", [1e308, -1e308, 3.5e38, 1e-320, 1e-39, 10**400])
@pytest.mark.parametrize("key", ["rms_norm_eps", "rope_theta", "rope_scaling.factor"])
def test_numbers_that_have_no_place_in_32_bits(tmp_path: Path, key: str, value: float) -> None:
    outer, _, inner = key.partition(".")
    changes = {outer: {"rope_type": "linear", inner: value} if inner else value}
    with pytest.raises(InputError, match=rf"config\.json, key '{key}'"):
        read(tmp_path, **changes)
