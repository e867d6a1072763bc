"""Files of scores, opened so that nothing in them acts: what lies there may have been made by anybody.

SQLite itself believes a file: its views and triggers are run, a rollback journal beside it may name any file of the
machine to be deleted, a pipe in its place is waited for. Here a store is a regular file with the tables that this
package makes, to the letter, and nothing else; and a statement that works on and on is ended.
"""

from __future__ import annotations

import sqlite3
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any
from zlib import crc32

from medbench_local.errors import StoreError

LAYOUT = 2
"""Of stores whose rows have a sum; those of layout 1 have none."""

READ_LAYOUTS = (1, LAYOUT)
"""What is read."""

AWAY = "Move it away and run the same command again; its scores are computed anew."
"""What to do about a store that cannot be used."""

_COLUMNS = {
    "scores": "key BLOB PRIMARY KEY, logprobs BLOB, mass REAL, text TEXT, tokens INTEGER NOT NULL",
    "requests": "key BLOB PRIMARY KEY, score BLOB, tokens INTEGER NOT NULL, options INTEGER NOT NULL, "
    "sizes BLOB NOT NULL",
    "traces": "key BLOB PRIMARY KEY, tokens BLOB NOT NULL, end TEXT NOT NULL",
}
SUM = "sum INTEGER"
"""The last column of every table: of the others, see `row_sum`. NULL in rows of layout 1."""

_LONGEST_VALUE = 4 << 20
"""Bytes of one row: eight times the longest trace that a protocol allows. Python 3.10 cannot limit it: there a value is
as long as the file at most."""

_PATIENCE = 1.0
"""Seconds of work that one statement may take; those of this package take milliseconds."""

_EVERY = 10_000
"""Steps of SQLite's machine, each some ten nanoseconds, between two looks at the clock."""

_PAGE = 4096
"""Bytes; a database that is no larger holds no row, only what tables there are."""

_NO_LOCKS = "win32-none" if sys.platform == "win32" else "unix-none"


def create_statement(table: str, *, sums: bool = True) -> str:
    """What makes a table, with or without the column of sums, which layout 1 does not have."""
    return f"CREATE TABLE {table} ({_COLUMNS[table]}{', ' + SUM if sums else ''}) WITHOUT ROWID"


TABLES = tuple(_COLUMNS)
"""Of a store; earlier releases made fewer."""


class Deadline:
    """Ends statements that take too long, by the work of this thread: a slow disk and a sleeping machine take none.

    Args:
        seconds: of work from the last `restart` on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._until = time.thread_time() + self._seconds

    def lift(self) -> None:
        """Count no more, until the next `restart`."""
        self._until = inf

    def passed(self) -> bool:
        """Whether the statement is to be ended."""
        return time.thread_time() > self._until


class Database(sqlite3.Connection):
    """A connection whose statements end.

    Attributes:
        deadline: of what it is asked.
        tables: that it has, and whether each has the column of sums.
    """

    deadline: Deadline
    tables: Mapping[str, bool]

    def sum_of(self, table: str) -> str:
        """What stands in the place of the column of sums: NULL where a table has none."""
        return "sum" if self.tables[table] else "NULL"

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """As `sqlite3.Connection.execute`; a complaint that quotes damaged text is one of the database too."""
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as error:
            raise sqlite3.DatabaseError("its tables are not described in UTF-8") from error


def refuse_what_is_no_file(path: Path) -> None:
    """Refuse a store, or a file that SQLite keeps beside it, that is a link, a folder, a pipe or a device.

    Raises:
        StoreError: it is, and which.
        OSError: it cannot be looked at.
    """
    for ending in ("", "-wal", "-shm", "-journal"):
        beside = path.with_name(path.name + ending)
        try:
            mode = beside.lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode):
            kind = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
            raise StoreError(
                f"{beside}: is {kind.get(stat.S_IFMT(mode), 'a device')}, not a file of scores.",
                advice=AWAY,
            )


def connect_own(path: Path) -> Database:
    """The run's own store, made if it is absent, and brought to `LAYOUT`.

    Rows of layout 1 stay without a sum, and are believed as they were: a sum made now would bless what was damaged
    before, and take as long as writing the whole file.

    Raises:
        StoreError: it is no store, or of another layout.
        sqlite3.Error, OSError: it is damaged or cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_what_is_no_file(path)
    _remove_journal(path)
    # Several threads may use it, one at a time: its owner sees to that.
    database = sqlite3.connect(
        path, timeout=30, isolation_level=None, factory=Database, check_same_thread=False
    )
    try:
        _make_harmless(database)
        layout = _layout_of(database)
        if layout not in (0, *READ_LAYOUTS):
            raise StoreError(
                f"{path}: written by another version (layout {layout}, expected {LAYOUT}).",
                advice="Move it away to start anew, or use the version that wrote it.",
            )
        known = _tables_of(database, path)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        if layout != LAYOUT or len(known) < len(TABLES):
            database.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                if table not in known:
                    database.execute(create_statement(table))
                elif not known[table]:
                    database.execute(f"ALTER TABLE {table} ADD COLUMN {SUM}")
            database.execute(f"PRAGMA user_version={LAYOUT}")
            database.execute("COMMIT")
        database.tables = dict.fromkeys(TABLES, True)
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def reading(path: Path, *, seconds: float = _PATIENCE) -> Iterator[Database]:
    """Another run's store, to be read only; nothing is written to it or left beside it.

    Raises:
        StoreError: it is no store, or of another layout.
        sqlite3.Error, OSError: it is missing, damaged or cannot be opened.
    """
    refuse_what_is_no_file(path)
    # With nothing in the log all is in the file itself. A log without its index is that of a process that was killed,
    # in a folder that was copied since: SQLite would make an index beside it, unless it may not share the file.
    log, index = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
    how = ""
    if not log.is_file() or not log.stat().st_size:
        how = "&immutable=1"
    elif not index.is_file():
        how = f"&vfs={_NO_LOCKS}"
    address = f"{path.absolute().as_uri()}?mode=ro{how}"
    database = sqlite3.connect(address, uri=True, timeout=5, factory=Database)
    try:
        _make_harmless(database, seconds)
        if how.startswith("&vfs"):
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
        layout = _layout_of(database)
        if layout not in READ_LAYOUTS:
            raise StoreError(f"{path}: written by another version (layout {layout}, expected {LAYOUT}).")
        database.tables = _tables_of(database, path)
        yield database
    finally:
        database.close()


def _tables_of(database: Database, path: Path) -> dict[str, bool]:
    """The tables of a store, and whether each has the column of sums.

    Raises:
        StoreError: something else is in the file: a view, a trigger, a table of another form.
        sqlite3.Error: it cannot be read.
    """
    forms = {_bare(create_statement(t, sums=sums)): (t, sums) for t in TABLES for sums in (False, True)}
    found = {}
    for kind, name, sql in database.execute("SELECT type, name, sql FROM sqlite_master LIMIT 9"):
        table, sums = forms.get(_bare(str(sql)), ("", False)) if kind == "table" else ("", False)
        if not table or name != table:
            raise StoreError(
                f"{path}: the score store is damaged: it holds the {kind} {str(name)[:60]!r}, which is none of a "
                "store.",
                advice=AWAY,
            )
        found[table] = sums
    return found


def _make_harmless(database: Database, seconds: float = _PATIENCE) -> None:
    """Before the first statement, which reads what tables there are."""
    database.text_factory = _text
    database.deadline = Deadline(seconds)
    database.set_progress_handler(database.deadline.passed, _EVERY)
    if sys.version_info >= (3, 11):
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    if sys.version_info >= (3, 12):
        database.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        database.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        database.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)
    database.execute("PRAGMA trusted_schema=OFF")
    database.execute("PRAGMA cell_size_check=ON")


def _text(data: bytes) -> str:
    """A text of a row: damage to one must not end the reading of others; its sum tells."""
    return data.decode("utf-8", "surrogateescape")


def _layout_of(database: Database) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _remove_journal(path: Path) -> None:
    """Remove a rollback journal, which SQLite would obey, up to deleting a file that it names.

    A store has a write-ahead log. It has a journal only while it is made and holds nothing; then it is made anew.

    Raises:
        StoreError: what has the journal is no store.
        OSError: it cannot be removed.
    """
    journal = path.with_name(f"{path.name}-journal")
    if not journal.exists():
        return
    data = b""
    if path.exists():
        with path.open("rb") as file:
            data = file.read(_PAGE + 1)
    if data[18:20] != b"\2\2":  # the header's words for "has a write-ahead log"
        if len(data) > _PAGE:
            raise StoreError(
                f"{path}: the score store is damaged: it has a rollback journal, as no store has.",
                advice="Move both away and run the same command again; its scores are computed anew.",
            )
        path.unlink(missing_ok=True)
    journal.unlink()


def size_of(path: Path) -> int:
    """Bytes of a store with its log.

    Raises:
        OSError: it is not there.
    """
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.is_file() else 0)


def row_sum(row: Iterable[object]) -> int:
    """A checksum of what a row holds; a bit that changes, or eight in a row, changes it."""
    return crc32(b"\0".join([value if type(value) is bytes else _as_bytes(value) for value in row]))


def _as_bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return repr(value + 0.0 if isinstance(value, float) else value).encode()  # SQLite has one zero only


def _bare(sql: str) -> str:
    return "".join(sql.split())
