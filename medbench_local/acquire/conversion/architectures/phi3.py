"""Phi-3 and Phi-4: one matrix for queries, keys and values, and one into the feed-forward part; both stay whole."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal, linear
from medbench_local.acquire.conversion.architectures.qwen2 import HEAD_SIZE, NO_WINDOW, SILU
from medbench_local.acquire.conversion.layers import ATTENTION, EMBEDDING, LAYER, OUTPUT
from medbench_local.acquire.conversion.model_config import ModelConfig, Size
from medbench_local.acquire.conversion.tensor_shapes import down, keys, queries, tied, vocabulary, width
from medbench_local.engine.base import ROWS

_CACHE_STEP = 256
"""llama.cpp makes caches of multiples of so many tokens."""


class Phi3Config(ModelConfig):
    """The configuration of a Phi-3 or Phi-4 model.

    Attributes:
        sliding_window: tokens a position attends to, or None for all.
        original_max_position_embeddings: the context before positions were stretched, in tokens.
    """

    sliding_window: Size | None = None
    original_max_position_embeddings: Size = 4096


def _rotated(config: Phi3Config) -> int:
    """Numbers of a head that are rotated."""
    return int(config.head_dim * config.partial_rotary_factor)


def _fused(config: ModelConfig) -> tuple[int, int]:
    return (queries(config)[0] + 2 * keys(config)[0], config.hidden_size)


def _gate_and_up(config: ModelConfig) -> tuple[int, int]:
    return (2 * config.intermediate_size, config.hidden_size)


def _original(config: Phi3Config) -> int:
    if config.rope_scaling.rope_type == "longrope":
        return config.rope_scaling.original_max_position_embeddings
    return config.original_max_position_embeddings


def _context(config: Phi3Config) -> int:
    """With longrope, the longest prompt whose cache is within the original context.

    llama.cpp takes the factors for longer prompts as soon as the cache is larger, whatever a prompt's length. The cache
    has `ROWS` cells more than a prompt has tokens.
    """
    trained = config.max_position_embeddings
    if config.rope_scaling.rope_type != "longrope":
        return trained
    return min(trained, _original(config) // _CACHE_STEP * _CACHE_STEP - ROWS)


def _attention_factor(config: Phi3Config) -> float:
    """What queries and keys are multiplied with (transformers' ``modeling_rope_utils``; arXiv 2402.13753)."""
    rope = config.rope_scaling
    if rope.attention_factor is not None:
        return rope.attention_factor
    stretched = config.max_position_embeddings / _original(config)
    factor = rope.factor if "factor" in rope.model_fields_set else stretched
    return math.sqrt(1 + math.log(factor) / math.log(_original(config))) if factor > 1 else 1.0


def _write_keys(writer: GGUFWriter, config: Phi3Config) -> None:
    writer.add_rope_scaling_orig_ctx_len(_original(config))
    writer.add_rope_dimension_count(_rotated(config))
    # 0 says that there is none, as in Phi-4
    writer.add_sliding_window(config.sliding_window or 0)
    if config.rope_scaling.rope_type == "longrope":
        writer.add_rope_scaling_attn_factors(_attention_factor(config))


def _windowed(config: Phi3Config) -> bool:
    return config.sliding_window is not None and config.sliding_window < _context(config)


def _factors_misfit(config: Phi3Config) -> bool:
    rope, wanted = config.rope_scaling, _rotated(config) // 2
    return rope.rope_type == "longrope" and not len(rope.short_factor) == len(rope.long_factor) == wanted


def _warnings(config: Phi3Config) -> Iterable[str]:
    if _context(config) < config.max_position_embeddings:
        yield (
            f"The model takes other frequencies for prompts of more than {_original(config)} tokens; llama.cpp would "
            f"take them for shorter ones too, so that only prompts of up to {_context(config)} tokens are scored."
        )


ARCHITECTURE: Architecture[Phi3Config] = Architecture(
    classes=("Phi3ForCausalLM",),
    gguf=MODEL_ARCH.PHI3,
    config=Phi3Config,
    assumed={"max_position_embeddings": 4096, "rms_norm_eps": 1e-5},
    embedding=EMBEDDING,
    tensors=(
        ExpectedTensor(EMBEDDING, vocabulary),
        ExpectedTensor(f"{LAYER}.input_layernorm.weight", width),
        *linear(f"{ATTENTION}.qkv_proj", _fused),
        *OUTPUT,
        ExpectedTensor(f"{LAYER}.post_attention_layernorm.weight", width),
        *linear(f"{LAYER}.mlp.gate_up_proj", _gate_and_up),
        *linear(f"{LAYER}.mlp.down_proj", down),
        ExpectedTensor("model.norm.weight", width),
        ExpectedTensor("lm_head.weight", vocabulary, optional=tied),
    ),
    skipped=(r".*\.rotary_emb\.inv_freq",),
    refusals=(
        SILU,
        HEAD_SIZE,
        Refusal("sliding_window", _windowed, *NO_WINDOW),
        Refusal(
            "partial_rotary_factor",
            lambda config: not 0 < _rotated(config) <= config.head_dim or _rotated(config) % 2 == 1,
            "it rotates no whole number of pairs",
        ),
        Refusal(
            "rope_scaling",
            _factors_misfit,
            "short_factor and long_factor must have one number for every two numbers of a head that are rotated",
        ),
        Refusal(
            "original_max_position_embeddings",
            lambda config: _context(config) < 1,
            f"the original context is shorter than the {_CACHE_STEP} tokens of llama.cpp's smallest cache",
        ),
    ),
    write_keys=_write_keys,
    warnings=_warnings,
    rope=("longrope",),
    states_head_size=False,
    context=_context,
)
