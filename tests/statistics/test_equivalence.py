"""Equivalence: outcomes on data made to be equal, damaged or too few; what is counted, by hand."""

from __future__ import annotations

from math import exp, inf, log

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax

from medbench_local.statistics.equivalence import equivalence
from medbench_local.statistics.net_change import p_value_below

Ints = NDArray[np.int64]


def predictions(n: int, lost: int, gained: int, moved: int = 0) -> tuple[Ints, Ints, Ints]:
    """Full and quantised predictions and answers: half right; ``moved`` flips are wrong before and after."""
    answers = np.zeros(n, dtype=np.int64)
    full = np.where(np.arange(n) < n // 2, 0, 1)
    quantised = full.copy()
    quantised[:lost] = 2
    quantised[n // 2 : n // 2 + gained] = 0
    quantised[n // 2 + gained : n // 2 + gained + moved] = 3
    return full, quantised, answers


def test_what_is_counted() -> None:
    got = equivalence(*predictions(200, lost=4, gained=2, moved=3), margin=0.05)
    assert (got.n, got.flips, got.correct_to_wrong, got.wrong_to_correct) == (200, 9, 4, 2)
    assert (got.accuracy_full, got.accuracy_quantised) == (0.5, 0.49)
    assert got.difference == pytest.approx(-0.01)
    assert got.low < got.difference < got.high
    assert got.flips_low < got.flips / got.n == 0.045 < got.flips_high
    assert (got.kl_mean, got.kl_max, got.near_ties, got.flip_margins) == (None, None, None, ())


def test_no_flip_in_a_hundred_questions_does_not_settle_one_percent() -> None:
    got = equivalence(*predictions(100, 0, 0), margin=0.01)
    assert got.outcome == "inconclusive"
    assert got.questions_needed is not None
    assert got.questions_needed > 300
    assert equivalence(*predictions(320, 0, 0), margin=0.01).outcome == "equivalent"


def test_outcomes() -> None:
    assert equivalence(*predictions(1000, 5, 4), margin=0.02).outcome == "equivalent"
    assert equivalence(*predictions(1000, 120, 10), margin=0.02).outcome == "different"
    assert equivalence(*predictions(1000, 10, 120), margin=0.02).outcome == "different"
    assert equivalence(*predictions(1000, 30, 12), margin=0.02).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("lost", "gained"), [(0, 0), (3, 1), (6, 2), (9, 1), (2, 11), (40, 6), (6, 40), (60, 55)]
)
@pytest.mark.parametrize("margin", [0.01, 0.02, 0.05])
def test_interval_and_tests_agree(lost: int, gained: int, margin: float) -> None:
    got = equivalence(*predictions(400, lost, gained), margin=margin)
    inside = -margin <= got.low and got.high <= margin
    assert (got.outcome == "equivalent") == inside == (got.p_value <= 0.05)
    worst = max(p_value_below(lost, gained, 400, margin), p_value_below(gained, lost, 400, margin))
    assert got.p_value == worst


def test_better_is_as_suspicious_as_worse() -> None:
    there = equivalence(*predictions(600, 25, 3), margin=0.03)
    back = equivalence(*predictions(600, 3, 25), margin=0.03)
    assert there.outcome == back.outcome
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_questions_needed_would_mostly_settle_it() -> None:
    lost, gained, n = 6, 3, 300
    got = equivalence(*predictions(n, lost, gained), margin=0.02)
    assert got.outcome == "inconclusive"
    needed = got.questions_needed
    assert needed is not None
    draws = np.random.default_rng(0).multinomial(needed, [lost / n, gained / n, 1 - 9 / n], size=100)
    outcomes, times = np.unique(draws, axis=0, return_counts=True)
    settled = [p_value_below(int(b), int(c), needed, 0.02) <= 0.05 for b, c, _ in outcomes]
    assert 0.7 <= times[settled].sum() / 100 <= 0.97


def test_at_the_margin_no_number_of_questions_settles_it() -> None:
    got = equivalence(*predictions(100, 5, 0), margin=0.05)
    assert (got.outcome, got.questions_needed) == ("inconclusive", None)


def test_log_probabilities() -> None:
    full = [[log(0.5), log(0.25), log(0.25)], [log(0.6), log(0.4)], [0.0, -inf]]
    quantised = [[log(0.25), log(0.5), log(0.25)], [log(0.6), log(0.4)], [0.0, -inf]]
    got = equivalence(
        [0, 0, 0],
        [1, 0, 0],
        [0, 0, 1],
        margin=0.1,
        full_logprobs=full,
        quantised_logprobs=quantised,
        noise=0.5,
    )
    divergence = 0.5 * log(2) + 0.25 * log(0.5)
    assert got.kl_mean == pytest.approx(divergence / 3)
    assert got.kl_max == pytest.approx(divergence)
    assert got.flip_margins == pytest.approx((log(2),))
    assert got.near_ties == 1
    assert exp(-got.flip_margins[0]) == pytest.approx(0.5)


def test_noise_in_the_log_probabilities_makes_flips_at_small_margins() -> None:
    rng = np.random.default_rng(4)
    full = log_softmax(rng.normal(size=(800, 4)), axis=1)
    quantised = log_softmax(full + rng.normal(scale=0.05, size=full.shape), axis=1)
    got = equivalence(
        full.argmax(axis=1),
        quantised.argmax(axis=1),
        rng.integers(0, 4, size=800),
        margin=0.03,
        full_logprobs=full.tolist(),
        quantised_logprobs=quantised.tolist(),
        noise=0.1,
    )
    assert got.outcome == "equivalent"
    assert 0 < got.flips < 80
    assert max(got.flip_margins) < 0.4
    assert got.near_ties is not None
    assert got.near_ties >= sum(gap <= 0.1 for gap in got.flip_margins)


def test_bad_arguments() -> None:
    good = predictions(20, 1, 1)
    with pytest.raises(ValueError, match="do not belong together"):
        equivalence(good[0], good[1][:-1], good[2], margin=0.1)
    with pytest.raises(ValueError, match="margin"):
        equivalence(*good, margin=0.0)
    with pytest.raises(ValueError, match="confidence"):
        equivalence(*good, margin=0.1, confidence=0.995)
    with pytest.raises(ValueError, match="vector"):
        equivalence([], [], [], margin=0.1)
    with pytest.raises(ValueError, match="vector"):
        equivalence([0.5], [1.0], [0.0], margin=0.1)
    with pytest.raises(ValueError, match="negative"):
        equivalence([0], [0], [-1], margin=0.1)
    with pytest.raises(ValueError, match="or of neither"):
        equivalence([0], [0], [0], margin=0.1, full_logprobs=[[0.0, -1.0]])
    with pytest.raises(ValueError, match="1 questions, predictions of 2"):
        equivalence([0, 0], [0, 0], [0, 0], margin=0.1, full_logprobs=[[0, -1]], quantised_logprobs=[[0, -1]])
