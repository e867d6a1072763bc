"""What belongs to one language model so that it can be shown pictures: ``vision.safetensors``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from medbench_local.errors import InputError
from medbench_local.vision.tensor_file import MappedTensor, TensorFile, write_tensors

Kind = Literal["llava", "flamingo"]
"""How a model is shown pictures; see `VisionParts.kind`."""

HEAD = 64
"""Numbers of one attention head in resampler and gated blocks."""


@dataclass(frozen=True)
class VisionParts:
    """How a model is shown pictures; the record of ``vision.safetensors``.

    Attributes:
        kind: "llava": a picture is rows in place of tokens; "flamingo": gated blocks between the layers look at it.
        tower_sha256: hash of the content of the tower's file.
        layer: the tower's layer whose output is taken, counted as an index of all its states, the one before the
            first layer included: -1 is after all layers, -2 before the last one.
        crop: how the middle is found where it lies between two pixels: "floor", or "bankers" (to the even offset).
        aspect: "crop": the picture's middle is seen; "pad": all of it, made square by a border of the mean colour.
        rows: that the tower makes of a picture.
        width: hidden size of the language model.
        projector: from the tower's width to the language model's; "" with "flamingo".
        begin, patch, end: with "llava", the texts of the tokens before a picture's rows, in their place and behind;
            ``patch`` is "" where the vocabulary has no such tokens and the text is cut at the picture.
        tag: with "flamingo", the text of the token that stands for a picture.
        blocks: with "flamingo", the layers of the language model before which a gated block stands, ascending.
        latents: with "flamingo", rows that the resampler makes of a picture.

    Raises:
        ValueError: that makes no sense.
    """

    kind: Kind
    tower_sha256: str
    layer: int
    crop: Literal["floor", "bankers"]
    aspect: Literal["crop", "pad"]
    rows: int
    width: int
    projector: Literal["linear", "mlp2x_gelu", ""] = ""
    begin: str = ""
    patch: str = ""
    end: str = ""
    tag: str = ""
    blocks: tuple[int, ...] = ()
    latents: int = 0

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.tower_sha256):
            raise ValueError("tower_sha256 is not 64 hexadecimal digits in lower case")
        if self.rows < 1 or self.width < 1:
            raise ValueError(f"{self.rows} rows of {self.width} numbers")
        if self.kind == "llava":
            if not self.projector or self.tag or self.blocks or self.latents:
                raise ValueError("a llava model has a projector, and neither tag, blocks nor latents")
        elif self.projector or self.begin or self.patch or self.end or not self.tag or self.latents < 1:
            raise ValueError("a flamingo model has a tag and latents, and neither projector nor patch tokens")
        elif not self.blocks or self.blocks[0] < 1 or list(self.blocks) != sorted(set(self.blocks)):
            raise ValueError(f"blocks before the layers {self.blocks}: expected ascending numbers from 1")


@dataclass(frozen=True)
class VisionFile:
    """An opened ``vision.safetensors`` whose tensors have the names and shapes that they should.

    Attributes:
        path: the file.
        parts: its record.
        sizes: what the shapes say: "tower" (width of the tower); with "flamingo" also "resampler inner",
            "resampler ff", "block inner" and "block ff".
        resampler_layers: how many the resampler has.
    """

    path: Path
    parts: VisionParts
    sizes: Mapping[str, int]
    resampler_layers: int
    _tensors: Mapping[str, MappedTensor]

    @classmethod
    def open(cls, path: Path) -> VisionFile:
        """Open and check; no numbers are read.

        Raises:
            InputError: it cannot be read, its record makes no sense, or a tensor is missing, unknown or of a shape that
                does not fit.
        """
        file = TensorFile.open(path)
        parts = file.read_record(VisionParts)
        found = [re.match(r"resampler\.layers\.(\d{1,3})\.", name) for name in file.tensors]
        layers = max((int(match[1]) + 1 for match in found if match), default=1)
        expected = _expected(parts, layers)
        file.check_names(set(expected))
        sizes = {"width": parts.width, "latents": parts.latents, "one": 1}
        for name, axes in expected.items():
            _fit(path, name, file.tensors[name].shape, axes, sizes)
        for inner in ("resampler inner", "block inner"):
            if sizes.get(inner, 0) % HEAD:
                raise InputError(path, "header", f"{inner} of {sizes[inner]} is no multiple of {HEAD}")
        return cls(path, parts, sizes, layers, file.tensors)

    @classmethod
    def of_kind(cls, path: Path, kind: Kind, part: str) -> VisionFile:
        """Open and check the file of a model that has a part.

        Args:
            path: the file.
            kind: of the models that have it.
            part: for people ("resampler").

        Raises:
            InputError: as `open`; or the model is of another kind.
        """
        file = cls.open(path)
        if file.parts.kind != kind:
            raise InputError(path, "record", f"a model of kind '{file.parts.kind}', which has no {part}")
        return file

    def stored(self, name: str) -> MappedTensor:
        """A tensor, mapped."""
        return self._tensors[name]

    def tensor(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32."""
        return self._tensors[name].values()


def read_parts(path: Path) -> VisionParts:
    """The record of a ``vision.safetensors`` whose tensors have been checked.

    Raises:
        InputError: as `VisionFile.open`.
    """
    return VisionFile.open(path).parts


def write_vision(path: Path, parts: VisionParts, tensors: Mapping[str, NDArray[Any]]) -> str:
    """Write a ``vision.safetensors``, whole or not at all.

    Args:
        path: an existing file is replaced.
        parts: its record.
        tensors: float32, float16, or uint16 that are the bits of bfloat16; as `write_tensors`. Names and shapes are
            checked when it is opened.

    Returns:
        SHA-256 of the file's content.

    Raises:
        StoreError: it cannot be written, or the disk is full.
    """
    return write_tensors(path, parts, tensors)


_Axis = str | tuple[str, int]
"""The name of a size, or of one of which the axis is a multiple."""


def _norm(name: str, size: str) -> dict[str, tuple[_Axis, ...]]:
    return {f"{name}.{half}": (size,) for half in ("weight", "bias")}


def _attention(name: str, inner: str, asking: str) -> dict[str, tuple[_Axis, ...]]:
    return {
        f"{name}.to_q.weight": (inner, asking),
        f"{name}.to_kv.weight": ((inner, 2), "tower"),
        f"{name}.to_out.weight": (asking, inner),
    }


def _feed_forward(name: str, inner: str, size: str) -> dict[str, tuple[_Axis, ...]]:
    return {**_norm(f"{name}.0", size), f"{name}.1.weight": (inner, size), f"{name}.3.weight": (size, inner)}


def _expected(parts: VisionParts, layers: int) -> dict[str, tuple[_Axis, ...]]:
    """Names and shapes of all tensors; the first that has a size by name says how large it is."""
    if parts.kind == "llava":
        expected: dict[str, tuple[_Axis, ...]] = {
            "projector.0.weight": ("width", "tower"),
            "projector.0.bias": ("width",),
        }
        if parts.projector == "mlp2x_gelu":
            expected |= {"projector.2.weight": ("width", "width"), "projector.2.bias": ("width",)}
        return expected
    expected = {"resampler.latents": ("latents", "tower"), **_norm("post_layernorm", "tower")}
    for number in range(layers):
        layer = f"resampler.layers.{number}"
        expected |= _norm(f"{layer}.0.norm_media", "tower") | _norm(f"{layer}.0.norm_latents", "tower")
        expected |= _attention(f"{layer}.0", "resampler inner", "tower")
        expected |= _feed_forward(f"{layer}.1", "resampler ff", "tower")
    expected |= _norm("resampler.norm", "tower")
    for number in parts.blocks:
        block = f"blocks.{number}"
        expected |= {f"{block}.attn_gate": ("one",), f"{block}.ff_gate": ("one",)}
        expected |= _norm(f"{block}.attn.norm", "width") | _attention(f"{block}.attn", "block inner", "width")
        expected |= _feed_forward(f"{block}.ff", "block ff", "width")
    return expected


def _fit(
    path: Path, name: str, shape: tuple[int, ...], axes: tuple[_Axis, ...], sizes: dict[str, int]
) -> None:
    """Hold a shape to the sizes that are known, and learn from it those that are not."""
    wanted = []
    for at, axis in enumerate(axes):
        size, times = (axis, 1) if isinstance(axis, str) else axis
        wanted.append(times * sizes.setdefault(size, shape[at] // times if at < len(shape) else 0))
    if shape != tuple(wanted):
        problem = f"shape {list(shape)}, expected {wanted}"
        raise InputError(
            path, f"tensor '{name}'", problem, advice="It belongs to another model, or is damaged."
        )
