"""What llama.cpp would compute in another way is refused by name, with the reason and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

from medbench_local.acquire.conversion.architectures import architecture_of, architectures
from medbench_local.acquire.conversion.checkpoint import CheckpointView
from medbench_local.acquire.conversion.model_config import ModelConfig, read_model_config
from medbench_local.errors import UnsupportedArchitectureError
from tests.acquire.conversion.checkpoints_of import apertus, cohere2, gemma2, gemma3, olmo2, olmo3

LLAMA3 = {"rope_type": "llama3", "factor": 8.0}
ROPES = {"full_attention": {"rope_theta": 5e5}}
LOCAL = {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}


def read(config: dict[str, Any]) -> ModelConfig:
    here = Path("folder")
    checkpoint = CheckpointView(here, config, here / "config.json", here, {})
    found: ModelConfig = read_model_config(checkpoint, architecture_of(checkpoint))
    return found


@pytest.mark.parametrize(
    ("config", "changes", "says"),
    [
        (
            gemma2.CONFIG,
            {"query_pre_attn_scalar": 144},
            "a GGUF file does not hold it.*where there are 46 layers",
        ),
        (gemma2.CONFIG, {"num_hidden_layers": 46}, "query_pre_attn_scalar 128"),
        (gemma2.CONFIG, {"attn_logit_softcapping": None}, "always bounds the scores of attention"),
        (gemma2.CONFIG, {"final_logit_softcapping": None}, "always bounds the logits"),
        (gemma2.CONFIG, {"sliding_window": None}, "always has a window"),
        (gemma2.CONFIG, {"layer_types": ["full_attention"] * 3}, "layer_types.*every second layer"),
        (gemma2.CONFIG, {"layer_types": ["sliding_attention", "full_attention"]}, "layer_types"),
        (gemma2.CONFIG, {"hidden_activation": "gelu"}, "hidden_activation 'gelu'.*gelu_pytorch_tanh"),
        (gemma2.CONFIG, {"use_bidirectional_attention": True}, "see only those before them"),
        (gemma2.CONFIG, {"attention_bias": True}, "no bias here"),
        (gemma2.CONFIG, {"tie_word_embeddings": False}, "takes the embedding for the output matrix"),
        (gemma2.CONFIG, {"partial_rotary_factor": 0.5}, "rotates whole heads"),
        (gemma2.CONFIG, {"rope_scaling": LLAMA3}, "'llama3'.*does not follow it in a Gemma2ForCausalLM"),
        (
            gemma3.ALONE,
            {"query_pre_attn_scalar": 168},
            "a GGUF file does not hold it.*where there are 62 layers",
        ),
        (gemma3.ALONE, {"num_hidden_layers": 62, "num_attention_heads": 2}, "query_pre_attn_scalar 64"),
        (gemma3.ALONE, {"attn_logit_softcapping": 50.0}, "does not bound the scores of attention"),
        (
            gemma3.ALONE,
            {"vision_config": {}},
            "final_logit_softcapping 3.0.*leaves the logits of the whole model",
        ),
        (gemma3.ALONE, {"sliding_window": None}, "need its size"),
        (gemma3.ALONE, {"sliding_window_pattern": 2}, "all layers but every sixth"),
        (gemma3.ALONE, {"layer_types": ["full_attention", *["sliding_attention"] * 5]}, "every sixth"),
        (gemma3.ALONE, {"use_bidirectional_attention": "all"}, "see only those before them"),
        (gemma3.ALONE, {"rope_scaling": LLAMA3}, "'llama3'.*does not follow it"),
        (gemma3.ALONE, {"rope_parameters": LOCAL}, "'linear' of layers with a window"),
        (olmo2.CONFIG, {"attention_bias": True}, "no bias here"),
        (olmo2.CONFIG, {"head_dim": 32}, "hidden_size / num_attention_heads"),
        (olmo2.CONFIG, {"tie_word_embeddings": True}, "an output matrix of its own"),
        (olmo2.CONFIG, {"hidden_act": "gelu"}, "with silu"),
        (olmo2.CONFIG, {"rope_scaling": LLAMA3}, "does not follow it in a Olmo2ForCausalLM"),
        (olmo3.CONFIG, {"sliding_window": None}, "need its size"),
        (
            olmo3.CONFIG,
            {"rope_parameters": {**ROPES, "sliding_attention": {"rope_theta": 1e4}}},
            "the same rope_theta",
        ),
        (olmo3.CONFIG, {"rope_parameters": {**ROPES, **LOCAL}}, "'linear' of layers with a window"),
        (apertus.CONFIG, {"hidden_act": "silu"}, "with xielu"),
        (apertus.CONFIG, {"tie_word_embeddings": True}, "an output matrix of its own"),
        (apertus.CONFIG, {"partial_rotary_factor": 0.5}, "rotates whole heads"),
        (cohere2.CONFIG, {"sliding_window_pattern": 2}, "all layers but every fourth"),
        (cohere2.CONFIG, {"layer_types": ["full_attention"] * 5}, "all layers but every fourth"),
        (cohere2.CONFIG, {"sliding_window": None}, "always has a window"),
        (cohere2.CONFIG, {"rotary_pct": 0.5}, "rotary_pct 0.5"),
        (cohere2.CONFIG, {"head_dim": 32}, "hidden_size / num_attention_heads"),
        (cohere2.CONFIG, {"tie_word_embeddings": False}, "takes the embedding for the output matrix"),
        (
            cohere2.CONFIG,
            {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
            "'linear'.*does not follow",
        ),
    ],
)
def test_refused(config: dict[str, Any], changes: dict[str, Any], says: str) -> None:
    assert read(config)
    with pytest.raises(UnsupportedArchitectureError, match=says) as caught:
        read({**config, **changes})
    assert str(Path("folder", "config.json")) in str(caught.value)
    assert "`run_reference()`" in caught.value.advice


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        # the 27B of each generation, which scales queries by hidden_size / num_attention_heads
        (gemma2.CONFIG, {"num_hidden_layers": 46, "num_attention_heads": 2}),
        (gemma3.ALONE, {"num_hidden_layers": 62, "head_dim": 128}),
        (gemma2.CONFIG, {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
        (gemma3.ALONE, {"layer_types": [*["sliding_attention"] * 5, "full_attention"]}),
        (gemma3.ALONE, {"layer_types": ["full_attention"] * 6, "sliding_window": None}),
        (gemma3.ALONE, {"sliding_window_pattern": 1}),
        (
            cohere2.CONFIG,
            {"layer_types": [*["sliding_attention"] * 3, "full_attention", "sliding_attention"]},
        ),
        (gemma2.CONFIG, {"hidden_act": "silu"}),
        (olmo3.CONFIG, {"layer_types": ["full_attention", *["sliding_attention"] * 4]}),
        (olmo3.CONFIG, {"layer_types": ["full_attention"] * 5, "sliding_window": None}),
        (olmo3.CONFIG, {"rope_parameters": {**ROPES, "sliding_attention": {"rope_theta": 5e5}}}),
    ],
)
def test_not_refused(config: dict[str, Any], changes: dict[str, Any]) -> None:
    assert read({**config, **changes})


@pytest.mark.parametrize(
    "made", [apertus, cohere2, gemma2, gemma3, olmo2, olmo3], ids=lambda made: made.__name__[-8:]
)
def test_what_is_assumed_is_what_transformers_assumes(made: Any) -> None:
    config: dict[str, Any] = getattr(made, "ALONE", None) or made.CONFIG
    assumed = dict(architectures()[config["architectures"][0]].assumed)
    theirs = transformers.AutoConfig.for_model(config["model_type"])
    rope = theirs.rope_parameters.get("full_attention", theirs.rope_parameters)
    assert assumed.pop("rope_theta", 10000.0) == rope["rope_theta"]
    assert {**assumed.pop("rope_scaling", {"rope_type": "default"}), "rope_theta": rope["rope_theta"]} == rope
    assert {key: getattr(theirs, key) for key in assumed} == assumed


def test_the_silent_configuration_of_the_4b() -> None:
    """Its "text_config" holds these keys only, and its "rope_scaling" stretches the layers without a window."""
    said = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    }
    ours: Any = read({"architectures": ["Gemma3ForConditionalGeneration"], **said})
    theirs = transformers.Gemma3TextConfig(
        **{key: value for key, value in said.items() if key != "model_type"}
    )
    same = [
        *("vocab_size", "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"),
        *(
            "rms_norm_eps",
            "sliding_window",
            "query_pre_attn_scalar",
            "hidden_activation",
            "tie_word_embeddings",
        ),
    ]
    assert {key: getattr(ours, key) for key in same} == {key: getattr(theirs, key) for key in same}
    whole, local = (theirs.rope_parameters[kind] for kind in ("full_attention", "sliding_attention"))
    assert (ours.rope_theta, ours.rope_scaling.factor) == (whole["rope_theta"], whole["factor"])
    assert local == {"rope_type": "default", "rope_theta": ours.rope_local_base_freq}


def test_a_kind_for_each_layer() -> None:
    with pytest.raises(UnsupportedArchitectureError, match="one kind for each of num_hidden_layers"):
        read({**olmo3.CONFIG, "layer_types": ["sliding_attention"]})
