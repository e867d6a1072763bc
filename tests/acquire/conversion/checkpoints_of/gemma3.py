"""Gemma 3 alone and inside its multimodal wrapper, by the names of three generations of transformers."""

from __future__ import annotations

from typing import Any

from tests.acquire.conversion.checkpoints_of import SMALL, Made
from tests.acquire.conversion.checkpoints_of.gemma2 import PIECES, gelu_of_ggml

TEXT: dict[str, Any] = {
    **SMALL,
    "model_type": "gemma3_text",
    "num_hidden_layers": 7,
    "head_dim": 64,
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "rope_local_base_freq": 10000.0,
    "sliding_window": 64,
    "sliding_window_pattern": 6,
    "query_pre_attn_scalar": 64,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
}
ALONE = {**TEXT, "architectures": ["Gemma3ForCausalLM"]}
VISION = {
    "model_type": "siglip_vision_model",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
WHOLE: dict[str, Any] = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "text_config": TEXT,
    "vision_config": VISION,
    "mm_tokens_per_image": 4,
    "image_token_index": 398,
    "boi_token_index": 396,
    "eoi_token_index": 397,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
ROPE_OF_5 = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}
SILENT = ("num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps")
"""What the config.json of the 4B does not say, because it is what transformers assumes."""


def _without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


def _made(config: dict[str, Any], **more: Any) -> Made:
    return Made(config, tolerance=1e-2, norm_mean=0.0, pieces=PIECES, emulate=gelu_of_ggml, **more)


def _name_in_memory(name: str) -> str:
    """What transformers calls it in memory since 4.52, and some tools save."""
    if name.startswith("language_model.model."):
        return name.replace("language_model.model.", "model.language_model.", 1)
    return f"model.{name}"


MADE = {
    "": _made(ALONE),
    "capped": _made({**ALONE, "num_hidden_layers": 2, "final_logit_softcapping": 3.0}),
    "whole": _made(
        {**WHOLE, "text_config": {**TEXT, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}}
    ),
    "whole by names in memory": _made(
        {
            **WHOLE,
            "text_config": {
                **_without(TEXT, "rope_theta", "rope_local_base_freq", "sliding_window_pattern"),
                "rope_parameters": ROPE_OF_5,
                "layer_types": ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
            },
        },
        rename=_name_in_memory,
    ),
    "whole and silent": _made(
        {
            **WHOLE,
            "text_config": _without(
                TEXT, *SILENT, "query_pre_attn_scalar", "rope_theta", "sliding_window_pattern"
            )
            | {"num_hidden_layers": 2},
        }
    ),
}
