"""The exact tests: their size by enumeration, the score statistic as published and by maximisation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, multinomial

from medbench_local.statistics.net_change import _score, net_change_interval, p_value_below

counts = st.integers(1, 60).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda x: st.tuples(st.just(x), st.integers(0, n - x), st.just(n)))
)


def score(lost: int, gained: int, n: int, limit: float) -> float:
    return float(_score(np.array([lost]), np.array([gained]), n, limit)[0])


def test_the_score_interval_as_published() -> None:
    # Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014): 21 children, 1 and 7 discordant pairs;
    # Tango's asymptotic interval is given as -0.517 to -0.026.
    low = brentq(lambda d: score(1, 7, 21, d) - 1.959964, -0.99, 0.99)
    high = brentq(lambda d: score(1, 7, 21, d) + 1.959964, -0.99, 0.99)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize(
    ("lost", "gained", "n", "limit"), [(5, 9, 60, 0.05), (0, 3, 80, 0.1), (12, 2, 50, 0.3)]
)
def test_the_score_uses_the_most_likely_rate_of_changes(lost: int, gained: int, n: int, limit: float) -> None:
    def unlikelihood(q: float) -> float:
        terms = [(lost, q + limit), (gained, q), (n - lost - gained, 1 - 2 * q - limit)]
        return -float(sum(k * np.log(p) for k, p in terms if k))

    best = minimize_scalar(unlikelihood, bounds=(1e-9, (1 - limit) / 2 - 1e-9), method="bounded").x
    variance = (2 * best + limit - limit**2) / n
    expected = ((lost - gained) / n - limit) / np.sqrt(variance)
    assert score(lost, gained, n, limit) == pytest.approx(expected, rel=1e-4)


@given(counts, st.floats(-0.95, 0.95))
def test_the_score_falls_as_more_is_gained(case: tuple[int, int, int], limit: float) -> None:
    lost, gained, n = case
    if lost + gained < n:
        assert score(lost, gained + 1, n, limit) <= score(lost, gained, n, limit) + 1e-9


@pytest.mark.parametrize(
    ("lost", "gained", "n", "limit"), [(1, 2, 25, 0.1), (0, 0, 30, 0.08), (3, 1, 20, -0.1)]
)
def test_the_p_value_is_a_tail_of_the_trinomial_distribution(
    lost: int, gained: int, n: int, limit: float
) -> None:
    """The largest tail, summed term by term over every outcome, on a fine grid of the rate of changes."""
    outcomes = [(x, y) for x in range(n + 1) for y in range(n + 1 - x)]
    observed = score(lost, gained, n, limit)
    extreme = [(x, y, n - x - y) for x, y in outcomes if score(x, y, n, limit) <= observed + 1e-9]
    grid = np.linspace(max(0.0, -limit), (1 - limit) / 2, 400)
    tails = [multinomial.pmf(extreme, n, [q + limit, q, 1 - 2 * q - limit]).sum() for q in grid]
    got = p_value_below(lost, gained, n, limit)
    # Restricting the rate of changes can only lower the maximum; its error, 0.001, is added back.
    assert got <= max(tails) + 0.001 + 1e-6
    assert got >= 0.9 * max(tails)


@pytest.mark.parametrize(
    ("n", "margin", "highest"), [(30, 0.1, 0.25), (30, 0.2, 0.25), (60, 0.05, 0.1), (101, 0.03, 0.02)]
)
def test_a_pair_at_the_margin_passes_at_most_at_its_level(n: int, margin: float, highest: float) -> None:
    """Exact probability of passing, summed over all outcomes, for rates gained up to ``highest``."""
    most_gained = int(binom.isf(1e-6, n, highest))
    passing = [
        (lost, gained, n - lost - gained)
        for gained in range(most_gained + 1)
        for lost in range(min(n - gained, int(gained + n * margin)) + 1)
        if p_value_below(lost, gained, n, margin) <= 0.05
    ]
    assert passing
    for rate in np.concatenate([[0.0], np.geomspace(1e-4, highest, 60)]):
        share = [rate + margin, rate, 1 - 2 * rate - margin]
        assert multinomial.pmf(passing, n, share).sum() <= 0.05 - 1e-6


def test_no_change_at_all_needs_enough_questions() -> None:
    # By the rule of three: at a net loss of 1 %, 298 questions stay unchanged with a probability above 5 %.
    assert p_value_below(0, 0, 100, 0.01) > 0.3
    assert p_value_below(0, 0, 298, 0.01) > 0.05
    assert p_value_below(0, 0, 302, 0.01) <= 0.05


@settings(max_examples=12, deadline=None)
@given(counts)
def test_the_interval_mirrors_and_holds_the_estimate(case: tuple[int, int, int]) -> None:
    lost, gained, n = case
    low, high = net_change_interval(lost, gained, n, confidence=0.9)
    assert -1 <= low <= (gained - lost) / n + 1e-9
    assert (gained - lost) / n - 1e-9 <= high <= 1
    mirrored = net_change_interval(gained, lost, n, confidence=0.9)
    assert mirrored == pytest.approx((-high, -low), abs=1e-9)


def test_a_large_sample_gives_the_normal_interval() -> None:
    lost, gained, n = 700, 500, 4000
    low, high = net_change_interval(lost, gained, n, confidence=0.9)
    d = (gained - lost) / n
    half = 1.644854 * np.sqrt(((lost + gained) / n - d * d) / n)
    assert (low, high) == pytest.approx((d - half, d + half), abs=3e-4)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        p_value_below(3, 3, 5, 0.1)
    with pytest.raises(ValueError, match="limit"):
        p_value_below(0, 0, 5, 1.0)
    with pytest.raises(ValueError, match="confidence"):
        net_change_interval(0, 0, 5, confidence=90)
