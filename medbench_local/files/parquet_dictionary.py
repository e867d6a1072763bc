"""The longest text in the dictionary of a column of a parquet file, which Arrow does not tell.

A page begins with a header in Thrift's compact notation, of which three numbers are needed: what kind of page it is,
and its sizes unpacked and packed.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

_HEADER = 4096
"""Bytes in which the header of a page of a dictionary fits many times over."""

_DICTIONARY_PAGE = 2
_INTEGERS, _STRUCT = (4, 5, 6), 12
"""Types of Thrift's compact notation: 16, 32 and 64 bits; a mapping of fields."""


def longest_value(path: Path, chunk: Any, most: int) -> int:
    """Bytes of the longest value in the dictionary of a chunk of texts; 0 if it has none.

    Args:
        path: the file.
        chunk: what its metadata say of the chunk.
        most: bytes that the dictionary may take, unpacked.

    Raises:
        ValueError: it is damaged, larger, or packed in a way that is not known here.
    """
    import pyarrow

    if not chunk.has_dictionary_page:
        return 0
    with path.open("rb") as stream:
        stream.seek(chunk.dictionary_page_offset)
        head = stream.read(_HEADER)
        numbers, end = _first_numbers(head)
        kind, unpacked, packed = (numbers.get(field, -1) for field in (1, 2, 3))
        if kind != _DICTIONARY_PAGE or not 0 <= unpacked <= most or not 0 <= packed <= most:
            raise ValueError("its dictionary is damaged or too large")
        stream.seek(chunk.dictionary_page_offset + end)
        data = stream.read(packed)
    if chunk.compression != "UNCOMPRESSED":
        data = pyarrow.decompress(data, unpacked, chunk.compression.lower(), asbytes=True)
    longest = at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        longest, at = max(longest, length), at + 4 + length
    return longest


def _first_numbers(head: bytes) -> tuple[dict[int, int], int]:
    """The whole numbers of a struct by their fields, and where it ends."""
    numbers: dict[int, int] = {}
    field, at, depth = 0, 0, [0]
    while depth:
        byte, at = _byte(head, at)
        if byte == 0:
            field = depth.pop()
            continue
        if byte >> 4:
            field += byte >> 4
        else:
            number, at = _varint(head, at)
            field = number >> 1 ^ -(number & 1)
        kind = byte & 15
        if kind in _INTEGERS:
            number, at = _varint(head, at)
            if len(depth) == 1:
                numbers[field] = number >> 1 ^ -(number & 1)
        elif kind == _STRUCT:
            depth.append(field)
            field = 0
        elif kind > 2:  # not a truth value, which is in its type; nothing else stands in such a header
            raise ValueError("its dictionary is damaged")
    return numbers, at


def _byte(head: bytes, at: int) -> tuple[int, int]:
    if at >= len(head):
        raise ValueError("its dictionary is damaged")
    return head[at], at + 1


def _varint(head: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte, at = _byte(head, at)
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at
