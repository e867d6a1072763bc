"""OLMo 2: norms behind every part, and over the whole of queries and keys."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal
from medbench_local.acquire.conversion.layers import (
    ATTENTION,
    EMBEDDING,
    FEED_FORWARD,
    LAYER,
    OUTPUT,
    PROJECTIONS,
)
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, ModelConfig
from medbench_local.acquire.conversion.refusals import EQUAL_HEADS, NOT_TIED, SILU, WHOLE_HEADS
from medbench_local.acquire.conversion.tensor_shapes import keys, queries, vocabulary, width


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
        *PROJECTIONS,
        ExpectedTensor(f"{ATTENTION}.q_norm.weight", lambda config: queries(config)[:1]),
        ExpectedTensor(f"{ATTENTION}.k_norm.weight", lambda config: keys(config)[:1]),
        *OUTPUT,
        ExpectedTensor(f"{LAYER}.post_attention_layernorm.weight", width),
        *FEED_FORWARD,
        ExpectedTensor(f"{LAYER}.post_feedforward_layernorm.weight", width),
        ExpectedTensor("model.norm.weight", width),
        ExpectedTensor("lm_head.weight", vocabulary),
    ),
    skipped=(r".*\.rotary_emb\.inv_freq",),
    refusals=(
        SILU,
        Refusal(
            "attention_bias", lambda config: config.attention_bias, "llama.cpp has no bias here", OTHER_ENGINE
        ),
        EQUAL_HEADS,
        WHOLE_HEADS,
        NOT_TIED,
    ),
    write_keys=_write_keys,
    rope=("linear", "yarn"),
    states_head_size=False,
)
