"""Values of config.json that several architectures refuse, because no GGUF file could say them to llama.cpp."""

from __future__ import annotations

from medbench_local.acquire.conversion.architecture import Refusal
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, ModelConfig

SILU: Refusal[ModelConfig] = Refusal(
    "hidden_act", lambda config: config.hidden_act != "silu", "llama.cpp computes it with silu", OTHER_ENGINE
)
WHOLE_HEADS: Refusal[ModelConfig] = Refusal(
    "partial_rotary_factor",
    lambda config: config.partial_rotary_factor != 1,
    "llama.cpp rotates whole heads in this architecture",
    OTHER_ENGINE,
)
EQUAL_HEADS: Refusal[ModelConfig] = Refusal(
    "head_dim",
    lambda config: config.head_dim * config.num_attention_heads != config.hidden_size,
    "llama.cpp takes hidden_size / num_attention_heads",
    OTHER_ENGINE,
)
TIED: Refusal[ModelConfig] = Refusal(
    "tie_word_embeddings",
    lambda config: not config.tie_word_embeddings,
    "llama.cpp takes the embedding for the output matrix",
    OTHER_ENGINE,
)
NOT_TIED: Refusal[ModelConfig] = Refusal(
    "tie_word_embeddings",
    lambda config: config.tie_word_embeddings,
    "llama.cpp asks for an output matrix of its own here",
    OTHER_ENGINE,
)
