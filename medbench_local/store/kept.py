"""All scores of a store, read only and without their keys: what a run's answers must be among."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medbench_local.errors import StoreError


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
    """Everything that was ever scored in a run.

    Raises:
        StoreError: the file is missing, damaged or cannot be read.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no such file.")
    try:
        # With nothing in the log beside it all is in the file itself; read as such, it leaves no file beside it.
        log = path.with_name(f"{path.name}-wal")
        alone = "" if log.is_file() and log.stat().st_size else "&immutable=1"
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{alone}", uri=True, timeout=5)
        try:
            texts = frozenset(
                str(text)
                for (text,) in database.execute("SELECT DISTINCT text FROM scores WHERE text IS NOT NULL")
            )
            return KeptScores(frozenset(_logprobs(database)), texts)
        finally:
            database.close()
    except (sqlite3.Error, struct.error, OSError) as error:
        raise StoreError(f"{path}: cannot be read ({error}).") from error


def _logprobs(database: sqlite3.Connection) -> Iterator[tuple[float, ...]]:
    for (data,) in database.execute("SELECT logprobs FROM scores WHERE length(logprobs) > 0"):
        yield struct.unpack(f"<{len(data) // 8}d", data)
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "requests" not in tables:  # absent from stores that earlier releases made
        return
    joined = "SELECT s.logprobs, r.sizes FROM requests r JOIN scores s ON s.key = r.score WHERE length(r.sizes) > 0"
    for data, sizes in database.execute(joined):
        count = len(data) // 8
        if len(sizes) == len(data):
            values = struct.unpack(f"<{count}d", data)
            lengths = struct.unpack(f"<{count}q", sizes)
            if all(lengths):
                yield tuple(value / length for value, length in zip(values, lengths, strict=True))
