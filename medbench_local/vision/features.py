"""What a tower says of pictures, computed once and kept.

::

    MEDBENCH_HOME/features/<tower>/<rule>/<picture>.npy     float32 [rows, width of the tower]

``<tower>`` is the beginning of the hash of its file, ``<rule>`` says which layer and how pictures are cut and coloured,
``<picture>`` is the hash of the picture's file. Behind the array lies a hash of everything before it. Both models of a
pair, all prompts and all runs share a file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from medbench_local.errors import InputError
from medbench_local.files.atomic import need_place, whole_file
from medbench_local.files.hashes import file_sha256
from medbench_local.files.lock import alone
from medbench_local.files.space import DiskNeed, check_room
from medbench_local.files.streams import open_file
from medbench_local.progress import Progress
from medbench_local.vision.arithmetic import Floats
from medbench_local.vision.parts import VisionParts
from medbench_local.vision.pictures import Rule, pixels
from medbench_local.vision.tower import Tower, TowerConfig, read_tower_config

VERSION = "v1"
"""Of what is computed here from a picture; another one whenever its numbers change."""

_DIGEST = 32
_HEADER = 128


class PictureFile(Protocol):
    """A picture on the disk."""

    @property
    def sha256(self) -> str:
        """Hash of the file's content, 64 hexadecimal digits in lower case."""

    @property
    def path(self) -> Path:
        """The file."""


@dataclass(frozen=True)
class FeatureCache:
    """Where features are kept.

    Args:
        home: MEDBENCH_HOME.
    """

    home: Path

    @property
    def folder(self) -> Path:
        """All of it; it need not exist."""
        return self.home / "features"

    def folder_of(self, parts: VisionParts, rule: Rule) -> Path:
        """Where features of pictures that models like this one see alike are kept; it need not exist."""
        return self.folder / parts.tower_sha256[:12] / f"{VERSION}-layer{parts.layer}-{rule.name}"

    def size(self) -> tuple[int, int]:
        """How many pictures' features are kept, and in how many bytes."""
        sizes = [file.stat().st_size for file in self.folder.glob("*/*/*.npy")]
        return len(sizes), sum(sizes)


def rule_of(config: TowerConfig, parts: VisionParts, *, own_colours: bool = False) -> Rule:
    """How a model's code makes numbers of a picture.

    Args:
        config: of its tower.
        parts: of the model.
        own_colours: the data set hands pictures over in their own colours, as MMMU does; LLaVA's code makes them red,
            green and blue at once, Flamingo's after resizing and cropping.
    """
    last = own_colours and parts.kind == "flamingo"
    return Rule(config.size, config.mean, config.std, parts.crop, parts.aspect, "last" if last else "first")


def encode_pictures(
    tower: Path,
    parts: VisionParts,
    pictures: Sequence[PictureFile],
    home: Path,
    progress: Progress,
    *,
    own_colours: bool = False,
) -> dict[str, Path]:
    """Features of pictures; those that are kept already are not computed again.

    Each is written as soon as it is known: stopped at any moment, the same call goes on where it was. All pictures are
    looked at before the first is encoded, so that a damaged one is named at once.

    Args:
        tower: its ``tower.safetensors``.
        parts: of the model.
        pictures: any may be there more than once.
        home: MEDBENCH_HOME.
        progress: told of a step "encoding pictures", unless all are kept.
        own_colours: as `rule_of`.

    Returns:
        For each picture's hash the file with its features, see `read_features`.

    Raises:
        InputError: a picture cannot be shown (see `medbench_local.vision.pictures.decode`); the tower is damaged or not
            the one that the model was made with.
        StoreError, DiskFullError: they cannot be kept.
    """
    config = read_tower_config(tower)
    rule = rule_of(config, parts, own_colours=own_colours)

    def encode(missing: Sequence[tuple[PictureFile, Path]]) -> Iterator[None]:
        _check_tower(tower, config, parts, home, progress)
        for picture, _ in missing:
            pixels(picture.path, rule, sha256=picture.sha256)
        yield
        opened = Tower.open(tower, layer=parts.layer)
        for picture, file in missing:
            seen = opened.encode(pixels(picture.path, rule, sha256=picture.sha256))[1:]
            if not np.isfinite(seen).all():
                raise InputError(tower, "", f"gives numbers that are not finite for {picture.path}")
            write_features(file, seen)
            yield

    shape = (parts.rows, config.hidden_size)
    return keep_features(FeatureCache(home).folder_of(parts, rule), pictures, shape, encode, progress)


Encode = Callable[[Sequence[tuple["PictureFile", Path]]], Iterator[None]]
"""Writes the features of pictures, each to its file; yields once all pictures have been looked at, then after each."""


def keep_features(
    folder: Path,
    pictures: Sequence[PictureFile],
    shape: tuple[int, int],
    encode: Encode,
    progress: Progress,
) -> dict[str, Path]:
    """Features of pictures in a folder; those that are there already are not computed again.

    Args:
        folder: what its name says decides the numbers of features, beside the picture.
        pictures: any may be there more than once.
        shape: of a picture's features.
        encode: makes those that are missing.
        progress: told of a step "encoding pictures", unless all are there.

    Returns:
        For each picture's hash the file with its features.

    Raises:
        StoreError, DiskFullError: they cannot be kept.
        whatever ``encode`` raises.
    """
    unique = {picture.sha256: picture for picture in pictures}
    files = {sha256: folder / f"{sha256}.npy" for sha256 in unique}
    if all(_is_kept(file, shape) for file in files.values()):
        return files
    need_place(folder)
    with alone(folder / ".lock", "encoding pictures", progress):
        missing = [
            (picture, files[key]) for key, picture in unique.items() if not _is_kept(files[key], shape)
        ]
        if not missing:
            return files
        nbytes = 4 * shape[0] * shape[1] + _HEADER + _DIGEST
        check_room([DiskNeed(folder, len(missing) * nbytes, "what a model sees of pictures")])
        encoding = encode(missing)
        next(encoding)
        with progress.step("encoding pictures", total=len(unique), unit="pictures") as advance:
            advance(len(unique) - len(missing), known=True)
            for _ in encoding:
                advance(1)
    return files


def read_features(file: Path) -> Floats:
    """What was kept of a picture: [rows, width of the tower].

    Raises:
        InputError: it is not there, or damaged.
    """
    try:
        with open_file(file) as opened:
            content = opened.read()
    except FileNotFoundError as error:
        raise InputError(file, "", "no such file", advice=_ENCODE) from error
    except OSError as error:
        raise InputError(file, "", f"cannot be read: {error.strerror or error}") from error
    array, digest = content[:-_DIGEST], content[-_DIGEST:]
    if hashlib.sha256(array).digest() != digest:
        raise InputError(file, "", "damaged: its hash is another one", advice=_ENCODE)
    features: Floats = np.lib.format.read_array(io.BytesIO(array), allow_pickle=False)
    return features


_ENCODE = "Run the same command again: pictures whose features are missing or damaged are encoded again."


def _is_kept(file: Path, shape: tuple[int, int]) -> bool:
    try:
        return read_features(file).shape == shape
    except InputError:
        return False


def write_features(file: Path, features: Floats) -> None:
    """Write features of a picture, whole or not at all.

    Raises:
        StoreError, DiskFullError: they cannot be kept.
    """
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(features, np.float32), allow_pickle=False)
    content = buffer.getvalue()
    with whole_file(file) as temporary:
        temporary.write_bytes(content + hashlib.sha256(content).digest())


def _check_tower(
    tower: Path, config: TowerConfig, parts: VisionParts, home: Path, progress: Progress
) -> None:
    """Whether it is the one that the model was made with."""
    if config.rows != parts.rows:
        raise InputError(tower, "", f"makes {config.rows} rows of a picture, the model takes {parts.rows}")
    if file_sha256(tower, home, progress) != parts.tower_sha256:
        problem = "is not the tower that the model was converted with"
        raise InputError(tower, "", problem, advice="Convert the model again with this tower.")
