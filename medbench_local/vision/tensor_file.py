"""The files that hold weights for pictures: safetensors with one record in the header that says what they are.

The format is defined at https://huggingface.co/docs/safetensors; the library of that name checks a file, and the
numbers are mapped here, because it has no bfloat16 for numpy and would copy what is only looked at once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from medbench_local.errors import InputError
from medbench_local.files.atomic import whole_file
from medbench_local.files.json_objects import parse_json_object
from medbench_local.files.stand_ins import refuse_stand_in_at
from medbench_local.files.streams import open_file

RECORD = "medbench_local"
"""The key of the header's metadata that the record stands under."""

_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
"""Types of numbers, as numpy sees them (which has no bfloat16: its bits, then)."""

_NAMES = {dtype: name for name, dtype in _TYPES.items()}
AGAIN = "Delete the file and convert the model again."
_BLOCK = 64 * 2**20

R = TypeVar("R")


@dataclass(frozen=True)
class MappedTensor:
    """A tensor in a file; what is not looked at is not read.

    Attributes:
        dtype: "F32", "F16" or "BF16".
        stored: its numbers as they are on the disk, of BF16 the bits as uint16.
    """

    dtype: str
    stored: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Row-major."""
        return self.stored.shape

    def rows(self, begin: int, end: int) -> NDArray[np.float32]:
        """Rows of the first axis as float32, which holds them exactly; mapped, not copied, if they are stored so."""
        part = self.stored[begin:end]
        if self.dtype == "BF16":
            part = np.left_shift(part, 16, dtype=np.uint32).view(np.float32)
        return np.asarray(part, np.float32)

    def values(self) -> NDArray[np.float32]:
        """All of it as float32."""
        return self.rows(0, self.shape[0])


@dataclass(frozen=True)
class TensorFile:
    """An opened file.

    Attributes:
        path: the file.
        record: the text of its record (JSON), or None if it has none.
        tensors: by name.
    """

    path: Path
    record: str | None
    tensors: Mapping[str, MappedTensor]

    @classmethod
    def open(cls, path: Path) -> TensorFile:
        """Read the header and map the rest.

        Raises:
            InputError: it is not there, is no whole safetensors file, or has numbers of another type.
        """
        refuse_stand_in_at(path)
        try:
            open_file(path).close()  # the library would wait for a pipe
            with safe_open(path, framework="numpy") as checked:
                record = (checked.metadata() or {}).get(RECORD)
            with open_file(path) as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = parse_json_object(file.read(length), path, "header")
            data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
        except FileNotFoundError as error:
            raise InputError(path, "", "no such file") from error
        except SafetensorError as error:
            raise InputError(path, "", f"no whole safetensors file: {error}", advice=AGAIN) from error
        except OSError as error:
            raise InputError(path, "", f"cannot be read: {error.strerror or error}") from error
        header.pop("__metadata__", None)
        rest = np.asarray(data)[8 + length :]
        return cls(path, record, {name: _map(path, name, entry, rest) for name, entry in header.items()})

    def read_record(self, kind: type[R]) -> R:
        """The record as a value of the dataclass ``kind``.

        Raises:
            InputError: there is none, or it is not what ``kind`` asks for.
        """
        if self.record is None:
            raise InputError(self.path, "header", f"no record '{RECORD}': not a file that `convert()` wrote")
        try:
            return TypeAdapter(kind).validate_json(self.record, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            where = f"record '{RECORD}'" + (f", key '{key}'" if key else "")
            raise InputError(self.path, where, first["msg"], advice=AGAIN) from error

    def check_names(self, expected: set[str]) -> None:
        """Hold the names of the tensors to what should be there.

        Raises:
            InputError: one is missing, or nobody knows what it is for.
        """
        for names, what in ((expected - set(self.tensors), "no"), (set(self.tensors) - expected, "unknown")):
            if names:
                listed = ", ".join(sorted(names)[:4]) + (
                    f" and {len(names) - 4} more" if len(names) > 4 else ""
                )
                raise InputError(self.path, "header", f"{what} tensors {listed}", advice=AGAIN)


def write_tensors(path: Path, record: Any, tensors: Mapping[str, NDArray[Any]]) -> str:
    """Write a file, whole or not at all.

    Args:
        path: an existing file is replaced.
        record: a dataclass of what JSON knows.
        tensors: each of one axis or more: float32, float16, or uint16 that are the bits of bfloat16. Each is taken
            out twice, first for its shape, then for its numbers, and not kept: a mapping may compute them.

    Returns:
        SHA-256 of the file's content.

    Raises:
        ValueError: a tensor is of another type.
        StoreError: it cannot be written, or the disk is full.
    """
    shapes = {name: (_NAMES.get(a.dtype.newbyteorder("<"), ""), a.shape) for name, a in tensors.items()}
    if wrong := [name for name, (dtype, shape) in shapes.items() if not dtype or not shape]:
        raise ValueError(f"neither float32, float16 nor bits of bfloat16 with an axis: {wrong[0]}")
    # Wide numbers first: everything lies where its width divides its place, as mapping wants it.
    order = sorted(shapes, key=lambda name: (-_TYPES[shapes[name][0]].itemsize, name))
    header: dict[str, Any] = {"__metadata__": {RECORD: json.dumps(asdict(record), ensure_ascii=False)}}
    position = 0
    for name in order:
        dtype, shape = shapes[name]
        end = position + math.prod(shape) * _TYPES[dtype].itemsize
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with whole_file(path, nbytes=8 + len(text) + position) as temporary, temporary.open("xb") as file:
        for piece in (struct.pack("<Q", len(text)), text):
            file.write(piece)
            digest.update(piece)
        for name in order:
            dtype, shape = shapes[name]
            flat = np.ascontiguousarray(tensors[name], _TYPES[dtype]).reshape(-1).view(np.uint8)
            for begin in range(0, flat.size, _BLOCK):
                block = flat[begin : begin + _BLOCK].data
                file.write(block)
                digest.update(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _map(path: Path, name: str, entry: Mapping[str, Any], data: NDArray[np.uint8]) -> MappedTensor:
    dtype, (begin, end) = entry["dtype"], entry["data_offsets"]
    if dtype not in _TYPES:
        raise InputError(path, f"header, tensor '{name}'", f"numbers of type {dtype}, not F32, F16 or BF16")
    return MappedTensor(dtype, data[begin:end].view(_TYPES[dtype]).reshape(entry["shape"]))
