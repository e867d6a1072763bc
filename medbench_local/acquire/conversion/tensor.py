"""A tensor of a checkpoint: a name, a shape, a type, and rows that are read when they are wanted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
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
class Tensor(ABC):
    """What the converter knows of a tensor, wherever its numbers come from.

    Attributes:
        name: as in the checkpoint, "model.embed_tokens.weight".
        shape: row-major, as PyTorch prints it.
        dtype: a key of ``ITEM_BYTES``.
        path: the file that errors name.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    path: Path

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * ITEM_BYTES[self.dtype]

    @abstractmethod
    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """The rows from ``begin`` up to ``end`` (exclusive) of the first axis; a tensor without axes is one row.

        Returns:
            Shape (end - begin, \\*shape[1:]); float32, float16, or for BF16 the bits as uint16.

        Raises:
            KeyError: the type is none of ``MAPPED``.
        """


@dataclass(frozen=True)
class StoredTensor(Tensor):
    """A tensor inside a file; the reader that made it has checked that all of it lies within the file.

    Attributes:
        offset: of the first element, in bytes from the beginning of the file.
        strides: in elements, or None for the ordinary contiguous layout.
    """

    offset: int
    strides: tuple[int, ...] | None = None

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """Map the rows read-only; the mapping ends with the array."""
        dtype = MAPPED[self.dtype]
        shape = (end - begin, *self.shape[1:])
        if math.prod(shape) == 0:
            return np.empty(shape, dtype)
        steps = self.strides or _contiguous(self.shape or (1,))
        offset = self.offset + begin * steps[0] * dtype.itemsize
        if not self.strides:
            return np.asarray(np.memmap(self.path, dtype, "r", offset, shape))
        span = 1 + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
        flat = np.memmap(self.path, dtype, "r", offset, (span,))
        strides = tuple(step * dtype.itemsize for step in steps)
        return np.lib.stride_tricks.as_strided(flat, shape, strides, writeable=False)


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


@dataclass(frozen=True)
class ComputedTensor(Tensor):
    """A small tensor that no file holds, because it follows from the configuration.

    Attributes:
        values: all of it, in the type that ``dtype`` names.
    """

    values: NDArray[Any]

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """A part of ``values``."""
        return self.values[begin:end]
