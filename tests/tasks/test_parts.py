"""The splits that are worked out, against the facts the data sets' own code gives."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from medbench_local.catalog.task import Part
from medbench_local.tasks.parts import PARTS
from medbench_local.tasks.question import Question


def numbered(count: int) -> list[Question]:
    return [Question(str(row), "q", ("yes", "no", "maybe"), row % 3) for row in range(count)]


def rows(part: str, count: int) -> list[int]:
    return [int(question.id) for question in PARTS[part](numbered(count))]


def test_medmcqa_is_cut_as_the_study_cut_it() -> None:
    validation, demonstrations = rows("one-fifth", 182_822), rows("four-fifths", 182_822)
    assert (len(demonstrations), len(validation)) == (146_257, 36_565)
    assert validation[:3] == [140983, 115498, 104061]
    assert demonstrations[:3] == [163771, 168290, 19484]


def test_the_artificial_questions_come_in_the_official_splitters_order() -> None:
    order = rows("pubmedqa-artificial", 211_269)
    assert order[:5] == [163421, 141805, 202520, 119604, 99879]
    assert order[200_000:200_003] == [174723, 25079, 123945]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 10, 11, 59, 100, 997])
def test_parts_neither_lose_nor_repeat_a_question(count: int) -> None:
    everything = list(range(count))
    assert sorted(rows("one-fifth", count) + rows("four-fifths", count)) == everything
    assert sorted(rows("pubmedqa-artificial", count)) == everything
    assert rows("all", count) == everything
    labelled = [rows(f"pubmedqa-{name}", count) for name in ("test", "train", "dev")]
    assert sorted(itertools.chain(*labelled)) == everything
    assert rows("pubmedqa-validation", count) == labelled[1] + labelled[2]


def test_every_part_the_catalog_may_name_exists() -> None:
    parts = get_args(Part)
    assert set(PARTS) == set(parts[: parts.index("all-closed")])
