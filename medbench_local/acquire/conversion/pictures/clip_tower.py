"""The tower of a CLIP model in the format of transformers: its tensors, and how pictures are prepared for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.tensor import Tensor
from medbench_local.errors import InputError, UnsupportedArchitectureError
from medbench_local.files.json_objects import read_json_object
from medbench_local.vision.tower import TowerConfig

PREPROCESSOR = "preprocessor_config.json"

_CLASSES = ("CLIPModel", "CLIPVisionModel", "CLIPVisionModelWithProjection")
_WITHOUT_USE = re.compile(
    r"text_model\..*|text_projection\.weight|visual_projection\.weight|logit_scale|.*\.?position_ids"
)
_ASSUMED: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""What transformers takes where the configuration of a tower has no such key."""

_MEAN, _STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
_BICUBIC = 3
"""Pillow's number of the way to resize."""


@dataclass(frozen=True)
class ClipTower:
    """A tower.

    Attributes:
        origin: the folder that errors name.
        config: its sizes, and how pictures are prepared.
        tensors: by the names that they have in `tower.safetensors`.
        pads: whether pictures are made square before they are resized, by what is said of their preparation.
    """

    origin: Path
    config: TowerConfig
    tensors: Mapping[str, Tensor]
    pads: bool = False


def read_clip_folder(folder: Path) -> ClipTower:
    """The tower in the folder of a CLIP model, whose text half is left alone.

    Raises:
        InputError: a file is missing or damaged, or a tensor nobody knows.
        UnsupportedArchitectureError: it is no CLIP of that kind, or pictures are prepared otherwise.
    """
    path = folder / "config.json"
    config = read_json_object(path)
    names = config.get("architectures")
    if names not in [[name] for name in _CLASSES]:
        raise UnsupportedArchitectureError(
            f"{path}: {names!r:.80} is no tower that can be used; known are {', '.join(_CLASSES)}.",
            advice="A CLIP model in the format of transformers is needed, as openai/clip-vit-large-patch14.",
        )
    tensors = {
        name: t for name, t in CheckpointFolder(folder).tensors.items() if not _WITHOUT_USE.fullmatch(name)
    }
    return clip_tower(path, config, folder / PREPROCESSOR, tensors)


def clip_tower(
    config_file: Path, config: Mapping[str, Any], preprocessor: Path, tensors: Mapping[str, Tensor]
) -> ClipTower:
    """The tower that some tensors make.

    Args:
        config_file: where its configuration stands.
        config: that; of a whole CLIP model the part "vision_config" counts.
        preprocessor: the file that says how pictures are prepared.
        tensors: its own, with or without "vision_model." before their names.

    Raises:
        InputError: a file is missing or damaged, or they contradict each other.
        UnsupportedArchitectureError: pictures are prepared otherwise than is done here.
    """
    inner = config.get("vision_config", config)
    if not isinstance(inner, Mapping):
        raise InputError(config_file, "key 'vision_config'", f"expected an object, not {inner!r:.80}")
    if (kind := inner.get("model_type", "clip_vision_model")) not in ("clip_vision_model", "clip"):
        raise UnsupportedArchitectureError(f"{config_file}: the tower is a {kind!r:.80}, not a CLIP.")
    prepared = _read_preprocessor(preprocessor)
    values = {key: inner.get(key, assumed) for key, assumed in _ASSUMED.items()}
    for key, value in values.items():
        if type(value) is not type(_ASSUMED[key]):
            raise InputError(config_file, f"key '{key}'", f"not {value!r:.80}")
    if values["hidden_act"] not in ("quick_gelu", "gelu"):
        raise UnsupportedArchitectureError(
            f"{config_file}: hidden_act {values['hidden_act']!r:.80} is not computed here."
        )
    try:
        made = TowerConfig(mean=prepared.mean, std=prepared.std, size=prepared.size, **values)
    except ValueError as error:
        raise InputError(config_file, "", f"{error} (with {preprocessor.name})") from error
    named = {name.removeprefix("vision_model."): tensor for name, tensor in tensors.items()}
    named = {name: tensor for name, tensor in named.items() if not _WITHOUT_USE.fullmatch(name)}
    return ClipTower(config_file.parent, made, named, prepared.pads)


@dataclass(frozen=True)
class _Prepared:
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pads: bool


def _read_preprocessor(path: Path) -> _Prepared:
    said = read_json_object(path)
    for key in ("do_resize", "do_center_crop", "do_normalize", "do_rescale"):
        if said.get(key, True) is not True:
            raise UnsupportedArchitectureError(f"{path}: {key} {said[key]!r:.40} is not done here.")
    if said.get("resample", _BICUBIC) != _BICUBIC:
        raise UnsupportedArchitectureError(
            f"{path}: resample {said['resample']!r:.40} is not done here, only {_BICUBIC} (bicubic)."
        )
    scale = said.get("rescale_factor", 1 / 255)
    if not isinstance(scale, float) or abs(scale * 255 - 1) > 1e-9:
        raise UnsupportedArchitectureError(f"{path}: rescale_factor {scale!r:.40} is not 1/255.")
    crop = _side(path, said, "crop_size", ("height", "width"))
    size = _side(path, said, "size", ("shortest_edge",))
    if size != crop:
        raise UnsupportedArchitectureError(
            f"{path}: pictures are resized to {size} pixels and cut to {crop}; only one size for both is done here."
        )
    mean, std = (
        _colours(path, said, key, usual) for key, usual in (("image_mean", _MEAN), ("image_std", _STD))
    )
    return _Prepared(size, mean, std, said.get("do_pad") is True)


def _side(path: Path, said: Mapping[str, Any], key: str, keys: tuple[str, ...]) -> int:
    """A size in pixels, as a number or as an object."""
    value = said.get(key)
    if isinstance(value, Mapping):
        sides = {value.get(name) for name in keys}
        value = sides.pop() if len(sides) == 1 else None
    if type(value) is not int or value < 1:
        raise InputError(
            path,
            f"key '{key}'",
            f"expected pixels, or an object with {' and '.join(keys)}, not {said.get(key)!r:.80}",
        )
    return value


def _colours(path: Path, said: Mapping[str, Any], key: str, usual: list[float]) -> tuple[float, float, float]:
    value = said.get(key, usual)
    if not isinstance(value, list) or len(value) != 3 or not all(type(v) in (int, float) for v in value):
        raise InputError(path, f"key '{key}'", f"expected three numbers, not {value!r:.80}")
    return float(value[0]), float(value[1]), float(value[2])
