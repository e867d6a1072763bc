"""Cohere 2 (Command R7B): attention and feed-forward side by side, no positions in the layers without a window."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter, RopeScalingType

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal
from medbench_local.acquire.conversion.layer_windows import NO_WINDOW_SIZE, WindowedConfig, usual, windowed
from medbench_local.acquire.conversion.layers import EMBEDDING, FEED_FORWARD, LAYER, OUTPUT, PROJECTIONS
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, Positive, Size
from medbench_local.acquire.conversion.refusals import EQUAL_HEADS, SILU, TIED, WHOLE_HEADS
from medbench_local.acquire.conversion.tensor_shapes import vocabulary, width


class Cohere2Config(WindowedConfig):
    """The configuration of a Cohere 2 model.

    Attributes:
        logit_scale: what logits are multiplied with.
        sliding_window_pattern: one layer in how many sees everything, if "layer_types" does not say.
        rotary_pct: the part of each head that is rotated.
    """

    logit_scale: Positive = 0.0625
    sliding_window_pattern: Size = 4
    rotary_pct: Positive = 1.0


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
        *PROJECTIONS,
        *OUTPUT,
        *FEED_FORWARD,
        ExpectedTensor("model.norm.weight", width),
    ),
    # the output matrix is the embedding; some checkpoints store it twice
    skipped=(r".*\.rotary_emb\.inv_freq", r"lm_head\.weight"),
    refusals=(
        SILU,
        EQUAL_HEADS,
        TIED,
        Refusal(
            "rotary_pct",
            lambda config: config.rotary_pct != 1,
            "the model rotates whole heads, and a GGUF file with this value would not",
            OTHER_ENGINE,
        ),
        WHOLE_HEADS,
        NO_WINDOW_SIZE,
        Refusal(
            "layer_types",
            lambda config: windowed(config, config.sliding_window_pattern) != usual(config, 4),
            "llama.cpp gives a window to all layers but every fourth",
            OTHER_ENGINE,
        ),
    ),
    write_keys=_write_keys,
    rope=(),
    norm="layer",
    zeros=(r"model\..*\.bias",),
)
