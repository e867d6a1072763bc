"""Where verdicts change: the least net difference that is a win, for every number of discordant questions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medbench_local.statistics.bootstrap import excludes_zero
from medbench_local.statistics.paired import Verdict

IMPOSSIBLE = np.inf
"""Net difference that stands for "no difference is large enough"."""


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

    def verdict(self, medical_only: int, base_only: int) -> Verdict:
        """The verdict of these counts, as `medbench_local.statistics.paired.verdict_of_counts` gives it."""
        discordant = medical_only + base_only
        needed = self.least_win(discordant, discordant)[0]
        if medical_only - base_only >= needed:
            return "win"
        return "loss" if base_only - medical_only >= needed else "tie"

    def _find(self, discordant: int) -> float:
        neighbor = self._least[discordant - 1] if discordant else IMPOSSIBLE
        if np.isfinite(neighbor):
            closer = int(neighbor) - 1
            return closer if closer > 0 and self._wins(discordant, closer) else closer + 2
        if not self._wins(discordant, discordant):
            return IMPOSSIBLE
        low, high = 0, discordant // 2  # in steps of two: the difference has the parity of the sum
        while low < high:
            middle = (low + high) // 2
            if self._wins(discordant, discordant % 2 + 2 * middle):
                high = middle
            else:
                low = middle + 1
        return discordant % 2 + 2 * low

    def _wins(self, discordant: int, difference: int) -> bool:
        medical_only = (discordant + difference) // 2
        return excludes_zero(self._n, medical_only, discordant - medical_only, self._confidence)


@lru_cache(maxsize=64)
def win_boundary(n: int, confidence: float) -> WinBoundary:
    """The boundary for ``n`` questions, computed once a process."""
    return WinBoundary(n, confidence)
