"""Is the verdict at full precision the reported one? Answered without asking every question again, where possible.

The population is the n test questions of a comparison. Known are both models' answers at the reported precision;
unknown is which of them are right at full precision. Questions are asked again in an order that is fixed before any
full-precision answer is seen: first those whose choice was closest, all of them, then a random permutation of the rest.

Certain: whatever the remaining questions bring, the verdict stays. Confident: for every way in which the full-precision
verdict could be another one, the answers seen so far refute it at level alpha. What has to be refuted are lines in the
plane of (net difference, discordant questions): the sum over the rest of the questions' contributions to such a line is
the total of a finite population, and `medbench_local.statistics.betting` refutes totals. The truth is one point, every
point that is not the reported verdict is refuted by one process chosen beforehand, so the probability of calling
another verdict confident is at most alpha, over the permutation, for each comparison, at all looks together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import ceil, log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medbench_local.statistics.betting import log_capital
from medbench_local.statistics.boundary import IMPOSSIBLE, WinBoundary, win_boundary
from medbench_local.statistics.paired import Verdict

Booleans = NDArray[np.bool_]
Rows = NDArray[np.intp]
State = Literal["full", "certain", "confident", "open"]

CONFIDENCE = 0.95
"""One minus the largest probability that a comparison is called confident and has another verdict."""

CLOSEST_SHARE, CLOSEST_LEAST = 0.05, 100
"""How many questions are checked because their choice was close: a share of all, and at least so many."""

_ORDER: tuple[Verdict, ...] = ("loss", "tie", "win")
_LOOK_SHARE = 0.02
_SIMULATED_SHARES = {100: 1.0, 300: 0.69, 1273: 0.46, 4183: 0.40}
_LARGEST_CHANGE = 2.0
"""A question can go from "base only" to "medical only", or back."""


@dataclass(frozen=True)
class Correctness:
    """Which questions each model answers correctly; both of shape (n,)."""

    medical: Booleans
    base: Booleans


@dataclass(frozen=True)
class CheckOrder:
    """The order in which questions are asked again; rows are positions among the n questions.

    Attributes:
        first: checked whole, before anything is inferred.
        rest: then these; in a random order that knows nothing of full-precision answers.

    Rows in neither are certain without being asked (their prompts fit at neither precision).
    """

    first: Rows
    rest: Rows

    def rows(self, checked: int) -> Rows:
        """The first part and ``checked`` rows of the rest."""
        return np.concatenate((self.first, self.rest[:checked]))


@dataclass(frozen=True)
class Assessment:
    """What is known of the full-precision verdict.

    Attributes:
        state: "full" (every question was checked), "certain", "confident", or "open".
        possible: the verdicts that full precision may still give, from loss to win.
    """

    state: State
    possible: tuple[Verdict, ...]

    def settles(self, reported: Verdict) -> bool:
        """Whether the check may end here: everything is checked, or only the reported verdict is left.

        Where the one verdict left is another one, everything is checked, so that its numbers can be reported.
        """
        return self.state == "full" or self.possible == (reported,)


def check_order(gaps: NDArray[np.float64] | None, askable: Booleans, key: str) -> CheckOrder:
    """The order in which a comparison's questions are checked.

    Args:
        gaps: for each question, how much more probable its best option is than the second, the smaller of both models'
            values, in nats at the reported precision; shape (n,), infinite where there is none. None where answers
            are texts: then nothing is checked first.
        askable: which questions have a prompt that fits, for either model; shape (n,).
        key: identifies the comparison. The permutation is that of the SHA-256 hashes of the key and the row, the same
            on every machine and with every release of every library.
    """
    shuffled = sorted(
        (int(row) for row in np.flatnonzero(askable)),
        key=lambda row: hashlib.sha256(f"{key}\n{row}".encode()).digest(),
    )
    rest = np.array(shuffled, dtype=np.intp)
    if gaps is None:
        return CheckOrder(rest[:0], rest)
    count = min(closest_count(askable.size), rest.size)
    by_gap = np.argsort(gaps[rest], kind="stable")
    close = np.zeros(rest.size, dtype=bool)
    close[by_gap[:count]] = True
    return CheckOrder(rest[by_gap[:count]], rest[~close])


def closest_count(n: int) -> int:
    """How many of ``n`` questions are checked because their choice was close.

    Examples:
        >>> closest_count(50), closest_count(1273), closest_count(4183)
        (50, 100, 210)
    """
    return min(n, max(CLOSEST_LEAST, ceil(CLOSEST_SHARE * n)))


def expected_share(n: int) -> float:
    """Share of ``n`` questions that a check may be expected to ask, for planning: a simulated mean.

    Over true differences of 0 to 5 standard errors and 0.5 to 2 % of answers changed without a real loss
    (`python -m benchmarks.verification`), between sizes by the logarithm of ``n``.
    """
    sizes, shares = zip(*_SIMULATED_SHARES.items(), strict=True)
    return float(np.interp(np.log(n), np.log(sizes), shares))


def looks(n: int, rest: int) -> tuple[int, ...]:
    """Numbers of checked rows of the rest, ascending, at which the check may end; the last one is all of them.

    They depend on sizes alone, so that a resumed or distributed check ends where an uninterrupted one does.

    Args:
        n: test questions of the comparison.
        rest: rows of the rest.

    Examples:
        >>> looks(100, 7)
        (0, 2, 4, 6, 7)
    """
    step = max(1, ceil(_LOOK_SHARE * n))
    return (*range(0, rest, step), rest)


def assess(
    reported: Correctness,
    full: Correctness,
    order: CheckOrder,
    checked: int,
    *,
    confidence: float,
    error: float = 1 - CONFIDENCE,
) -> Assessment:
    """What the rows checked so far say of the verdict at full precision.

    Args:
        reported: results at the reported precision, all n questions.
        full: results at full precision; only those of the checked rows are read.
        order: of the check.
        checked: how many rows of ``order.rest`` were checked, beside all of ``order.first``.
        confidence: of the verdicts' bootstrap interval.
        error: allowed probability of "confident" with another verdict. Whoever checks several precisions until one is
            confident divides it among them.

    Raises:
        ValueError: vectors or numbers that do not belong together.
    """
    _check_shapes(reported, full, order, checked)
    boundary = win_boundary(reported.medical.size, confidence)
    known = _merged(reported, full, order.rows(checked))
    if checked == order.rest.size:
        return Assessment("full", (boundary.verdict(*_counts(known)),))
    possible = _reachable(known, order.rest[checked:], boundary)
    if len(possible) == 1:
        return Assessment("certain", possible)
    claimed = boundary.verdict(*_counts(reported))
    if claimed in possible and (
        rows_until_refuted(reported, full, order, checked, confidence=confidence, error=error) is not None
    ):
        return Assessment("confident", (claimed,))
    return Assessment("open", possible)


def rows_until_refuted(
    reported: Correctness,
    full: Correctness,
    order: CheckOrder,
    checked: int,
    *,
    confidence: float,
    error: float = 1 - CONFIDENCE,
) -> int | None:
    """After how many rows of the rest every verdict but the reported one was refuted; None if they are not.

    Arguments and errors as `assess`.
    """
    _check_shapes(reported, full, order, checked)
    claimed = win_boundary(reported.medical.size, confidence).verdict(*_counts(reported))
    plane = _Plane(_merged(reported, full, order.first), full, order, checked, confidence)
    if claimed == "tie":
        lines = [*plane.lines_below_wins(1), *plane.lines_below_wins(-1)]
    else:
        lines = [plane.line_above_others(1 if claimed == "win" else -1)]
    ends = [plane.rows_until_refuted(line, error) for line in lines]
    return None if None in ends else max((end for end in ends if end is not None), default=0)


def _check_shapes(reported: Correctness, full: Correctness, order: CheckOrder, checked: int) -> None:
    sizes = {values.size for both in (reported, full) for values in (both.medical, both.base)}
    if len(sizes) > 1:
        raise ValueError("results of different numbers of questions do not belong together")
    if not 0 <= checked <= order.rest.size:
        raise ValueError(f"{checked} of {order.rest.size} rows cannot be checked")


def _merged(reported: Correctness, full: Correctness, rows: Rows) -> Correctness:
    medical, base = reported.medical.copy(), reported.base.copy()
    medical[rows], base[rows] = full.medical[rows], full.base[rows]
    return Correctness(medical, base)


def _counts(known: Correctness) -> tuple[int, int]:
    """Questions that only the medical model, and that only the base model, answers correctly."""
    return (
        int(np.count_nonzero(known.medical & ~known.base)),
        int(np.count_nonzero(known.base & ~known.medical)),
    )


def _reachable(known: Correctness, unchecked: Rows, boundary: WinBoundary) -> tuple[Verdict, ...]:
    """All verdicts that some outcome of the unchecked rows gives.

    The verdict is monotone in both counts, and one outcome (every unchecked row right for the medical model only) is
    the best for it in both, another the worst.
    """
    settled = np.ones(known.medical.size, dtype=bool)
    settled[unchecked] = False
    medical_only, base_only = _counts(Correctness(known.medical & settled, known.base & settled))
    worst = boundary.verdict(medical_only, base_only + unchecked.size)
    best = boundary.verdict(medical_only + unchecked.size, base_only)
    return _ORDER[_ORDER.index(worst) : _ORDER.index(best) + 1]


@dataclass(frozen=True)
class _Line:
    """All truths with ``direction`` * d >= edges(D), for D = first to last discordant questions.

    ``sign`` is that of `WinBoundary.edges`. They are refuted together by the sum of ``direction`` * (change of d) +
    ``slope`` * (change of D).
    """

    direction: int
    slope: float
    first: int
    last: int
    sign: Literal[1, -1]


class _Plane:
    """Net difference d and discordant questions D: where they stand after the first part, what the rest does to them.

    ``side`` is 1 for the medical model and -1 for the base model, whose win is the medical model's loss.
    """

    def __init__(
        self, start: Correctness, full: Correctness, order: CheckOrder, checked: int, confidence: float
    ) -> None:
        medical_only, base_only = _counts(start)
        self._d, self._discordant = medical_only - base_only, medical_only + base_only
        self._population = order.rest.size
        rows = order.rest[:checked]
        net_before = start.medical[rows].astype(int) - start.base[rows]
        net_after = full.medical[rows].astype(int) - full.base[rows]
        self._change = net_after - net_before
        self._discordance_change = np.abs(net_after) - np.abs(net_before)
        open_discordant = int(np.count_nonzero(start.medical[order.rest] != start.base[order.rest]))
        self._fewest = self._discordant - open_discordant
        self._most = self._discordant + self._population - open_discordant
        self._boundary = win_boundary(start.medical.size, confidence)

    def lines_below_wins(self, side: int) -> tuple[_Line, ...]:
        """Lines beyond which every win of ``side`` lies: d >= boundary(D) for some D.

        For no more discordant questions than at the start, a line through the start below the boundary (which rises
        like a square root, hence above its chord from the origin); for more of them, the least boundary there.
        """
        here = float(self._boundary.least_win(self._discordant, self._discordant)[0])
        chord = here / self._discordant if np.isfinite(here) else 0.0
        return (
            _Line(side, -chord, self._fewest, self._discordant, 1),
            _Line(side, 0.0, self._discordant + 1, self._most, 1),
        )

    def line_above_others(self, side: int) -> _Line:
        """The line beyond which everything but a win of ``side`` lies: d <= boundary(D) - 2 for some D.

        It is the boundary's tangent at the start, above which the boundary nowhere rises.
        """
        here = float(self._boundary.least_win(self._discordant, self._discordant)[0])
        tangent = here / (2 * self._discordant) if np.isfinite(here) else 0.0
        return _Line(-side, tangent, self._fewest, self._most, -1)

    def rows_until_refuted(self, line: _Line, error: float) -> int | None:
        """After how many checked rows no truth beyond ``line`` was left; None if they do not suffice."""
        numbers = self._boundary.where_smallest(line.first, line.last, line.sign, line.slope)
        edges = self._boundary.edges(numbers, line.sign)
        totals = edges - line.direction * self._d + line.slope * (numbers - self._discordant)
        total = float(totals.min(initial=IMPOSSIBLE))
        if total == IMPOSSIBLE:
            return 0
        values = line.direction * self._change + line.slope * self._discordance_change
        capital = log_capital(values, total=total, population=self._population, largest=_LARGEST_CHANGE)
        ruined = np.flatnonzero(capital >= log(1 / error))
        return int(ruined[0]) + 1 if ruined.size else None
