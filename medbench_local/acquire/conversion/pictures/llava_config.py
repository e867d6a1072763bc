"""What the config.json of a LLaVA says beside what its language model needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medbench_local.acquire.conversion.checkpoint import Checkpoint
from medbench_local.acquire.picture_folders import EXPORTED, refuse_other_tower
from medbench_local.errors import InputError, UnsupportedArchitectureError

USUAL_LAYER = -2


@dataclass(frozen=True)
class LlavaConfig:
    """How a LLaVA is shown pictures, as far as its configuration says.

    Attributes:
        layer: of the tower, as an index of all its states.
        aspect: whether pictures are cropped or padded to a square; "" if it does not say.
        marked: whether a picture stands between two tokens of its own; None if it does not say.
        projector: the name of its kind; "" if it does not say.
        tower: the name of the tower; "" if it does not say.
        tower_width: numbers for a patch; 0 if it does not say.
        warnings: what a person should know.
    """

    layer: int
    aspect: Literal["crop", "pad", ""]
    marked: bool | None
    projector: str
    tower: str
    tower_width: int
    warnings: tuple[str, ...]


def read_llava_config(checkpoint: Checkpoint) -> LlavaConfig:
    """What the configuration says of pictures.

    Raises:
        InputError: a value makes no sense.
        UnsupportedArchitectureError: a way of showing pictures that is not computed here.
    """
    path, config = checkpoint.config_file, checkpoint.config
    if config.get("architectures") == [EXPORTED]:
        return _exported(path, config)
    _refuse_unless(path, config, "mm_vision_select_feature", ("patch",), "patch")
    _refuse_unless(path, config, "mm_patch_merge_type", ("flat",), "flat")
    aspect = config.get("image_aspect_ratio") or "square"
    if aspect not in ("square", "pad"):
        raise UnsupportedArchitectureError(
            f"{path}: image_aspect_ratio {aspect!r:.80} is not computed here: a picture is looked at "
            "as one square.",
            advice="LLaVA 1.6 and later cut pictures into tiles; take LLaVA 1.5.",
        )
    if config.get("use_mm_proj") is False:
        raise InputError(path, "key 'use_mm_proj'", "False: the model has no projector, and sees nothing")
    tower = config.get("mm_vision_tower") or ""
    if not isinstance(tower, str):
        raise InputError(path, "key 'mm_vision_tower'", f"expected a name, not {tower!r:.80}")
    refuse_other_tower(path, tower)
    marked = config.get("mm_use_im_start_end")
    if marked is not None and not isinstance(marked, bool):
        raise InputError(path, "key 'mm_use_im_start_end'", f"expected true or false, not {marked!r:.80}")
    projector = config.get("mm_projector_type") or ""
    width = config.get("mm_hidden_size") or 0
    layer, warnings = _layer(path, config, "mm_vision_select_layer")
    return LlavaConfig(
        layer=layer,
        aspect="pad" if aspect == "pad" else "crop",
        marked=marked,
        projector=str(projector),
        tower=tower,
        tower_width=width if isinstance(width, int) else 0,
        warnings=warnings,
    )


def _exported(path: Path, config: Mapping[str, Any]) -> LlavaConfig:
    _refuse_unless(path, config, "vision_feature_select_strategy", ("default",), "default")
    _refuse_unless(path, config, "projector_hidden_act", ("gelu",), "gelu")
    layer, warnings = _layer(path, config, "vision_feature_layer")
    return LlavaConfig(layer, "", None, "", "", 0, warnings)


def _refuse_unless(
    path: Path, config: Mapping[str, Any], key: str, known: tuple[str, ...], usual: str
) -> None:
    value = config.get(key) or usual
    if value not in known:
        raise UnsupportedArchitectureError(
            f"{path}: {key} {value!r:.80} is not computed here, only {known[0]!r}."
        )


def _layer(path: Path, config: Mapping[str, Any], key: str) -> tuple[int, tuple[str, ...]]:
    layer = config.get(key, USUAL_LAYER)
    if type(layer) is not int:
        raise InputError(path, f"key '{key}'", f"expected the number of a layer, not {layer!r:.80}")
    if layer == USUAL_LAYER:
        return layer, ()
    return layer, (f"{path} says {key} {layer}; models of this kind take {USUAL_LAYER}.",)
