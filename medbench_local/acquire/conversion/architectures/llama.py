"""Llama, its successors, and the models that were trained from them."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal, linear
from medbench_local.acquire.conversion.model_config import ModelConfig

EMBEDDING = "model.embed_tokens.weight"
ATTENTION = "model.layers.{layer}.self_attn"
MLP = "model.layers.{layer}.mlp"


def _width(config: ModelConfig) -> tuple[int]:
    return (config.hidden_size,)


def _vocabulary(config: ModelConfig) -> tuple[int, int]:
    return (config.vocab_size, config.hidden_size)


def _queries(config: ModelConfig) -> tuple[int, int]:
    return (config.num_attention_heads * config.head_dim, config.hidden_size)


def _attended(config: ModelConfig) -> tuple[int, int]:
    return (config.hidden_size, config.num_attention_heads * config.head_dim)


def _keys(config: ModelConfig) -> tuple[int, int]:
    return (config.num_key_value_heads * config.head_dim, config.hidden_size)


def _up(config: ModelConfig) -> tuple[int, int]:
    return (config.intermediate_size, config.hidden_size)


def _down(config: ModelConfig) -> tuple[int, int]:
    return (config.hidden_size, config.intermediate_size)


def write_keys(writer: GGUFWriter, config: ModelConfig) -> None:
    """The size of the vocabulary, and how much of a head is rotated: all."""
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.head_dim)


ARCHITECTURE: Architecture[ModelConfig] = Architecture(
    classes=("LlamaForCausalLM",),
    gguf=MODEL_ARCH.LLAMA,
    config=ModelConfig,
    assumed={"max_position_embeddings": 2048},
    embedding=EMBEDDING,
    tensors=(
        ExpectedTensor(EMBEDDING, _vocabulary),
        ExpectedTensor("model.layers.{layer}.input_layernorm.weight", _width),
        *linear(
            f"{ATTENTION}.q_proj", _queries, heads=lambda config: config.num_attention_heads, bias="optional"
        ),
        *linear(
            f"{ATTENTION}.k_proj", _keys, heads=lambda config: config.num_key_value_heads, bias="optional"
        ),
        *linear(f"{ATTENTION}.v_proj", _keys, bias="optional"),
        *linear(f"{ATTENTION}.o_proj", _attended, bias="optional"),
        ExpectedTensor("model.layers.{layer}.post_attention_layernorm.weight", _width),
        *linear(f"{MLP}.gate_proj", _up, bias="optional"),
        *linear(f"{MLP}.up_proj", _up, bias="optional"),
        *linear(f"{MLP}.down_proj", _down, bias="optional"),
        ExpectedTensor("model.norm.weight", _width),
        # without an output matrix llama.cpp takes the embedding; some tied checkpoints store it twice
        ExpectedTensor("lm_head.weight", _vocabulary, optional=lambda config: config.tie_word_embeddings),
    ),
    # old checkpoints hold the rotary frequencies, which follow from config.json
    skipped=(r".*\.rotary_emb\.inv_freq",),
    refusals=(
        Refusal("hidden_act", lambda config: config.hidden_act != "silu", "llama.cpp computes it with silu"),
        Refusal(
            "partial_rotary_factor",
            lambda config: config.partial_rotary_factor != 1,
            "rotating only a part of each head is not supported",
        ),
    ),
    write_keys=write_keys,
)
