"""The numbers of a tensor on their way into a GGUF file, a few megabytes at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench_local.acquire.conversion.float_types import narrowed, widened
from medbench_local.acquire.conversion.model_config import ModelConfig
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor

BLOCK_BYTES = 16 << 20
"""Rows are taken together until they have this many bytes; a bound on memory, not on correctness."""


def converted_blocks(tensor: Tensor, target: str) -> Iterator[NDArray[Any]]:
    """The values of a tensor as they are written, block of rows by block of rows.

    Args:
        tensor: F32, F16 or BF16.
        target: "F32", "F16" or "BF16".

    Yields:
        Contiguous little-endian arrays whose bytes, one after the other, are the tensor.

    Raises:
        AcquireError: a value does not fit into F16.
    """
    count = tensor.shape[0]
    row_bytes = max(1, MAPPED[tensor.dtype].itemsize * math.prod(tensor.shape[1:]))
    step = max(1, BLOCK_BYTES // row_bytes)
    for begin in range(0, count, step):
        block = tensor.rows(begin, min(begin + step, count))
        if tensor.dtype != target:
            block = narrowed(widened(block, tensor.dtype), target, name=tensor.name)
        yield np.ascontiguousarray(block)


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
