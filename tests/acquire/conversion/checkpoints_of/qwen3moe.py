"""Qwen3-MoE: experts only, one by one and as transformers 5 holds them."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import SMALL, Made

CONFIG = {
    **SMALL,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_act": "silu",
    "head_dim": 128,
    "intermediate_size": 1024,
    "moe_intermediate_size": 256,
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "attention_bias": False,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "use_sliding_window": False,
    "tie_word_embeddings": False,
}

NEW = {key: value for key, value in CONFIG.items() if key not in ("rope_theta", "num_experts", "torch_dtype")}

MADE = {
    "": Made(CONFIG, tokenizer="bpe"),
    "as transformers 5 holds it": Made(
        {
            **NEW,
            "num_local_experts": 6,
            "dtype": "bfloat16",
            "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
        },
        tokenizer="bpe",
        fused=True,
        same_as="qwen3moe",
    ),
}
