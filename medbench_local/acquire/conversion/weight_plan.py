"""Which tensor of a checkpoint becomes which tensor of the GGUF file, checked before anything is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gguf import get_tensor_name_map

from medbench_local.acquire.conversion.architecture import Architecture, C, ExpectedTensor
from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointView
from medbench_local.acquire.conversion.float_types import widened
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.acquire.conversion.tensor_views import outputs, permuted, shifted, stacked
from medbench_local.acquire.conversion.weight_values import converted_blocks
from medbench_local.errors import AcquireError, InputError, UnsupportedArchitectureError


@dataclass(frozen=True)
class Weight:
    """One tensor on its way.

    Attributes:
        name: in the GGUF file, "blk.0.attn_q.weight".
        source: in the checkpoint, or made of tensors of the checkpoint.
    """

    name: str
    source: Tensor


_OUTPUT = "lm_head.weight"

_WITHOUT_USE = re.compile(
    r".*rotary_emb\.(inv_freq|cos_cached|sin_cached)"
    r"|.*\.(masked_bias|attention\.bias|attn\.bias|position_ids|causal_mask)"
    r"|v_head\..*"
)
"""Tensors of any architecture that follow from config.json, or that only a training needs: transformers drops them."""


def with_embedding(checkpoint: Checkpoint, architecture: Architecture[C], config: C) -> Checkpoint:
    """The checkpoint with its embedding under that name, where it has one matrix for both ends.

    Some libraries keep only one name of a matrix that has two, and not always the same one.
    """
    tensors = checkpoint.tensors
    if not config.tie_word_embeddings or architecture.embedding in tensors or _OUTPUT not in tensors:
        return checkpoint
    kept = {name: tensor for name, tensor in tensors.items() if name != _OUTPUT}
    return CheckpointView(
        checkpoint.origin,
        checkpoint.config,
        checkpoint.config_file,
        checkpoint.tokenizer,
        {architecture.embedding: tensors[_OUTPUT], **kept},
    )


def embedding_rows(checkpoint: Checkpoint, name: str) -> int:
    """Rows of the embedding matrix: the true size of the vocabulary, whatever the configuration says.

    Raises:
        InputError: there is no embedding matrix of this name.
    """
    tensor = checkpoint.tensors.get(name)
    if tensor is None or len(tensor.shape) != 2 or not 0 < tensor.shape[0] < 1 << 24:
        raise InputError(checkpoint.origin, f"tensor '{name}'", "missing, or not a matrix of plausible size")
    return tensor.shape[0]


def plan_weights(checkpoint: Checkpoint, architecture: Architecture[C], config: C) -> list[Weight]:
    """Match the checkpoint's tensors with the architecture's.

    Args:
        checkpoint: all its tensors must be accounted for.
        architecture: what is expected.
        config: with the embedding's rows as vocab_size.

    Returns:
        The tensors to write, in the order of the architecture, whatever the order and number of files.

    Raises:
        InputError: a tensor is missing, unknown, or has a shape that contradicts config.json.
        AcquireError: a tensor of a type that cannot be converted, or one that llama.cpp has no place for.
    """
    names = get_tensor_name_map(architecture.gguf, config.num_hidden_layers)
    skipped = _pattern(architecture.skipped)
    left = {name: tensor for name, tensor in checkpoint.tensors.items() if not skipped.fullmatch(name)}
    weights = []
    for expected, layer in architecture.expected(config):
        if expected.unless and expected.unless.format(layer=layer) in checkpoint.tensors:
            continue
        source = _take(left, expected, config, layer, checkpoint.origin)
        if source is None or expected.key:
            continue
        for written, tensor in _written(source, expected, config):
            name = names.get_name(written.format(layer=layer), try_suffixes=(".weight", ".bias"))
            if name is None:
                raise LookupError(f"llama.cpp has no name for {written} in {architecture.gguf.name}")
            weights.append(Weight(name, tensor))
    left = {name: tensor for name, tensor in left.items() if not _WITHOUT_USE.fullmatch(name)}
    _refuse_what_is_left(left, architecture, config)
    return weights


def layer_values(
    checkpoint: Checkpoint, architecture: Architecture[C], config: C
) -> Mapping[str, Sequence[float]]:
    """The tensors of one value that become metadata: by their keys, one number a layer.

    Args:
        checkpoint: as it has been planned.
        architecture: says which they are.
        config: the number of layers.
    """
    values: dict[str, list[float]] = {}
    for expected, layer in architecture.expected(config):
        if expected.key:
            tensor = checkpoint.tensors[expected.name.format(layer=layer)]
            (value,) = widened(tensor.rows(0, 1), tensor.dtype)
            if not math.isfinite(value):
                raise InputError(tensor.path, f"tensor '{tensor.name}'", f"expected a number, not {value}")
            values.setdefault(expected.key, []).append(float(value))
    return values


def _refuse_what_is_left(left: Mapping[str, Tensor], architecture: Architecture[C], config: C) -> None:
    zeros = _pattern(architecture.zeros)
    for name, tensor in left.items():
        where = f"tensor {tensor.name!r:.120}"
        if not zeros.fullmatch(name) or not tensor.shape or tensor.dtype not in MAPPED:
            raise InputError(tensor.path, where, f"not part of a {config.architecture}")
        if any(block.any() for block in converted_blocks(tensor, "F32")):
            raise UnsupportedArchitectureError(
                f"{tensor.path}, {where}: it is not zero, and llama.cpp has no place for it in a "
                f"{config.architecture}.",
                advice="Use a checkpoint without it; a model that leaves it out would be another one.",
            )


def _pattern(names: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{name})" for name in names) or "(?!)")


def _take(
    left: dict[str, Tensor], expected: ExpectedTensor[C], config: C, layer: int, origin: Path
) -> Tensor | None:
    """Take one tensor, or those of all experts as one, out of those that are left; None if it may be missing."""
    count = expected.experts(config) if expected.experts else 1
    names = [expected.name.format(layer=layer, expert=expert) for expert in range(count)]
    if not any(name in left for name in names) and expected.optional(config):
        return None
    shape = expected.shape(config)
    parts = []
    for name in names:
        if name not in left:
            raise InputError(origin, f"tensor '{name}'", "missing from the weight files")
        parts.append(left.pop(name))
        # a tensor of one value has one axis or none
        _check(parts[-1], () if expected.key and not parts[-1].shape else shape, parts[0].dtype)
    return stacked(_together(expected).format(layer=layer), parts) if expected.experts else parts[0]


def _together(expected: ExpectedTensor[C]) -> str:
    """What the tensors of all experts are called together."""
    return expected.name.replace(".{expert}", "")


def _written(source: Tensor, expected: ExpectedTensor[C], config: C) -> Iterator[tuple[str, Tensor]]:
    """What a tensor becomes: the names by which gguf's table finds llama.cpp's, with {layer}, and the values."""
    if expected.shift:
        source = shifted(source, expected.shift)
    if not expected.parts:
        yield _together(expected), permuted(source, expected.heads(config)) if expected.heads else source
    start = 0
    for part in expected.parts:
        tensor = outputs(source, start, part.outputs(config))
        yield part.name, permuted(tensor, part.heads(config)) if part.heads else tensor
        start += part.outputs(config)


def _check(tensor: Tensor, shape: tuple[int, ...], dtype: str) -> None:
    where = f"tensor '{tensor.name}'"
    if tensor.size == 0:
        raise InputError(
            tensor.path,
            where,
            "empty: the weights were saved by DeepSpeed (ZeRO-3) before they were gathered",
            advice="Run zero_to_fp32.py on the training's checkpoint and give the folder that results.",
        )
    if tensor.shape != shape:
        problem = f"shape {list(tensor.shape)}, config.json asks for {list(shape)}"
        raise InputError(tensor.path, where, problem)
    if tensor.dtype not in MAPPED:
        raise AcquireError(
            f"{tensor.path}, {where}: elements of type {tensor.dtype} cannot be converted; "
            f"supported are {', '.join(MAPPED)}.",
            advice="Use a checkpoint in 16 or 32 bits.",
        )
    if tensor.dtype != dtype:
        raise InputError(tensor.path, where, f"of type {tensor.dtype}, the other experts' are {dtype}")
