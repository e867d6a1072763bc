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
    "tied": Made({**CONFIG, "tie_word_embeddings": True, "vocab_size": 448}, again=True),
    "yarn": Made(
        {
            **CONFIG,
            "rope_scaling": {"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 128},
            "max_window_layers": 1,
            "use_sliding_window": True,
            "sliding_window": 2048,
        },
        again=True,
    ),
    "linear": Made({**CONFIG, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}, again=True),
}
