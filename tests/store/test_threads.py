"""A store that several threads use together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medbench_local.store.scores import ScoreStore
from tests.store.test_scores import scores

THREADS = 8


def test_threads_put_and_get_what_they_put(tmp_path: Path) -> None:
    ready = threading.Barrier(THREADS)

    def use(number: int) -> None:
        ready.wait(20)
        for part in range(20):
            own = scores(50, offset=100_000 * number + 100 * part)
            store.put(own)
            assert store.get(list(own)) == own
            assert store.get(list(scores(5, offset=-1000))) == {}
            len(store)

    with ScoreStore(tmp_path / "scores.sqlite") as store:
        with ThreadPoolExecutor(THREADS) as threads:
            for one in [threads.submit(use, number) for number in range(THREADS)]:
                one.result()
        assert len(store) == THREADS * 20 * 50
    with ScoreStore(tmp_path / "scores.sqlite") as store:
        assert len(store) == THREADS * 20 * 50


def test_threads_read_through_to_neighbours(tmp_path: Path) -> None:
    known = scores(400)
    with ScoreStore(tmp_path / "other" / "scores.sqlite") as other:
        other.put(known)
    with ScoreStore(tmp_path / "own" / "scores.sqlite", [tmp_path / "other" / "scores.sqlite"]) as store:
        with ThreadPoolExecutor(THREADS) as threads:
            found = list(threads.map(lambda _: store.get(list(known)), range(2 * THREADS)))
        assert found == [known] * (2 * THREADS)
        assert len(store) == len(known)


def test_a_run_that_began_later_is_met(tmp_path: Path) -> None:
    known = scores(20)
    later = tmp_path / "later" / "scores.sqlite"
    with ScoreStore(tmp_path / "own" / "scores.sqlite") as store, ScoreStore(later) as other:
        other.put(known)
        assert store.get(list(known)) == {}
        store.meet([later, later, tmp_path / "absent.sqlite"])
        store.meet([later])
        assert store.get(list(known)) == known, "while it is written"
        more = scores(20, offset=100)
        other.put(more)
        assert store.get(list(more)) == more, "and what it found meanwhile"
    with ScoreStore(tmp_path / "own" / "scores.sqlite") as store:
        assert store.get([*known, *more]) == known | more, "a copy is kept"
