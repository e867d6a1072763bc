import math
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.errors import StoreError
from medbench_local.store.kept import kept_scores
from medbench_local.store.scores import ScoreStore, StoredRequest, StoredScore, StoredTrace, score_key

PARTS = st.lists(
    st.one_of(
        st.text(max_size=5), st.binary(max_size=5), st.lists(st.integers(-9, 9), max_size=4).map(tuple)
    ),
    max_size=4,
)


def scores(count: int, offset: int = 0) -> dict[bytes, StoredScore]:
    return {
        score_key("test", (i + offset,)): StoredScore((-0.1 * i, -math.pi), 0.5, None, i)
        for i in range(count)
    }


@given(PARTS, PARTS)
def test_different_parts_have_different_keys(first: list[object], second: list[object]) -> None:
    same = score_key(*first) == score_key(*second)  # type: ignore[arg-type]
    assert same == ([(type(p), p) for p in first] == [(type(p), p) for p in second])


def test_gives_back_what_was_put_to_the_last_bit(tmp_path: Path) -> None:
    put = scores(1200) | {score_key("text"): StoredScore((), None, "The answer is A", 7)}
    with ScoreStore(tmp_path / "scores.sqlite") as store:
        store.put(put)
    with ScoreStore(tmp_path / "scores.sqlite") as store:
        assert store.get(list(put)) == put
        assert store.get([score_key("unknown")]) == {}
        assert len(store) == len(put)


def test_reads_through_to_neighbours_and_keeps_a_copy(tmp_path: Path) -> None:
    known = scores(5)
    with ScoreStore(tmp_path / "other" / "scores.sqlite") as other:
        other.put(known)
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"not a database at all, but long enough to look at")
    neighbours = [tmp_path / "absent.sqlite", broken, tmp_path / "other" / "scores.sqlite"]
    with ScoreStore(tmp_path / "own" / "scores.sqlite", neighbours) as store:
        assert store.get(list(known)) == known
    with ScoreStore(tmp_path / "own" / "scores.sqlite") as store:
        assert store.get(list(known)) == known


def test_a_pack_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    bad = scores(3) | {score_key("bad"): StoredScore((), None, None, None)}  # type: ignore[arg-type]
    with ScoreStore(path) as store:
        with pytest.raises(StoreError):
            store.put(bad)
        assert len(store) == 0
        store.put(scores(3))
        assert len(store) == 3


def test_what_was_committed_survives_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from medbench_local.store.scores import *;"
        "s = ScoreStore(Path(sys.argv[1]));"
        "s.put({score_key('k'): StoredScore((-1.5,), 0.2, None, 3)});"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    process = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert process.returncode != 0
    with ScoreStore(path) as store:
        assert store.get([score_key("k")]) == {score_key("k"): StoredScore((-1.5,), 0.2, None, 3)}


@pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_store_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"scores\.sqlite.*damaged"):
        ScoreStore(path)


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(StoreError, match="another version"):
        ScoreStore(path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("logprobs", struct.pack("<3d", math.nan, -1.0, -1.0)),
        ("logprobs", struct.pack("<3d", -math.inf, -1.0, -1.0)),
        ("logprobs", struct.pack("<3d", 0.5, -1.0, -1.0)),
        ("logprobs", b"seven b"),
        ("logprobs", b""),
        ("logprobs", "text"),
        ("mass", "abc"),
        ("mass", 7e300),
        ("mass", -0.5),
        ("mass", None),
        ("text", "both"),
        ("tokens", "abc"),
        ("tokens", -1),
    ],
)
@pytest.mark.parametrize("neighbour", [False, True])
@pytest.mark.parametrize("summed", [False, True])
def test_a_row_that_cannot_be_a_score_counts_as_absent_and_is_said(
    tmp_path: Path, column: str, value: object, neighbour: bool, summed: bool
) -> None:
    path = tmp_path / "scores.sqlite"
    good, bad = score_key("good"), score_key("bad")
    score = StoredScore((-1.0, -1.5, -2.0), 0.7, None, 9)
    with ScoreStore(path) as store:
        store.put({good: score, bad: score})
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE scores SET {column} = ? WHERE key = ?", (value, bad))
        if not summed:
            database.execute("UPDATE scores SET sum = NULL")
        database.commit()
    said: list[str] = []
    own, others = (tmp_path / "own.sqlite", [path]) if neighbour else (path, [])
    with ScoreStore(own, others, tell=said.append) as store:
        assert store.get([bad]) == {}
        assert store.get([good]) == {good: score}
        assert len(said) == 1
        assert str(path) in said[0]
        store.put({bad: score})
        assert store.get([good, bad]) == {good: score, bad: score}


@pytest.mark.parametrize("damaged", [(5, -1), (2**31,), (10**12, 3)])
def test_a_trace_of_what_are_no_tokens_counts_as_absent(tmp_path: Path, damaged: tuple[int, ...]) -> None:
    with ScoreStore(tmp_path / "scores.sqlite") as store:
        store.put_traces(
            {b"sound": StoredTrace((5, 0), "closed"), b"damaged": StoredTrace(damaged, "closed")}
        )
        assert store.get_traces([b"sound", b"damaged"]) == {b"sound": StoredTrace((5, 0), "closed")}


def test_all_scores_are_read_without_keys_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    with ScoreStore(path) as store:
        store.put({b"a": StoredScore((-1.0, -4.0), 0.4, None, 7), b"b": StoredScore((), None, "B.", 3)})
        store.put_requests({b"r": StoredRequest(b"a", 7, 2, (2, 8))})
        found = kept_scores(path)  # while its log is not written back
        assert found.logprobs == {(-1.0, -4.0), (-0.5, -0.5)}
    assert kept_scores(path) == found
    assert found.texts == {"B."}
    assert [file.name for file in tmp_path.iterdir()] == ["scores.sqlite"]
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        kept_scores(path)
