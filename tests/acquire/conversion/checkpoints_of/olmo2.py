"""OLMo 2: no norm before a part but one behind it, and norms over all heads together."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import SMALL, Made

CONFIG = {
    **SMALL,
    "architectures": ["Olmo2ForCausalLM"],
    "model_type": "olmo2",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 500000.0,
    "attention_bias": False,
    "bos_token_id": 398,
    "eos_token_id": 399,
    "tie_word_embeddings": False,
}

MADE = {"": Made(CONFIG, tokenizer="bpe")}
