"""Weights published as differences to those of another model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointView
from medbench_local.acquire.conversion.float_types import narrowed, widened
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.errors import InputError

_COMPUTED = (".rotary_emb.inv_freq", "position_ids")
"""Old checkpoints hold these, which follow from config.json: they are nobody's difference."""

_GROWING = ("embed_tokens.weight", "lm_head.weight")
"""Matrices with a row for every token: the delta's model may have more tokens than its base."""


@dataclass(frozen=True)
class _Rounded(Tensor):
    source: Tensor

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """The source's rows, rounded once."""
        return narrowed(widened(self.source.rows(begin, end), self.source.dtype), self.dtype, name=self.name)


@dataclass(frozen=True)
class _Sum(Tensor):
    base: Tensor
    delta: Tensor

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """The sum in float32, rounded once; rows that the base does not have are the delta's."""
        total = widened(self.delta.rows(begin, end), self.delta.dtype)
        shared = min(end, self.base.shape[0])
        if begin < shared:
            total[: shared - begin] += widened(self.base.rows(begin, shared), self.base.dtype)
        return narrowed(total, self.dtype, name=self.name)


def add_delta(
    base: Checkpoint,
    delta: Checkpoint,
    *,
    whole: Callable[[str], bool] = lambda _name: False,
    rounded: str = "",
) -> CheckpointView:
    """The model that ``delta`` gives when the weights of ``base`` are added to it.

    This is what the tools do that come with such weights (FastChat's ``apply_delta``, LLaVA's of the same name):
    names are the same, values are added, and rows of the embedding and the output that the base does not have
    are taken as they are. A sum has the type of its two terms, or F32 if they differ.

    Args:
        base: the model that was subtracted.
        delta: the differences, with the configuration and the tokenizer of the model.
        whole: says of a name whether the delta holds that tensor itself, as for parts that the base does not have.
        rounded: a type that both terms are rounded to before they are added, "F16" for tools that load them so; "" for
            adding them as they are stored.

    Raises:
        InputError: a tensor of either has no counterpart, or their shapes do not fit.
    """
    left = {name: tensor for name, tensor in base.tensors.items() if not name.endswith(_COMPUTED)}
    tensors: dict[str, Tensor] = {}
    for name, tensor in delta.tensors.items():
        if name.endswith(_COMPUTED):
            continue
        if whole(name):
            tensors[name] = tensor
            left.pop(name, None)
            continue
        if name not in left:
            raise InputError(tensor.path, f"tensor {name!r:.120}", f"nothing to add it to in {base.origin}")
        tensors[name] = _add(_in_type(left.pop(name), rounded), _in_type(tensor, rounded))
    if left:
        name, missing = next(iter(left.items()))
        raise InputError(missing.path, f"tensor {name!r:.120}", f"no difference to it in {delta.origin}")
    return CheckpointView(delta.origin, delta.config, delta.config_file, delta.tokenizer, tensors)


def _in_type(tensor: Tensor, dtype: str) -> Tensor:
    if dtype in ("", tensor.dtype) or tensor.dtype not in MAPPED:
        return tensor
    return _Rounded(tensor.name, tensor.shape, dtype, tensor.path, tensor)


def _add(base: Tensor, delta: Tensor) -> Tensor:
    grows = (
        delta.name.endswith(_GROWING)
        and delta.shape[1:] == base.shape[1:]
        and delta.shape[:1] >= base.shape[:1]
    )
    if delta.shape != base.shape and not grows:
        problem = f"shape {list(delta.shape)}, the base's is {list(base.shape)}"
        raise InputError(delta.path, f"tensor '{delta.name}'", problem)
    dtype = base.dtype if base.dtype == delta.dtype else "F32"
    return _Sum(delta.name, delta.shape, dtype, delta.path, base, delta)
