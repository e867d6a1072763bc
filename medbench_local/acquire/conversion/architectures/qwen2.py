"""Qwen2 and Qwen2.5: Llama with biases in the attention, whose rows llama.cpp rotates as transformers does."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal, linear
from medbench_local.acquire.conversion.model_config import ModelConfig, Size
from medbench_local.acquire.conversion.tensor_shapes import (
    attended,
    down,
    keys,
    queries,
    tied,
    up,
    vocabulary,
    width,
)

EMBEDDING = "model.embed_tokens.weight"
LAYER = "model.layers.{layer}"
ATTENTION = f"{LAYER}.self_attn"
ROPE = ("linear", "yarn")
"""Of the ways to stretch positions, those that llama.cpp's graphs of the Qwen models follow."""


class QwenConfig(ModelConfig):
    """The configuration of a Qwen model.

    Attributes:
        use_sliding_window: whether the layers from ``max_window_layers`` on attend to a window only.
        sliding_window: tokens of that window.
        max_window_layers: number of the first layer with a window.
    """

    use_sliding_window: bool = False
    sliding_window: Size | None = None
    max_window_layers: int = 0


def windowed(config: QwenConfig) -> bool:
    """Whether a layer does not see all that a prompt may hold."""
    return (
        config.use_sliding_window
        and config.sliding_window is not None
        and config.sliding_window < config.max_position_embeddings
        and config.max_window_layers < config.num_hidden_layers
    )


def write_nothing(_writer: GGUFWriter, _config: ModelConfig) -> None:
    """What all architectures have is all that there is to say."""


SILU: Refusal[ModelConfig] = Refusal(
    "hidden_act", lambda config: config.hidden_act != "silu", "llama.cpp computes it with silu"
)
WINDOW: Refusal[QwenConfig] = Refusal(
    "use_sliding_window",
    windowed,
    "llama.cpp attends to all tokens in this architecture, also where the model was trained with a window that is "
    "shorter than its context, and would give other answers to longer prompts",
)
WHOLE_HEADS: Refusal[ModelConfig] = Refusal(
    "partial_rotary_factor",
    lambda config: config.partial_rotary_factor != 1,
    "llama.cpp rotates whole heads in this architecture",
)
HEAD_SIZE: Refusal[ModelConfig] = Refusal(
    "head_dim",
    lambda config: config.head_dim * config.num_attention_heads != config.hidden_size,
    "llama.cpp takes hidden_size / num_attention_heads in this architecture",
)

ARCHITECTURE: Architecture[QwenConfig] = Architecture(
    classes=("Qwen2ForCausalLM",),
    gguf=MODEL_ARCH.QWEN2,
    config=QwenConfig,
    assumed={
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
        "sliding_window": 4096,
        "max_window_layers": 28,
    },
    embedding=EMBEDDING,
    tensors=(
        ExpectedTensor(EMBEDDING, vocabulary),
        ExpectedTensor(f"{LAYER}.input_layernorm.weight", width),
        *linear(f"{ATTENTION}.q_proj", queries, bias="required"),
        *linear(f"{ATTENTION}.k_proj", keys, bias="required"),
        *linear(f"{ATTENTION}.v_proj", keys, bias="required"),
        *linear(f"{ATTENTION}.o_proj", attended),
        ExpectedTensor(f"{LAYER}.post_attention_layernorm.weight", width),
        *linear(f"{LAYER}.mlp.gate_proj", up),
        *linear(f"{LAYER}.mlp.up_proj", up),
        *linear(f"{LAYER}.mlp.down_proj", down),
        ExpectedTensor("model.norm.weight", width),
        ExpectedTensor("lm_head.weight", vocabulary, optional=tied),
    ),
    skipped=(r".*\.rotary_emb\.inv_freq",),
    refusals=(SILU, WINDOW, WHOLE_HEADS, HEAD_SIZE),
    write_keys=write_nothing,
    rope=ROPE,
    states_head_size=False,
)
