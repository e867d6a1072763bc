"""What the checkpoint of a model with pictures consists of, and how it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench_local.acquire.conversion.checkpoint import Checkpoint
from medbench_local.acquire.conversion.pictures.clip_tower import ClipTower
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.errors import AcquireError, InputError
from medbench_local.vision.parts import VisionFile, VisionParts, write_vision
from medbench_local.vision.tower import Tower, write_tower

NO_TOWER = "0" * 64
"""The hash of a tower that is not written yet."""

POST_NORM = ("post_layernorm.weight", "post_layernorm.bias")


@dataclass(frozen=True)
class TakenApart:
    """A model with pictures.

    Attributes:
        origin: the file or folder that errors name.
        language: the language model.
        parts: how it is shown pictures; the tower's hash and the number of rows are not those of a tower yet.
        tensors: what `vision.safetensors` holds, by its names, without what the tower gives.
        seen: the width of the tower that they take.
        tower: tensors of a tower among the checkpoint's, by the names that they have in `tower.safetensors`; empty for
            a checkpoint without one.
        warnings: what a person should know.
        named_tower: what the configuration calls the tower that the model was trained with; "" if it does not say.
        pads_as_told: whether it is the tower's preparation of pictures that says whether they are padded to a square.
    """

    origin: Path
    language: Checkpoint
    parts: VisionParts
    tensors: Mapping[str, Tensor]
    seen: int
    tower: Mapping[str, Tensor] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    named_tower: str = ""
    pads_as_told: bool = False


class _Numbers(Mapping[str, "NDArray[Any]"]):
    """The numbers of tensors, taken from the disk when they are asked for and not kept."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> NDArray[Any]:
        tensor = self._tensors[name]
        values = tensor.rows(0, tensor.shape[0] if tensor.shape else 1)
        return np.asarray(values).reshape(tensor.shape or (1,))

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def write_tower_file(path: Path, tower: ClipTower) -> None:
    """Write a tower, and check what was written.

    Raises:
        AcquireError: numbers of a type that is not read.
        InputError: a tensor is missing or of a shape that the configuration contradicts.
        StoreError: it cannot be written.
    """
    _refuse_types(tower.tensors)
    write_tower(path, tower.config, _Numbers(tower.tensors))
    _checked(lambda: Tower.open(path, layer=0), tower.origin)


def write_vision_file(path: Path, model: TakenApart, tower: ClipTower, tower_sha256: str) -> VisionParts:
    """Write what belongs to one language model, and check what was written.

    Args:
        path: the file.
        model: whose it is.
        tower: that it takes its features from.
        tower_sha256: hash of the tower's file.

    Raises:
        AcquireError: numbers of a type that is not read.
        InputError: the tower is another than the model's; a tensor is missing or of a shape that contradicts others.
        StoreError: it cannot be written.
    """
    config, parts = tower.config, model.parts
    if model.seen != config.hidden_size:
        problem = (
            f"takes {model.seen} numbers for a patch, the tower {tower.origin} gives {config.hidden_size}"
        )
        raise InputError(model.origin, "", problem, advice="Name the tower that the model was trained with.")
    states = config.num_hidden_layers + 1
    if not -states <= parts.layer < states:
        raise InputError(model.origin, "", f"takes layer {parts.layer} of a tower that has {states - 1}")
    parts = replace(parts, tower_sha256=tower_sha256, rows=config.rows)
    if model.pads_as_told:
        parts = replace(parts, aspect="pad" if tower.pads else "crop")
    tensors = dict(model.tensors)
    if parts.kind == "flamingo":
        tensors |= {name: tower.tensors[name] for name in POST_NORM}
    _refuse_types(tensors)
    write_vision(path, parts, _Numbers(tensors))
    _checked(lambda: VisionFile.open(path), model.origin)
    return parts


def _checked(opening: Any, origin: Path) -> None:
    """Errors of what was just written name what it was made of."""
    try:
        opening()
    except InputError as error:
        raise InputError(origin, error.where, error.problem) from error


def _refuse_types(tensors: Mapping[str, Tensor]) -> None:
    for tensor in tensors.values():
        if tensor.dtype not in MAPPED:
            raise AcquireError(
                f"{tensor.path}, tensor '{tensor.name}': elements of type {tensor.dtype} cannot be converted; "
                f"supported are {', '.join(MAPPED)}.",
                advice="Use a checkpoint in 16 or 32 bits.",
            )
