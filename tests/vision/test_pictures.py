"""Pixels are those of the models' own code; what cannot be shown is refused in one line."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import warnings
import zlib
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from transformers import CLIPImageProcessor

from medbench_local.errors import InputError
from medbench_local.vision.pictures import LARGEST_FILE, Rule, decode, dimensions, pixels
from tests.vision.models import MEAN, SHAPES, STD, Mode, drawn

FLOOR = Rule(56, MEAN, STD, "floor")
BANKERS = Rule(56, MEAN, STD, "bankers")
OWN = Rule(56, MEAN, STD, "bankers", colour="last")
PAD = Rule(56, MEAN, STD, "floor", "pad")
MODES: list[Mode] = ["RGB", "L", "LA", "P", "1", "RGBA", "CMYK"]


def processor(size: int = 56) -> Any:
    return CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def processed(picture: Image.Image, size: int = 56) -> NDArray[np.float32]:
    if picture.mode in ("LA", "RGBA"):  # today's transformers lays them over white; that of the study did not
        colours = np.asarray(picture)[..., :-1]
        picture = Image.fromarray(np.broadcast_to(colours, (*colours.shape[:2], 3)))
    return np.asarray(processor(size)(picture, return_tensors="np")["pixel_values"][0])


def saved(folder: Path, picture: Image.Image, name: str = "picture", **options: Any) -> Path:
    path = folder / f"{name}.{'tif' if picture.mode == 'CMYK' else 'png'}"
    picture.save(path, **options)
    return path


def equal(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    return (
        first.shape == second.shape and first.dtype == second.dtype == np.float32 and (first == second).all()
    )


def normal(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[S, S, 3] of levels as a tower sees them, by their definition."""
    values = levels.astype("f4") / np.float32(255)
    values = (values - np.array(MEAN, "f4")) / np.array(STD, "f4")
    return np.moveaxis(values, 2, 0)


def resized(picture: Image.Image, size: int) -> Image.Image:
    """To the shortest edge, the other one rounded down, in whole numbers."""
    width, height = picture.size
    short = min(width, height)
    return picture.resize((size * width // short, size * height // short), Image.Resampling.BICUBIC)


def middle(picture: Image.Image, size: int) -> Image.Image:
    """As torchvision cuts: half of what is too much, to the nearest, from a half to the even one."""
    left, top = (
        int((Decimal(side - size) / 2).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
        for side in picture.size
    )
    return picture.crop((left, top, left + size, top + size))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_floor_rule_is_that_of_transformers(tmp_path: Path, shape: tuple[int, int]) -> None:
    for mode in MODES:
        picture = drawn(shape, mode)
        path = saved(tmp_path, picture, mode)
        assert equal(pixels(path, FLOOR), processed(picture)), mode


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_even_rule_is_that_of_torchvision(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = drawn(shape)
    path = saved(tmp_path, picture)
    expected = normal(np.asarray(middle(resized(picture, 56), 56)))
    assert equal(pixels(path, BANKERS), expected)
    over = max(resized(picture, 56).size) - 56
    assert equal(pixels(path, FLOOR), expected) == (over % 4 != 3)


def test_some_shapes_tell_the_rules_apart() -> None:
    over = [max(resized(Image.new("L", shape), 56).size) - 56 for shape in SHAPES]
    assert sum(value % 4 == 3 for value in over) >= 4
    assert {value % 4 for value in over} == {0, 1, 2, 3}


def test_pictures_of_real_questions_are_those_of_transformers(shared_data: Path) -> None:
    files = sorted((shared_data / "vqa_rad" / "images").glob("*.jpg"))
    if not files:
        pytest.skip("needs the pictures of VQA-RAD")
    sizes = [dimensions(path) for path in files]
    over = [int(224 * max(size) / min(size)) - 224 for size in sizes]
    apart = [path for path, value in zip(files, over, strict=True) if value % 4 == 3]
    assert (len(files), len(apart)) == (315, 48)
    floor, bankers = Rule(224, MEAN, STD, "floor"), Rule(224, MEAN, STD, "bankers")
    for path in (*files[:12], *apart[:4]):
        with Image.open(path) as picture:
            assert equal(pixels(path, floor), processed(picture, 224))
            expected = normal(np.asarray(middle(resized(picture.convert("RGB"), 224), 224)))
        assert equal(pixels(path, bankers), expected)
        assert equal(pixels(path, floor), expected) == (path not in apart)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_padded_picture_is_whole_on_the_mean_colour(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = drawn(shape)
    width, height = shape
    side = max(shape)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = (122, 116, 104)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = np.asarray(picture)
    assert equal(pixels(saved(tmp_path, picture), PAD), processed(Image.fromarray(square)))


@pytest.mark.parametrize("mode", MODES)
def test_in_its_own_colours_a_picture_is_converted_last(tmp_path: Path, mode: Mode) -> None:
    for shape in SHAPES:
        picture = drawn(shape, mode)
        expected = normal(np.asarray(middle(resized(picture, 56), 56).convert("RGB")))
        assert equal(pixels(saved(tmp_path, picture), OWN), expected)


def test_a_palette_in_its_own_colours_is_not_smoothed(tmp_path: Path) -> None:
    picture = drawn((300, 200), "P")
    path = saved(tmp_path, picture)
    palette = {tuple(colour) for colour in np.asarray(picture.convert("RGB")).reshape(-1, 3)}
    inside = {
        tuple(colour) for colour in normal(np.array([[list(c) for c in palette]], np.uint8)).reshape(3, -1).T
    }
    assert {tuple(colour) for colour in pixels(path, OWN).reshape(3, -1).T} <= inside
    assert not {tuple(colour) for colour in pixels(path, BANKERS).reshape(3, -1).T} <= inside
    black_and_white = saved(tmp_path, drawn((300, 200), "1"))
    assert len(np.unique(pixels(black_and_white, OWN)[0])) == 2
    assert len(np.unique(pixels(black_and_white, BANKERS)[0])) > 2


def test_transparency_is_dropped_and_warned_about_by_nobody(tmp_path: Path) -> None:
    colours = drawn((90, 70))
    for alpha in (0, 7, 255):
        picture = colours.copy()
        picture.putalpha(alpha)
        assert equal(pixels(saved(tmp_path, picture), FLOOR), processed(colours))
    palette = drawn((90, 70), "P")
    for transparency in (3, bytes(range(23))):
        path = saved(tmp_path, palette, transparency=transparency)
        for rule in (FLOOR, OWN):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert equal(pixels(path, rule), pixels(saved(tmp_path, palette, "plain"), rule))


def test_the_note_of_a_camera_is_not_followed(tmp_path: Path) -> None:
    picture = drawn((90, 60))
    exif = picture.getexif()
    exif[0x0112] = 6
    held, plain = tmp_path / "held.jpg", tmp_path / "plain.jpg"
    picture.save(held, exif=exif)
    picture.save(plain)
    with Image.open(held) as opened:
        assert ImageOps.exif_transpose(opened).size == (60, 90)
    assert equal(pixels(held, FLOOR), pixels(plain, FLOOR))
    assert dimensions(held) == (90, 60)


@pytest.mark.parametrize("kind", ["gif", "tif", "webp", "png"])
def test_the_first_of_several_frames_is_seen(tmp_path: Path, kind: str) -> None:
    frames = [drawn((80, 60), seed=seed).quantize(50).convert("RGB") for seed in range(3)]
    first = frames[0]
    path = tmp_path / f"film.{kind}"
    first.save(path, save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(path) as opened:
        assert opened.n_frames == 3
    assert equal(pixels(path, FLOOR), processed(first))


@pytest.mark.parametrize("kind", ["jpg", "bmp", "ppm", "webp", "jp2"])
def test_other_kinds_are_what_pillow_makes_of_them(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"picture.{kind}"
    drawn((130, 90)).save(path)
    with Image.open(path) as opened:
        assert equal(pixels(path, FLOOR), processed(opened))


def test_four_inks_of_a_jpeg_are_what_pillow_makes_of_them(tmp_path: Path) -> None:
    path = tmp_path / "inks.jpg"
    drawn((130, 90), "CMYK").save(path)
    with Image.open(path) as opened:
        assert opened.mode == "CMYK"
        assert equal(pixels(path, FLOOR), processed(opened))
        assert equal(pixels(path, OWN), normal(np.asarray(middle(resized(opened, 56), 56).convert("RGB"))))


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_grey_of_16_bits_keeps_its_upper_half(tmp_path: Path, kind: str) -> None:
    grey = np.asarray(drawn((90, 70)).convert("L"))
    low = np.random.default_rng(0).integers(0, 256, grey.shape)
    path = tmp_path / f"deep.{kind}"
    Image.fromarray((grey.astype(np.uint16) << 8) + low.astype(np.uint16)).save(path)
    for rule in (FLOOR, OWN):
        assert equal(pixels(path, rule), pixels(saved(tmp_path, Image.fromarray(grey), "flat"), rule))


def test_dark_pictures_of_16_bits_would_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "twelve.png"
    Image.fromarray(np.arange(0, 4096, dtype=np.uint16).reshape(64, 64)).save(path)
    with pytest.raises(InputError, match="grey of 16 bits that goes to 4095 only"):
        decode(path)
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(path)
    assert decode(path).getextrema() == (0, 0)


def test_numbers_that_are_no_colours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "numbers.tif"
    Image.fromarray(np.linspace(0, 1, 100, dtype="f4").reshape(10, 10)).save(path)
    with pytest.raises(InputError, match="colours of the kind 'F'"):
        decode(path)
    Image.fromarray(np.full((10, 10), -3, np.int32)).save(path)
    with pytest.raises(InputError, match="grey from -3 to -3"):
        decode(path)


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG, whose promise of size nothing keeps."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 999)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


def content(kind: str) -> bytes:
    buffer = io.BytesIO()
    drawn((300, 200)).save(buffer, kind)
    return buffer.getvalue()


BAD: dict[str, tuple[bytes, str]] = {
    "a JPEG cut off": (content("JPEG")[:-900], "damaged or cut off: .*truncated"),
    "a JPEG that lacks its end": (content("JPEG")[:-20], "damaged or cut off"),
    "a PNG cut off": (content("PNG")[:-900], "damaged or cut off"),
    "a GIF cut off": (content("GIF")[:-900], "damaged or cut off"),
    "the beginning of a PNG": (content("PNG")[:9], "no picture of a known kind|damaged or cut off"),
    "nothing": (b"", "no picture of a known kind"),
    "text": (b"a picture, they said\n" * 9, "no picture of a known kind"),
    "a page": (b"<!doctype html><title>404</title>", "is a web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "pointer of Git LFS"),
    "a drawing that is a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "no picture"),
    "a bomb": (png_of(50_000, 50_000), "more than 89,478,485 pixels"),
    "a bomb that Pillow only warns of": (png_of(10_000, 10_000), "more than 89,478,485 pixels"),
    "a bomb of one line": (png_of(2_000_000_000, 1), "more than 89,478,485 pixels"),
    "less than it says": (png_of(2_000, 2_000), "damaged or cut off"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_whole_picture_is_refused(tmp_path: Path, name: str) -> None:
    data, says = BAD[name]
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        pixels(path, FLOOR)
    assert caught.value.path == str(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rule", [FLOOR, PAD])
def test_a_thread_of_a_picture_is_refused(tmp_path: Path, rule: Rule) -> None:
    path = saved(tmp_path, Image.new("L", (40_000, 1)))
    with pytest.raises(InputError, match="40000 x 1 pixels, too long and thin"):
        pixels(path, rule)


def test_files_that_cannot_be_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        decode(tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot be read"):
        decode(tmp_path)
    path = tmp_path / "huge.png"
    path.write_bytes(content("PNG"))
    os.truncate(path, LARGEST_FILE + 1)
    with pytest.raises(InputError, match="larger than 256 MiB"):
        decode(path)


def test_a_picture_that_was_exchanged_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path, drawn((60, 60)))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert pixels(path, FLOOR, sha256=sha256).shape == (3, 56, 56)
    saved(tmp_path, drawn((60, 60), seed=1))
    with pytest.raises(InputError, match="was changed"):
        pixels(path, FLOOR, sha256=sha256)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "JPEG2000"])
def test_damage_is_an_input_error_or_seen_through(tmp_path: Path, kind: str) -> None:
    whole, draw, path = content(kind), np.random.default_rng(7), tmp_path / "damaged"
    refused: list[str] = []
    for _ in range(60):
        data = bytearray(whole)
        for at in draw.integers(0, min(len(data), 600), 4):
            data[at] = draw.integers(0, 256)
        path.write_bytes(data[: draw.integers(1, len(data))] if draw.random() < 0.3 else data)
        try:
            seen = pixels(path, OWN)
        except InputError as error:
            refused.append(str(error))
        else:
            assert seen.shape == (3, 56, 56)
            assert np.isfinite(seen).all()
    assert len(refused) > 5
    assert not [text for text in refused if "\n" in text]
