"""Qwen2 and 2.5: biases in the attention; the smaller ones have one matrix for input and output."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import SMALL, Made

CONFIG = {
    **SMALL,
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "sliding_window": 64,
    "use_sliding_window": False,
    "max_window_layers": 2,
    "tie_word_embeddings": False,
}

MADE = {
    "": Made(CONFIG),
    "tied": Made({**CONFIG, "tie_word_embeddings": True, "vocab_size": 448}),
}
