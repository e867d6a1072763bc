"""What one GGUF file lists: keys with their values, and where each tensor lies.

The format is defined at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The gguf library's
reader builds arrays for every string of the vocabulary and trusts every length, and llama.cpp may abort on a damaged
file, so files from outside are read here first: no length is believed that reaches beyond the file.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medbench_local.errors import InputError
from medbench_local.files.stand_ins import refuse_stand_in_at
from medbench_local.files.streams import open_file, refuse_special

Value = bool | int | float | str


@dataclass(frozen=True)
class GgufTensor:
    """One tensor as the header lists it.

    Attributes:
        name: "blk.0.attn_q.weight".
        shape: as llama.cpp prints it: the length of a row first.
        type: lower case, "q4_k".
        offset: of its first byte in ``path``.
        path: the file, which for split models is not always the one that was asked for.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    path: Path

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return stored_bytes(self.shape, self.type)


@dataclass(frozen=True)
class GgufList:
    """A value that is a list.

    Attributes:
        length: number of items.
        items: the numbers of a short list; empty for long ones and for texts.
        begin: of a list of texts, where the first one lies in the file; else None.
        floats: of a list of numbers of the type F32, the same.
    """

    length: int
    items: tuple[Value, ...]
    begin: int | None
    floats: int | None = None


@dataclass(frozen=True)
class GgufFile:
    """What one file lists.

    Attributes:
        path: the file.
        scalars: every key whose value is not a list.
        lists: the other keys.
        tensors: in the file's order.
        size: bytes of the file.
    """

    path: Path
    scalars: Mapping[str, Value]
    lists: Mapping[str, GgufList]
    tensors: tuple[GgufTensor, ...]
    size: int


def stored_bytes(shape: tuple[int, ...], type_: str) -> int:
    """Bytes of a tensor of this shape (row length first) and type (lower case)."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType  # slow to import

    block, nbytes = GGML_QUANT_SIZES[GGMLQuantizationType[type_.upper()]]
    return int(math.prod(shape) // block * nbytes)


def read_gguf_file(path: Path) -> GgufFile:
    """Read what one GGUF file, which need not be a model, lists.

    Raises:
        InputError: not a GGUF file, damaged or truncated.
    """
    with _opened(path) as cursor:
        return cursor.part()


def read_text_of_list(path: Path, texts: GgufList, number: int) -> str:
    """One text of a list of texts; what is not UTF-8 in it is replaced.

    Raises:
        InputError: the file was damaged or truncated since it was read.
    """
    if texts.begin is None or not 0 <= number < texts.length:
        raise IndexError(number)
    with _opened(path) as cursor:
        cursor.at = min(texts.begin, cursor.size)
        for _ in range(number):
            cursor.skip(cursor.length())
        nbytes = cursor.length()
        begin = cursor.skip(nbytes)
        return cursor.data[begin : begin + nbytes].decode("utf-8", "replace")


def read_texts_of_list(path: Path, texts: GgufList) -> list[str]:
    """All texts of a list of texts.

    Raises:
        InputError: the file was damaged or truncated since it was read, or a text is not UTF-8.
    """
    with _opened(path) as cursor:
        cursor.at = min(texts.begin or 0, cursor.size)
        return [cursor.text() for _ in range(texts.length)] if texts.begin is not None else []


def read_raw_texts_of_list(path: Path, texts: GgufList) -> list[bytes]:
    """All texts of a list of texts as they stand in the file, whether they are UTF-8 or not; none of another list.

    Raises:
        InputError: the file was damaged or truncated since it was read.
    """
    if texts.begin is None:
        return []
    found = []
    with _opened(path) as cursor:
        cursor.at = min(texts.begin, cursor.size)
        for _ in range(texts.length):
            nbytes = cursor.length()
            begin = cursor.skip(nbytes)
            found.append(cursor.data[begin : begin + nbytes])
    return found


def read_float32_list(path: Path, numbers: GgufList) -> tuple[float, ...]:
    """All numbers of a list of the type F32; none of another list.

    Raises:
        InputError: the file was damaged or truncated since it was read.
    """
    if numbers.floats is None:
        return ()
    with _opened(path) as cursor:
        cursor.at = min(numbers.floats, cursor.size)
        begin = cursor.skip(4 * numbers.length)
        return struct.unpack(f"<{numbers.length}f", cursor.data[begin : begin + 4 * numbers.length])


@contextmanager
def _opened(path: Path) -> Iterator[_Cursor]:
    try:
        refuse_special(path)
        if path.is_dir():
            raise InputError(path, "", "cannot be read: it is a folder, not a file")
        size = path.stat().st_size
        if size < 24:
            refuse_stand_in_at(path)
            raise InputError(path, "", f"only {size} bytes long, not a GGUF file")
        with open_file(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield _Cursor(path, data, size)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(path, "", f"cannot be read: {reason}") from error


_FORMATS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_STRUCTS = {kind: struct.Struct(code) for kind, code in _FORMATS.items()}
_FLOAT32, _STRING, _ARRAY = 6, 8, 9
_LENGTH, _COUNT = struct.Struct("<Q"), struct.Struct("<I")
_MOST = 1 << 24
"""Keys, tensors or array elements; ten times more than any model has."""
_LONGEST_KEPT = 1024
"""Elements; there is one number for each layer in such a list."""


class _Cursor:
    """A place in the header; never moves beyond the file."""

    def __init__(self, path: Path, data: mmap.mmap, size: int) -> None:
        self.path, self.data, self.size, self.at = path, data, size, 0

    def fail(self, problem: str) -> InputError:
        advice = "The file is damaged or truncated; download or convert it again."
        return InputError(self.path, f"byte {self.at}", problem, advice=advice)

    def skip(self, nbytes: int) -> int:
        begin = self.at
        if nbytes > self.size - begin:
            raise self.fail("the header reaches beyond the end of the file")
        self.at = begin + nbytes
        return begin

    def take(self, form: struct.Struct) -> Value:
        value: Value = form.unpack_from(self.data, self.skip(form.size))[0]
        return value

    def length(self, form: struct.Struct = _LENGTH, most: int = _MOST) -> int:
        value = int(self.take(form))
        if value > most:
            raise self.fail(f"a count of {value} is implausible")
        return value

    def text(self) -> str:
        nbytes = self.length()
        begin = self.skip(nbytes)
        try:
            return self.data[begin : begin + nbytes].decode("utf-8")
        except UnicodeDecodeError:
            raise self.fail("a text is not UTF-8") from None

    def part(self) -> GgufFile:
        if self.data[:4] != b"GGUF":
            refuse_stand_in_at(self.path)
            problem = f"begin with {self.data[:4]!r}, not with b'GGUF': not a model in GGUF format"
            raise InputError(
                self.path, "first four bytes", problem, advice="Convert the checkpoint with `convert()`."
            )
        self.at = 4
        version = int(self.take(_COUNT))
        if version not in (2, 3):
            kind = "big-endian or damaged" if version > 0xFFFF else "not supported"
            raise self.fail(f"GGUF version {version} is {kind}; 2 and 3 are read")
        tensors, keys = self.length(), self.length()
        scalars: dict[str, Value] = {}
        lists: dict[str, GgufList] = {}
        for _ in range(keys):
            self.key(scalars, lists)
        infos = [self.tensor() for _ in range(tensors)]
        alignment = scalars.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 1 << 20:
            raise self.fail(f"the alignment {alignment!r} makes no sense")
        begin = -(-self.at // alignment) * alignment
        return GgufFile(self.path, scalars, lists, tuple(self.placed(infos, begin)), self.size)

    def key(self, scalars: dict[str, Value], lists: dict[str, GgufList]) -> None:
        name = self.text()
        if name in scalars or name in lists:
            raise self.fail(f"the key {name!r:.80} is given twice")
        kind = self.length(_COUNT)
        if kind == _ARRAY:
            lists[name] = self.array()
        elif kind == _STRING:
            scalars[name] = self.text()
        elif kind in _STRUCTS:
            scalars[name] = self.take(_STRUCTS[kind])
        else:
            raise self.fail(f"the key {name!r:.80} has the unknown type {kind}")

    def array(self) -> GgufList:
        kind, count, begin = self.length(_COUNT), self.length(), self.at
        items: tuple[Value, ...] = ()
        if kind == _STRING:
            self.skip_texts(count)
        elif kind not in _STRUCTS:
            raise self.fail(f"a list of the unknown type {kind}")
        elif count > _LONGEST_KEPT:
            self.skip(count * _STRUCTS[kind].size)
        else:
            items = tuple(self.take(_STRUCTS[kind]) for _ in range(count))
        return GgufList(count, items, begin if kind == _STRING else None, begin if kind == _FLOAT32 else None)

    def skip_texts(self, count: int) -> None:
        """Go past texts; a vocabulary has hundreds of thousands, so that every call counts."""
        data, size, unpack, at = self.data, self.size, _LENGTH.unpack_from, self.at
        for number in range(count):
            end = at + 8
            if end <= size:
                end += unpack(data, at)[0]
            if end > size or end - at > _MOST:  # damaged: the careful way says how
                self.at = at
                for _ in range(count - number):
                    self.skip(self.length())
                return
            at = end
        self.at = at

    def tensor(self) -> tuple[str, tuple[int, ...], str, int]:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType  # slow to import

        name = self.text()
        dimensions = self.length(_COUNT)
        if not 0 < dimensions <= 4:
            raise self.fail(f"the tensor {name!r:.80} has {dimensions} dimensions")
        shape = tuple(self.length(most=1 << 40) for _ in range(dimensions))
        kind = self.length(_COUNT)
        try:
            type_ = GGMLQuantizationType(kind)
        except ValueError:
            raise self.fail(f"the tensor {name!r:.80} has the unknown type {kind}") from None
        if shape[0] % GGML_QUANT_SIZES[type_][0]:
            raise self.fail(
                f"the tensor {name!r:.80} has rows of {shape[0]}, which {type_.name} cannot store"
            )
        return name, shape, type_.name.lower(), self.length(most=1 << 62)

    def placed(self, infos: list[tuple[str, tuple[int, ...], str, int]], begin: int) -> list[GgufTensor]:
        tensors = [GgufTensor(name, shape, kind, begin + at, self.path) for name, shape, kind, at in infos]
        if len({tensor.name for tensor in tensors}) < len(tensors):
            raise self.fail("two tensors have the same name")
        for tensor in tensors:
            if tensor.offset + tensor.nbytes > self.size:
                advice = "The file is truncated; download or convert it again."
                problem = "its data reach beyond the end of the file"
                raise InputError(self.path, f"tensor {tensor.name!r:.80}", problem, advice=advice)
        return tensors
