"""Mixtral: experts one by one, and as transformers 5 holds them."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import SMALL, Made

CONFIG = {
    **SMALL,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_act": "silu",
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "tie_word_embeddings": False,
}

MADE = {"": Made(CONFIG), "together": Made(CONFIG, fused=True, same_as="mixtral")}
