"""Phi-4, and Phi-3 whose positions are stretched."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import SMALL, Made

CONFIG = {
    **SMALL,
    "architectures": ["Phi3ForCausalLM"],
    "model_type": "phi3",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "original_max_position_embeddings": 1024,
    "rope_theta": 250000,
    "rope_scaling": None,
    "sliding_window": None,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
SHORT = [1 + 0.05 * i for i in range(24)]
LONG = [1 + 1.7 * i for i in range(24)]

MADE = {
    "": Made(CONFIG),
    "long": Made(
        {
            **CONFIG,
            "max_position_embeddings": 4096,
            "original_max_position_embeddings": 512,
            "partial_rotary_factor": 0.75,
            "rope_scaling": {"type": "longrope", "short_factor": SHORT, "long_factor": LONG},
            "sliding_window": 8192,
        },
        again=True,
        exceptions={
            "phi3.context_length": "beyond the original context, llama.cpp changes the frequencies of all prompts"
        },
    ),
}
