"""How often a verdict goes out as verified that full precision would change, and what the check costs.

Simulates comparisons whose answers at full precision are known, quantises them, runs the check, and prints a Markdown
table: for each cell the share of ALL comparisons that are called confident with another full-precision verdict (at
most 5 % is promised), its lower 99 % Clopper-Pearson bound, and the mean share of questions that had to be checked.
Exit code 1 if that lower bound is above 5 % in any cell.

A cell is a number of questions; a true difference in standard errors of a test set with 20 % discordant questions; the
share of answers that quantisation changes in either model (half of them from right to wrong), anywhere or mostly where
the model's gap is small; and a real loss of the medical model: further answers that it gets wrong when quantised.
Checks end here by confidence alone; a real one may end a little earlier, where the verdict is certain.

    python -m benchmarks.verification [--draws 2000] [--questions 100,300,1273,4183] [--brief] [--exact]
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from medbench_local.statistics.boundary import win_boundary
from medbench_local.statistics.verification import (
    CheckOrder,
    Correctness,
    closest_count,
    looks,
    rows_until_refuted,
)

CONFIDENCE = 0.95
DISCORDANT = 0.2
DIFFERENCES = (0, 1, 2, 3, 4, 5)
CHANGED = (0.005, 0.01, 0.02, 0.05)
LOSSES = (0.0, 0.01, 0.015)
CLOSE = 0.03
"""Gap, in units of the mean gap, at which a change "near the gap" is e times rarer than at none."""
REACH = 8
"""No change "near the gap" lies beyond so many times that gap, unless there are too few questions within."""


@dataclass(frozen=True)
class Cell:
    """What is varied; `difference` in standard errors, the rest as shares.

    With `exact` the drawn questions have this difference; else it is the expectation from which they are drawn.
    """

    n: int
    difference: float
    changed: float
    near: bool
    loss: float
    exact: bool = False


@dataclass
class Tally:
    """What came of the draws of one or several cells."""

    draws: int = 0
    wrong: int = 0
    ended: int = 0
    checked: float = 0.0

    def add(self, other: Tally) -> None:
        """Count the other's draws too."""
        self.draws += other.draws
        self.wrong += other.wrong
        self.ended += other.ended
        self.checked += other.checked

    @property
    def lower(self) -> float:
        """Lower 99 % Clopper-Pearson bound of the share that is wrongly called confident."""
        return float(beta.ppf(0.01, self.wrong, self.draws - self.wrong + 1)) if self.wrong else 0.0


def correct_answers(rng: np.random.Generator, cell: Cell) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which questions each model answers correctly at full precision: drawn around the difference, or to equal it."""
    mean = cell.difference * np.sqrt(DISCORDANT / cell.n)
    kinds = rng.permutation((np.arange(cell.n) + 0.5) / cell.n) if cell.exact else rng.random(cell.n)
    medical_only = kinds < (DISCORDANT + mean) / 2
    base_only = ~medical_only & (kinds < DISCORDANT)
    both = (kinds >= DISCORDANT) & (kinds < (1 + DISCORDANT) / 2)
    return both | medical_only, both | base_only


def changed_answers(
    rng: np.random.Generator, correct: NDArray[np.bool_], gaps: NDArray[np.float64], cell: Cell, loss: float
) -> NDArray[np.bool_]:
    """The same model quantised: answers change near the gap or anywhere, and ``loss`` more turn wrong than right."""
    quantised: NDArray[np.bool_] = correct.copy()
    for before, expected in ((True, cell.changed / 2 + loss), (False, cell.changed / 2)):
        rows = np.flatnonzero(correct == before)
        count = rng.binomial(cell.n, expected)
        close = rows[gaps[rows] < REACH * CLOSE] if cell.near else rows
        if close.size <= count:  # so many changes reach beyond the gap
            close = rows
        # drawn by weight without replacement: the smallest of exponential arrival times
        arrivals = rng.exponential(size=close.size)
        if cell.near:
            arrivals *= np.exp(gaps[close] / CLOSE)
        if count:
            quantised[close[np.argpartition(arrivals, count - 1)[:count]]] = not before
    return quantised


def draw(rng: np.random.Generator, cell: Cell) -> Tally:
    """One comparison: checked until it may end."""
    medical, base = correct_answers(rng, cell)
    gaps = rng.exponential(size=(2, cell.n))
    reported = Correctness(
        changed_answers(rng, medical, gaps[0], cell, cell.loss),
        changed_answers(rng, base, gaps[1], cell, 0.0),
    )
    full = Correctness(medical, base)
    count = closest_count(cell.n)
    by_gap = np.argpartition(gaps.min(axis=0), count - 1)
    order = CheckOrder(by_gap[:count], rng.permutation(by_gap[count:]))
    boundary = win_boundary(cell.n, CONFIDENCE)
    claimed, truth = (
        boundary.verdict(int((m & ~b).sum()), int((b & ~m).sum()))
        for m, b in ((reported.medical, reported.base), (medical, base))
    )
    stops = looks(cell.n, order.rest.size)
    after = rows_until_refuted(reported, full, order, order.rest.size, confidence=CONFIDENCE)
    confident = len(stops) - 1 if after is None else next(i for i, stop in enumerate(stops) if stop >= after)
    ended = after is not None and stops[confident] < order.rest.size
    return Tally(1, int(ended and claimed != truth), int(ended), (count + stops[confident]) / cell.n)


def main() -> int:
    """Run all cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--questions", default="100,300,1273,4183")
    parser.add_argument(
        "--brief", action="store_true", help="one row for each number of questions and difference"
    )
    parser.add_argument(
        "--exact", action="store_true", help="questions with exactly the difference, not around it"
    )
    arguments = parser.parse_args()
    started = time.process_time()
    worst = 0.0
    cells = 0
    names = (
        "questions",
        "SE",
        "changed",
        "where",
        "real loss",
        "wrong",
        "lower 99 %",
        "ended early",
        "checked",
    )
    print(f"| {' | '.join(names)} |\n|---:|---:|---:|---|---:|---:|---:|---:|---:|")
    for n, difference in itertools.product(map(int, arguments.questions.split(",")), DIFFERENCES):
        total = Tally()
        for changed, near, loss in itertools.product(CHANGED, (True, False), LOSSES):
            cell = Cell(n, difference, changed, near, loss, arguments.exact)
            rng = np.random.default_rng([n, difference, round(changed * 1000), near, round(loss * 1000)])
            tally = Tally()
            for _ in range(arguments.draws):
                tally.add(draw(rng, cell))
            total.add(tally)
            worst = max(worst, tally.lower)
            cells += 1
            if not arguments.brief:
                where = "near the gap" if near else "anywhere"
                print(_row(n, difference, f"{changed:.1%}", where, f"{loss:.1%}", tally), flush=True)
        print(_row(n, difference, "all", "all", "all", total), flush=True)
    print(f"\n{cells} cells of {arguments.draws} draws; largest lower bound {worst:.2%} (5 % is allowed)")
    print(f"{time.process_time() - started:.0f} CPU seconds", file=sys.stderr)
    return int(worst > 1 - CONFIDENCE)


def _row(n: int, difference: float, changed: str, where: str, loss: str, tally: Tally) -> str:
    return (
        f"| {n:,} | {difference} | {changed} | {where} | {loss} | {tally.wrong / tally.draws:.2%} | {tally.lower:.2%} "
        f"| {tally.ended / tally.draws:.0%} | {tally.checked / tally.draws:.0%} |"
    )


if __name__ == "__main__":
    raise SystemExit(main())
