"""A language model whose embedding has rows for further tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointView
from medbench_local.acquire.conversion.float_types import narrowed, widened
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.errors import AcquireError

_OUTPUT = "lm_head.weight"


@dataclass(frozen=True)
class _Grown(Tensor):
    """Some rows, then those of another tensor from ``start`` on, or zeros."""

    first: Tensor
    more: Tensor | None

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """Rows of either, in the type of the whole."""
        split = self.first.shape[0]
        parts = []
        if begin < split:
            parts.append(self._of(self.first, begin, min(end, split)))
        if end > split:
            start = max(begin, split)
            if self.more is None:
                parts.append(np.zeros((end - start, *self.shape[1:]), MAPPED[self.dtype]))
            else:
                parts.append(self._of(self.more, start, end))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _of(self, tensor: Tensor, begin: int, end: int) -> NDArray[Any]:
        rows = tensor.rows(begin, end)
        if tensor.dtype == self.dtype:
            return rows
        return narrowed(widened(rows, tensor.dtype), self.dtype, name=self.name)


def with_more_tokens(base: Checkpoint, embedding: str, longer: Tensor) -> CheckpointView:
    """``base`` with further rows of its embedding, and zeros for them in its output matrix.

    The embedding keeps its type where that holds the new rows exactly, and is F32 otherwise.

    Args:
        base: the language model.
        embedding: the name of its embedding.
        longer: an embedding of more rows, of which those that the base lacks are taken.
    """
    first = base.tensors[embedding]
    dtype = first.dtype if _holds(first.dtype, longer, first.shape[0]) else "F32"
    shape = (longer.shape[0], *first.shape[1:])
    tensors = dict(base.tensors)
    tensors[embedding] = _Grown(embedding, shape, dtype, longer.path, first, longer)
    output = base.tensors.get(_OUTPUT)
    if output is not None:
        tensors[_OUTPUT] = _Grown(
            _OUTPUT, (longer.shape[0], *output.shape[1:]), output.dtype, output.path, output, None
        )
    return CheckpointView(base.origin, base.config, base.config_file, base.tokenizer, tensors)


def _holds(dtype: str, longer: Tensor, start: int) -> bool:
    """Whether a type holds the rows from ``start`` on exactly."""
    values = widened(longer.rows(start, longer.shape[0]), longer.dtype)
    try:
        return np.array_equal(widened(narrowed(values, dtype, name=longer.name), dtype), values)
    except AcquireError:
        return False
