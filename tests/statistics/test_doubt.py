"""Which verdicts an exact test does not support, against the binomial distribution written out."""

from __future__ import annotations

from math import comb

import pytest

from medbench_local.statistics.doubt import doubt, doubt_said
from medbench_local.statistics.paired import Verdict, verdict_of_counts
from medbench_local.statistics.significance import mcnemar_exact


def _p(medical_only: int, base_only: int) -> float:
    n, more = medical_only + base_only, max(medical_only, base_only)
    return min(1.0, float(2 * sum(comb(n, k) for k in range(more, n + 1)) / 2**n))


@pytest.mark.parametrize(
    ("confidence", "fewest"),
    [(0.5, 2), (0.8, 4), (0.9, 5), (0.95, 6), (0.99, 8), (0.999, 11)],
)
def test_the_fewest_questions_that_can_show_anything(confidence: float, fewest: int) -> None:
    assert _p(fewest, 0) <= 1 - confidence < _p(fewest - 1, 0)
    verdicts: tuple[Verdict, ...] = ("win", "tie", "loss")
    for verdict in verdicts:
        assert doubt(verdict, fewest - 1, 1.0, confidence=confidence) == "too few questions"
    assert doubt("win", fewest, _p(fewest, 0), confidence=confidence) is None
    assert doubt("tie", fewest, 1.0, confidence=confidence) is None


def test_five_against_none_of_a_hundred_is_a_win_that_the_exact_test_does_not_support() -> None:
    assert verdict_of_counts(100, 5, 0, 0.95) == "win"
    assert _p(5, 0) == mcnemar_exact(5, 0) == 0.0625
    assert doubt("win", 100, 0.0625, confidence=0.95) == "exact test"
    assert doubt("loss", 100, 0.0625, confidence=0.95) == "exact test"
    assert doubt("tie", 100, 0.0625, confidence=0.95) is None
    assert doubt("win", 100, 0.0625, confidence=0.9) is None
    assert doubt("win", 100, _p(6, 0), confidence=0.95) is None


def test_what_is_said_names_the_numbers_and_the_level() -> None:
    said = doubt_said("medqa", "win", 100, 5, 0, confidence=0.95)
    assert said == (
        "medqa: the win rests on 5 of 100 questions (exact McNemar p = 0.062, above 0.05): too few to rely on."
    )
    said = doubt_said("x", "win", 1, 1, 0, confidence=0.95)
    assert said is not None
    assert said.startswith("x: the win rests on 1 of 1 questions (exact McNemar p = 1, above 0.05)")
    assert said.endswith(
        "if all of them differed in the same way, the exact McNemar p would be 1, above 0.05."
    )


def test_a_tie_of_too_few_questions_is_no_result_either() -> None:
    said = doubt_said("x", "tie", 5, 0, 0, confidence=0.95)
    assert said is not None
    assert "5 questions cannot show a difference" in said
    assert "rests on" not in said
    assert doubt_said("x", "tie", 6, 0, 0, confidence=0.95) is None


def test_nothing_is_said_where_the_exact_test_agrees() -> None:
    assert doubt_said("x", "win", 100, 6, 0, confidence=0.95) is None
    assert doubt_said("x", "win", 100, 5, 0, confidence=0.9) is None
    assert doubt_said("x", "loss", 100, 5, 0, confidence=0.95) is not None
