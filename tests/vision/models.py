"""Small random towers and vision parts, and pictures to show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel

from medbench_local.vision.parts import VisionParts, write_vision
from medbench_local.vision.tower import TowerConfig, write_tower

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TOWER_WIDTH, TEXT_WIDTH, SIZE, ROWS = 48, 64, 56, 16
BLOCKS = (1, 3)

SHAPES = [
    (56, 56), (112, 56), (56, 131), (300, 200), (201, 300), (57, 61), (640, 480), (59, 56), (56, 59), (63, 67),
    (1, 1), (3, 11), (40, 30), (56, 63), (67, 56), (500, 56), (56, 71), (119, 113),
]  # fmt: skip
"""Width and height; in (59, 56), (56, 59), (63, 56), (67, 56), (56, 71) the rules of cropping differ."""


def clip(seed: int = 0, act: str = "quick_gelu") -> CLIPVisionModel:
    """A tower whose weights are spread so that pictures do not look alike to it."""
    config = CLIPVisionConfig(
        hidden_size=TOWER_WIDTH,
        intermediate_size=100,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=14,
        hidden_act=act,
    )
    model = CLIPVisionModel(config).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            fan = weight[0].numel() if weight.dim() > 1 else 1
            spread = 1.6 / fan**0.5 if weight.dim() > 1 else 0.3
            weight.copy_(torch.randn(weight.shape, generator=draw) * spread)
            if weight.dim() == 1 and name.endswith("weight"):
                weight.add_(1)
    return model


def tower_tensors(model: CLIPVisionModel) -> dict[str, NDArray[np.float32]]:
    return {
        name.removeprefix("vision_model."): value.numpy()
        for name, value in model.state_dict().items()
        if "position_ids" not in name
    }


def tower_config(**changes: Any) -> TowerConfig:
    values: dict[str, Any] = {
        "image_size": SIZE,
        "patch_size": 14,
        "hidden_size": TOWER_WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 100,
        "layer_norm_eps": 1e-5,
        "hidden_act": "quick_gelu",
        "mean": MEAN,
        "std": STD,
        "size": SIZE,
    }
    return TowerConfig(**{**values, **changes})


def saved_tower(folder: Path, seed: int = 0) -> tuple[Path, str]:
    """A file and its hash."""
    path = folder / "tower.safetensors"
    return path, write_tower(path, tower_config(), tower_tensors(clip(seed)))


def llava(tower_sha256: str = "0" * 64, **changes: Any) -> VisionParts:
    values: dict[str, Any] = {
        "kind": "llava",
        "tower_sha256": tower_sha256,
        "layer": -2,
        "crop": "floor",
        "aspect": "crop",
        "rows": ROWS,
        "width": TEXT_WIDTH,
        "projector": "linear",
        "begin": "<im_start>",
        "patch": "<im_patch>",
        "end": "<im_end>",
    }
    return VisionParts(**{**values, **changes})


def flamingo(tower_sha256: str = "0" * 64, **changes: Any) -> VisionParts:
    values: dict[str, Any] = {
        "kind": "flamingo",
        "tower_sha256": tower_sha256,
        "layer": -1,
        "crop": "bankers",
        "aspect": "crop",
        "rows": ROWS,
        "width": TEXT_WIDTH,
        "tag": "<image>",
        "blocks": BLOCKS,
        "latents": 8,
    }
    return VisionParts(**{**values, **changes})


def llava_tensors(parts: VisionParts, seed: int = 1) -> dict[str, NDArray[Any]]:
    shapes: dict[str, tuple[int, ...]] = {
        "projector.0.weight": (parts.width, TOWER_WIDTH),
        "projector.0.bias": (parts.width,),
    }
    if parts.projector == "mlp2x_gelu":
        shapes |= {"projector.2.weight": (parts.width, parts.width), "projector.2.bias": (parts.width,)}
    return _drawn(shapes, seed)


def flamingo_tensors(
    parts: VisionParts, seed: int = 2, *, inner: int = 128, ff: int = 192, layers: int = 2
) -> dict[str, NDArray[Any]]:
    tower, text = TOWER_WIDTH, parts.width
    shapes: dict[str, tuple[int, ...]] = {"resampler.latents": (parts.latents, tower)}
    norms = {"post_layernorm": tower, "resampler.norm": tower}
    for number in range(layers):
        name = f"resampler.layers.{number}"
        norms |= {f"{name}.0.norm_media": tower, f"{name}.0.norm_latents": tower, f"{name}.1.0": tower}
        shapes[f"{name}.0.to_q.weight"] = (inner, tower)
        shapes[f"{name}.0.to_kv.weight"] = (2 * inner, tower)
        shapes[f"{name}.0.to_out.weight"] = (tower, inner)
        shapes[f"{name}.1.1.weight"] = (ff, tower)
        shapes[f"{name}.1.3.weight"] = (tower, ff)
    for number in parts.blocks:
        name = f"blocks.{number}"
        norms |= {f"{name}.attn.norm": text, f"{name}.ff.0": text}
        shapes[f"{name}.attn_gate"] = shapes[f"{name}.ff_gate"] = (1,)
        shapes[f"{name}.attn.to_q.weight"] = (inner, text)
        shapes[f"{name}.attn.to_kv.weight"] = (2 * inner, tower)
        shapes[f"{name}.attn.to_out.weight"] = (text, inner)
        shapes[f"{name}.ff.1.weight"] = (ff, text)
        shapes[f"{name}.ff.3.weight"] = (text, ff)
    for name, width in norms.items():
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return _drawn(shapes, seed)


def _drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, NDArray[Any]]:
    draw = np.random.default_rng(seed)
    return {
        name: (draw.standard_normal(shape) * (1.6 / shape[-1] ** 0.5 if len(shape) > 1 else 0.5)).astype("f4")
        for name, shape in shapes.items()
    }


def saved_vision(folder: Path, parts: VisionParts, tensors: dict[str, NDArray[Any]] | None = None) -> Path:
    path = folder / "vision.safetensors"
    make = llava_tensors if parts.kind == "llava" else flamingo_tensors
    write_vision(path, parts, make(parts) if tensors is None else tensors)
    return path


Mode = Literal["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]


def drawn(size: tuple[int, int], mode: Mode = "RGB", seed: int = 0) -> Image.Image:
    """A picture of soft shapes and noise."""
    width, height = size
    draw = np.random.default_rng((seed, width, height))
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [
        np.sin(x * draw.uniform(0.02, 0.3) + y * draw.uniform(0.02, 0.3) + draw.uniform(0, 6))
        for _ in range(4)
    ]
    values = np.stack(waves, -1) * 100 + 128 + draw.normal(0, 10, (height, width, 4))
    picture = Image.fromarray(values.clip(0, 255).astype(np.uint8), "RGBA")
    if mode == "P":
        return picture.convert("RGB").quantize(23)
    return (
        picture
        if mode == "RGBA"
        else picture.convert("RGB").convert(mode)
        if mode != "LA"
        else picture.convert(mode)
    )
