"""A Flamingo's checkpoint taken apart: a resampler, and gated blocks between the layers of a language model.

Alayrac et al., "Flamingo", NeurIPS 2022. The checkpoint is one file of torch with what was trained; the language model
and the tower are those of others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointView
from medbench_local.acquire.conversion.float_types import narrowed, widened
from medbench_local.acquire.conversion.other_weights import alike
from medbench_local.acquire.conversion.pictures.added_tokens import grown_tokenizer, with_special_ids
from medbench_local.acquire.conversion.pictures.taken_apart import NO_TOWER, TakenApart
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.acquire.conversion.tensor_views import outputs
from medbench_local.acquire.conversion.torch_reader import read_torch
from medbench_local.acquire.conversion.views.grown import with_more_tokens
from medbench_local.acquire.conversion.weight_plan import embedding_rows
from medbench_local.errors import InputError
from medbench_local.vision.parts import VisionParts

END_OF_CHUNK, TAG, PADDING = "<|endofchunk|>", "<image>", "<PAD>"
"""The tokens that are added to the language model, in this order; the last only where it has no token to pad with."""

_WRAPPED_IN = "model_state_dict"
_EMBEDDING = "model.embed_tokens.weight"
_STEP = 4096
"""Rows that are compared at a time."""

_LAYER = re.compile(r"perceiver\.layers\.(\d{1,3})\.(.+)")
_BLOCK = re.compile(
    r"lang_encoder\.(?:gated_cross_attn_layers\.(\d{1,4})|model\.layers\.(\d{1,4})\.gated_cross_attn_layer)\.(.+)"
)
_COPY = re.compile(
    r"lang_encoder\.(?:model\.layers\.(?P<layer>\d+)\.decoder_layer\.|old_decoder_blocks\.(?P<old>\d+)\.|(?P<other>.*))(?P<rest>.*)"
)
_IGNORED = re.compile(r".*\.inv_freq|vision_encoder\..*")

_RESAMPLER_LAYER = (
    *(f"0.{norm}.{half}" for norm in ("norm_media", "norm_latents") for half in ("weight", "bias")),
    *(f"0.{name}.weight" for name in ("to_q", "to_kv", "to_out")),
    *("1.0.weight", "1.0.bias", "1.1.weight", "1.3.weight"),
)
_GATED_BLOCK = (
    *("attn_gate", "ff_gate", "attn.norm.weight", "attn.norm.bias"),
    *(f"attn.{name}.weight" for name in ("to_q", "to_kv", "to_out")),
    *("ff.0.weight", "ff.0.bias", "ff.1.weight", "ff.3.weight"),
)
_Floats = NDArray[np.float32]

_LISTED = 12
"""Names that an error lists."""


def take_apart_flamingo(checkpoint: Path, base: Checkpoint, every: int = 0) -> TakenApart:
    """The model that a checkpoint makes of a language model.

    Args:
        checkpoint: the file of torch, perhaps with the state of a training around it.
        base: the language model.
        every: between how many layers a block is expected; 0 if nobody said.

    Raises:
        InputError: the file is damaged, holds what nobody knows or lacks something, contradicts itself, or belongs to
            another language model.
    """
    found = _sorted_out(checkpoint, read_torch(checkpoint, inside=_WRAPPED_IN), base)
    layers = base.config.get("num_hidden_layers")
    _refuse_places(checkpoint, found.blocks, layers if isinstance(layers, int) else 0, every)
    rows, base_rows = found.embedding.shape[0], embedding_rows(base, _EMBEDDING)
    added = (END_OF_CHUNK, TAG, PADDING)[: max(0, rows - base_rows)]
    if rows - base_rows not in (2, 3) or found.embedding.shape[1:] != base.tensors[_EMBEDDING].shape[1:]:
        raise InputError(
            checkpoint,
            f"tensor '{found.embedding.name}'",
            f"shape {list(found.embedding.shape)}; the language model {base.origin} has "
            f"{list(base.tensors[_EMBEDDING].shape)}, and two or three tokens are added to it",
            advice="Give the language model that it was trained with: LLaMA-1 7B for the Flamingos of the catalog.",
        )
    _refuse_other_rows(found.embedding, base.tensors[_EMBEDDING], base)
    grown = with_more_tokens(base, _EMBEDDING, found.embedding)
    tokens = {base_rows + place: text for place, text in enumerate(added)}
    tokenizer = grown_tokenizer(base, base_rows, tokens)
    language = CheckpointView(
        grown.origin,
        with_special_ids({**base.config, "vocab_size": rows}, tokenizer.folder),
        grown.config_file,
        tokenizer,
        grown.tensors,
    )
    latents = found.tensors["resampler.latents"]
    if len(latents.shape) != 2:
        raise InputError(
            checkpoint, "tensor 'perceiver.latents'", f"shape {list(latents.shape)}, expected a matrix"
        )
    parts = VisionParts(
        kind="flamingo",
        tower_sha256=NO_TOWER,
        layer=-1,
        crop="bankers",
        aspect="crop",
        rows=1,
        width=base.tensors[_EMBEDDING].shape[1],
        tag=TAG,
        blocks=tuple(sorted(found.blocks)),
        latents=latents.shape[0],
    )
    return TakenApart(checkpoint, language, parts, found.tensors, latents.shape[1], warnings=found.warnings)


@dataclass
class _Found:
    """What a checkpoint holds: under the names of `vision.safetensors`, and the embedding."""

    embedding: Tensor
    tensors: dict[str, Tensor] = field(default_factory=dict)
    blocks: set[int] = field(default_factory=set)
    warnings: tuple[str, ...] = ()


def _sorted_out(path: Path, stored: Sequence[Tensor], base: Checkpoint) -> _Found:
    """Every tensor where it belongs; what nobody knows and what is missing is told together."""
    tensors: dict[str, Tensor] = {}
    blocks: set[int] = set()
    layers: set[int] = set()
    unknown: list[str] = []
    differing: list[str] = []
    embeddings: list[Tensor] = []
    for tensor in stored:
        name = tensor.name.removeprefix("module.")
        if _IGNORED.fullmatch(name):
            continue
        if name == f"lang_encoder.{_EMBEDDING}":
            embeddings.append(tensor)
        elif match := _BLOCK.fullmatch(name):
            block = int(match[1] or match[2])
            blocks.add(block)
            _put(tensors, f"blocks.{block}.{match[3]}", tensor)
            if match[3] not in _GATED_BLOCK:
                unknown.append(tensor.name)
        elif match := _LAYER.fullmatch(name):
            layers.add(int(match[1]))
            _put(tensors, f"resampler.layers.{int(match[1])}.{match[2]}", tensor)
            if match[2] not in _RESAMPLER_LAYER:
                unknown.append(tensor.name)
        elif name in ("perceiver.latents", "perceiver.norm.weight", "perceiver.norm.bias"):
            _put(tensors, f"resampler.{name.removeprefix('perceiver.')}", tensor)
        elif (copied := base.tensors.get(_copied(name))) is not None:
            if not alike(copied, _as_long_as(copied, tensor)):
                differing.append(tensor.name)
        else:
            unknown.append(tensor.name)
    missing = [name for name in _expected(layers, blocks) if name not in tensors]
    if not embeddings:
        missing.append(
            f"lang_encoder.{_EMBEDDING} (without it the tokens {TAG} and {END_OF_CHUNK} would be noise)"
        )
    if unknown or missing:
        said = [
            f"{what}: {_some(names)}" for what, names in (("unknown", unknown), ("missing", missing)) if names
        ]
        raise InputError(
            path,
            "",
            f"no checkpoint of a Flamingo: {'; '.join(said)}",
            advice="Give the file with the trained weights of OpenFlamingo or Med-Flamingo, 9B.",
        )
    warnings: tuple[str, ...] = ()
    if differing:
        warnings = (
            f"{path} holds parts of its language model that differ from {base.origin} ({_some(differing)}); those of "
            "the latter are used.",
        )
    return _Found(embeddings[0], tensors, blocks, warnings)


def _as_long_as(copied: Tensor, tensor: Tensor) -> Tensor:
    """A copy without the rows of further tokens."""
    longer = len(tensor.shape) == 2 and tensor.shape[0] > copied.shape[0]
    return outputs(tensor, 0, copied.shape[0]) if longer else tensor


def _copied(name: str) -> str:
    """What a copy of a part of the language model is called there; "" if it is none."""
    match = _COPY.fullmatch(name)
    if match is None:
        return ""
    layer = match["layer"] or match["old"]
    return f"model.layers.{layer}.{match['rest']}" if layer else match["other"]


def _expected(layers: set[int], blocks: set[int]) -> Iterator[str]:
    """The names of all tensors; there is at least one layer and one block."""
    yield from ("resampler.latents", "resampler.norm.weight", "resampler.norm.bias")
    for layer in range(max(layers, default=0) + 1):
        yield from (f"resampler.layers.{layer}.{name}" for name in _RESAMPLER_LAYER)
    for block in map(str, sorted(blocks)) if blocks else "N":
        yield from (f"blocks.{block}.{name}" for name in _GATED_BLOCK)


def _put(tensors: dict[str, Tensor], name: str, tensor: Tensor) -> None:
    """Keep a tensor; one that is there under a second name must be the same."""
    other = tensors.setdefault(name, tensor)
    if other is not tensor and not _equal(other, tensor):
        raise InputError(
            tensor.path,
            f"tensor '{tensor.name}'",
            f"holds other numbers than '{other.name}', which is the same",
        )


def _equal(one: Tensor, other: Tensor) -> bool:
    if (one.shape, one.dtype) != (other.shape, other.dtype) or one.dtype not in MAPPED:
        return False
    if getattr(one, "offset", 0) == getattr(other, "offset", 1) and getattr(one, "strides", 0) == getattr(
        other, "strides", 1
    ):
        return True
    rows = one.shape[0] if one.shape else 1
    return all(
        one.rows(begin, min(begin + _STEP, rows)).tobytes()
        == other.rows(begin, min(begin + _STEP, rows)).tobytes()
        for begin in range(0, rows, _STEP)
    )


def _refuse_places(path: Path, blocks: set[int], layers: int, every: int) -> None:
    """Refuse blocks at other places than are expected, or where the language model has no layers."""
    found = sorted(blocks)
    if found[-1] >= layers or found[0] < 1:
        problem = f"gated blocks stand before the layers {found}; the language model has {layers}"
        raise InputError(path, "", problem, advice="Give the language model that it was trained with.")
    expected = list(range(every - 1, layers, every)) if every else found
    if found != expected:
        raise InputError(path, "", f"gated blocks stand before the layers {found}, expected {expected}")


def _refuse_other_rows(longer: Tensor, embedding: Tensor, base: Checkpoint) -> None:
    """Refuse an embedding that does not begin with the language model's, up to the precision of the two."""
    if longer.dtype not in MAPPED or embedding.dtype not in MAPPED:
        raise InputError(
            longer.path, f"tensor '{longer.name}'", f"elements of type {longer.dtype} cannot be read"
        )
    for begin in range(0, embedding.shape[0], _STEP):
        end = min(begin + _STEP, embedding.shape[0])
        mine, theirs = (widened(tensor.rows(begin, end), tensor.dtype) for tensor in (longer, embedding))
        differ = _differ(mine, longer.dtype, theirs, embedding.dtype).any(axis=1)
        if differ.any():
            row = begin + int(np.argmax(differ))
            raise InputError(
                longer.path,
                f"tensor '{longer.name}'",
                f"row {row} is not that of the language model {base.origin}: it was trained with another one",
                advice="Give the language model that it was trained with: LLaMA-1 7B for the Flamingos of the catalog.",
            )


def _differ(mine: _Floats, my_type: str, theirs: _Floats, their_type: str) -> NDArray[np.bool_]:
    """Where two matrices differ by more than the narrower of their types can tell."""
    if {my_type, their_type} == {"F16", "BF16"}:
        return np.asarray(np.abs(mine - theirs) > np.abs(theirs) / 128 + np.float32(2**-24), np.bool_)
    narrow = my_type if their_type == "F32" else their_type
    one, other = (narrowed(values, narrow, name="embedding") for values in (mine, theirs))
    return np.asarray(one != other, np.bool_)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
