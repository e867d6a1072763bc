"""Tensors made of other tensors, row by row, so that none has to be in memory as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench_local.acquire.conversion.float_types import widened
from medbench_local.acquire.conversion.tensor import Tensor


@dataclass(frozen=True)
class _Permuted(Tensor):
    source: Tensor
    heads: int

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """Whole heads are read, regrouped, and cut to what was asked for."""
        together = self.shape[0] // self.heads
        first = begin // together * together
        last = -(-end // together) * together
        block = self.source.rows(first, last)
        halves = block.reshape(-1, 2, together // 2, *block.shape[1:])
        regrouped: NDArray[Any] = halves.swapaxes(1, 2).reshape(block.shape)
        return regrouped[begin - first : end - first]


def permuted(source: Tensor, heads: int) -> Tensor:
    """Rows regrouped within each of ``heads`` heads.

    From "all first halves, then all second halves" of a head, which transformers rotates, to neighbouring
    pairs, which llama.cpp rotates where it does not use the other order itself.
    """
    return _Permuted(source.name, source.shape, source.dtype, source.path, source, heads)


@dataclass(frozen=True)
class _Shifted(Tensor):
    source: Tensor
    shift: float

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """The source's rows plus the shift, in float32."""
        values = widened(self.source.rows(begin, end), self.source.dtype)
        values += np.float32(self.shift)
        return values


def shifted(source: Tensor, shift: float) -> Tensor:
    """``source`` with ``shift`` added to every value, in float32."""
    return _Shifted(source.name, source.shape, "F32", source.path, source, shift)


@dataclass(frozen=True)
class _Stacked(Tensor):
    parts: tuple[Tensor, ...]

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """One part a row."""
        return np.stack([part.rows(0, part.shape[0]) for part in self.parts[begin:end]])


def stacked(name: str, parts: Sequence[Tensor]) -> Tensor:
    """``parts``, of one shape and type, along a new first axis."""
    first = parts[0]
    return _Stacked(name, (len(parts), *first.shape), first.dtype, first.path, tuple(parts))


@dataclass(frozen=True)
class _Outputs(Tensor):
    source: Tensor
    start: int

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """Of three axes the second is cut, else the first."""
        if len(self.shape) == 3:
            return self.source.rows(begin, end)[:, self.start : self.start + self.shape[1]]
        return self.source.rows(self.start + begin, self.start + end)


def outputs(source: Tensor, start: int, count: int) -> Tensor:
    """``count`` outputs of a layer from ``start`` on.

    Outputs are the first axis of a bias or a matrix, and the second of matrices that are stacked.
    """
    axis = 1 if len(source.shape) == 3 else 0
    shape = (*source.shape[:axis], count, *source.shape[axis + 1 :])
    return _Outputs(source.name, shape, source.dtype, source.path, source, start)
