"""CLIP's vision tower: ``tower.safetensors``, and what it makes of a picture.

Radford et al., 2021, https://arxiv.org/abs/2103.00020. llama.cpp has the tower, too, but mixes up its positions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray
from pydantic import ConfigDict

from medbench_local.errors import InputError
from medbench_local.vision.arithmetic import Floats, attention, gelu, layer_norm, quick_gelu
from medbench_local.vision.tensor_file import AGAIN, TensorFile, write_tensors


@dataclass(frozen=True)
class TowerConfig:
    """What the numbers of a tower do not say; the record of ``tower.safetensors``.

    Attributes:
        image_size: pixels of each side of a picture.
        patch_size: pixels of each side of a patch.
        hidden_size: numbers for a patch.
        num_hidden_layers, num_attention_heads, intermediate_size, layer_norm_eps: of the transformer.
        hidden_act: between the two halves of its feed-forward parts.
        mean, std: of red, green and blue, from 0 to 1: what a picture is normalised with.
        size: pixels of the shortest side after resizing, and of both sides after cropping.

    Raises:
        ValueError: that makes no sense.
    """

    image_size: int
    patch_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    layer_norm_eps: float
    hidden_act: Literal["quick_gelu", "gelu"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name in ("patch_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}")
        if self.image_size < 1 or self.image_size % self.patch_size:
            raise ValueError(f"pictures of {self.image_size} pixels in patches of {self.patch_size}")
        if self.size != self.image_size:
            raise ValueError(f"pictures are cut to {self.size} pixels, the tower takes {self.image_size}")
        if self.hidden_size < 1 or self.hidden_size % self.num_attention_heads:
            raise ValueError(f"{self.num_attention_heads} heads for {self.hidden_size} numbers")
        if not all(math.isfinite(value) and value > 0 for value in (*self.std, self.layer_norm_eps)):
            raise ValueError("std or layer_norm_eps is not above 0")
        if not all(0 <= value <= 1 for value in self.mean):
            raise ValueError("mean is not between 0 and 1")

    @property
    def rows(self) -> int:
        """Patches of a picture."""
        return (self.image_size // self.patch_size) ** 2


class Tower:
    """A tower, ready to look at pictures.

    Attributes:
        config: its record.
    """

    def __init__(self, config: TowerConfig, weights: Mapping[str, Floats], layers: int) -> None:
        self.config = config
        self._weights = weights
        self._layers = layers

    @classmethod
    def open(cls, path: Path, *, layer: int = -1) -> Tower:
        """Check a file and map it; numbers that are not float32 are widened into memory.

        Args:
            path: a ``tower.safetensors``.
            layer: whose output is wanted, as `VisionParts.layer`: -1 after all layers, -2 before the last one.

        Raises:
            InputError: it cannot be read, its record makes no sense, a tensor is missing, unknown or of another shape,
                or there is no such layer.
        """
        file = TensorFile.open(path)
        config = file.read_record(TowerConfig)
        if config.num_hidden_layers > len(file.tensors):  # before a name is made for each of them
            problem = f"{config.num_hidden_layers} layers in a file of {len(file.tensors)} tensors"
            raise InputError(path, "header", problem, advice=AGAIN)
        shapes = _shapes(config)
        file.check_names(set(shapes))
        for name, shape in shapes.items():
            if (found := file.tensors[name].shape) != shape:
                raise InputError(path, f"tensor '{name}'", f"shape {list(found)}, expected {list(shape)}")
        last = config.num_hidden_layers
        if not -last <= layer + 1 <= last + 1:
            raise InputError(path, "", f"has {last} layers, and layer {layer} is asked for")
        layers = layer if layer >= 0 else last + 1 + layer
        used = {name for name in shapes if not _behind(name, layers)}
        return cls(config, {name: file.tensors[name].values() for name in used}, layers)

    def encode(self, pixels: Floats) -> Floats:
        """What the chosen layer says of one picture, before the last LayerNorm.

        A picture is always alone, so that nothing depends on what others are looked at with it.

        Args:
            pixels: [3, size, size], normalised.

        Returns:
            [1 + rows, hidden_size]: of the picture as a whole, then of its patches, row by row.
        """
        weights, config = self._weights, self.config
        side, patch = config.image_size // config.patch_size, config.patch_size
        patches = pixels.reshape(3, side, patch, side, patch).transpose(1, 3, 0, 2, 4)
        kernel = weights["embeddings.patch_embedding.weight"].reshape(config.hidden_size, -1)
        x: Floats = weights["embeddings.position_embedding.weight"].copy()
        x[0] += weights["embeddings.class_embedding"]
        x[1:] += patches.reshape(config.rows, -1) @ kernel.T
        x = self._norm("pre_layrnorm", x)
        for number in range(self._layers):
            layer = f"encoder.layers.{number}"
            x = x + self._attend(f"{layer}.self_attn", self._norm(f"{layer}.layer_norm1", x))
            hidden = self._linear(f"{layer}.mlp.fc1", self._norm(f"{layer}.layer_norm2", x))
            act = quick_gelu if config.hidden_act == "quick_gelu" else gelu
            x = x + self._linear(f"{layer}.mlp.fc2", act(hidden))
        return x

    def _attend(self, name: str, x: Floats) -> Floats:
        queries, keys, values = (self._linear(f"{name}.{part}_proj", x) for part in "qkv")
        return self._linear(
            f"{name}.out_proj", attention(queries, keys, values, self.config.num_attention_heads)
        )

    def _norm(self, name: str, x: Floats) -> Floats:
        weights = self._weights
        return layer_norm(x, weights[f"{name}.weight"], weights[f"{name}.bias"], self.config.layer_norm_eps)

    def _linear(self, name: str, x: Floats) -> Floats:
        product: Floats = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return product


def read_tower_config(path: Path) -> TowerConfig:
    """The record of a ``tower.safetensors``; its numbers are not looked at.

    Raises:
        InputError: it cannot be read, or its record makes no sense.
    """
    return TensorFile.open(path).read_record(TowerConfig)


def tower_memory(path: Path) -> int:
    """Bytes of memory that looking at pictures with a tower takes, about.

    Raises:
        InputError: it cannot be read, or its record makes no sense.
    """
    config = read_tower_config(path)
    weights = sum(4 * math.prod(shape) for shape in _shapes(config).values())
    rows = config.rows + 1
    scores = 2 * config.num_attention_heads * rows
    numbers = rows * (scores + 3 * config.intermediate_size + 6 * config.hidden_size)
    return weights + 4 * numbers + _LIBRARIES


_LIBRARIES = 100 * 2**20
"""Bytes of what multiplies matrices."""


def write_tower(path: Path, config: TowerConfig, tensors: Mapping[str, NDArray[Any]]) -> str:
    """Write a ``tower.safetensors``, whole or not at all.

    Args:
        path: an existing file is replaced.
        config: its record.
        tensors: by the names of transformers' CLIPVisionModel without "vision_model."; float32, float16, or uint16 that
            are the bits of bfloat16. Names and shapes are checked when it is opened.

    Returns:
        SHA-256 of the file's content, as `VisionParts.tower_sha256` wants it.

    Raises:
        StoreError: it cannot be written, or the disk is full.
    """
    return write_tensors(path, config, tensors)


def _behind(name: str, layers: int) -> bool:
    """Whether a tensor is not needed for the output of the first ``layers`` layers."""
    parts = name.split(".")
    return name.startswith("post_layernorm.") or (parts[0] == "encoder" and int(parts[2]) >= layers)


def _shapes(config: TowerConfig) -> dict[str, tuple[int, ...]]:
    width, patch = config.hidden_size, config.patch_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.class_embedding": (width,),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.position_embedding.weight": (config.rows + 1, width),
    }
    linears = {f"self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
    linears |= {"mlp.fc1": (config.intermediate_size, width), "mlp.fc2": (width, config.intermediate_size)}
    norms = ["pre_layrnorm", "post_layernorm"]  # the first is spelled so
    for number in range(config.num_hidden_layers):
        layer = f"encoder.layers.{number}"
        norms += [f"{layer}.layer_norm1", f"{layer}.layer_norm2"]
        for name, shape in linears.items():
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return shapes
