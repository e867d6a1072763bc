"""Whether weights look like those of a model, or like differences between two: nothing in the files says."""

from __future__ import annotations

import numpy as np

from medbench_local.acquire.conversion.checkpoint import Checkpoint
from medbench_local.acquire.conversion.float_types import widened
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.errors import InputError

_NORM = "model.norm.weight"
_EMBEDDING = "model.embed_tokens.weight"

_ROWS = 4096
"""Rows of the embedding that are looked at."""

_SMALL_NORM = 0.1
"""Weights of a last norm are about 1 and more; the differences of two models' are a hundredth of that."""
_FACTOR = 4.0
"""By how much training changes the mean size of weights at most, by far."""
_LARGEST = 65000.0

_MATRICES = 4
"""Of the layers, that are looked at."""
_MATRIX_ROWS = 128
_BETWEEN = 1e-3
"""Share of differences between 16-bit numbers that no rounding explains: with the right base there are none, with a
model that was trained on from it a hundredth, with another model a quarter."""


def refuse_whole_weights(base: Checkpoint, delta: Checkpoint) -> None:
    """Refuse weights that are as large as the base's where differences to it are expected.

    Raises:
        InputError: they look like a whole model.
    """
    norm, below = _tensor(delta, _NORM), _tensor(base, _NORM)
    if norm.shape == below.shape and _size(norm) > 0.5 * _size(below):
        raise InputError(
            norm.path,
            f"tensor '{_NORM}'",
            f"as large as that of {base.origin}: these are the weights of a model, not differences to another one",
            advice="Leave the base out (`base=`, or `adapter_base=`).",
        )


def refuse_difference(checkpoint: Checkpoint) -> None:
    """Refuse differences where a model is expected.

    Raises:
        InputError: they look like differences to another model.
    """
    name = next(
        (
            name
            for name in checkpoint.tensors
            if name.endswith(_NORM.removeprefix("model")) and ".layers." not in name and "vision" not in name
        ),
        _NORM,
    )
    norm = _tensor(checkpoint, name)
    if _size(norm) < _SMALL_NORM:
        raise InputError(
            norm.path,
            f"tensor '{name}'",
            f"{_size(norm):.2g} in the mean: these are differences to the weights of another model",
            advice="Name that model with `base=` (`adapter_base=` in a comparison): LLaMA-1 7B for LLaVA's first "
            "releases.",
        )


def refuse_unlikely_sum(base: Checkpoint, merged: Checkpoint, delta: Checkpoint) -> None:
    """Refuse a sum that is no model: another base gives noise, and no error.

    Raises:
        InputError: the last norm or the embedding is not about as large as the base's, or holds what is no number.
    """
    for name in (_NORM, _EMBEDDING):
        found, before = _tensor(merged, name), _tensor(base, name)
        mine, theirs = _size(found), _size(before)
        if not theirs / _FACTOR <= mine <= theirs * _FACTOR or _largest(found) > _LARGEST:
            raise InputError(
                delta.origin,
                f"tensor '{name}'",
                f"added to that of {base.origin} it is {mine:.3g} in the mean, before {theirs:.3g}: {base.origin} "
                "is not the model that these are differences to",
                advice="LLaVA's first releases belong to LLaMA-1 7B, neither to Llama 2 nor to Vicuna.",
            )


def warn_of_other_base(base: Checkpoint, delta: Checkpoint) -> tuple[str, ...]:
    """A warning where differences cannot have been made from the base.

    The difference of two numbers of 16 bits is a multiple of the step between such numbers near the smaller of the two.
    Near the weights of another model the step is another one, and many differences fall between.
    """
    names = [
        name
        for name, tensor in sorted(delta.tensors.items())
        if ".layers." in name and name in base.tensors and _alike_in_16_bits(base.tensors[name], tensor)
    ]
    share = max(
        (_between(base.tensors[name], delta.tensors[name]) for name in names[:_MATRICES]), default=0.0
    )
    if share <= _BETWEEN:
        return ()
    return (
        f"{delta.origin} was probably not made from {base.origin}: {share:.1%} of the differences lie between what 16 "
        "bits can tell apart there, and none do with the right model. The sum would be noise. LLaVA's first releases "
        "belong to LLaMA-1 7B, neither to Llama 2 nor to Vicuna.",
    )


def _alike_in_16_bits(base: Tensor, delta: Tensor) -> bool:
    return (
        delta.dtype == "F16"
        and base.dtype in ("F16", "F32")
        and base.shape == delta.shape
        and len(base.shape) == 2
    )


def _between(base: Tensor, delta: Tensor) -> float:
    """The share of differences that are no multiples of the step of 16-bit numbers near both terms."""
    rows = min(_MATRIX_ROWS, base.shape[0])
    before, more = (
        widened(tensor.rows(0, rows), tensor.dtype).astype(np.float16) for tensor in (base, delta)
    )
    with np.errstate(all="ignore"):  # what is no number is told of elsewhere
        step = np.minimum(np.spacing(np.abs(before)), np.spacing(np.abs(before + more))).astype(np.float64)
        return float((np.mod(np.abs(more.astype(np.float64)), step) != 0).mean())


def _tensor(checkpoint: Checkpoint, name: str) -> Tensor:
    tensor = checkpoint.tensors.get(name)
    if tensor is None or not tensor.shape or tensor.dtype not in MAPPED:
        raise InputError(
            checkpoint.origin, f"tensor '{name}'", "missing, or of a type that cannot be converted"
        )
    return tensor


def _size(tensor: Tensor) -> float:
    """The mean of the absolute values of the first rows; not a number if one of them is none."""
    return float(np.abs(_first(tensor)).mean(dtype=np.float64))


def _largest(tensor: Tensor) -> float:
    return float(np.abs(_first(tensor)).max())


def _first(tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return widened(tensor.rows(0, min(_ROWS, tensor.shape[0])), tensor.dtype)
