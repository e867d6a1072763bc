"""Exact inference on the net change of paired 0/1 outcomes, sound also where changes are rare.

Of n questions, ``lost`` went from correct to wrong and ``gained`` from wrong to correct. The normal interval
is useless here: without a single change it has width zero at any n. The tests below go through the trinomial
distribution of (lost, gained) instead: outcomes are ordered by Tango's score statistic, and the p-value is
the largest tail probability over the rate of changes, which the hypothesis leaves open.

References:
    Tango, Statistics in Medicine 17 (1998) 891-908: the score statistic.
    Hsueh, Liu and Chen, Biometrics 57 (2001) 478-483: the exact unconditional test with it.
    Berger and Boos, Journal of the American Statistical Association 89 (1994) 1012-1016: maximum over a
    confidence set of the nuisance parameter only, the set's error added to the p-value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NUISANCE_ERROR = 0.001
_NUISANCE_POINTS = 41
_NEGLIGIBLE = 1e-10
_RESOLUTION = 1e-6


def p_value_below(lost: int, gained: int, n: int, limit: float) -> float:
    """P-value of "rate lost minus rate gained is at least ``limit``"; small if the net loss is below it.

    Args:
        lost: number of questions that went from correct to wrong.
        gained: number of questions that went from wrong to correct.
        n: number of questions; at least ``lost + gained``.
        limit: between -1 and 1, exclusive.

    Raises:
        ValueError: counts that cannot be, or a limit out of its range.

    Examples:
        Were three questions in a hundred lost, 100 questions without a change would have the probability 0.97 ** 100.

        >>> round(p_value_below(0, 0, 100, 0.03), 3)
        0.049
    """
    _check(lost, gained, n)
    if not -1 < limit < 1:
        raise ValueError("the limit must lie between -1 and 1")
    changed_low, changed_high = _rate_interval(lost + gained, n)
    smallest = max(0.0, -limit, (changed_low - limit) / 2)
    largest = min(1 - limit, changed_high - limit) / 2
    if smallest > largest:
        return _NUISANCE_ERROR
    rate_gained = np.linspace(smallest, largest, _NUISANCE_POINTS)
    tail = _tail(lost, gained, n, limit, rate_gained)
    return min(1.0, float(tail.max()) + _NUISANCE_ERROR)


def net_change_interval(lost: int, gained: int, n: int, *, confidence: float) -> tuple[float, float]:
    """Interval of (rate gained minus rate lost) whose two ends each err with at most (1 - confidence) / 2.

    Found by inverting `p_value_below` in both directions, to within 1e-6.

    Raises:
        ValueError: counts that cannot be, or a confidence out of its range.
    """
    _check(lost, gained, n)
    if not 0 < confidence <= 0.99:  # the nuisance error must stay small beside the ends' own
        raise ValueError("`confidence` must lie between 0 and 0.99")
    error = (1 - confidence) / 2
    return -_largest_loss(lost, gained, n, error), _largest_loss(gained, lost, n, error)


def _check(lost: int, gained: int, n: int) -> None:
    if lost < 0 or gained < 0 or n < 1 or lost + gained > n:
        raise ValueError(f"{lost} lost and {gained} gained of {n} questions cannot be")


def _largest_loss(lost: int, gained: int, n: int, error: float) -> float:
    from scipy.optimize import brentq  # slow to import

    if lost == n:
        return 1.0
    observed = (lost - gained) / n

    def excess(limit: float) -> float:
        return p_value_below(lost, gained, n, limit) - error

    return float(brentq(excess, observed + _NEGLIGIBLE, 1 - _NEGLIGIBLE, xtol=_RESOLUTION))


def _rate_interval(changed: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's interval of the rate of changes, at the nuisance error."""
    from scipy.stats import beta  # slow to import

    low = 0.0 if changed == 0 else float(beta.ppf(_NUISANCE_ERROR / 2, changed, n - changed + 1))
    high = 1.0 if changed == n else float(beta.ppf(1 - _NUISANCE_ERROR / 2, changed + 1, n - changed))
    return low, high


def _tail(lost: int, gained: int, n: int, limit: float, rate_gained: Floats) -> Floats:
    """Probability, for each rate gained, of an outcome that speaks at least as much for a smaller loss."""
    from scipy.special import bdtrc  # slow to import, as scipy.stats is
    from scipy.stats import binom

    rate_lost = rate_gained + limit
    fewest = binom.ppf(_NEGLIGIBLE, n, rate_lost.min())
    most = binom.isf(_NEGLIGIBLE, n, rate_lost.max())
    counts = np.arange(max(0.0, fewest), min(float(n), most) + 1)
    observed = float(_score(np.array([lost]), np.array([gained]), n, limit)[0])
    needed = _fewest_gained(counts, n, limit, observed)
    still_free = n - counts
    share = np.clip(rate_gained / np.maximum(1 - rate_lost, _NEGLIGIBLE), 0, 1)[:, None]
    enough = np.where(needed == 0, 1.0, bdtrc(np.maximum(needed - 1, 0), np.maximum(still_free, 1), share))
    enough = np.where(needed > still_free, 0.0, enough)
    tail: Floats = (binom.pmf(counts, n, rate_lost[:, None]) * enough).sum(axis=1)
    return tail


def _fewest_gained(lost: Floats, n: int, limit: float, observed: float) -> Floats:
    """For each count lost, the smallest count gained with a score of at most ``observed``.

    It is n - lost + 1 where there is none. The score falls as the count gained rises (Hsueh, Liu and Chen
    2001), so that halving finds it.
    """
    low, high = np.zeros_like(lost), n - lost + 1
    while (low < high).any():
        middle = np.floor((low + high) / 2)
        reached = _score(lost, np.minimum(middle, n - lost), n, limit) <= observed + 1e-9
        reached |= middle > n - lost
        high = np.where((low < high) & reached, middle, high)
        low = np.where((low < high) & ~reached, middle + 1, low)
    return low


def _score(lost: NDArray[np.number], gained: NDArray[np.number], n: int, limit: float) -> Floats:
    """Tango's statistic of "rate lost minus rate gained equals ``limit``" (his equations 6 to 9)."""
    b = -lost - gained + (2 * n - lost + gained) * limit
    c = -gained * limit * (1 - limit)
    rate_gained = (np.sqrt(np.maximum(b * b - 8 * n * c, 0)) - b) / (4 * n)
    variance = n * (2 * rate_gained + limit * (1 - limit))
    score: Floats = (lost - gained - n * limit) / np.sqrt(np.maximum(variance, 1e-300))
    return score
