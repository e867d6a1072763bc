"""What a sample is likely to miss is said beforehand, by the same rule as of a tie afterwards."""

from __future__ import annotations

import re
from math import sqrt

import pytest

from medbench_local import plan
from medbench_local.catalog.protocol import Scoring, load_protocol
from medbench_local.study.detectable import detectable_beforehand


def test_three_hundred_questions() -> None:
    """By hand: (1.96 + 0.84) * sqrt(0.2 / 300) and sqrt(0.5 / 300)."""
    (said,) = detectable_beforehand({"medqa": 300}, confidence=0.95)
    low, high = (float(number) for number in re.findall(r"\d+\.\d", said)[:2])
    assert low == pytest.approx(280 * sqrt(0.2 / 300), abs=0.1)
    assert high == pytest.approx(280 * sqrt(0.5 / 300), abs=0.1)
    assert said.startswith("With 300 questions of medqa a true difference has to be about 7.2 to 11.4 points")


def test_tasks_of_a_size_are_said_together() -> None:
    said = detectable_beforehand({"a": 300, "b": 100, "c": 300}, confidence=0.9)
    assert [sentence.partition(" a true")[0] for sentence in said] == [
        "With 300 questions of each of 2 tasks",
        "With 100 questions of b",
    ]


@pytest.mark.usefixtures("fakes")
def test_only_where_models_think() -> None:
    asked: list[tuple[Scoring, int]] = [("thinking", 1), ("constrained", 0)]
    thinking = load_protocol("laptop").thinking.model_copy(update={"budget": 64})
    protocol = load_protocol("laptop").model_copy(update={"thinking": thinking})
    for scoring, expected in asked:
        cost = plan(
            "demo-med",
            "demo-base",
            tasks=["./made-up"],
            shots=[0],
            scoring=scoring,
            quant="none",
            protocol=protocol,
        )
        assert len(cost.detectable) == expected
        assert ("With 60 questions of made-up" in str(cost)) == bool(expected)
        assert ("detectable" in cost.to_dict()) == bool(expected)
