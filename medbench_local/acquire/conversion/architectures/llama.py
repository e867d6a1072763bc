"""Llama, its successors, and the models that were trained from them."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal, linear
from medbench_local.acquire.conversion.layers import ATTENTION, EMBEDDING, LAYER
from medbench_local.acquire.conversion.model_config import ModelConfig
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

MLP = f"{LAYER}.mlp"


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
        ExpectedTensor(EMBEDDING, vocabulary),
        ExpectedTensor(f"{LAYER}.input_layernorm.weight", width),
        *linear(
            f"{ATTENTION}.q_proj", queries, heads=lambda config: config.num_attention_heads, bias="optional"
        ),
        *linear(
            f"{ATTENTION}.k_proj", keys, heads=lambda config: config.num_key_value_heads, bias="optional"
        ),
        *linear(f"{ATTENTION}.v_proj", keys, bias="optional"),
        *linear(f"{ATTENTION}.o_proj", attended, bias="optional"),
        ExpectedTensor(f"{LAYER}.post_attention_layernorm.weight", width),
        *linear(f"{MLP}.gate_proj", up, bias="optional"),
        *linear(f"{MLP}.up_proj", up, bias="optional"),
        *linear(f"{MLP}.down_proj", down, bias="optional"),
        ExpectedTensor("model.norm.weight", width),
        # without an output matrix llama.cpp takes the embedding; some tied checkpoints store it twice
        ExpectedTensor("lm_head.weight", vocabulary, optional=tied),
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
