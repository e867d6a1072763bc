"""Gemma 3 alone, and inside its multimodal wrapper with what the small ones say and what the 4B leaves out."""

from __future__ import annotations

from typing import Any

from tests.acquire.conversion.checkpoints_of import SMALL, Made
from tests.acquire.conversion.checkpoints_of.gemma2 import PIECES, gelu_of_ggml

TEXT: dict[str, Any] = {
    **SMALL,
    "model_type": "gemma3_text",
    "num_hidden_layers": 6,
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
ALONE = {**TEXT, "architectures": ["Gemma3ForCausalLM"], "final_logit_softcapping": 3.0}
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
SILENT = ("num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps")
"""What the config.json of the 4B does not say, because it is what transformers assumes."""


def _without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


def _quiet(model: Any) -> None:
    """Parts that add little to what goes from layer to layer: six layers would blow up every rounding."""
    for name, values in model.named_parameters():
        if "post_attention_layernorm" in name or "post_feedforward_layernorm" in name:
            values.data = values.data - 0.85


def _made(config: dict[str, Any], *, again: bool = False) -> Made:
    return Made(
        config,
        tolerance=1e-2,
        norm_mean=0.0,
        pieces=PIECES,
        emulate=gelu_of_ggml,
        prepare=_quiet,
        again=again,
    )


MADE = {
    "": _made(ALONE),
    "whole": _made(
        {**WHOLE, "text_config": {**TEXT, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}},
        again=True,
    ),
    "whole and silent": _made(
        {
            **WHOLE,
            "text_config": _without(
                TEXT, *SILENT, "query_pre_attn_scalar", "rope_theta", "sliding_window_pattern"
            )
            | {"num_hidden_layers": 2},
        },
        again=True,
    ),
}
