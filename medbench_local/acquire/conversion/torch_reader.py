"""PyTorch checkpoints (zip format, torch 1.6 and later) read without PyTorch and without running anything.

The archive holds a pickle that describes the tensors, and one uncompressed member per storage. The pickle is
interpreted by `pickle_data`, which builds plain data and calls nothing; the storages are only located.
"""

from __future__ import annotations

import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.acquire.conversion.tensor import ITEM_BYTES, StoredTensor
from medbench_local.errors import InputError
from medbench_local.files.pickle_data import PickleError, load_pickle
from medbench_local.files.stand_ins import refuse_stand_in_at
from medbench_local.files.streams import open_file

LARGEST_PICKLE = 64 << 20
"""Bytes; the description of a 70B model has well under one million."""

STORAGE_TYPES = {
    "torch.DoubleStorage": "F64", "torch.FloatStorage": "F32", "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16", "torch.LongStorage": "I64", "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16", "torch.CharStorage": "I8", "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}  # fmt: skip


@dataclass(frozen=True)
class _Storage:
    dtype: str
    offset: int
    elements: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch(path: Path, *, inside: str = "") -> list[StoredTensor]:
    """Read what a PyTorch checkpoint file says of its tensors.

    Args:
        path: the file.
        inside: the key under which the tensors stand in files that hold more, the state of a training; a file without
            it is taken as the tensors alone.

    Raises:
        InputError: not a zip checkpoint, truncated, compressed, big-endian, not a flat dictionary of
            tensors, a tensor that reaches outside its storage, or a pickle that asks for anything but
            tensors (what it asks for is named; nothing is executed).
    """
    refuse_stand_in_at(path)
    try:
        with open_file(path) as packed, zipfile.ZipFile(packed) as archive:
            return _Archive(path, archive).tensors(inside)
    except OSError as error:
        raise InputError(path, "", f"cannot be read: {error.strerror or error}") from error
    except (
        zipfile.BadZipFile,
        struct.error,
        ValueError,
        NotImplementedError,
        RuntimeError,
        EOFError,
    ) as error:
        raise InputError(
            path,
            "",
            f"not a PyTorch zip checkpoint, or truncated ({error})",
            advice="Download it again; a file of torch older than 1.6 must be saved anew with a current one.",
        ) from error


class _Archive:
    """An open checkpoint archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.archive = archive
        self.file_bytes = path.stat().st_size
        pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError(path, "", "not a PyTorch checkpoint: the archive has no single data.pkl")
        self.root = pickles[0].removesuffix("data.pkl")
        self.members = {info.filename: info for info in archive.infolist()}
        if len(self.members) < len(archive.infolist()):
            raise InputError(path, "", "the archive has two members of the same name")

    def tensors(self, inside: str) -> list[StoredTensor]:
        order = self._small(f"{self.root}byteorder") or b"little"
        if order.strip() != b"little":
            raise InputError(
                self.path, "member 'byteorder'", f"saved as {order[:20]!r}; only little is supported"
            )
        pickled = self._small(f"{self.root}data.pkl")
        try:
            state = load_pickle(pickled, calls=self._calls(), persistent=self._storage)
        except PickleError as error:
            problem = f"{error}; nothing in it was executed"
            raise InputError(self.path, "data.pkl", problem, advice="Do not trust this file.") from error
        if inside and isinstance(state, dict) and inside in state:
            state = state[inside]
        if not isinstance(state, dict):
            raise InputError(self.path, "data.pkl", "expected a dictionary of tensors")
        return [self._place(name, tensor) for name, tensor in state.items()]

    def _calls(self) -> dict[str, Any]:
        return {
            "collections.OrderedDict": dict,
            "torch._utils._rebuild_tensor_v2": self._rebuild,
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
            **dict.fromkeys(STORAGE_TYPES),
        }

    def _small(self, name: str) -> bytes:
        info = self.members.get(name)
        if info is None:
            return b""
        self._stored_at(info)
        if info.file_size > LARGEST_PICKLE:
            raise InputError(self.path, f"member '{name}'", f"{info.file_size} bytes are implausibly many")
        return self.archive.read(info)

    def _stored_at(self, info: zipfile.ZipInfo) -> int:
        """The position of a member's bytes in the file; they are uncompressed and lie wholly within it."""
        where = f"member '{info.filename}'"
        if (
            info.compress_type != zipfile.ZIP_STORED
            or info.flag_bits & 1
            or info.file_size != info.compress_size
        ):
            raise InputError(self.path, where, "compressed or encrypted; PyTorch stores its members plainly")
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise InputError(self.path, where, "the archive's directory points to no member; truncated?")
        name_bytes, extra_bytes = struct.unpack("<26x2H", header)
        begin = info.header_offset + 30 + int(name_bytes) + int(extra_bytes)
        if begin + info.file_size > self.file_bytes:
            raise InputError(self.path, where, "reaches beyond the end of the file; truncated?")
        return begin

    def _storage(self, key: Any) -> _Storage:
        if not isinstance(key, tuple) or len(key) != 5 or key[0] != "storage":
            raise PickleError(f"refers to {_short(key)}, which is not a storage")
        _, kind, member, _, elements = key
        dtype = STORAGE_TYPES.get(getattr(kind, "name", ""))
        if dtype is None or not isinstance(member, str) or not _is_size(elements):
            raise PickleError(f"refers to {_short(key)}, which is not a storage")
        info = self.members.get(f"{self.root}data/{member}")
        if info is None:
            raise PickleError(f"the storage {member!r} is missing")
        if info.file_size < elements * ITEM_BYTES[dtype]:
            raise PickleError(
                f"the storage {member!r} has {info.file_size} bytes, too few for {elements} {dtype}"
            )
        return _Storage(dtype, self._stored_at(info), elements)

    @staticmethod
    def _rebuild(*arguments: Any) -> _Tensor:
        if len(arguments) < 4:
            raise PickleError("a tensor without shape")
        storage, first, shape, strides = arguments[:4]
        sizes = isinstance(shape, tuple) and all(map(_is_size, shape)) and len(shape) <= 8
        steps = isinstance(strides, tuple) and all(map(_is_size, strides))
        if not isinstance(storage, _Storage) or not _is_size(first) or not sizes or not steps:
            raise PickleError(f"a tensor of {_short(arguments)}")
        if len(shape) != len(strides):
            raise PickleError(f"a tensor of shape {shape} with strides {strides}")
        last = first + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if 0 not in shape and (last >= storage.elements or math.prod(shape) > storage.elements):
            raise PickleError(
                f"a tensor of shape {shape} reaches beyond its storage of {storage.elements} elements"
            )
        return _Tensor(storage, first, shape, strides)

    def _place(self, name: Any, tensor: Any) -> StoredTensor:
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            problem = f"{_short(name)} is not a tensor; expected a flat dictionary of tensors"
            raise InputError(self.path, "data.pkl", problem)
        offset = tensor.storage.offset + tensor.first * ITEM_BYTES[tensor.storage.dtype]
        strides = None if _contiguous(tensor.shape, tensor.strides) else tensor.strides
        return StoredTensor(name, tensor.shape, tensor.storage.dtype, self.path, offset, strides)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for n, step in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1 and step != expected:
            return False
        expected *= n
    return True
