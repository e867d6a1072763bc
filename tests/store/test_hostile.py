"""Stores that somebody, or a bad disk, has changed: nothing in them acts, hangs, or is taken for a score."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from medbench_local.errors import StoreError
from medbench_local.store.database import Database, create_statement, row_sum
from medbench_local.store.kept import kept_scores
from medbench_local.store.scores import ScoreStore, StoredRequest, StoredScore, StoredTrace, score_key

KEYS = [score_key("prompt", (number,)) for number in range(50)]
SCORES = {key: StoredScore((-0.25 * n - 0.1, -1.5, -2.0), 0.7, None, 9) for n, key in enumerate(KEYS)}
LONGEST = 8.0
"""Seconds of work that anything may take here."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a few scores."""
    path = tmp_path / "run" / "scores.sqlite"
    with ScoreStore(path) as store:
        store.put(SCORES)
    return path


@contextmanager
def changed(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        yield database


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _view(path: Path) -> None:
    with changed(path) as database:
        database.execute("ALTER TABLE scores RENAME TO kept")
        database.execute(
            "CREATE VIEW scores AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT kept.* FROM kept, n WHERE i < 0"
        )


def _trigger(path: Path) -> None:
    with changed(path) as database:
        database.execute(
            "CREATE TRIGGER forever AFTER INSERT ON scores BEGIN INSERT INTO traces "
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, i, i FROM n WHERE i < 0; END"
        )


def _check(path: Path) -> None:
    with changed(path) as database:
        database.execute("DROP TABLE scores")
        other = create_statement("scores").replace(
            "tokens INTEGER", "tokens INTEGER CHECK (tokens < abs(key))"
        )
        database.execute(other)


def _index(path: Path) -> None:
    with changed(path) as database:
        database.execute("CREATE INDEX more ON scores (hex(logprobs) || hex(zeroblob(1000)))")


def _pipe_for_a_log(path: Path) -> None:
    os.mkfifo(path.with_name("scores.sqlite-wal"))


OTHER: dict[str, Callable[[Path], None]] = {
    "pipe": _pipe,
    "link": _link,
    "folder": _folder,
    "view": _view,
    "trigger": _trigger,
    "check": _check,
    "index": _index,
    "pipe for a log": _pipe_for_a_log,
}


@pytest.mark.skipif(os.name != "posix", reason="pipes and links as POSIX has them")
@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_is_no_plain_store_is_refused_and_left_aside_in_a_neighbour(
    tmp_path: Path, path: Path, change: Callable[[Path], None]
) -> None:
    change(path)
    started = time.thread_time()
    with pytest.raises(StoreError, match=r"scores\.sqlite.*is a |scores\.sqlite.*damaged: it holds"):
        ScoreStore(path)
    said: list[str] = []
    with ScoreStore(tmp_path / "own" / "scores.sqlite", [path], tell=said.append) as store:
        assert store.get(KEYS) == {}
        assert store.get(KEYS) == {}
        assert len(said) == 1
        assert str(path) in said[0]
        store.put(SCORES)
        assert store.get(KEYS) == SCORES
    with pytest.raises(StoreError):
        kept_scores(path)
    assert time.thread_time() - started < LONGEST


def test_a_store_whose_tables_are_described_in_no_text_is_damaged(tmp_path: Path, path: Path) -> None:
    data = path.read_bytes()
    assert b"CREATE TABLE scores (key" in data
    path.write_bytes(data.replace(b"CREATE TABLE scores (key", b"CREATE TABLE \xffcores \xffkey"))
    with pytest.raises(StoreError, match=r"scores\.sqlite.*damaged"):
        ScoreStore(path)
    with ScoreStore(tmp_path / "own" / "scores.sqlite", [path]) as store:
        assert store.get(KEYS) == {}
    with pytest.raises(StoreError):
        kept_scores(path)


def test_a_look_up_that_does_not_end_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(database: Database, what: str, keys: object) -> sqlite3.Cursor:
        database.deadline.restart()
        return database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n WHERE i < 0"
        )

    monkeypatch.setattr("medbench_local.store.scores._rows", endless)
    started = time.thread_time()
    with ScoreStore(path) as store, pytest.raises(StoreError, match="does not end"):
        store.get(KEYS)
    assert 0.5 < time.thread_time() - started < LONGEST


def test_a_journal_beside_a_store_deletes_nothing(tmp_path: Path, path: Path) -> None:
    """SQLite, asked to roll back, deletes the file that a journal names as the one above it."""
    victim = tmp_path / "precious"

    def plant() -> None:
        victim.write_bytes(b"precious\0")
        name = bytes(victim)
        page = 4096
        head = bytes.fromhex("d9d505f920a163d7") + struct.pack(
            ">5I", 0, 7, path.stat().st_size // page, 512, page
        )
        named = struct.pack(">I", 0x40000000 // page + 1) + name + struct.pack(">2I", len(name), sum(name))
        journal = head.ljust(512, b"\0") + named + bytes.fromhex("d9d505f920a163d7")
        path.with_name("scores.sqlite-journal").write_bytes(journal)

    plant()
    with closing(sqlite3.connect(path)) as database:
        database.execute("SELECT count(*) FROM scores").fetchone()
    assert not victim.exists(), "the attack works on SQLite itself"
    plant()
    assert kept_scores(path).logprobs == {score.logprobs for score in SCORES.values()}
    with ScoreStore(tmp_path / "own" / "scores.sqlite", [path]) as store:
        assert store.get(KEYS) == SCORES
    with ScoreStore(path) as store:
        assert store.get(KEYS) == SCORES
    assert victim.read_bytes() == b"precious\0"
    assert not path.with_name("scores.sqlite-journal").exists()


def test_a_store_that_was_being_made_when_the_process_died_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    path.write_bytes(b"")
    path.with_name("scores.sqlite-journal").write_bytes(bytes(512))
    with ScoreStore(path) as store:
        store.put(SCORES)
        assert store.get(KEYS) == SCORES


@pytest.mark.parametrize("left", [("-wal", "-shm"), ("-wal",)])
def test_the_log_of_a_killed_neighbour_is_read_and_nothing_is_left_beside_it(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    path = tmp_path / "other" / "scores.sqlite"
    code = (
        "import os, signal, sys; from pathlib import Path; from tests.store.test_hostile import *\n"
        "ScoreStore(Path(sys.argv[1])).put(SCORES); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    for name in {"-wal", "-shm"} - set(left):
        path.with_name(f"scores.sqlite{name}").unlink()
    before = {
        file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")
    }
    names = {file.name for file in path.parent.iterdir()}
    with ScoreStore(tmp_path / "own" / "scores.sqlite", [path]) as store:
        assert store.get(KEYS) == SCORES
    assert len(kept_scores(path).logprobs) == len(SCORES)
    assert {file.name for file in path.parent.iterdir()} == names
    assert before == {
        file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")
    }


def test_no_bit_that_flips_changes_a_score_unnoticed(tmp_path: Path, path: Path) -> None:
    """Each of thousands of flips in the rows: what is found is right or absent."""
    with ScoreStore(path) as store:
        store.put_requests({key: StoredRequest(key, 9, 3, (4, 5, 6)) for key in KEYS})
        store.put_traces({key: StoredTrace((1, 2, 3), "closed") for key in KEYS})
    whole = path.read_bytes()
    rows = [place for place in range(whole.index(KEYS[0]), len(whole)) if whole[place]]
    draw, noticed = random.Random(7), 0
    for number in range(150):
        place, bit = draw.choice(rows), draw.randrange(8)
        data = bytearray(whole)
        data[place] ^= 1 << bit
        flipped = tmp_path / f"{number}.sqlite"
        flipped.write_bytes(data)
        said: list[str] = []
        try:
            with ScoreStore(flipped, tell=said.append) as store:
                for key, score in store.get(KEYS).items():
                    assert score == SCORES[key], (place, bit)
                assert set(store.get_requests(KEYS).values()) <= {
                    StoredRequest(key, 9, 3, (4, 5, 6)) for key in KEYS
                }
                assert set(store.get_traces(KEYS).values()) <= {StoredTrace((1, 2, 3), "closed")}
        except StoreError as error:
            said.append(str(error))
        noticed += bool(said)
        flipped.unlink()
    assert noticed > 70


def test_each_bit_of_a_rows_log_probabilities_is_noticed(path: Path) -> None:
    key, score = KEYS[3], SCORES[KEYS[3]]
    sound = struct.pack("<3d", *score.logprobs)
    total = row_sum((key, sound, score.mass, score.text, score.tokens))
    for bit in range(8 * len(sound)):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        assert row_sum((key, bytes(data), score.mass, score.text, score.tokens)) != total


def test_stores_without_sums_are_read_as_they_are_and_get_sums_from_then_on(tmp_path: Path) -> None:
    old = tmp_path / "old" / "scores.sqlite"
    old.parent.mkdir()
    with changed(old) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(create_statement("scores", sums=False))
        database.execute(create_statement("requests", sums=False))
        row = (KEYS[0], struct.pack("<3d", *SCORES[KEYS[0]].logprobs), 0.7, None, 9)
        database.execute("INSERT INTO scores VALUES (?, ?, ?, ?, ?)", row)
        database.execute("PRAGMA user_version=1")
    with ScoreStore(tmp_path / "own" / "scores.sqlite", [old]) as store:
        assert store.get(KEYS) == {KEYS[0]: SCORES[KEYS[0]]}, "of a neighbour"
        assert store.get_traces(KEYS) == {}
    assert len(kept_scores(old).logprobs) == 1
    with ScoreStore(old) as store:
        assert store.get(KEYS) == {KEYS[0]: SCORES[KEYS[0]]}
        store.put({KEYS[1]: SCORES[KEYS[1]]})
        store.put_traces({KEYS[1]: StoredTrace((1,), "closed")})
    with changed(old) as database:
        assert dict(database.execute("SELECT key, sum IS NULL FROM scores")) == {KEYS[0]: 1, KEYS[1]: 0}
    with ScoreStore(old) as store:
        assert store.get(KEYS) == {key: SCORES[key] for key in KEYS[:2]}


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a folder whose files are open")
@pytest.mark.parametrize("kind", ["removed", "renamed", "replaced", "a link", "file gone", "file replaced"])
@pytest.mark.parametrize("at_the_end", [False, True])
def test_a_store_that_is_not_where_it_was_is_noticed(tmp_path: Path, kind: str, at_the_end: bool) -> None:
    folder = tmp_path / "run"
    path = folder / "scores.sqlite"

    def work() -> None:
        with ScoreStore(path) as store:
            store.put(SCORES)
            if kind == "removed":
                shutil.rmtree(folder)
            elif kind == "file gone":
                path.unlink()
            elif kind == "file replaced":
                shutil.copy(path, tmp_path / "copy")
                (tmp_path / "copy").replace(path)
            else:
                folder.rename(tmp_path / "moved")
            if kind == "replaced":
                folder.mkdir()
            if kind == "a link":
                folder.symlink_to("moved")
            if not at_the_end:
                store.put({score_key("new"): SCORES[KEYS[0]]})

    with pytest.raises(StoreError, match="run") as found:
        work()
    assert "scores of this run" in str(found.value)


def test_what_the_system_says_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("medbench_local.store.scores.tempfile.TemporaryFile", refused)
    for number, advice in (
        (errno.EMFILE, "ulimit -n"),
        (errno.EROFS, "writable"),
        (errno.EACCES, "permissions"),
    ):
        with ScoreStore(path) as store:
            store._database.execute("PRAGMA query_only=ON")
            with pytest.raises(StoreError, match=os.strerror(number)) as found:
                store.put(SCORES)
            assert advice in str(found.value)
