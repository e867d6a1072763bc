"""Qwen3: Qwen2 with norms of queries and keys in place of biases, and heads of a size of their own."""

from __future__ import annotations

from gguf import MODEL_ARCH

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal
from medbench_local.acquire.conversion.architectures.qwen2 import (
    NO_WINDOW,
    ROPE,
    SILU,
    WHOLE_HEADS,
    QwenConfig,
    windowed,
    write_nothing,
)
from medbench_local.acquire.conversion.layers import (
    ATTENTION,
    EMBEDDING,
    FEED_FORWARD,
    LAYER,
    OUTPUT,
    PROJECTIONS,
)
from medbench_local.acquire.conversion.tensor_shapes import head, tied, vocabulary, width


class Qwen3Config(QwenConfig):
    """The configuration of a Qwen3 model.

    Attributes:
        attention_bias: whether there are biases in the attention; no published model has them.
    """

    attention_bias: bool = False


NO_BIAS: Refusal[Qwen3Config] = Refusal(
    "attention_bias", lambda config: config.attention_bias, "llama.cpp has no place for all of these biases"
)

ATTENTION_TENSORS: tuple[ExpectedTensor[Qwen3Config], ...] = (
    *PROJECTIONS,
    ExpectedTensor(f"{ATTENTION}.q_norm.weight", head),
    ExpectedTensor(f"{ATTENTION}.k_norm.weight", head),
    *OUTPUT,
)

ARCHITECTURE: Architecture[Qwen3Config] = Architecture(
    classes=("Qwen3ForCausalLM",),
    gguf=MODEL_ARCH.QWEN3,
    config=Qwen3Config,
    assumed={
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "sliding_window": 4096,
        "max_window_layers": 28,
    },
    embedding=EMBEDDING,
    tensors=(
        ExpectedTensor(EMBEDDING, vocabulary),
        ExpectedTensor(f"{LAYER}.input_layernorm.weight", width),
        *ATTENTION_TENSORS,
        ExpectedTensor(f"{LAYER}.post_attention_layernorm.weight", width),
        *FEED_FORWARD,
        ExpectedTensor("model.norm.weight", width),
        ExpectedTensor("lm_head.weight", vocabulary, optional=tied),
    ),
    skipped=(r".*\.rotary_emb\.inv_freq",),
    refusals=(SILU, Refusal("use_sliding_window", windowed, *NO_WINDOW), WHOLE_HEADS, NO_BIAS),
    write_keys=write_nothing,
    rope=ROPE,
)
