"""Cohere 2 (Command R7B): attention and feed-forward side by side, no positions in the layers without a window."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter, RopeScalingType

from medbench_local.acquire.conversion.architecture import (
    Architecture,
    ExpectedTensor,
    Refusal,
    linear,
)
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, ModelConfig, Positive, Size
from medbench_local.acquire.conversion.tensor_shapes import (
    attended,
    down,
    keys,
    queries,
    up,
    vocabulary,
    width,
)

EMBEDDING = "model.embed_tokens.weight"
LAYER = "model.layers.{layer}"
ATTENTION = f"{LAYER}.self_attn"


class Cohere2Config(ModelConfig):
    """The configuration of a Cohere 2 model.

    Attributes:
        logit_scale: what logits are multiplied with.
        sliding_window: tokens a position of a windowed layer attends to, itself included.
        layer_types: "sliding_attention" or "full_attention" of each layer; None for the usual order.
        sliding_window_pattern: one layer in how many sees everything, if "layer_types" does not say.
        rotary_pct: the part of each head that is rotated.
    """

    logit_scale: Positive = 0.0625
    sliding_window: Size | None = None
    layer_types: list[str] | None = None
    sliding_window_pattern: Size = 4
    rotary_pct: Positive = 1.0


def _windows(config: Cohere2Config) -> list[bool]:
    if config.layer_types is not None:
        return [kind != "full_attention" for kind in config.layer_types]
    return [(layer + 1) % config.sliding_window_pattern != 0 for layer in range(config.num_hidden_layers)]


def _write_keys(writer: GGUFWriter, config: Cohere2Config) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_logit_scale(config.logit_scale)
    if config.sliding_window is not None:
        writer.add_sliding_window(config.sliding_window)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_scaling_type(RopeScalingType.NONE)


ARCHITECTURE: Architecture[Cohere2Config] = Architecture(
    classes=("Cohere2ForCausalLM",),
    gguf=MODEL_ARCH.COHERE2,
    config=Cohere2Config,
    assumed={"max_position_embeddings": 8192, "sliding_window": 4096, "tie_word_embeddings": True},
    embedding=EMBEDDING,
    tensors=(
        ExpectedTensor(EMBEDDING, vocabulary),
        ExpectedTensor(f"{LAYER}.input_layernorm.weight", width),
        *linear(f"{ATTENTION}.q_proj", queries),
        *linear(f"{ATTENTION}.k_proj", keys),
        *linear(f"{ATTENTION}.v_proj", keys),
        *linear(f"{ATTENTION}.o_proj", attended),
        *linear(f"{LAYER}.mlp.gate_proj", up),
        *linear(f"{LAYER}.mlp.up_proj", up),
        *linear(f"{LAYER}.mlp.down_proj", down),
        ExpectedTensor("model.norm.weight", width),
    ),
    # the output matrix is the embedding; some checkpoints store it twice
    skipped=(r".*\.rotary_emb\.inv_freq", r"lm_head\.weight"),
    refusals=(
        Refusal(
            "hidden_act",
            lambda config: config.hidden_act != "silu",
            "llama.cpp computes it with silu",
            OTHER_ENGINE,
        ),
        Refusal(
            "head_dim",
            lambda config: config.head_dim * config.num_attention_heads != config.hidden_size,
            "llama.cpp takes hidden_size / num_attention_heads",
            OTHER_ENGINE,
        ),
        Refusal(
            "tie_word_embeddings",
            lambda config: not config.tie_word_embeddings,
            "llama.cpp takes the embedding for the output matrix",
            OTHER_ENGINE,
        ),
        Refusal(
            "rotary_pct",
            lambda config: config.rotary_pct != 1,
            "the model rotates whole heads, and a GGUF file with this value would not",
            OTHER_ENGINE,
        ),
        Refusal(
            "partial_rotary_factor",
            lambda config: config.partial_rotary_factor != 1,
            "llama.cpp rotates whole heads in this architecture",
            OTHER_ENGINE,
        ),
        Refusal(
            "sliding_window",
            lambda config: config.sliding_window is None,
            "llama.cpp always has a window here",
            OTHER_ENGINE,
        ),
        Refusal(
            "layer_types",
            lambda config: (
                _windows(config) != [(layer + 1) % 4 != 0 for layer in range(config.num_hidden_layers)]
            ),
            "llama.cpp gives a window to all layers but every fourth",
            OTHER_ENGINE,
        ),
    ),
    write_keys=_write_keys,
    rope=(),
    norm="layer",
    zeros=(r"model\..*\.bias",),
)
