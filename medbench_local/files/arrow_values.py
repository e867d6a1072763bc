"""Columns of a parquet file as Python values, where a value that stands there often is held once.

A dictionary of one text of megabytes and thousands of references to it take a few hundred bytes in such a file. Texts
are therefore read as the dictionaries that they are stored in, also inside lists and mappings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from medbench_local.files.limits import MAX_ROWS, most_unpacked
from medbench_local.files.parquet_dictionary import longest_value

MOST_VALUES = 32 * MAX_ROWS
"""Values of one column, of all lists in it together."""

_AT_ONCE = 256 << 20
"""Bytes of one column that are unpacked at a time, where values may repeat each other."""

_FEW = 1 << 20

_SHARED_BEGINNINGS = "DELTA_BYTE_ARRAY"
"""An encoding in which a text says how much of the one before it begins it, too; Arrow makes no dictionary of it."""


class TooMuch(Exception):
    """A file would take far more memory than it should; the text says what of it."""


def wanted_leaves(metadata: Any, columns: Sequence[str]) -> list[int]:
    """The places of the columns, or the fields of them, that stand behind the named ones in a file's metadata."""
    schema = metadata.schema
    paths = [schema.column(place).path for place in range(metadata.num_columns)]
    return [
        place
        for place, path in enumerate(paths)
        if any(path == name or path.startswith(f"{name}.") for name in columns)
    ]


def check_sizes(metadata: Any, leaves: Sequence[int], packed: int) -> None:
    """Refuse a file that says itself that it holds too much.

    Args:
        metadata: of the file.
        leaves: what is read of it.
        packed: bytes of the file.

    Raises:
        TooMuch: it has too many rows or values, or is too large once it is unpacked.
    """
    if metadata.num_rows > MAX_ROWS:
        raise TooMuch(f"{metadata.num_rows:,} rows; at most {MAX_ROWS:,} are read")
    unpacked = 0
    for leaf in leaves:
        chunks = _chunks(metadata, leaf)
        count = sum(chunk.num_values for chunk in chunks)
        if count > MOST_VALUES:
            raise TooMuch(f"{count:,} values of one column; at most {MOST_VALUES:,} are read")
        unpacked += sum(chunk.total_uncompressed_size for chunk in chunks)
    if unpacked > most_unpacked(packed):
        raise TooMuch(_too_large(most_unpacked(packed)))


def as_dictionaries(path: Path, metadata: Any, leaves: Sequence[int]) -> list[str]:
    """The paths of columns of texts or bytes that are to be read as dictionaries.

    Inside lists and mappings Arrow cannot join several dictionaries. They are read so only where their values would be
    far larger without.

    Args:
        path: of the file.
        metadata: of it.
        leaves: what is read of it.
    """
    found = []
    for leaf in leaves:
        column, chunks = metadata.schema.column(leaf), _chunks(metadata, leaf)
        if column.physical_type != "BYTE_ARRAY" or any(_SHARED_BEGINNINGS in c.encodings for c in chunks):
            continue
        flat = column.path == column.name and not column.max_repetition_level
        if flat or any(_grows(path, chunk) for chunk in chunks):
            found.append(column.path)
    return found


def _grows(path: Path, chunk: Any) -> bool:
    """Whether the values of a chunk take far more memory than the chunk, each held by itself."""
    unpacked = chunk.total_uncompressed_size
    try:
        longest = longest_value(path, chunk, most=max(_FEW, unpacked))
    except (
        ValueError,
        NotImplementedError,
    ):  # Arrow will say what is wrong with it, or read it none the less
        return True
    return bool(longest * chunk.num_values > max(_AT_ONCE, 8 * unpacked))


def fitting_batch(metadata: Any, leaves: Sequence[int], batch: int) -> int:
    """How many of at most ``batch`` rows are read at a time, so that texts that share their beginnings fit.

    Raises:
        TooMuch: one row may hold many of them.
    """
    for leaf in leaves:
        column = metadata.schema.column(leaf)
        for chunk in _chunks(metadata, leaf):
            if _SHARED_BEGINNINGS in chunk.encodings and chunk.total_uncompressed_size:
                if column.max_repetition_level and chunk.num_values * chunk.total_uncompressed_size > 2**34:
                    raise TooMuch("lists of texts that share their beginnings, which are not read")
                batch = min(batch, max(1, _AT_ONCE // chunk.total_uncompressed_size))
    return batch


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
            raise TooMuch(_too_large(self._most))


def _size(value: object) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list):
        return 8 + sum(map(_size, value))
    return 8 + sum(map(_size, value.values())) if isinstance(value, dict) else 8


def _chunks(metadata: Any, leaf: int) -> list[Any]:
    return [metadata.row_group(group).column(leaf) for group in range(metadata.num_row_groups)]


def _too_large(most: int) -> str:
    return f"unpacked it holds more than {most >> 20} MiB, too much for a file so small"
