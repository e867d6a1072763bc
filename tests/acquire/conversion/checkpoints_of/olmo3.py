"""OLMo 3: yarn in the layers that see everything, windows in the others."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import Made, olmo2

YARN = {
    "rope_type": "yarn",
    "factor": 8.0,
    "original_max_position_embeddings": 128,
    "attention_factor": 1.2079441541679836,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
CONFIG = {
    **olmo2.CONFIG,
    "architectures": ["Olmo3ForCausalLM"],
    "model_type": "olmo3",
    "num_hidden_layers": 5,
    "sliding_window": 64,
    "rope_scaling": YARN,
}

MADE = {"": Made(CONFIG, tokenizer="bpe")}
