"""Evidence that a finite population's total is smaller than it would have to be, valid at every moment of sampling.

A gambler who believes that the total is smaller bets on each value, drawn without replacement, that it will lie below
what a total of ``total`` makes it on average. If the total really is that large (or larger), no betting scheme makes
money, and the probability that the capital ever reaches 1 / alpha is at most alpha, whenever one looks.

References:
    Waudby-Smith and Ramdas, Confidence sequences for sampling without replacement (NeurIPS 2020).
    Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, Journal of the Royal Statistical
    Society B 86 (2024) 1-27: section 5 for sampling without replacement, appendix B for the size of the bets (aGRAPA).
    Ville, Étude critique de la notion de collectif (1939): the inequality.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BOLDEST = 0.95
"""Share of the capital that is staked at most: a single surprise must not end the game."""
_PRIOR_WEIGHT = 100
_PRIOR_VARIANCE = 0.02
"""Before much is seen, one value in fifty is taken to be 1 or -1; a wrong guess costs questions, not validity."""


def log_capital(values: ArrayLike, *, total: float, population: int, largest: float) -> NDArray[np.float64]:
    """Natural logarithm of the gambler's capital, 1 at first, after each value.

    Args:
        values: what was drawn so far, in that order, shape (t,); none greater than ``largest``.
        total: the sum over the population that is to be refuted as too large.
        population: its size, at least t.
        largest: greatest possible value of one item.

    Returns:
        Shape (t,). Infinite from where not even the largest values would reach ``total``.

    Raises:
        ValueError: more values than the population has, or one greater than ``largest``.
    """
    drawn = np.asarray(values, dtype=np.float64)
    if drawn.size > population:
        raise ValueError(f"{drawn.size} values were drawn from {population}")
    if drawn.size == 0:
        return np.empty(0)
    if drawn.max() > largest:
        raise ValueError(f"a value of {drawn.max()} is greater than the largest possible, {largest}")
    before = np.arange(drawn.size)
    sums = np.concatenate(([0.0], np.cumsum(drawn)))
    squares = np.concatenate(([0.0], np.cumsum(drawn**2)))[:-1]
    fair = (total - sums[:-1]) / (
        population - before
    )  # least mean of what is left, if the total is that large
    seen = sums[:-1] / (before + _PRIOR_WEIGHT)
    spread = (squares + _PRIOR_WEIGHT * _PRIOR_VARIANCE) / (before + _PRIOR_WEIGHT)
    edge = fair - seen
    boldest = _BOLDEST / np.maximum(largest - fair, 1e-9)
    stake = np.where(fair > 0, np.clip(edge / (spread + edge**2), 0, boldest), 0.0)
    capital: NDArray[np.float64] = np.cumsum(np.log1p(stake * np.where(stake > 0, fair - drawn, 0.0)))
    left = population - before - 1
    refuted = np.maximum.accumulate(total - sums[1:] > largest * left + 1e-9)
    return np.where(refuted, np.inf, capital)
