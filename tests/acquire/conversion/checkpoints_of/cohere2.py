"""Cohere 2: norms that subtract the mean, no positions in every fourth layer, logits that are scaled."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import SMALL, Made

CONFIG = {
    **SMALL,
    "architectures": ["Cohere2ForCausalLM"],
    "model_type": "cohere2",
    "num_hidden_layers": 5,
    "hidden_act": "silu",
    "layer_norm_eps": 1e-5,
    "rope_theta": 50000.0,
    "rotary_pct": 1.0,
    "logit_scale": 0.25,
    "sliding_window": 64,
    "sliding_window_pattern": 4,
    "attention_bias": False,
    "bos_token_id": 398,
    "eos_token_id": 399,
}

MADE = {"": Made(CONFIG, tokenizer="bpe")}
