"""OLMo 2: norms behind every part, and over the whole of queries and keys."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import (
    Architecture,
    ExpectedTensor,
    Refusal,
    linear,
)
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, ModelConfig
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


class Olmo2Config(ModelConfig):
    """The configuration of an OLMo 2 model.

    Attributes:
        attention_bias: whether the matrices of attention have biases.
    """

    attention_bias: bool = False


def _write_keys(_writer: GGUFWriter, _config: Olmo2Config) -> None:
    """Nothing but what all have."""


ARCHITECTURE: Architecture[Olmo2Config] = Architecture(
    classes=("Olmo2ForCausalLM",),
    gguf=MODEL_ARCH.OLMO2,
    config=Olmo2Config,
    assumed={"max_position_embeddings": 2048, "rms_norm_eps": 1e-5},
    embedding=EMBEDDING,
    tensors=(
        ExpectedTensor(EMBEDDING, vocabulary),
        *linear(f"{ATTENTION}.q_proj", queries),
        *linear(f"{ATTENTION}.k_proj", keys),
        *linear(f"{ATTENTION}.v_proj", keys),
        ExpectedTensor(f"{ATTENTION}.q_norm.weight", lambda config: queries(config)[:1]),
        ExpectedTensor(f"{ATTENTION}.k_norm.weight", lambda config: keys(config)[:1]),
        *linear(f"{ATTENTION}.o_proj", attended),
        ExpectedTensor(f"{LAYER}.post_attention_layernorm.weight", width),
        *linear(f"{LAYER}.mlp.gate_proj", up),
        *linear(f"{LAYER}.mlp.up_proj", up),
        *linear(f"{LAYER}.mlp.down_proj", down),
        ExpectedTensor(f"{LAYER}.post_feedforward_layernorm.weight", width),
        ExpectedTensor("model.norm.weight", width),
        ExpectedTensor("lm_head.weight", vocabulary),
    ),
    skipped=(r".*\.rotary_emb\.inv_freq",),
    refusals=(
        Refusal(
            "hidden_act",
            lambda config: config.hidden_act != "silu",
            "llama.cpp computes it with silu",
            OTHER_ENGINE,
        ),
        Refusal(
            "attention_bias", lambda config: config.attention_bias, "llama.cpp has no bias here", OTHER_ENGINE
        ),
        Refusal(
            "head_dim",
            lambda config: config.head_dim * config.num_attention_heads != config.hidden_size,
            "llama.cpp takes hidden_size / num_attention_heads",
            OTHER_ENGINE,
        ),
        Refusal(
            "partial_rotary_factor",
            lambda config: config.partial_rotary_factor != 1,
            "llama.cpp rotates whole heads in this architecture",
            OTHER_ENGINE,
        ),
        Refusal(
            "tie_word_embeddings",
            lambda config: config.tie_word_embeddings,
            "llama.cpp asks for an output matrix of its own here",
            OTHER_ENGINE,
        ),
    ),
    write_keys=_write_keys,
    rope=("linear", "yarn"),
    states_head_size=False,
)
