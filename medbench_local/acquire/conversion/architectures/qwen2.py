"""Qwen2 and Qwen2.5: Llama with biases in the attention, whose rows llama.cpp rotates as transformers does."""

from __future__ import annotations

from typing import Annotated

from gguf import MODEL_ARCH, GGUFWriter
from pydantic import Field

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal, linear
from medbench_local.acquire.conversion.layers import ATTENTION, EMBEDDING, FEED_FORWARD, LAYER, OUTPUT
from medbench_local.acquire.conversion.model_config import ModelConfig
from medbench_local.acquire.conversion.tensor_shapes import keys, queries, tied, vocabulary, width

ROPE = ("linear", "yarn")
"""Of the ways to stretch positions, those that llama.cpp's graphs of the Qwen models follow."""


class QwenConfig(ModelConfig):
    """The configuration of a Qwen model.

    Attributes:
        use_sliding_window: whether the layers from ``max_window_layers`` on attend to a window only.
        sliding_window: tokens of that window; transformers writes 0 for a Qwen2-MoE without one.
        max_window_layers: number of the first layer with a window.
        layer_types: "sliding_attention" for each layer with a window; None if ``max_window_layers`` says it.
    """

    use_sliding_window: bool = False
    sliding_window: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    max_window_layers: int = 0
    layer_types: list[str] | None = None


def windowed(config: QwenConfig) -> bool:
    """Whether a layer does not see all that a prompt may hold."""
    if config.layer_types is None:
        some = config.max_window_layers < config.num_hidden_layers
    else:
        some = "sliding_attention" in config.layer_types
    return some and shorter_than_context(config)


def shorter_than_context(config: QwenConfig) -> bool:
    """Whether there is a window, and prompts may be longer."""
    window = config.sliding_window
    return config.use_sliding_window and window is not None and window < config.max_position_embeddings


def write_nothing(_writer: GGUFWriter, _config: ModelConfig) -> None:
    """What all architectures have is all that there is to say."""


SILU: Refusal[ModelConfig] = Refusal(
    "hidden_act", lambda config: config.hidden_act != "silu", "llama.cpp computes it with silu"
)
NO_WINDOW = (
    "llama.cpp has no window in this architecture: every token attends to all before it, also where the model was "
    "trained otherwise (sliding_window is below max_position_embeddings)",
    "Prompts of up to sliding_window tokens are the same with a window and without: if those are enough, set "
    "max_position_embeddings to sliding_window in config.json in a copy of the checkpoint.",
)
"""Why a window is refused, and what to do."""

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
        *OUTPUT,
        ExpectedTensor(f"{LAYER}.post_attention_layernorm.weight", width),
        *FEED_FORWARD,
        ExpectedTensor("model.norm.weight", width),
        ExpectedTensor("lm_head.weight", vocabulary, optional=tied),
    ),
    skipped=(r".*\.rotary_emb\.inv_freq",),
    refusals=(SILU, Refusal("use_sliding_window", windowed, *NO_WINDOW), WHOLE_HEADS, HEAD_SIZE),
    write_keys=write_nothing,
    rope=ROPE,
    states_head_size=False,
)
