"""Weights in another format beside those that are read: the same once more, or those of another model."""

from __future__ import annotations

from collections.abc import Collection

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.float_types import narrowed, widened
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.errors import AcquireError, InputError


def differing_weights(checkpoint: CheckpointFolder, names: Collection[str]) -> str:
    """The first of the files ``names`` that does not hold the numbers of the weights that are read; "" if none.

    Of every tensor the first and the middle row are compared, which any training changes. What cannot be read is
    no weights.
    """
    try:
        others = checkpoint.named_weights(names)
    except InputError:
        return ""
    for name, tensor in others.items():
        if name in checkpoint.tensors and not alike(checkpoint.tensors[name], tensor):
            return tensor.path.name
    return ""


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of a name have the same numbers, as far as two rows and the narrower type can tell."""
    if one.shape != other.shape:
        return False
    if not one.shape or one.size == 0 or not {one.dtype, other.dtype} <= MAPPED.keys():
        return True
    if {one.dtype, other.dtype} == {"F16", "BF16"}:
        return True  # both are rounded
    dtype = one.dtype if other.dtype == "F32" else other.dtype
    try:
        for row in {0, one.shape[0] // 2}:
            mine, theirs = (
                narrowed(widened(tensor.rows(row, row + 1), tensor.dtype), dtype, name=tensor.name)
                for tensor in (one, other)
            )
            if mine.tobytes() != theirs.tobytes():
                return False
    except AcquireError:  # beyond the range of the narrower type
        return False
    return True
