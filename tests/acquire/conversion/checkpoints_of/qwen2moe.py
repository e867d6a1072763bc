"""Qwen2-MoE: experts beside a shared one."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import SMALL, Made

CONFIG = {
    **SMALL,
    "architectures": ["Qwen2MoeForCausalLM"],
    "model_type": "qwen2_moe",
    "hidden_act": "silu",
    "intermediate_size": 512,
    "moe_intermediate_size": 256,
    "shared_expert_intermediate_size": 512,
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "norm_topk_prob": False,
    "decoder_sparse_step": 1,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "sliding_window": 64,
    "use_sliding_window": False,
    "max_window_layers": 1,
    "tie_word_embeddings": False,
}

MADE = {"": Made(CONFIG, tokenizer="bpe")}
