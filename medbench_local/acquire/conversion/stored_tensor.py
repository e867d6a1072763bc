"""One tensor of a checkpoint as it lies on disk: where, what type, what shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes of one element, by the type names that safetensors uses; both readers speak them."""

MAPPED: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
"""The types that can be converted, as numpy sees them (which has no bfloat16: its bits, then)."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor inside a file; the reader that made it has checked that all of it lies within the file.

    Attributes:
        name: as in the checkpoint, "model.embed_tokens.weight".
        shape: row-major, as PyTorch prints it.
        dtype: a key of ``ITEM_BYTES``.
        path: the file.
        offset: of the first element, in bytes from the beginning of the file.
        strides: in elements, or None for the ordinary contiguous layout.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    path: Path
    offset: int
    strides: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * ITEM_BYTES[self.dtype]

    def array(self) -> NDArray[Any]:
        """Map the tensor read-only; the mapping ends with the array.

        Returns:
            Shape ``shape``; float32, float16, or for BF16 the bits as uint16.

        Raises:
            KeyError: the type is none of ``MAPPED``.
        """
        dtype = MAPPED[self.dtype]
        if self.size == 0:
            return np.empty(self.shape, dtype)
        if self.strides is None:
            return np.asarray(np.memmap(self.path, dtype, "r", self.offset, self.shape))
        span = 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        flat = np.memmap(self.path, dtype, "r", self.offset, (span,))
        strides = tuple(step * dtype.itemsize for step in self.strides)
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides, writeable=False)
