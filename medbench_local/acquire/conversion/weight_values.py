"""The numbers of a tensor on their way into a GGUF file, a few megabytes at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize
from numpy.typing import NDArray

from medbench_local.acquire.conversion.model_config import ModelConfig
from medbench_local.acquire.conversion.weight_plan import Weight
from medbench_local.errors import AcquireError

BLOCK_BYTES = 16 << 20
"""Rows are taken together until they have this many bytes; a bound on memory, not on correctness."""


def converted_blocks(weight: Weight, target: str) -> Iterator[NDArray[Any]]:
    """The values of a tensor as they are written, block of rows by block of rows.

    Args:
        weight: the tensor; with ``heads``, rows are regrouped from "all first halves, then all second
            halves" of a head to neighbouring pairs, which is how llama.cpp rotates.
        target: "F32", "F16" or "BF16".

    Yields:
        Contiguous little-endian arrays whose bytes, one after the other, are the tensor.

    Raises:
        AcquireError: a value does not fit into F16.
    """
    values = weight.source.array()
    together = len(values) // weight.heads if weight.heads else 1
    row_bytes = max(1, values.itemsize * math.prod(values.shape[1:]))
    step = together * max(1, BLOCK_BYTES // (row_bytes * together))
    for begin in range(0, len(values), step):
        block = values[begin : begin + step]
        if weight.heads:
            halves = block.reshape(-1, 2, together // 2, *block.shape[1:])
            block = halves.swapaxes(1, 2).reshape(block.shape)
        yield np.ascontiguousarray(_cast(block, weight, target))


def _cast(block: NDArray[Any], weight: Weight, target: str) -> NDArray[Any]:
    source = weight.source.dtype
    if source == target:
        return block
    wide = (block.astype("<u4") << 16).view("<f4") if source == "BF16" else block.astype("<f4")
    if target == "F32":
        return wide
    if target == "BF16":
        return np.asarray(quantize(wide, GGMLQuantizationType.BF16))
    with np.errstate(over="ignore"):
        narrow = wide.astype("<f2")
    if np.isinf(narrow).any() and not np.isinf(wide).any():
        raise AcquireError(
            f"{weight.source.name} has values beyond the range of f16 (65,504).",
            advice="Convert with `type=` auto, bf16 or f32.",
        )
    return narrow


def rope_factors(config: ModelConfig) -> NDArray[np.float32]:
    """By how much each rotary frequency is divided: the "llama3" rule.

    Frequencies whose wavelength is below the original context divided by high_freq_factor stay, those above
    the original context divided by low_freq_factor are divided by factor, those between are interpolated
    (Llama 3.1 model card; transformers' ``modeling_rope_utils``).

    Returns:
        Shape (head_dim / 2,).
    """
    rope = config.rope_scaling
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    wavelengths = 2 * math.pi / (1.0 / np.float32(config.rope_theta) ** exponents)
    original = rope.original_max_position_embeddings
    low, high = rope.low_freq_factor, rope.high_freq_factor
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = (original / wavelengths - low) / (high - low)
    between = 1 / ((1 - smooth) / rope.factor + smooth)
    factors = np.where(
        wavelengths < original / high, 1.0, np.where(wavelengths > original / low, rope.factor, between)
    )
    return factors.astype("<f4")
