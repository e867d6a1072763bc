"""Safetensors files: eight bytes of header length, a JSON header, then the tensors without gaps.

The format is defined at https://huggingface.co/docs/safetensors. The library of that name checks the same
things but does not say where a tensor lies and has no bfloat16 for numpy, so the header is read here.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

from medbench_local.acquire.conversion.tensor import ITEM_BYTES, StoredTensor
from medbench_local.errors import InputError
from medbench_local.files.json_objects import parse_json_object
from medbench_local.files.stand_ins import refuse_stand_in_at
from medbench_local.files.streams import open_file

LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""


def read_safetensors(path: Path) -> list[StoredTensor]:
    """Read the header of a safetensors file.

    Returns:
        The tensors in the order of their data.

    Raises:
        InputError: the file is truncated or longer than its header says, or the header is damaged: too
            large, not JSON, repeated names, sizes that do not fit shape and type, overlapping tensors or
            gaps between them.
    """
    refuse_stand_in_at(path)
    try:
        file_bytes = path.stat().st_size
        with open_file(path) as file:
            start = file.read(8)
            if len(start) < 8:
                raise InputError(path, "byte 0", f"only {len(start)} bytes long; truncated?", advice=_AGAIN)
            (length,) = struct.unpack("<Q", start)
            if length > min(LARGEST_HEADER, file_bytes - 8):
                problem = f"the header should have {length} bytes; the file has {file_bytes}"
                raise InputError(path, "byte 0", problem, advice=_AGAIN)
            header = parse_json_object(file.read(length), path, "header")
    except OSError as error:
        raise InputError(path, "", f"cannot be read: {error.strerror or error}") from error
    header.pop("__metadata__", None)
    begin = 8 + length
    placed = sorted((_place(path, name, entry, begin) for name, entry in header.items()), key=_position)
    _check_tiling(path, placed, begin, file_bytes)
    return placed


_AGAIN = "Delete the file and download it again."


def _position(tensor: StoredTensor) -> tuple[int, int]:
    return tensor.offset, tensor.nbytes


def _place(path: Path, name: str, entry: Any, begin: int) -> StoredTensor:
    where = f"header, tensor {name!r}"
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise InputError(path, where, "expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise InputError(path, where, f"unknown type {dtype!r}")
    if not _are_sizes(shape):
        raise InputError(path, where, f"the shape {shape!r} is not a list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise InputError(path, where, f"data_offsets {offsets!r} are not two positions")
    nbytes = math.prod(shape) * ITEM_BYTES[dtype]
    if offsets[1] - offsets[0] != nbytes:
        problem = (
            f"{dtype} of shape {shape} takes {nbytes} bytes, data_offsets give {offsets[1] - offsets[0]}"
        )
        raise InputError(path, where, problem)
    return StoredTensor(name, tuple(shape), dtype, path, begin + offsets[0])


def _are_sizes(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 8
        and all(type(item) is int and 0 <= item < 1 << 62 for item in value)
    )


def _check_tiling(path: Path, placed: list[StoredTensor], begin: int, file_bytes: int) -> None:
    position = begin
    for tensor in placed:
        if tensor.offset != position:
            what = "overlaps the one before it" if tensor.offset < position else "leaves a gap before it"
            raise InputError(path, f"header, tensor {tensor.name!r}", f"its data {what}")
        position += tensor.nbytes
    if position != file_bytes:
        what = "truncated" if file_bytes < position else "followed by bytes that belong to no tensor"
        raise InputError(path, "", f"{what}: {file_bytes} bytes, {position} expected", advice=_AGAIN)
