"""A LoRA adapter merged into the model that it was trained on (Hu et al., "LoRA", ICLR 2022)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench_local.acquire.conversion.adapter_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    LoraConfig,
    fitting,
    read_lora_config,
)
from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointView
from medbench_local.acquire.conversion.float_types import narrowed, widened
from medbench_local.acquire.conversion.safetensors_reader import read_safetensors
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.acquire.conversion.torch_reader import read_torch
from medbench_local.errors import AcquireError, InputError

_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(.+)\.lora_(embedding_)?([AB])(?:\.default)?(?:\.weight)?")
_INPUT, _OUTPUT = "embed_tokens.weight", "lm_head.weight"
_WRAPPED = re.compile(r"\.(?:base_layer|modules_to_save(?:\.default)?)(?=\.)")
"""What peft puts into the names of layers that it wraps."""
_WRAPPER = re.compile(
    r"^language_model\.(?=model\.|lm_head\.)|(?<=^model\.)language_model\.|^model\.(?=vision_tower\.)"
)


@dataclass(frozen=True)
class _Merged(Tensor):
    """The base plus scale * B·A, or for an embedding, whose factors are kept transposed, scale * (B·A)ᵀ."""

    base: Tensor
    a: Tensor
    b: Tensor
    scale: float
    embedding: bool

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """In double precision, so that the order of summation cannot be seen; rounded once at the end."""
        a = _doubles(self.a, 0, self.a.shape[0])
        if self.embedding:
            total = a[:, begin:end].T @ _doubles(self.b, 0, self.b.shape[0]).T
        else:
            total = _doubles(self.b, begin, end) @ a
        total *= self.scale
        total += widened(self.base.rows(begin, end), self.base.dtype)
        return narrowed(total.astype(np.float32), self.dtype, name=self.name)


@dataclass(frozen=True)
class _Cast(Tensor):
    source: Tensor

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """The source's rows, rounded to another type."""
        return narrowed(widened(self.source.rows(begin, end), self.source.dtype), self.dtype, name=self.name)


def _doubles(tensor: Tensor, begin: int, end: int) -> NDArray[np.float64]:
    return widened(tensor.rows(begin, end), tensor.dtype).astype(np.float64)


def merge_adapter(base: Checkpoint, folder: Path) -> CheckpointView:
    """The model that a LoRA adapter makes of ``base``.

    What peft's ``merge_and_unload`` gives: every matrix W with factors A and B becomes W + scale * B·A in the type of
    W, scale being alpha / r, or alpha / sqrt(r) for rank-stabilised adapters; an embedding likewise. Tensors that the
    adapter holds whole (embeddings that were trained or made longer, norms, biases) replace the base's, in its type.

    Args:
        base: the model that the adapter was trained on; nothing but shapes and names shows whether it is.
        folder: adapter_config.json and adapter_model.safetensors or .bin; a tokenizer there counts.

    Raises:
        InputError: a file is missing or damaged, or the adapter does not fit the base.
        AcquireError: an adapter that is more than a sum, or of a type that cannot be converted.
    """
    config = read_lora_config(folder / ADAPTER_CONFIG)
    factors: dict[str, dict[str, Tensor]] = {}
    tensors: dict[str, Tensor] = dict(base.tensors)
    whole: dict[str, Tensor] = {}
    named = {_in_language_model(name): name for name in base.tensors}
    for tensor in _stored(folder):
        inner = _WRAPPED.sub("", tensor.name.removeprefix(_PREFIX))
        match = _FACTOR.fullmatch(inner)
        layer = f"{match[1]}.weight" if match else inner
        inner = layer if layer in base.tensors else named.get(_in_language_model(layer), layer)
        if match:
            layer = inner.removesuffix(".weight")
            factors.setdefault(layer, {})[f"{match[2] or ''}{match[3]}"] = tensor
        elif inner in base.tensors or _is_output(inner, base):
            whole[inner] = _in_type_of(base, inner, tensor)
        else:
            raise InputError(tensor.path, f"tensor {tensor.name!r:.120}", f"not part of {base.origin}")
    tensors.update(whole)
    for layer, pair in factors.items():
        name = f"{layer}.weight"
        given = whole.get(name)
        if name not in tensors or (given is not None and not _is_base_of_factors(given, config, layer)):
            where = next(iter(pair.values()))
            problem = "given whole as well" if given else f"nothing to add it to in {base.origin}"
            raise InputError(where.path, f"tensor {where.name!r:.120}", problem)
        tensors[name] = _merge(tensors[name], layer, pair, config, folder)
    if _is_tied(base):
        _tie(tensors, whole, {f"{layer}.weight" for layer in factors}, base, folder)
    own_tokenizer = any((folder / name).is_file() for name in ("tokenizer.model", "tokenizer.json"))
    return CheckpointView(
        origin=folder,
        config=base.config,
        config_file=base.config_file,
        tokenizer=folder if own_tokenizer else base.tokenizer,
        tensors=tensors,
    )


def _stored(folder: Path) -> list[Tensor]:
    for name, read in zip(ADAPTER_WEIGHTS, (read_safetensors, read_torch), strict=True):
        if (folder / name).is_file():
            return list(read(folder / name))
    raise InputError(folder, "", f"neither {' nor '.join(ADAPTER_WEIGHTS)}")


def _in_language_model(name: str) -> str:
    """What a tensor of a multimodal model is called in its language model alone; releases of transformers differ."""
    return _WRAPPER.sub("", name)


def _is_tied(base: Checkpoint) -> bool:
    """Whether input and output are one matrix."""
    alone = not any(name.endswith(_OUTPUT) for name in base.tensors)
    return bool(base.config.get("tie_word_embeddings", alone))


def _is_output(name: str, base: Checkpoint) -> bool:
    """An output matrix that the base has in common with its embedding, and does not store."""
    return name == _OUTPUT and _is_tied(base)


def _in_type_of(base: Checkpoint, name: str, given: Tensor) -> Tensor:
    """A tensor that the adapter holds whole in the type that it has in the base, as peft loads it."""
    replaced = base.tensors.get(name)
    dtype = given.dtype if replaced is None else replaced.dtype
    if dtype == given.dtype or not {dtype, given.dtype} <= MAPPED.keys():
        return given
    return _Cast(given.name, given.shape, dtype, given.path, given)


def _is_base_of_factors(given: Tensor, config: LoraConfig, layer: str) -> bool:
    """Whether a tensor that the adapter holds whole is what its factors are added to, as peft saves embeddings."""
    grown = given.name.endswith((_INPUT, _OUTPUT)) and not _saved_whole(config, layer)
    return ".base_layer." in given.name or grown


def _saved_whole(config: LoraConfig, layer: str) -> bool:
    """Whether the layer was trained whole."""
    return any(layer == name or layer.endswith(f".{name}") for name in config.modules_to_save)


def _merge(base: Tensor, layer: str, pair: Mapping[str, Tensor], config: LoraConfig, folder: Path) -> Tensor:
    embedding = any(key.startswith("embedding") for key in pair)
    a, b = (pair.get(f"{'embedding_' * embedding}{factor}") for factor in "AB")
    if a is None or b is None or len(pair) > 2:
        which = (
            f"lora_embedding_{'A' if a is None else 'B'}"
            if embedding
            else f"lora_{'A' if a is None else 'B'}.weight"
        )
        raise InputError(folder, f"tensor '{_PREFIX}{layer}.{which}'", "missing, or of two kinds")
    rank = config.rank_pattern.get(fitting(config.rank_pattern, layer), config.r)
    alpha = config.alpha_pattern.get(fitting(config.alpha_pattern, layer), config.lora_alpha)
    outputs, inputs = base.shape if len(base.shape) == 2 else (0, 0)
    if embedding:
        outputs, inputs = inputs, outputs
    for tensor, shape in ((a, (rank, inputs)), (b, (outputs, rank))):
        where = f"tensor '{tensor.name}'"
        if tensor.shape != shape:
            problem = f"shape {list(tensor.shape)}; with rank {rank} and a base of {list(base.shape)}"
            raise InputError(tensor.path, where, f"{problem} it must be {list(shape)}")
        if tensor.dtype not in MAPPED:
            raise AcquireError(f"{tensor.path}, {where}: elements of type {tensor.dtype} cannot be merged.")
    scale = alpha / (math.sqrt(rank) if config.use_rslora else rank)
    return _Merged(f"{layer}.weight", base.shape, base.dtype, base.path, base, a, b, scale, embedding)


def _tie(
    tensors: dict[str, Tensor], whole: Mapping[str, Tensor], merged: set[str], base: Checkpoint, folder: Path
) -> None:
    """Keep one matrix for input and output where the adapter leaves it one, and refuse where it makes two."""
    changed = sorted(name for name in {*whole, *merged} if name.endswith((_INPUT, _OUTPUT)))
    if not changed:
        return
    if len(changed) == 2 and not merged.intersection(changed) and _same(*(_given(whole[n]) for n in changed)):
        tensors.pop(_OUTPUT, None)
        return
    raise AcquireError(
        f"{folder} changes {' and '.join(changed)}, which are one matrix in {base.origin} (tie_word_embeddings).",
        advice="Merge it with the library it was trained with, and give the folder that results.",
    )


def _given(tensor: Tensor) -> Tensor:
    return tensor.source if isinstance(tensor, _Cast) else tensor


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two matrices hold the same numbers; a few megabytes are looked at at a time."""
    if one.shape != other.shape or not {one.dtype, other.dtype} <= MAPPED.keys():
        return False
    step, count = 4096, one.shape[0]
    parts = ((begin, min(begin + step, count)) for begin in range(0, count, step))
    return all(np.array_equal(one.rows(*part), other.rows(*part)) for part in parts)
