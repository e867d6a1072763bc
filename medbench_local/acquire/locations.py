"""Where converted and quantised files lie, and the room they take."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from medbench_local.catalog.quantisation import FULL, QuantConfig
from medbench_local.files.hashes import FileRecord, content_key, file_sha256
from medbench_local.files.space import DiskNeed

CONVERSION = 2
"""To be raised when conversion gives other bytes for the same checkpoint."""

VISION_FORMAT = 1
"""Likewise for what a model has beside its GGUF to read pictures with."""


def full_path(name: str, files: Sequence[FileRecord], home: Path) -> Path:
    """Where the lossless GGUF of a checkpoint with these files lies, or would lie."""
    key = content_key(CONVERSION, sorted((file.path, file.sha256) for file in files))
    return home / "models" / f"{name}-{key[:16]}" / "full.gguf"


def quantised_path(folder: Path, full_sha256: str, quant: QuantConfig, home: Path) -> Path:
    """Where the GGUF quantised from the one with that hash lies, or would lie.

    The engine's version is part of the name, because another one may round otherwise.
    """
    imatrix = file_sha256(quant.imatrix, home) if quant.imatrix else ""
    recipe = [quant.file_type, list(quant.tensor_types.items()), imatrix]
    key = content_key(full_sha256, recipe, metadata.version("llama-cpp-python"))
    return folder / f"{quant.name}-{key[:8]}.gguf"


def room_for(weights: int, quant: QuantConfig, home: Path) -> list[DiskNeed]:
    """The room that conversion and quantisation of ``weights`` bytes of 16-bit weights will take."""
    needs = [DiskNeed(home, weights, "the full GGUF")]
    if quant.name != FULL:
        needs.append(DiskNeed(home, int(weights * quant.bits_per_weight / 16), "the quantised GGUF"))
    return needs
