"""Small JPEGs of pictures, to be shown beside their questions in a report that is one file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from medbench_local.errors import InputError
from medbench_local.vision.pictures import decode

MOST_BYTES = 24 * 1024
"""Of one thumbnail."""

MOST_IN_TOTAL = 16 * 2**20
"""Bytes of all thumbnails of a run. Where there are many pictures, each is made small enough for all to fit."""

_SIZES = ((320, 75), (320, 60), (240, 55), (160, 50), (96, 40), (64, 30))
"""Pixels of the longer side and quality, tried in this order until the bytes suffice."""


def thumbnails(pictures: Mapping[str, Path]) -> dict[str, bytes]:
    """Small JPEGs of pictures, by the same hashes, within the limits above.

    They show what models see: the first frame as it is stored, without its transparency. A picture of which no JPEG is
    small enough, or which cannot be read any more, has none.

    Args:
        pictures: file of each picture, by the SHA-256 of its bytes.
    """
    most = min(MOST_BYTES, MOST_IN_TOTAL // max(len(pictures), 1))
    found = {sha256: _thumbnail(path, sha256, most) for sha256, path in pictures.items()}
    return {sha256: data for sha256, data in found.items() if data is not None}


def _thumbnail(path: Path, sha256: str, most: int) -> bytes | None:
    try:
        picture = decode(path, sha256=sha256).convert("RGB")
    except InputError:
        return None
    for side, quality in _SIZES:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality, optimize=True)
        if stream.tell() <= most:
            return stream.getvalue()
    return None
