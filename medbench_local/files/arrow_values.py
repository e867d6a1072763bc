"""Columns of a parquet file as Python values, where a value that stands there often is held once.

A dictionary of one text of megabytes and thousands of references to it take a few hundred bytes in such a file. Texts
are therefore read as the dictionaries that they are stored in, also inside lists and mappings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.files.limits import MAX_ROWS, most_unpacked, too_large
from medbench_local.files.parquet_footer import (
    BYTE_ARRAY,
    DELTA_BYTE_ARRAY,
    Chunk,
    longest_value,
    read_footer,
)

MOST_VALUES = 32 * MAX_ROWS
"""Values of one column, of all lists in it together."""

_AT_ONCE = 256 << 20
"""Bytes of one column that are unpacked at a time, where values may repeat each other."""

_FEW = 1 << 20


class TooMuch(Exception):
    """A file would take far more memory than it should; the text says what of it."""


@dataclass(frozen=True)
class HowToRead:
    """How columns are read so that nothing is unpacked that takes far more memory than the file.

    Attributes:
        groups: how many groups of rows there are.
        dictionaries: columns of texts or bytes that are read as dictionaries.
        batch: rows that are read at a time.
    """

    groups: int
    dictionaries: list[str]
    batch: int


def how_to_read(path: Path, columns: Sequence[str], batch: int) -> HowToRead:
    """How the named columns of a file are read.

    Args:
        path: a parquet file.
        columns: by name, also "context.contexts" for a field.
        batch: most rows to be read at a time.

    Raises:
        TooMuch: it says itself that it holds too much.
        ValueError: it is damaged, or no parquet file.
    """
    footer, packed = read_footer(path), path.stat().st_size
    if footer.rows > MAX_ROWS:
        raise TooMuch(f"{footer.rows:,} rows; at most {MAX_ROWS:,} are read")
    of_column: dict[str, list[Chunk]] = {}
    for chunk in (chunk for group in footer.groups for chunk in group):
        if any(chunk.path == name or chunk.path.startswith(f"{name}.") for name in columns):
            of_column.setdefault(chunk.path, []).append(chunk)
    unpacked = 0
    dictionaries = []
    for name, chunks in of_column.items():
        count = sum(chunk.count for chunk in chunks)
        if count > MOST_VALUES:
            raise TooMuch(f"{count:,} values of one column; at most {MOST_VALUES:,} are read")
        unpacked += sum(chunk.unpacked for chunk in chunks)
        if chunks[0].kind != BYTE_ARRAY:
            continue
        sharing = [chunk for chunk in chunks if DELTA_BYTE_ARRAY in chunk.encodings]
        if sharing:  # of these Arrow makes no dictionaries
            if "." in name and any(chunk.count * chunk.unpacked > 2**34 for chunk in sharing):
                raise TooMuch("lists of texts that share their beginnings, which are not read")
            batch = min(batch, *(max(1, _AT_ONCE // max(1, chunk.unpacked)) for chunk in sharing))
        # Inside lists and mappings Arrow cannot join several dictionaries.
        elif "." not in name or any(_grows(path, chunk) for chunk in chunks):
            dictionaries.append(name)
    if unpacked > most_unpacked(packed):
        raise TooMuch(too_large(most_unpacked(packed)))
    return HowToRead(len(footer.groups), dictionaries, batch)


def _grows(path: Path, chunk: Chunk) -> bool:
    """Whether the values of a chunk take far more memory than the chunk, each held by itself."""
    try:
        longest = longest_value(path, chunk, most=max(_FEW, chunk.unpacked))
    except ValueError:  # Arrow will say what is wrong with it, or read it none the less
        return True
    return longest * chunk.count > max(_AT_ONCE, 8 * chunk.unpacked)


def values(array: Any) -> list[Any]:
    """The values of an Arrow array; equal references into a dictionary are one object.

    Raises:
        TooMuch: it is of a kind that is not read.
    """
    import pyarrow
    from pyarrow import types

    kind = array.type
    if types.is_dictionary(kind):
        there = array.indices.unique().drop_null()
        known = dict(zip(there.to_pylist(), values(array.dictionary.take(there)), strict=True))
        return [None if place is None else known[place] for place in array.indices.to_pylist()]
    if types.is_list(kind) or types.is_large_list(kind):
        ends = array.offsets.to_pylist()
        inner = values(array.values.slice(ends[0], ends[-1] - ends[0])) if ends else []
        return [
            inner[start - ends[0] : end - ends[0]] if there else None
            for start, end, there in zip(ends, ends[1:], array.is_valid().to_pylist(), strict=False)
        ]
    if types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        columns = [values(array.field(place)) for place in range(kind.num_fields)]
        rows: Iterable[tuple[Any, ...]] = zip(*columns, strict=True) if columns else [()] * len(array)
        return [
            dict(zip(names, row, strict=True)) if there else None
            for row, there in zip(rows, array.is_valid().to_pylist(), strict=True)
        ]
    if types.is_nested(kind) or isinstance(kind, pyarrow.BaseExtensionType):
        raise TooMuch(f"a column of the type {str(kind)[:60]}, which is not read")
    found: list[Any] = array.to_pylist()
    return found


class Budget:
    """How much of what a file holds may still be handed on.

    Args:
        packed: bytes of the file.
    """

    def __init__(self, packed: int) -> None:
        self._most = self._left = most_unpacked(packed)

    def spend(self, value: object) -> None:
        """Count the characters and bytes of a value, and of what stands in it.

        Raises:
            TooMuch: there is nothing left.
        """
        self._left -= _size(value)
        if self._left < 0:
            raise TooMuch(too_large(self._most))


def _size(value: object) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list):
        return 8 + sum(map(_size, value))
    return 8 + sum(map(_size, value.values())) if isinstance(value, dict) else 8
