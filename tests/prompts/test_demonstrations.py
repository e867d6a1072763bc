"""Demonstrations and validation questions are the published rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.errors import UsageError
from medbench_local.prompts.demonstrations import demonstration_rows, validation_rows

# Pool size: rows for the seeds 0 to 9.
PUBLISHED = {
    10178: "3055,8820,2919 | 5537,82,5979 | 683,208,5624 | 7119,6480,6440 | 6472,8701,8245 | 9784,791,3667 | "
    "1248,218,7165 | 4464,3534,7014 | 4581,3578,2615 | 9036,3127,3650",
    146257: "137233,29968,62285 | 6217,101125,99449 | 85756,85054,29032 | 102491,100336,72299 | "
    "18051,21084,6258 | 82156,63882,26927 | 135443,45592,102797 | 89566,85830,84898 | 34599,49806,94417 | "
    "50706,35622,18094",
    211269: "184733,24334,187998 | 155728,109700,142354 | 74658,34912,39467 | 73858,70617,8545 | "
    "88016,45779,58916 | 96054,129502,16690 | 50608,79197,43606 | 191654,68179,180364 | "
    "209833,13512,169107 | 102870,105226,124951",
    5: "2,4,3 | 4,0,1 | 2,4,3 | 4,2,1 | 2,4,0 | 4,3,1 | 2,4,0 | 2,0,4 | 3,0,1 | 4,3,0",
}


@pytest.mark.parametrize("pool_size", PUBLISHED)
def test_the_published_demonstrations(pool_size: int) -> None:
    expected = [tuple(int(row) for row in rows.split(",")) for rows in PUBLISHED[pool_size].split("|")]
    assert [demonstration_rows(seed, pool_size) for seed in range(10)] == expected


@given(st.integers(0, 2**40), st.integers(1, 50), st.data())
def test_demonstrations_are_distinct_rows_of_the_pool(seed: int, pool_size: int, data: st.DataObject) -> None:
    shots = data.draw(st.integers(0, pool_size))
    rows = demonstration_rows(seed, pool_size, shots)
    assert len(set(rows)) == shots
    assert all(0 <= row < pool_size for row in rows)
    assert demonstration_rows(seed, pool_size, pool_size)[:shots] == rows


def test_more_shots_than_questions_are_refused() -> None:
    with pytest.raises(UsageError, match="only 2 questions"):
        demonstration_rows(0, 2)


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(UsageError, match="-1"):
        demonstration_rows(-1, 5)


@pytest.mark.parametrize(
    ("n", "first"),
    [(1272, (208, 966, 714, 1192, 584, 1214)), (36565, (26704, 19147, 1188))],
)
def test_the_published_validation_subset(n: int, first: tuple[int, ...]) -> None:
    rows = validation_rows(n)
    assert rows[: len(first)] == first
    assert len(set(rows)) == 500
    assert max(rows) < n


@pytest.mark.parametrize("n", [0, 11, 500])
def test_small_validation_splits_are_used_whole_and_in_order(n: int) -> None:
    assert validation_rows(n) == tuple(range(n))


def test_another_limit() -> None:
    assert validation_rows(10, 10) == tuple(range(10))
    assert len(set(validation_rows(10, 4))) == 4
