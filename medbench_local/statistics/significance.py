"""Exact McNemar test, Holm's adjustment, and how small a difference a comparison could have seen."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt


def mcnemar_exact(medical_only: int, base_only: int) -> float:
    """Two-sided p-value that both models are equally often the only correct one.

    Given the number of discordant questions, the count of one kind is binomial with probability one half.

    Args:
        medical_only: number of questions that only the medical model answers correctly.
        base_only: number of questions that only the base model answers correctly.

    Returns:
        The p-value; 1 where there are no discordant questions.

    Raises:
        ValueError: a negative count.

    References:
        McNemar, Psychometrika 12 (1947) 153-157; the exact form in Fay, Biostatistics 11 (2010) 373-374.

    Examples:
        >>> round(mcnemar_exact(15, 5), 4)
        0.0414
        >>> mcnemar_exact(0, 0)
        1.0
    """
    if medical_only < 0 or base_only < 0:
        raise ValueError("counts cannot be negative")
    discordant = medical_only + base_only
    if not discordant:
        return 1.0
    from scipy.stats import binomtest  # slow to import

    return float(binomtest(medical_only, discordant).pvalue)


def holm(pvalues: Sequence[float]) -> list[float]:
    """P-values adjusted over a family of tests, in the order given.

    Rejecting where the adjusted value is at most alpha keeps the probability of any wrong rejection at most
    alpha, whatever the dependence.

    Raises:
        ValueError: a p-value outside 0 to 1.

    References:
        Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    if not all(0 <= p <= 1 for p in pvalues):
        raise ValueError("p-values must lie between 0 and 1")
    adjusted = [0.0] * len(pvalues)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(pvalues)), key=pvalues.__getitem__)):
        running = max(running, min(1.0, (len(pvalues) - rank) * pvalues[index]))
        adjusted[index] = running
    return adjusted


def minimum_detectable_difference(
    n: int, discordance: float, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest true difference of accuracies that a two-sided paired test finds with probability ``power``.

    The difference of n paired 0/1 outcomes has variance at most discordance / n, hence
    (z(1 - alpha/2) + z(power)) * sqrt(discordance / n). A difference cannot exceed the discordance: where
    that would be so (few or no discordant questions seen), the discordance that the difference itself needs
    is used, so that a comparison without a single discordant question does not claim to see everything.

    Args:
        n: number of questions.
        discordance: share of questions that exactly one model answers correctly, 0 to 1.
        power: probability of a verdict other than tie, between 0 and 1.
        alpha: level of the two-sided test, between 0 and 1.

    Returns:
        The difference as a fraction, at most 1.

    Raises:
        ValueError: an argument out of its range.

    References:
        Connor, Biometrics 43 (1987) 207-211; Miller, Adding Error Bars to Evals (arXiv 2411.00640, 2024).

    Examples:
        >>> round(minimum_detectable_difference(1273, 0.2), 3)
        0.035
        >>> round(minimum_detectable_difference(100, 0.2), 3)
        0.125
    """
    if n < 1:
        raise ValueError("`n` must be at least 1")
    if not 0 <= discordance <= 1:
        raise ValueError("`discordance` must lie between 0 and 1")
    if not (0 < power < 1 and 0 < alpha < 1):
        raise ValueError("`power` and `alpha` must lie between 0 and 1")
    from scipy.special import ndtri  # slow to import

    z = float(ndtri(1 - alpha / 2) + ndtri(power))
    return min(1.0, max(z * sqrt(discordance / n), z * z / n))


def wilson(k: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Args:
        k: how many of ``n``.
        n: of how many; 0 gives the interval (0, 1).
        confidence: coverage, between 0 and 1.

    Raises:
        ValueError: ``k`` is negative or greater than ``n``, or ``confidence`` out of its range.

    References:
        Wilson, Journal of the American Statistical Association 22 (1927) 209-212.

    Examples:
        >>> low, high = wilson(0, 20)
        >>> round(low, 3), round(high, 3)
        (0.0, 0.161)
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no share")
    if not 0 < confidence < 1:
        raise ValueError("`confidence` must lie between 0 and 1")
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # slow to import

    interval = binomtest(k, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)
