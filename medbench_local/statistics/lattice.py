"""The exact distribution of a sum of independent draws of points with whole-number coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.int64]
Floats = NDArray[np.float64]

_OUTSIDE = 34.0
"""A sum lies outside the computed box with a probability of at most exp(-34) = 2e-15 on each side."""

_NOTHING = 45.0
"""Where the characteristic function is below exp(-45), it is taken for 0."""


@dataclass(frozen=True)
class Box:
    """Where a sum of draws lies but for a probability of 2e-15 on each side.

    Attributes:
        low: the smallest sum in each dimension.
        shape: how many there are in each.
    """

    low: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def cells(self) -> int:
        """How many sums there are."""
        product = 1
        for length in self.shape:
            product *= length
        return product


def box_of(points: Points, weights: Floats, draws: int) -> Box:
    """The box of the sum of ``draws`` points.

    Args:
        points: whole numbers, shape (kinds, dimensions).
        weights: probability of each kind, shape (kinds,), all above 0; they add up to 1.
        draws: at least 1.
    """
    low, shape = [], []
    for values in points.T:
        mean = float(weights @ values)
        total = round(draws * mean)
        up = _reach(values - mean, weights, draws)
        down = _reach(mean - values, weights, draws)
        first = max(total - int(down) - 1, draws * int(values.min()))
        last = min(total + int(up) + 1, draws * int(values.max()))
        low.append(first)
        shape.append(last - first + 1)
    return Box(tuple(low), tuple(shape))


def sum_probabilities(points: Points, weights: Floats, draws: int, box: Box) -> Floats:
    """Probability of every sum in ``box``, an array of its shape, to about 1e-16 times the number of draws.

    The characteristic function of one draw, to the power of the number of draws, transformed back. It is turned by the
    mean beforehand, so that the power keeps its precision. What lies outside the box is folded into it.

    Args:
        points: as for `box_of`.
        weights: as for `box_of`.
        draws: as for `box_of`.
        box: of the same.

    Examples:
        Two throws of a coin:

        >>> coin, even = np.array([[0], [1]]), np.array([0.5, 0.5])
        >>> np.abs(sum_probabilities(coin, even, 2, box_of(coin, even, 2)).round(12)).tolist()
        [0.25, 0.5, 0.25]
    """
    size = tuple(_quick_length(length) for length in box.shape)
    one = np.zeros(size)
    np.add.at(one, tuple(values % length for values, length in zip(points.T, size, strict=True)), weights)
    spectrum = np.fft.rfftn(one)
    del one
    # Of the draw turned back by its mean; what the means add up to is turned on by the box's corner afterwards.
    means = [float(weights @ values) for values in points.T]
    for axis, (mean, length) in enumerate(zip(means, size, strict=True)):
        spectrum *= _turn(-mean, axis, size, length)
    kept = np.abs(spectrum) > np.exp(-_NOTHING / draws)
    powered = np.zeros_like(spectrum)
    powered[kept] = np.exp(draws * np.log(spectrum[kept]))
    del spectrum, kept
    for axis, (mean, first, length) in enumerate(zip(means, box.low, size, strict=True)):
        powered *= _turn(draws * mean - first, axis, size, length)
    sums: Floats = np.fft.irfftn(powered, s=size, axes=tuple(range(len(size))))
    return sums[tuple(slice(length) for length in box.shape)]


def _turn(by: float, axis: int, size: tuple[int, ...], length: int) -> NDArray[np.complex128]:
    """Factors that move a distribution by ``by`` along an axis."""
    last = axis == len(size) - 1
    frequencies = np.fft.rfftfreq(length) if last else np.fft.fftfreq(length)
    shape = [1] * len(size)
    shape[axis] = frequencies.size
    factors: NDArray[np.complex128] = np.exp(-2j * np.pi * frequencies * by).reshape(shape)
    return factors


def _reach(values: Floats, weights: Floats, draws: int) -> float:
    """How far above its mean a sum gets, but for exp(-34): Chernoff's bound, which holds for every ``rate``."""
    largest = float(values.max())
    if largest <= 0:
        return 0.0
    spread = float(np.sqrt(weights @ values**2))
    rates = np.sqrt(2 * _OUTSIDE / draws) / spread * 2.0 ** np.linspace(-8, 4, 97)
    exponents = rates[:, None] * (values - largest)  # at most 0
    growth = rates * largest + np.log(np.exp(exponents) @ weights)
    return float(min(((_OUTSIDE + draws * growth) / rates).min(), draws * largest))


def _quick_length(least: int) -> int:
    """The smallest length from ``least`` on that a transform is quick at: a product of twos, threes and fives."""
    best = 1 << (least - 1).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            twos = -(-least // threes)
            best = min(best, threes << max(twos - 1, 0).bit_length())
            threes *= 3
        fives *= 5
    return best
