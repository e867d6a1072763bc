"""What follows from the counts of a comparison, by other means than those that computed it, and without scipy.

To check a file by before anybody believes it: reading results must neither take seconds nor repeat a mistake.
"""

from __future__ import annotations

from math import exp, lgamma, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from medbench_local.statistics.bootstrap import TOLERANCE

_DEVIATIONS, _EXTRA = 9, 40


def bound_range(n: int, plus: int, minus: int, tails: tuple[float, float]) -> tuple[int, int]:
    """Where the lower bound of the bootstrap interval of S lies, for the smallest and the largest tail it may be of.

    S is the sum of n draws, +1 with probability plus / n, -1 with minus / n; see `medbench_local.statistics.bootstrap`.
    Its distribution is the inverse Fourier transform of its characteristic function, to about 1e-12.

    Args:
        n: number of draws, 1 to ten million.
        plus: 0 to n.
        minus: 0 to n - ``plus``.
        tails: probabilities.

    Returns:
        For each tail the smallest k with P(S <= k) >= tail.

    Examples:
        >>> bound_range(100, 15, 5, (0.025, 0.025))
        (2, 2)
    """
    rise, fall = plus / n, minus / n
    mean = plus - minus
    reach = _DEVIATIONS * sqrt(max(0.0, n * (rise + fall - (rise - fall) ** 2))) + _EXTRA
    size = 2 ** int(2 * reach).bit_length()
    angles = 2 * np.pi * np.fft.fftfreq(size)
    # Of one draw; turned back by its mean, so that the power keeps its precision.
    one = 1 - rise - fall + rise * np.exp(-1j * angles) + fall * np.exp(1j * angles)
    centred = (one * np.exp(1j * angles * (rise - fall))) ** n
    probabilities: NDArray[np.float64] = np.fft.fftshift(np.fft.ifft(centred).real)
    up_to = np.cumsum(probabilities)
    low, high = (int(np.argmax(up_to >= tail)) - size // 2 + mean for tail in tails)
    return low, high


def interval_ranges(
    n: int, medical_only: int, base_only: int, tails: tuple[float, float]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where both bounds of the bootstrap interval lie, in questions: ((lowest, highest), (lowest, highest)).

    Args:
        n: number of questions, 1 to ten million.
        medical_only: questions that only the medical model answers correctly.
        base_only: questions that only the base model answers correctly.
        tails: the smallest and the largest probability that may lie beyond each bound.
    """
    smallest, largest = (max(tail - TOLERANCE, 0.0) for tail in tails)
    low = bound_range(n, medical_only, base_only, (smallest, largest))
    high = bound_range(n, base_only, medical_only, (smallest, largest))
    return low, (-high[1], -high[0])


def mcnemar_p(medical_only: int, base_only: int) -> float:
    """The two-sided exact p-value of McNemar's test, to about 1e-9 of itself for up to a million discordant questions.

    Examples:
        >>> round(mcnemar_p(15, 5), 4)
        0.0414
    """
    n, fewer = medical_only + base_only, min(medical_only, base_only)
    if 2 * fewer == n:
        return 1.0
    total = term = 1.0  # as multiples of the probability of the smaller count itself
    for count in range(fewer, 0, -1):
        term *= count / (n - count + 1)
        total += term
        if term < 1e-17 * total:
            break
    largest = lgamma(n + 1) - lgamma(fewer + 1) - lgamma(n - fewer + 1) - n * log(2)
    return min(1.0, 2 * total * exp(largest))


def detectable_difference(n: int, discordant: int, confidence: float, *, power: float = 0.8) -> float:
    """The smallest difference that a comparison finds with probability ``power``.

    See `medbench_local.statistics.significance.minimum_detectable_difference`.

    Examples:
        >>> round(detectable_difference(100, 20, 0.95), 3)
        0.125
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2) + NormalDist().inv_cdf(power)
    return min(1.0, max(z * sqrt(discordant) / n, z * z / n))


def wilson_interval(k: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of the share k / n; see `medbench_local.statistics.significance.wilson`.

    Examples:
        >>> low, high = wilson_interval(0, 20, 0.95)
        >>> round(low, 3), round(high, 3)
        (0.0, 0.161)
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (k + z * z / 2) / (n + z * z)
    half = z * sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return max(0.0, middle - half), min(1.0, middle + half)
