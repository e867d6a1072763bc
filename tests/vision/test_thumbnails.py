"""Small copies of pictures: within the limits, however many there are and whatever they show."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medbench_local.vision import thumbnails as module
from medbench_local.vision.thumbnails import MOST_BYTES, thumbnails


def written(folder: Path, name: str, picture: Image.Image) -> tuple[str, Path]:
    picture.save(folder / name)
    return hashlib.sha256((folder / name).read_bytes()).hexdigest(), folder / name


def noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


def test_a_thumbnail_shows_what_the_picture_shows(tmp_path: Path) -> None:
    halves = np.zeros((400, 800, 3), np.uint8)
    halves[:, 400:] = (250, 10, 10)
    sha256, path = written(tmp_path, "halves.png", Image.fromarray(halves))
    (data,) = thumbnails({sha256: path}).values()
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.size, len(data) <= MOST_BYTES) == ("JPEG", (320, 160), True)
    left, right = (np.array(picture.getpixel((x, 80)), int) for x in (80, 240))
    assert np.abs(left).max() < 12
    assert np.abs(right - (250, 10, 10)).max() < 12


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_every_kind_of_picture_has_one(tmp_path: Path, mode: str) -> None:
    picture = Image.new(mode, (40, 30)) if mode == "I;16" else noise(40).convert("RGB").convert(mode)
    sha256, path = written(tmp_path, "p.png", picture)
    assert set(thumbnails({sha256: path})) == {sha256}


def test_what_does_not_compress_is_made_smaller(tmp_path: Path) -> None:
    sha256, path = written(tmp_path, "noise.png", noise(1000))
    (data,) = thumbnails({sha256: path}).values()
    assert 1000 < len(data) <= MOST_BYTES


def test_many_pictures_share_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_IN_TOTAL", 20_000)
    pictures = dict(written(tmp_path, f"{side}.png", noise(side)) for side in range(200, 204))
    found = thumbnails(pictures)
    assert set(found) == set(pictures)
    assert sum(map(len, found.values())) <= 20_000
    monkeypatch.setattr(module, "MOST_IN_TOTAL", 2_000)
    assert thumbnails(pictures) == {}


def test_a_picture_that_is_gone_or_another_one_has_none(tmp_path: Path) -> None:
    sha256, path = written(tmp_path, "p.png", noise(20))
    assert thumbnails({sha256: tmp_path / "gone.png", "0" * 64: path}) == {}
