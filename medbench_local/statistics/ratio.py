"""Quantiles of the ratio of two sums over as many draws: the sum of differences, divided by the sum of sizes.

See `medbench_local.statistics.clusters`, whose bounds they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench_local.statistics.bootstrap import TOLERANCE
from medbench_local.statistics.lattice import box_of, sum_probabilities

_FINE_CELLS = 2**18
"""Sums of one dimension, where there are too many pairs."""

_HALVINGS = 26
"""Of the range of t in which a bound is looked for: until hardly a ratio is left for each number of questions."""

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """The probability of every pair of sums.

    Attributes:
        below: P(sum of sizes = this row's, sum of differences <= this column's).
        sizes: each row's.
        first: the first column's difference.
    """

    below: Floats
    sizes: Wholes
    first: int

    def mirrored(self) -> Pairs:
        """With the models exchanged."""
        width = self.below.shape[1]
        single = np.diff(self.below, axis=1, prepend=0.0)[:, ::-1]
        return Pairs(np.cumsum(single, axis=1), self.sizes, -(self.first + width - 1))

    def lower(self, tail: float) -> float:
        """The smallest ratio t with P(d* <= t) >= tail."""
        wanted = max(tail - TOLERANCE, TOLERANCE)
        low, high = -1.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self._at_most(self._columns(middle)) >= wanted:
                high = middle
            else:
                low = middle
        # In so narrow a range, widened so that its ends need not be exact, each row has a ratio or two.
        margin = high - low
        before, last = self._columns(low - margin), self._columns(high + margin)
        rows = np.repeat(np.arange(self.sizes.size), last - before)
        steps = np.concatenate([np.arange(a + 1, b + 1) for a, b in zip(before, last, strict=True)])
        ratios = (self.first + steps) / self.sizes[rows]  # equal fractions are equal numbers
        order = np.argsort(ratios, kind="stable")
        inner = np.clip(steps, 0, self.below.shape[1] - 1)
        single = self.below[rows, inner] - np.where(inner > 0, self.below[rows, inner - 1], 0.0)
        single[steps != inner] = 0.0  # no sum in the box
        up_to = self._at_most(before) + np.cumsum(single[order])
        return float(ratios[order][int(np.argmax(up_to >= wanted))])

    def _columns(self, ratio: float) -> Wholes:
        """For each row the last column whose ratio is at most ``ratio``; -1 or less if there is none."""
        columns: Wholes = np.floor(ratio * self.sizes).astype(np.int64) - self.first
        return columns

    def _at_most(self, columns: Wholes) -> float:
        inner = np.clip(columns, 0, self.below.shape[1] - 1)
        return float(np.where(columns < 0, 0.0, self.below[np.arange(columns.size), inner]).sum())


def pairs_of(points: Wholes, weights: Floats, draws: int) -> Pairs:
    """The probability of every pair of sums.

    Args:
        points: sizes (at least 1) and differences, shape (kinds, 2).
        weights: probability of each kind, shape (kinds,); they add up to 1.
        draws: how many, at least 1.
    """
    box = box_of(points, weights, draws)
    below = np.cumsum(sum_probabilities(points, weights, draws, box), axis=1)
    return Pairs(below, np.arange(box.low[0], box.low[0] + box.shape[0]), box.low[1])


@dataclass(frozen=True)
class Lines:
    """The same where there are too many pairs: P(d* <= t) for each t that is asked for.

    d* <= t means that the sum of (difference - t size) is at most 0. That sum gets a lattice so fine that it has about
    `_FINE_CELLS` points; what lies between two of them is shared out so that the mean stays, which adds at most a
    quarter of the lattice's width squared to the variance of a draw.

    Attributes:
        points: sizes and differences of the kinds.
        weights: of the kinds.
        draws: how many.
    """

    points: Wholes
    weights: Floats
    draws: int

    def mirrored(self) -> Lines:
        """With the models exchanged."""
        return Lines(self.points * (1, -1), self.weights, self.draws)

    def lower(self, tail: float) -> float:
        """The t at which P(d* <= t) reaches tail."""
        wanted = max(tail - TOLERANCE, TOLERANCE)
        # Differences are whole numbers: of 0 itself everything is known.
        if self._at_most(0.0, 0) >= wanted > self._at_most(0.0, -1):
            return 0.0
        low, high = (-1.0, 0.0) if self._at_most(0.0, 0) >= wanted else (0.0, 1.0)
        while high - low > 1e-9:
            middle = (low + high) / 2
            if self._at_most(middle, 0) >= wanted:
                high = middle
            else:
                low = middle
        return low if high == 0 else high

    def _at_most(self, ratio: float, most: int) -> float:
        """P(sum of (difference - ratio size) <= most)."""
        values = self.points[:, 1] - ratio * self.points[:, 0]
        scale = 1
        if ratio:
            plain = box_of(np.rint(values).astype(np.int64)[:, None], self.weights, self.draws)
            scale = max(1, _FINE_CELLS // (plain.cells + 1))
        exact = values * scale
        below = np.floor(exact).astype(np.int64)
        share = exact - below
        points = np.concatenate([below, below + 1])
        weights = np.concatenate([self.weights * (1 - share), self.weights * share])
        points, weights = points[weights > 0, None], weights[weights > 0]
        box = box_of(points, weights, self.draws)
        probabilities = sum_probabilities(points, weights, self.draws, box)
        return float(probabilities[: max(most * scale - box.low[0] + 1, 0)].sum())
