"""Scored prompts in SQLite: what was computed once is never computed again.

The store maps a key (a hash of everything that decides a score) to what came out. It does not know what a
score means. Its unit of commit is a pack: all of it or nothing is there after a crash.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from medbench_local.errors import DiskFullError, StoreError

_LAYOUT = 1
_CREATE = """
CREATE TABLE IF NOT EXISTS scores (
    key BLOB PRIMARY KEY, logprobs BLOB, mass REAL, text TEXT, tokens INTEGER NOT NULL
) WITHOUT ROWID
"""
_CREATE_REQUESTS = """
CREATE TABLE IF NOT EXISTS requests (
    key BLOB PRIMARY KEY, score BLOB, tokens INTEGER NOT NULL, options INTEGER NOT NULL, sizes BLOB NOT NULL
) WITHOUT ROWID
"""
_CREATE_TRACES = """
CREATE TABLE IF NOT EXISTS traces (key BLOB PRIMARY KEY, tokens BLOB NOT NULL, end TEXT NOT NULL) WITHOUT ROWID
"""
_LOOKUP_CHUNK = 500
_LITTLE_ROOM = 2**20
_NO_TOKEN = 2**31
"""No token's id is as large: llama.cpp's have 32 bits, and a sign."""

_ROUNDING = 1e-3
"""How far above 1 a probability may be rounded."""


Found = TypeVar("Found", "StoredScore", "StoredRequest", "StoredTrace")


@dataclass(frozen=True, slots=True)
class StoredScore:
    """What is kept of one scored prompt.

    Attributes:
        logprobs: of each option, natural logarithm, float64; empty for generated text.
        mass: summed probability of the options, or None for generated text.
        text: generated text, or None.
        tokens: length of the prompt in tokens.
    """

    logprobs: tuple[float, ...]
    mass: float | None
    text: str | None
    tokens: int


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """What became of a prompt when it was tokenised, so that it need not be again.

    Attributes:
        score: the key of its score; None if it does not fit.
        tokens: length of the prompt in tokens.
        options: log-probabilities that its score has.
        sizes: bytes that the scored tokens of each option spell; empty where they do not matter.
    """

    score: bytes | None
    tokens: int
    options: int
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """What is kept of what a model thought about a prompt.

    Attributes:
        tokens: that it wrote, with what closed the thinking.
        end: how it ended.
    """

    tokens: tuple[int, ...]
    end: str


def score_key(*parts: str | bytes | Sequence[int]) -> bytes:
    """A 20-byte hash of ``parts``; no two different lists of parts share their input bytes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            data, kind = part.encode(), b"s"
        elif isinstance(part, bytes):
            data, kind = part, b"b"
        else:
            data, kind = struct.pack(f"<{len(part)}q", *part), b"i"
        digest.update(kind + struct.pack("<q", len(data)) + data)
    return digest.digest()[:20]


def _plausible(logprobs: object, mass: object, text: object, tokens: object) -> StoredScore | None:
    """The score that a row holds; None if it holds none."""
    if not isinstance(logprobs, bytes) or len(logprobs) % 8 or type(tokens) is not int or tokens < 0:
        return None
    values = struct.unpack(f"<{len(logprobs) // 8}d", logprobs)
    if not values:
        return StoredScore((), None, text, tokens) if isinstance(text, str) and mass is None else None
    if text is not None or not isinstance(mass, float) or not all(map(isfinite, values)):
        return None
    # An option may continue another one: then their probabilities overlap.
    if max(values) > _ROUNDING or not 0 <= mass <= len(values) + _ROUNDING:
        return None
    return StoredScore(values, mass, None, tokens)


def _plausible_request(score: object, tokens: object, options: object, sizes: object) -> StoredRequest | None:
    """The request that a row holds; None if it holds none."""
    if not isinstance(sizes, bytes) or len(sizes) % 8 or not (score is None or isinstance(score, bytes)):
        return None
    if type(tokens) is not int or type(options) is not int or min(tokens, options) < 0:
        return None
    return StoredRequest(score, tokens, options, struct.unpack(f"<{len(sizes) // 8}q", sizes))


def _plausible_trace(tokens: object, end: object) -> StoredTrace | None:
    """The trace that a row holds; None if it holds none."""
    if not isinstance(tokens, bytes) or len(tokens) % 8 or not isinstance(end, str):
        return None
    found = struct.unpack(f"<{len(tokens) // 8}q", tokens)
    return StoredTrace(found, end) if all(0 <= token < _NO_TOKEN for token in found) else None


def _rows(database: sqlite3.Connection, what: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(keys), _LOOKUP_CHUNK):
        chunk = keys[start : start + _LOOKUP_CHUNK]
        marks = ",".join("?" * len(chunk))
        yield from database.execute(f"SELECT {what} WHERE key IN ({marks})", chunk)


class ScoreStore:
    """The scores of one run, which also finds what neighbouring runs have computed.

    Beside the scores it keeps which prompt has which (`StoredRequest`): what is not there, or is damaged, is found by
    tokenising the prompt.

    A row that cannot be a score (a NaN, a probability above 1, values of another type) is never ranked: in the run's
    own database it is damage, in a neighbour's it counts as absent.

    Args:
        path: the run's own database; created if absent.
        neighbours: databases of other runs, read when a key is not in the run's own; what is found there is
            copied into the run's own, so that a run folder is complete.

    Raises:
        StoreError: the database is damaged, of another layout, or cannot be opened.
    """

    def __init__(self, path: Path, neighbours: Iterable[Path] = ()) -> None:
        self.path = path
        self._database = self._open(path)
        self._neighbours = tuple(neighbours)

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(path, timeout=30, isolation_level=None)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            layout = database.execute("PRAGMA user_version").fetchone()[0]
            if layout not in (0, _LAYOUT):
                raise StoreError(
                    f"{path}: written by another version (layout {layout}, expected {_LAYOUT}).",
                    advice="Move it away to start anew, or use the version that wrote it.",
                )
            database.execute(_CREATE)
            database.execute(_CREATE_REQUESTS)  # absent from stores that earlier releases made
            database.execute(_CREATE_TRACES)
            database.execute(f"PRAGMA user_version={_LAYOUT}")
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error
        return database

    def get(self, keys: Sequence[bytes]) -> dict[bytes, StoredScore]:
        """What is known of ``keys``, from this run and its neighbours."""
        return self._found(keys, self._lookup, self.put)

    def get_requests(self, keys: Sequence[bytes]) -> dict[bytes, StoredRequest]:
        """What is known of the prompts with ``keys``, from this run and its neighbours."""
        return self._found(keys, self._lookup_requests, self.put_requests)

    def get_traces(self, keys: Sequence[bytes]) -> dict[bytes, StoredTrace]:
        """What was thought about the prompts with ``keys``, in this run and its neighbours."""
        return self._found(keys, self._lookup_traces, self.put_traces)

    def _found(
        self,
        keys: Sequence[bytes],
        lookup: Callable[[sqlite3.Connection, Sequence[bytes]], dict[bytes, Found]],
        put: Callable[[Mapping[bytes, Found]], None],
    ) -> dict[bytes, Found]:
        """What one table has of ``keys``; what only a neighbour has is copied."""
        found = lookup(self._database, keys)
        for path in self._neighbours:
            missing = [key for key in keys if key not in found]
            if not missing:
                break
            copied = self._of_neighbour(path, missing, lookup)
            if copied:
                put(copied)
                found.update(copied)
        return found

    def put_traces(self, traces: Mapping[bytes, StoredTrace]) -> None:
        """Keep ``traces``, all or none.

        Raises:
            StoreError: the disk is full or the database damaged.
        """
        self._insert(
            "INSERT OR REPLACE INTO traces VALUES (?, ?, ?)",
            ((key, struct.pack(f"<{len(t.tokens)}q", *t.tokens), t.end) for key, t in traces.items()),
        )

    def put_requests(self, requests: Mapping[bytes, StoredRequest]) -> None:
        """Keep ``requests``, all or none.

        Raises:
            StoreError: the disk is full or the database damaged.
        """
        self._insert(
            "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)",
            (
                (key, r.score, r.tokens, r.options, struct.pack(f"<{len(r.sizes)}q", *r.sizes))
                for key, r in requests.items()
            ),
        )

    def put(self, scores: Mapping[bytes, StoredScore]) -> None:
        """Keep ``scores``, all or none.

        Raises:
            StoreError: the disk is full or the database damaged; nothing of ``scores`` was kept.
        """
        self._insert(
            "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?)",
            (
                (key, struct.pack(f"<{len(s.logprobs)}d", *s.logprobs), s.mass, s.text, s.tokens)
                for key, s in scores.items()
            ),
        )

    def _insert(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(statement, rows)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._error(error) from error

    def __len__(self) -> int:
        try:
            return int(self._database.execute("SELECT count(*) FROM scores").fetchone()[0])
        except sqlite3.Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Write the log back and close; safe to call twice."""
        self._database.close()

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lookup(self, database: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, StoredScore]:
        found = {}
        try:
            for key, *row in _rows(database, "key, logprobs, mass, text, tokens FROM scores", keys):
                if (score := _plausible(*row)) is None:
                    raise ValueError("a row holds no score")
                found[bytes(key)] = score
        except (sqlite3.Error, ValueError) as error:
            raise self._error(error) from error
        return found

    def _lookup_requests(
        self, database: sqlite3.Connection, keys: Sequence[bytes]
    ) -> dict[bytes, StoredRequest]:
        what = "key, score, tokens, options, sizes FROM requests"
        return self._plausible(database, what, keys, _plausible_request)

    def _lookup_traces(self, database: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, StoredTrace]:
        return self._plausible(database, "key, tokens, end FROM traces", keys, _plausible_trace)

    def _plausible(
        self,
        database: sqlite3.Connection,
        what: str,
        keys: Sequence[bytes],
        plausible: Callable[..., Found | None],
    ) -> dict[bytes, Found]:
        """Of a table that can be computed anew: a row that cannot be right counts as absent."""
        try:
            rows = list(_rows(database, what, keys))
        except sqlite3.Error as error:
            raise self._error(error) from error
        found = {bytes(key): plausible(*row) for key, *row in rows}
        return {key: value for key, value in found.items() if value is not None}

    def _of_neighbour(
        self,
        path: Path,
        keys: Sequence[bytes],
        lookup: Callable[[sqlite3.Connection, Sequence[bytes]], dict[bytes, Found]],
    ) -> dict[bytes, Found]:
        """What another run's database knows; one that cannot be read is as good as absent."""
        try:
            database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
        except sqlite3.Error:
            return {}
        try:
            if database.execute("PRAGMA user_version").fetchone()[0] != _LAYOUT:
                return {}
            return lookup(database, keys)
        except (sqlite3.Error, StoreError):
            return {}
        finally:
            database.close()

    def _error(self, error: Exception) -> StoreError:
        text = str(error)
        # Without room for its index of the log SQLite speaks of an I/O error.
        if "full" in text or ("disk I/O error" in text and self._no_room()):
            return DiskFullError(
                f"{self.path}: the disk is full.",
                advice="Make space and run the same command again; everything committed so far is kept.",
            )
        if isinstance(error, sqlite3.OperationalError) and ("unable to open" in text or "readonly" in text):
            return StoreError(
                f"{self.path}: cannot be opened for writing ({text}).",
                advice="Check the folder's permissions, or choose another with `output=`.",
            )
        if isinstance(error, sqlite3.OperationalError) and "locked" in text:
            return StoreError(f"{self.path}: another process is writing to it.", advice="Wait until it ends.")
        if "disk I/O error" in text:
            return StoreError(
                f"{self.path}: the disk cannot be read or written.",
                advice="Check the disk and run the same command again; everything committed so far is kept.",
            )
        return StoreError(
            f"{self.path}: the score store is damaged ({text}).",
            advice="Move it away and run the same command again; its scores are computed anew.",
        )

    def _no_room(self) -> bool:
        try:
            return shutil.disk_usage(self.path.parent).free < _LITTLE_ROOM
        except OSError:
            return False
