"""Scored prompts in SQLite: what was computed once is never computed again.

The store maps a key (a hash of everything that decides a score) to what came out. It does not know what a
score means. Its unit of commit is a pack: all of it or nothing is there after a crash.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import struct
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from errno import EACCES
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from medbench_local.errors import SYSTEM_ADVICE, DiskFullError, StoreError
from medbench_local.paths import Place
from medbench_local.store.database import AWAY, Database, connect_own, reading, row_sum, size_of

_LOOKUP_CHUNK = 500
_PLENTY = 16 << 20
"""Bytes of what one look-up finds, from which on it is held against the file: rows may share what they are made of."""

_LITTLE_ROOM = 2**20
_NO_TOKEN = 2**31
"""No token's id is as large: llama.cpp's have 32 bits, and a sign."""

_ROUNDING = 1e-3
"""How far above 1 a probability may be rounded."""


Found = TypeVar("Found")


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


@dataclass(frozen=True)
class _Table(Generic[Found]):
    """How a kind of rows is kept.

    Attributes:
        name: of the table.
        columns: beside the key and the sum.
        read: the value that a row's columns hold; None if they hold none.
        pack: the columns of a value.
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[..., Found | None]
    pack: Callable[[Found], tuple[object, ...]]


_SCORES = _Table(
    "scores",
    ("logprobs", "mass", "text", "tokens"),
    _plausible,
    lambda s: (struct.pack(f"<{len(s.logprobs)}d", *s.logprobs), s.mass, s.text, s.tokens),
)
_REQUESTS = _Table(
    "requests",
    ("score", "tokens", "options", "sizes"),
    _plausible_request,
    lambda r: (r.score, r.tokens, r.options, struct.pack(f"<{len(r.sizes)}q", *r.sizes)),
)
_TRACES = _Table(
    "traces",
    ("tokens", "end"),
    _plausible_trace,
    lambda t: (struct.pack(f"<{len(t.tokens)}q", *t.tokens), t.end),
)


def _packed(table: _Table[Found], values: Mapping[bytes, Found]) -> Iterator[tuple[object, ...]]:
    """The rows that hold ``values``, each with its sum."""
    for key, value in values.items():
        row = (key, *table.pack(value))
        yield (*row, row_sum(row))


def _rows(database: Database, what: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(keys), _LOOKUP_CHUNK):
        chunk = keys[start : start + _LOOKUP_CHUNK]
        marks = ",".join("?" * len(chunk))
        database.deadline.restart()
        yield from database.execute(f"SELECT {what} WHERE key IN ({marks})", chunk)


class ScoreStore:
    """The scores of one run, which also finds what neighbouring runs have computed.

    Beside the scores it keeps which prompt has which (`StoredRequest`): what is not there, or is damaged, is found by
    tokenising the prompt.

    A row whose checksum is not that of what it holds, or that cannot be a score (a NaN, a probability above 1, values
    of another type), is never ranked: it counts as absent, is computed again, and is said. The rows of stores that
    earlier releases made have no checksum.

    Threads may use it together; one at a time is let in.

    Args:
        path: the run's own database; created if absent.
        neighbours: databases of other runs, read when a key is not in the run's own; what is found there is
            copied into the run's own, so that a run folder is complete.
        tell: told, in a line each, of damaged rows, and of neighbours that are left aside.

    Raises:
        StoreError: the database is damaged, of another layout, or cannot be opened.
    """

    def __init__(
        self, path: Path, neighbours: Iterable[Path] = (), *, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.path = path
        self._tell = tell
        self._damaged: dict[Path, set[str]] = {}
        self._scored = 0
        try:
            self._database = connect_own(path)
            self._folder, self._place = Place.of(path.parent), Place.of(path)
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error
        self._neighbours = list(neighbours)
        self._left_aside: set[Path] = set()
        self._one = threading.RLock()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, StoredScore]:
        """What is known of ``keys``, from this run and its neighbours."""
        return self._get(_SCORES, keys)

    def get_requests(self, keys: Sequence[bytes]) -> dict[bytes, StoredRequest]:
        """What is known of the prompts with ``keys``, from this run and its neighbours."""
        return self._get(_REQUESTS, keys)

    def get_traces(self, keys: Sequence[bytes]) -> dict[bytes, StoredTrace]:
        """What was thought about the prompts with ``keys``, in this run and its neighbours."""
        return self._get(_TRACES, keys)

    def meet(self, neighbours: Iterable[Path]) -> None:
        """Look in these from now on, and in no others."""
        with self._one:
            self._neighbours = [path for path in neighbours if path not in self._left_aside]

    def put(self, scores: Mapping[bytes, StoredScore]) -> None:
        """Keep ``scores``, all or none.

        Raises:
            StoreError: the disk is full, or the database damaged: nothing of ``scores`` was kept; or the run's folder
                is not where it was.
        """
        with self._one:
            self._scored += len(scores)
            self._insert(_SCORES, scores)

    def put_requests(self, requests: Mapping[bytes, StoredRequest]) -> None:
        """Keep ``requests``, all or none.

        Raises:
            StoreError: as `put`.
        """
        self._insert(_REQUESTS, requests)

    def put_traces(self, traces: Mapping[bytes, StoredTrace]) -> None:
        """Keep ``traces``, all or none.

        Raises:
            StoreError: as `put`.
        """
        self._insert(_TRACES, traces)

    def _get(self, table: _Table[Found], keys: Sequence[bytes]) -> dict[bytes, Found]:
        """What one table has of ``keys``; what only a neighbour has is copied."""
        with self._one:
            return self._found(table, keys)

    def _found(self, table: _Table[Found], keys: Sequence[bytes]) -> dict[bytes, Found]:
        try:
            found = self._lookup(self._database, self.path, table, keys)
        except sqlite3.Error as error:
            raise self._error(error) from error
        for path in tuple(self._neighbours):
            missing = [key for key in keys if key not in found]
            if not missing:
                break
            copied = self._of_neighbour(path, table, missing)
            if copied:
                self._insert(table, copied)
                found.update(copied)
        return found

    def _lookup(
        self, database: Database, path: Path, table: _Table[Found], keys: Sequence[bytes]
    ) -> dict[bytes, Found]:
        if table.name not in database.tables:  # of a neighbour that an earlier release made
            return {}
        columns = ", ".join((database.sum_of(table.name), "key", *table.columns))
        found: dict[bytes, Found] = {}
        size = 0
        for total, key, *row in _rows(database, f"{columns} FROM {table.name}", keys):
            size += sum(len(each) for each in row if isinstance(each, bytes | str))
            if size > _PLENTY and size > size_of(path):
                raise StoreError(f"{path}: its rows are larger than the file they are in.", advice=AWAY)
            value = table.read(*row)
            if value is None or (total is not None and total != row_sum((key, *row))):
                self._note_damage(path, key)
            else:
                found[bytes(key)] = value
        return found

    def _note_damage(self, path: Path, key: object) -> None:
        if path not in self._damaged:
            again = "are computed again" if path == self.path else "are left aside"
            self._tell(f"warning: {path}: a row does not hold what was written to it; such rows {again}")
        self._damaged.setdefault(path, set()).add(repr(key))

    def _insert(self, table: _Table[Found], values: Mapping[bytes, Found]) -> None:
        with self._one:
            self._write(table, values)

    def _write(self, table: _Table[Found], values: Mapping[bytes, Found]) -> None:
        marks = ", ".join("?" * (len(table.columns) + 2))
        statement = f"INSERT OR REPLACE INTO {table.name} VALUES ({marks})"
        self._database.deadline.lift()  # what is put is our own
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(statement, _packed(table, values))
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._error(error) from error
        self.need_place()

    def need_place(self) -> None:
        """See that what was put lies where it will be looked for.

        Raises:
            StoreError: the folder or the file is gone, or another; it says what is lost.
        """
        for place in (self._folder, self._place):
            if problem := place.problem():
                lost = f"; {self._scored:,} scores of this run went with it" if self._scored else ""
                raise StoreError(
                    f"{problem}{lost}.",
                    advice="Put it back where it was if you have it, and run the same command again: it goes on from "
                    "what is there.",
                )

    def __len__(self) -> int:
        try:
            with self._one:
                return int(self._database.execute("SELECT count(*) FROM scores").fetchone()[0])
        except sqlite3.Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Write the log back and close; safe to call twice."""
        with self._one:
            self._close()

    def _close(self) -> None:
        for path, keys in self._damaged.items():
            if len(keys) > 1:
                self._tell(f"warning: {path}: {len(keys):,} damaged rows in all")
        self._damaged.clear()
        self._database.close()

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None:
            self.need_place()

    def _of_neighbour(self, path: Path, table: _Table[Found], keys: Sequence[bytes]) -> dict[bytes, Found]:
        """What another run's database knows; one that cannot be read is left aside from then on, and said."""
        try:
            with reading(path) as database:
                return self._lookup(database, path, table, keys)
        except (sqlite3.Error, OSError, StoreError) as error:
            self._neighbours.remove(path)
            self._left_aside.add(path)
            if path.exists() or path.is_symlink():  # a run that was removed meanwhile is no news
                problem = (
                    error.message if isinstance(error, StoreError) else f"{path}: cannot be read ({error})."
                )
                self._tell(f"left aside: {problem}")
            return {}

    def _error(self, error: Exception) -> StoreError:
        text = str(error)
        # Without room for its index of the log SQLite speaks of an I/O error.
        if "full" in text or ("disk I/O error" in text and self._no_room()):
            return DiskFullError(
                f"{self.path}: the disk is full.",
                advice="Make space and run the same command again; everything committed so far is kept.",
            )
        if isinstance(error, OSError) or "unable to open" in text or "readonly" in text or "disk I/O" in text:
            cause = error if isinstance(error, OSError) else self._cause()
            if cause is not None:
                return StoreError(
                    f"{self.path}: cannot be written: {cause.strerror}.",
                    advice=SYSTEM_ADVICE.get(cause.errno or 0, "")
                    or "Check the folder, or choose another with `output=`.",
                )
        if "unable to open" in text or "readonly" in text:
            return StoreError(
                f"{self.path}: cannot be opened for writing ({text}).",
                advice="Check the folder's permissions, or choose another with `output=`.",
            )
        if "interrupted" in text:
            return StoreError(
                f"{self.path}: the score store is damaged: a look-up does not end.", advice=AWAY
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
            advice=AWAY,
        )

    def _cause(self) -> OSError | None:
        """What the system itself says to writing there, of which SQLite has only "unable to open"."""
        try:
            with tempfile.TemporaryFile(dir=self.path.parent):
                pass
        except OSError as error:
            return error
        if self.path.exists() and not os.access(self.path, os.W_OK):
            return PermissionError(EACCES, os.strerror(EACCES))
        return None

    def _no_room(self) -> bool:
        try:
            return shutil.disk_usage(self.path.parent).free < _LITTLE_ROOM
        except OSError:
            return False
