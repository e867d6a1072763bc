"""Qwen3: norms of queries and keys, and heads whose size does not follow from the width."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import SMALL, Made

CONFIG = {
    **SMALL,
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_act": "silu",
    "head_dim": 96,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "use_sliding_window": False,
    "max_window_layers": 2,
    "attention_bias": False,
    "tie_word_embeddings": True,
}
NEW = {key: value for key, value in CONFIG.items() if key not in ("rope_theta", "torch_dtype")}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1000000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 64,
    "attention_factor": 1.2772588722239782,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": True,
}

MADE = {
    "": Made(CONFIG),
    "as transformers 5 writes it": Made(
        {
            **NEW,
            "dtype": "bfloat16",
            "rope_parameters": YARN,
            "tie_word_embeddings": False,
        },
        again=True,
    ),
}
