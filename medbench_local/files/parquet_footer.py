"""What a parquet file says of its columns at its end, and the longest text in the dictionary of one.

Arrow tells neither of a damaged file without ending the process, nor how long the texts of a dictionary are. A footer
and the header of a page are structs in Thrift's compact notation (https://parquet.apache.org/docs/file-format/).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.files.streams import open_file

_MAGIC = b"PAR1"
_PAGE_HEADER = 4096
"""Bytes in which the header of the page of a dictionary fits many times over."""

_DICTIONARY_PAGE = 2
_DEEPEST = 20
_CODECS = {0: "", 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}

BYTE_ARRAY = 6
"""The type of texts and bytes."""

DELTA_BYTE_ARRAY = 7
"""The encoding in which a text says how much of the one before it begins it, too."""


@dataclass(frozen=True)
class Chunk:
    """The values of one column in one group of rows.

    Attributes:
        path: the column, "choices.list.element".
        kind: its physical type.
        encodings: of its values.
        count: how many values it has.
        unpacked: its bytes without compression.
        codec: how it is compressed; "" if not, None if that is not known here.
        dictionary: where its dictionary begins; None if it has none.
    """

    path: str
    kind: int
    encodings: tuple[int, ...]
    count: int
    unpacked: int
    codec: str | None
    dictionary: int | None


@dataclass(frozen=True)
class Footer:
    """What a file says of itself: its rows, and the chunks of each group of them."""

    rows: int
    groups: tuple[tuple[Chunk, ...], ...]


def read_footer(path: Path) -> Footer:
    """Read the end of a parquet file.

    Raises:
        ValueError: it is damaged, or none.
    """
    with open_file(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 8))
        length, magic = struct.unpack("<I4s", stream.read(8).rjust(8))
        if magic != _MAGIC or length + 12 > size:
            raise ValueError("its end is not that of a parquet file")
        stream.seek(size - 8 - length)
        said = _Thrift(stream.read(length)).struct()
    try:
        return Footer(_whole(said[3]), tuple(tuple(map(_chunk, group[1])) for group in said.get(4, ())))
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError("what it says of its columns is damaged") from error


def _chunk(said: dict[int, Any]) -> Chunk:
    about = said[3]
    names = [name.decode("utf-8") for name in about[3]]
    return Chunk(
        path=".".join(names),
        kind=_whole(about[1]),
        encodings=tuple(map(_whole, about[2])),
        count=_whole(about[5]),
        unpacked=_whole(about[6]),
        codec=_CODECS.get(_whole(about[4])),
        dictionary=_whole(about[11]) if 11 in about else None,
    )


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a number in it makes no sense")
    return value


def longest_value(path: Path, chunk: Chunk, most: int) -> int:
    """Bytes of the longest value in the dictionary of a chunk of texts; 0 if it has none.

    Args:
        path: the file.
        chunk: of it.
        most: bytes that the dictionary may take, unpacked.

    Raises:
        ValueError: it is damaged, larger, or packed in a way that is not known here.
    """
    import pyarrow

    if not chunk.dictionary:
        return 0
    with open_file(path) as stream:
        stream.seek(chunk.dictionary)
        reader = _Thrift(stream.read(_PAGE_HEADER))
        said = reader.struct()
        unpacked, packed = _whole(said.get(2)), _whole(said.get(3))
        if said.get(1) != _DICTIONARY_PAGE or max(unpacked, packed) > most or chunk.codec is None:
            raise ValueError("its dictionary is damaged or too large")
        stream.seek(chunk.dictionary + reader.at)
        data = stream.read(packed)
    if chunk.codec:
        data = pyarrow.decompress(data, unpacked, chunk.codec, asbytes=True)
    longest = at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        longest, at = max(longest, length), at + 4 + length
    return longest


class _Thrift:
    """Reads values in Thrift's compact notation; structs become mappings from the numbers of their fields."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind in (7, 8):
            return self._bytes(8 if kind == 7 else self._varint())
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            if count > len(self.data) - self.at:
                raise ValueError("a list in it is longer than the file")
            return [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError(f"a value of the unknown type {kind}")

    def _bytes(self, count: int) -> bytes:
        found = self.data[self.at : self.at + count]
        if len(found) < count:
            raise ValueError("it is cut short")
        self.at += count
        return found

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _integer(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
            if shift > 63:
                raise ValueError("a number in it is too long")
