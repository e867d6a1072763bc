"""The exact bootstrap distribution of a paired difference of accuracies.

Resampling n questions with replacement, the same for both models, makes the difference of correct answers a sum S of
n independent draws from {-1, 0, +1}: +1 with probability (medical only) / n, -1 with (base only) / n. Its distribution
is known, so nothing is drawn: the interval is that of infinitely many resamples and has no seed.

Given how many of the n draws are discordant, S is a binomial count; summing over that number gives every probability
to about 1e-13.

References:
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), sections 13.3 (percentile interval) and 6.2 (the
    ideal bootstrap, of which resampling is an approximation).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

TOLERANCE = 1e-12
"""Probabilities that differ by less count as equal; always to the benefit of a tie."""

_DEVIATIONS, _EXTRA = 9, 40
"""Standard deviations, and counts beyond them, outside which a binomial count has a probability below 1e-17."""


def probability_at_most(n: int, plus: int, minus: int, k: int) -> float:
    """P(S <= k) for the sum S of n draws that are +1 with probability plus / n and -1 with minus / n.

    Args:
        n: number of draws, at least 1.
        plus: 0 to n.
        minus: 0 to n - ``plus``.
        k: any whole number.

    Examples:
        Two draws, each +1 or -1 with probability one half: a sum of at most 0 unless both are +1.

        >>> round(probability_at_most(2, 1, 1, 0), 12)
        0.75
    """
    from scipy.special import betainc  # slow to import, as scipy.stats is
    from scipy.stats import binom

    discordant = plus + minus
    if discordant == 0 or not -n <= k < n:
        return float(k >= 0)
    mean = discordant
    reach = _DEVIATIONS * (mean * (1 - discordant / n)) ** 0.5 + _EXTRA
    drawn = np.arange(max(0, int(mean - reach)), min(n, int(mean + reach)) + 1)
    pluses = np.floor((k + drawn) / 2)  # S = 2 * pluses - drawn
    if plus == 0 or minus == 0:
        below = (pluses >= (drawn if plus else 0)).astype(np.float64)
    else:
        inside = np.clip(
            pluses, 0, drawn - 1
        )  # binomial distribution function by the incomplete beta function
        below = np.where(
            drawn > 0, betainc(np.maximum(drawn - inside, 1), inside + 1, minus / discordant), 1.0
        )
        below = np.where(pluses < 0, 0.0, np.where(pluses >= drawn, 1.0, below))
    return float((binom.pmf(drawn, n, discordant / n) * below).sum())


@lru_cache(maxsize=4096)
def bootstrap_bounds(n: int, medical_only: int, base_only: int, confidence: float) -> tuple[int, int]:
    """Bounds of the percentile interval of S, whole numbers of questions.

    ``low`` is the smallest k with P(S <= k) >= tail, ``high`` the largest k with P(S >= k) >= tail, where tail is
    (1 - confidence) / 2; both with `TOLERANCE` away from the middle, so that a probability that equals the tail but
    for rounding makes the interval wider. Exchanging the models mirrors the bounds.

    Args:
        n: number of questions, at least 1.
        medical_only: questions that only the medical model answers correctly.
        base_only: questions that only the base model answers correctly.
        confidence: coverage, between 0 and 1.

    Raises:
        ValueError: counts that cannot be, or a confidence out of its range.

    Examples:
        >>> bootstrap_bounds(100, 15, 5, 0.95)
        (2, 19)
        >>> bootstrap_bounds(100, 5, 15, 0.95)
        (-19, -2)
    """
    check_counts(n, medical_only, base_only)
    tail = tail_probability(confidence)
    return _lower_bound(n, medical_only, base_only, tail), -_lower_bound(n, base_only, medical_only, tail)


def excludes_zero(n: int, medical_only: int, base_only: int, confidence: float) -> bool:
    """Whether the lower bound lies above 0: the medical model wins.

    Raises:
        ValueError: as `bootstrap_bounds`.

    Examples:
        >>> excludes_zero(100, 15, 5, 0.95), excludes_zero(100, 11, 9, 0.95)
        (True, False)
    """
    check_counts(n, medical_only, base_only)
    tail = tail_probability(confidence)
    return probability_at_most(n, medical_only, base_only, 0) < tail - TOLERANCE


def check_counts(n: int, medical_only: int, base_only: int) -> None:
    """Refuse discordant counts that n questions cannot have.

    Raises:
        ValueError: no questions, a negative count, or more discordant questions than questions.
    """
    if medical_only < 0 or base_only < 0 or n < 1 or medical_only + base_only > n:
        raise ValueError(f"{medical_only} and {base_only} discordant of {n} questions cannot be")


def tail_probability(confidence: float) -> float:
    """Probability beyond each end of an interval.

    Raises:
        ValueError: not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError("`confidence` must lie between 0 and 1")
    return (1 - confidence) / 2


def _lower_bound(n: int, plus: int, minus: int, tail: float) -> int:
    """Smallest k with P(S <= k) >= tail, found by halving."""
    low, high = -n, n
    while low < high:
        middle = (low + high) // 2
        if probability_at_most(n, plus, minus, middle) >= tail - TOLERANCE:
            high = middle
        else:
            low = middle + 1
    return low
