"""Numbers from one floating-point type to another, rounded once, to the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize
from numpy.typing import NDArray

from medbench_local.errors import AcquireError


def widened(values: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    """Values of ``dtype`` ("F32", "F16", or "BF16" as bits in uint16) as float32, which holds them exactly."""
    if dtype == "BF16":
        return (values.astype("<u4") << 16).view("<f4")
    return values.astype("<f4")


def narrowed(values: NDArray[np.float32], dtype: str, *, name: str) -> NDArray[Any]:
    """Float32 values in ``dtype`` ("F32", "F16", or "BF16" as bits in uint16), halves to even.

    Args:
        values: any shape.
        dtype: the type wanted.
        name: of the tensor, for the error.

    Raises:
        AcquireError: a finite value does not fit into F16.
    """
    if dtype == "F32":
        return values
    if dtype == "BF16":
        bits = quantize(np.ascontiguousarray(values), GGMLQuantizationType.BF16)
        return np.asarray(bits).view("<u2").reshape(values.shape)
    with np.errstate(over="ignore"):
        narrow = values.astype("<f2")
    if np.isinf(narrow).any() and not np.isinf(values).any():
        raise AcquireError(
            f"{name} has values beyond the range of f16 (65,504).",
            advice="Convert to bf16 or f32, or keep the type of the checkpoint (auto).",
        )
    return narrow
