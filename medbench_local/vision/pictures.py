"""Files of pictures to the numbers that a tower looks at. Pillow decodes and resizes.

What is seen is what the models' own code sees: the first frame, as it is stored (a camera's note of how it was held
is not followed), without its transparency, which is dropped and not laid over a colour.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from medbench_local.errors import InputError
from medbench_local.files.stand_ins import refuse_stand_in_at
from medbench_local.files.streams import open_file
from medbench_local.vision.arithmetic import Floats

LARGEST_FILE = 256 * 2**20
"""Bytes."""

LARGEST = 89_478_485
"""Pixels, decoded or resized: a small file may ask for any number of them. Pillow warns of more, too."""

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")
"""Pillow's names. Not those whose reading starts other programs."""

_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_DEEP = {"I", "I;16", "I;16L", "I;16B", "I;16N"}
_AGAIN = "Get it again from where it came from, or leave its questions out."


@dataclass(frozen=True)
class Rule:
    """From a decoded picture to numbers.

    Attributes:
        size: pixels of each side of the result.
        mean, std: of red, green and blue, from 0 to 1.
        crop, aspect: as `VisionParts`.
        colour: a picture becomes red, green and blue "first", or "last": after it was resized and cut in its own
            colours, which for palettes and black and white means without any smoothing.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: Literal["floor", "bankers"]
    aspect: Literal["crop", "pad"] = "crop"
    colour: Literal["first", "last"] = "first"

    @property
    def name(self) -> str:
        """For a folder; mean and std are the tower's and not in it."""
        return f"{self.size}-{self.aspect}-{self.crop}-rgb-{self.colour}"


def pixels(path: Path, rule: Rule, *, sha256: str = "") -> Floats:
    """What a tower sees of a picture.

    Args:
        path: of the file.
        rule: how.
        sha256: hash that the file should have, or "".

    Returns:
        [3, size, size], normalised.

    Raises:
        InputError: as `decode` and `fitted`.
    """
    return normalised(fitted(decode(path, sha256=sha256), rule, path), rule)


def dimensions(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the beginning of the file; the rest may be damaged.

    Raises:
        InputError: no picture, or one that is too large.
    """
    with _opened(path, _content(path, ""), whole=False) as picture:
        return picture.size


def decode(path: Path, *, sha256: str = "") -> Image.Image:
    """A picture in its own colours.

    16 bits of grey become 8, their upper halves, as Pillow does it with 16 bits of colour.

    Args:
        path: of the file.
        sha256: hash that the file should have, or "".

    Raises:
        InputError: it is not there, is not what it was, is no picture, is damaged or cut off, has too many pixels, or
            numbers that are no colours.
    """
    with _opened(path, _content(path, sha256), whole=True) as picture:
        picture.info.pop("transparency", None)  # only warned about where it is dropped
        if picture.mode in _DEEP:
            return _upper_half(path, np.asarray(picture))
        if picture.mode not in _MODES:
            raise InputError(
                path, "", f"colours of the kind '{picture.mode}', which no model was shown", advice=_SAVE
            )
        return picture.copy()


def fitted(picture: Image.Image, rule: Rule, path: Path) -> Image.Image:
    """A picture cut to size, 8 bits of red, green and blue.

    Raises:
        InputError: it is so long and thin that it would be enormous once its short side fits; names ``path``.
    """
    if rule.colour == "first" or rule.aspect == "pad":
        picture = picture.convert("RGB")
    if rule.aspect == "pad":
        picture = _padded(picture, rule, path)
    width, height = picture.size
    short, long = sorted((width, height))
    other = int(rule.size * long / short)
    if rule.size * other > LARGEST:
        problem = f"{width} x {height} pixels, too long and thin to be resized"
        raise InputError(path, "", problem, advice="Cut it to what the question is about.")
    size = (rule.size, other) if width <= height else (other, rule.size)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (_offset(side - rule.size, rule.crop) for side in size)
    return picture.crop((left, top, left + rule.size, top + rule.size)).convert("RGB")


def normalised(picture: Image.Image, rule: Rule) -> Floats:
    """The numbers of a picture of red, green and blue: [3, height, width]."""
    levels = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
    table = (levels - np.array(rule.mean, np.float32)) / np.array(rule.std, np.float32)
    values = np.asarray(picture)
    return np.stack([table[values[..., colour], colour] for colour in range(3)])


_SAVE = "Save it as an ordinary picture: PNG or JPEG with 8 bits a colour."


def _offset(over: int, crop: Literal["floor", "bankers"]) -> int:
    """Where the middle begins; the rules differ where three pixels more than a multiple of four are cut."""
    return over // 2 if crop == "floor" else round(over / 2)


def _padded(picture: Image.Image, rule: Rule, path: Path) -> Image.Image:
    """In the middle of a square of the mean colour."""
    width, height = picture.size
    side = max(width, height)
    if side * side > LARGEST:
        problem = f"{width} x {height} pixels, too long and thin for a square"
        raise InputError(path, "", problem, advice="Cut it to what the question is about.")
    red, green, blue = (int(value * 255) for value in rule.mean)
    square = Image.new("RGB", (side, side), (red, green, blue))
    square.paste(picture, ((side - width) // 2, (side - height) // 2))
    return square


def _content(path: Path, sha256: str) -> bytes:
    refuse_stand_in_at(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(path, "", f"larger than {LARGEST_FILE >> 20} MiB, too large for a picture")
        with open_file(path) as file:
            content = file.read()
    except FileNotFoundError as error:
        raise InputError(path, "", "no such file") from error
    except OSError as error:
        raise InputError(path, "", f"cannot be read: {error.strerror or error}") from error
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        problem = "was changed after the questions were read"
        raise InputError(path, "", problem, advice="Run the same command again.")
    return content


@contextmanager
def _opened(path: Path, content: bytes, *, whole: bool) -> Iterator[Image.Image]:
    """The picture in ``content``; decoded if it is wanted ``whole``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of oddities that do no harm; what does harm is an error
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            if picture.width * picture.height > LARGEST:
                raise Image.DecompressionBombError
            if whole:
                picture.load()
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            problem = f"more than {LARGEST:,} pixels, too many for a picture"
            raise InputError(
                path, "", problem, advice="Save it smaller: models see a few hundred pixels."
            ) from error
        except UnidentifiedImageError as error:
            problem = f"no picture of a known kind ({', '.join(FORMATS)})"
            raise InputError(path, "", problem, advice=_AGAIN) from error
        except Exception as error:  # decoders raise all sorts of things about damaged bytes
            problem = f"damaged or cut off: {error or type(error).__name__}"
            raise InputError(path, "", problem, advice=_AGAIN) from error
        with picture:
            yield picture


def _upper_half(path: Path, values: np.ndarray) -> Image.Image:
    """Grey of 16 bits in 8."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFF:
        raise InputError(path, "", f"grey from {low} to {high}, not from 0 to 65,535", advice=_SAVE)
    if 0 < high < 0x1000:
        problem = f"grey of 16 bits that goes to {high} only: next to nothing would be left of it in 8"
        raise InputError(path, "", problem, advice=_SAVE)
    return Image.fromarray((values >> 8).astype(np.uint8))
