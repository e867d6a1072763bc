"""All scores of a store, read only and without their keys: what a run's answers must be among."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.errors import StoreError
from medbench_local.store.database import Database, reading, row_sum, size_of

_A_SECOND = 10e6
"""Bytes of a store that are read in a second, and ten times as many on most machines."""


@dataclass(frozen=True)
class KeptScores:
    """What a store holds.

    Attributes:
        logprobs: of the options of each prompt, as scored and, where prompts are compared per byte, by their bytes.
        texts: that were generated.
    """

    logprobs: frozenset[tuple[float, ...]]
    texts: frozenset[str]


def kept_scores(path: Path) -> KeptScores:
    """Everything that was ever scored in a run, but for rows that do not hold what was written to them.

    Raises:
        StoreError: the file is missing, damaged or cannot be read.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no such file.")
    try:
        size = size_of(path)
        with reading(path, seconds=2 + size / _A_SECOND) as database:
            logprobs, texts = set[tuple[float, ...]](), set[str]()
            scores = {}
            for key, data, _, text, _ in _rows(database, "scores", "logprobs, mass, text, tokens", size):
                if isinstance(text, str):
                    texts.add(text)
                if data:
                    scores[key] = data
                    logprobs.add(_doubles(data))
            for _, score, _, _, sizes in _rows(database, "requests", "score, tokens, options, sizes", size):
                if sizes and score in scores and len(sizes) == len(scores[score]):
                    lengths = struct.unpack(f"<{len(sizes) // 8}q", sizes)
                    if all(lengths):
                        values = _doubles(scores[score])
                        logprobs.add(tuple(v / n for v, n in zip(values, lengths, strict=True)))
            return KeptScores(frozenset(logprobs), frozenset(texts))
    except (sqlite3.Error, struct.error, TypeError, OSError) as error:
        raise StoreError(f"{path}: cannot be read ({error}).") from error


def _doubles(data: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(data) // 8}d", data)


def _rows(database: Database, table: str, columns: str, size: int) -> Iterator[tuple[Any, ...]]:
    """The sound rows of a table, each with its key first, as long as they have room in ``size`` bytes."""
    if table not in database.tables:  # of a store that an earlier release made
        return
    for kept, *row in database.execute(f"SELECT {database.sum_of(table)}, key, {columns} FROM {table}"):
        size -= sum(len(value) if isinstance(value, bytes | str) else 1 for value in row)
        if size < 0:
            raise sqlite3.DataError("its rows are larger than the file they are in")
        if kept is None or kept == row_sum(row):
            yield tuple(row)
