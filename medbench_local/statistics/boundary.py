"""Where verdicts change: the least net difference that is a win, for every number of discordant questions."""

from __future__ import annotations

from functools import lru_cache
from heapq import heappop, heappush
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medbench_local.statistics.bootstrap import excludes_zero
from medbench_local.statistics.paired import Verdict

IMPOSSIBLE = np.inf
"""Net difference that stands for "no difference is large enough"."""


_ROUNDING = 1e-6
_STEPS = 8
_SHORT = 2000
"""Of so many numbers each is looked at: their values are kept, and looked up together."""


class WinBoundary:
    """The smallest (medical only - base only) that is a win, given their sum; losses are the mirror image.

    For a given sum a larger difference is always more of a win. One more discordant question moves the boundary by
    exactly one, up or down (a question taken away from or given to the losing side cannot undo a win), so that each
    value takes one evaluation of the bootstrap distribution once its neighbour is known.

    Args:
        n: number of questions.
        confidence: of the bootstrap interval.
    """

    def __init__(self, n: int, confidence: float) -> None:
        self._n = n
        self._confidence = confidence
        self._least = np.full(n + 1, np.nan)

    def least_win(self, low: int, high: int) -> NDArray[np.float64]:
        """The boundary for ``low`` to ``high`` discordant questions, shape (high - low + 1,).

        `IMPOSSIBLE` where not even all of them on one side are a win.
        """
        for discordant in np.flatnonzero(np.isnan(self._least[low : high + 1])) + low:
            self._least[discordant] = self._find(int(discordant))
        return self._least[low : high + 1]

    def edges(self, discordant: NDArray[np.intp], sign: Literal[1, -1]) -> NDArray[np.float64]:
        """The boundary for some numbers of discordant questions; for sign -1 the largest difference below it, negated.

        That difference is two less, because it has the parity of the sum, or the sum itself where there is no boundary.
        """
        for number in discordant[np.isnan(self._least[discordant])]:
            self._least[number] = self._find(int(number))
        least = self._least[discordant]
        return least if sign > 0 else -np.where(least == IMPOSSIBLE, discordant, least - 2)

    def where_smallest(self, first: int, last: int, sign: Literal[1, -1], slope: float) -> NDArray[np.intp]:
        """Numbers D of discordant questions, among them all with the smallest edges(D, sign) + slope * D.

        Few of a long range are looked at: from one D to the next the boundary moves by one, so that values at two of
        them bound those in between.

        Args:
            first, last: the range of D.
            sign: of the `edges`.
            slope: between -1 and 1.

        Returns:
            Those that were looked at, ascending; none if the range is empty.
        """
        if last - first < _SHORT:
            return np.arange(first, last + 1)
        looked_at: dict[int, float] = {}
        smallest = IMPOSSIBLE

        def look(discordant: int) -> None:
            nonlocal smallest
            edge = float(self.edges(np.array([discordant]), sign)[0])
            smallest = min(smallest, edge + slope * discordant)
            # Below its first value the boundary would be two above the largest difference.
            looked_at[discordant] = (edge if edge < IMPOSSIBLE else discordant + 2) + slope * discordant

        def least_between(low: int, high: int) -> float:
            """What values between two of `looked_at` cannot fall below: where the steepest ways down meet."""
            steps = (looked_at[low] - looked_at[high] + (1 + slope) * (high - low)) / 2
            return looked_at[low] - (1 - slope) * steps

        look(first)
        look(last)
        gaps = [(least_between(first, last), first, last)]
        while gaps and gaps[0][0] <= smallest + _ROUNDING:
            _, low, high = heappop(gaps)
            if high - low > 1:
                # Beside a value that is known one test is enough.
                middle = (low + high) // 2 if high - low > _STEPS else low + 1
                look(middle)
                heappush(gaps, (least_between(low, middle), low, middle))
                heappush(gaps, (least_between(middle, high), middle, high))
        return np.array(sorted(looked_at), dtype=np.intp)

    def verdict(self, medical_only: int, base_only: int) -> Verdict:
        """The verdict of these counts, as `medbench_local.statistics.paired.verdict_of_counts` gives it."""
        discordant = medical_only + base_only
        needed = self.least_win(discordant, discordant)[0]
        if medical_only - base_only >= needed:
            return "win"
        return "loss" if base_only - medical_only >= needed else "tie"

    def _find(self, discordant: int) -> float:
        lowest, highest = 0.0, IMPOSSIBLE
        known = np.flatnonzero(np.isfinite(self._least))
        place = int(np.searchsorted(known, discordant))
        for other in known[max(0, place - 1) : place + 1]:
            away = abs(discordant - int(other))
            lowest = max(lowest, self._least[other] - away)
            highest = min(highest, self._least[other] + away)
        if highest > discordant:
            if not self._wins(discordant, discordant):
                return IMPOSSIBLE
            highest = discordant
        # In steps of two: the difference has the parity of the sum.
        odd = discordant % 2
        low, high = (int(lowest) - odd + 1) // 2, (int(highest) - odd) // 2
        tried = (low + high) // 2
        near = known.size > 1
        if near:  # mostly it is what lies between its neighbors, or the value beside that
            between = int(np.interp(discordant, known, self._least[known]))
            tried = max(low, min((between - odd) // 2, high - 1))
        while low < high:
            if wins := self._wins(discordant, odd + 2 * tried):
                high = tried
            else:
                low = tried + 1
            beside = high - 1 if wins else low
            tried, near = beside if near else (low + high) // 2, False
        return odd + 2 * low

    def _wins(self, discordant: int, difference: int) -> bool:
        medical_only = (discordant + difference) // 2
        return excludes_zero(self._n, medical_only, discordant - medical_only, self._confidence)


@lru_cache(maxsize=64)
def win_boundary(n: int, confidence: float) -> WinBoundary:
    """The boundary for ``n`` questions, computed once a process."""
    return WinBoundary(n, confidence)
