"""How much memory seeing takes, beside what a language model needs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from medbench_local.vision.parts import VisionFile
from medbench_local.vision.projector_file import is_projector_name

PICTURES_KEPT = 256 * 2**20
"""Most bytes of what is computed of pictures and kept: of LLaVA-7B 64 pictures, of Flamingo-9B 128."""

_LIBRARIES = 100 * 2**20  # what multiplies matrices, and the numbers that pass through it


class VisionNeeds(NamedTuple):
    """Bytes.

    Attributes:
        weights: of projector, resampler and blocks; the latter stay in their file, mapped.
        compute: for intermediate results.
    """

    weights: int
    compute: int


def vision_needed(path: Path) -> VisionNeeds:
    """What the parts in a ``vision.safetensors`` need; of a projector file of llama.cpp's, only its rows are used.

    Raises:
        InputError: the file is damaged.
    """
    if is_projector_name(path):
        return VisionNeeds(0, PICTURES_KEPT + _LIBRARIES)
    file = VisionFile.open(path)
    size = path.stat().st_size
    if file.parts.kind == "flamingo":
        return VisionNeeds(size, PICTURES_KEPT + _LIBRARIES)
    return VisionNeeds(2 * size, PICTURES_KEPT + _LIBRARIES)  # 16 bits there, 32 in memory
