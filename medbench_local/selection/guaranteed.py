"""The race without a limit: the exhaustive winner, with certainty or at a stated error rate.

Candidates are visited one after the other, the promising ones first, and compared with the best so far on the same
questions. A candidate is left as soon as it cannot win any more, or when the paired evidence against it is
significant. Each is visited once, so that its prefix is decoded once.

Why the guarantee holds: the exhaustive winner is lost only if a test against some opponent at some look rejects
it, although on the whole set it is not behind. Each such test does so with probability at most its level, over the
random order of the questions; the level is the error rate divided by the number of opponents and looks (Boole's
inequality), whichever of these tests come to be made.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from medbench_local.selection.costs import Costs
from medbench_local.selection.evidence import overtaking_p_value
from medbench_local.selection.grid import Grid
from medbench_local.selection.result import Questions, Rung, Selection
from medbench_local.selection.score_table import ScoreTable

SMALL = 48
"""Up to this many questions no test tells more than certainty does: the race is decided by certainty alone."""

_FIRST_LOOK = 16
_LOOK_GROWTH = 1.5


class Race:
    """The guaranteed race: each candidate is visited once, against the best so far."""

    def __init__(self, table: ScoreTable, order: Questions, error_rate: float, costs: Costs) -> None:
        self.table = table
        self.costs = costs
        self.order = order
        self.looks = looks(table.n_questions)
        self.level = error_rate / max(1, (table.n_candidates - 1) * len(self.looks))
        self.leader = -1
        self.error_rate = error_rate

    def run(self) -> Selection:
        """Visit everybody, in waves ordered by what the earlier waves taught."""
        table, grid = self.table, Grid(self.table.candidates)
        size = isqrt(table.n_candidates) + 1
        waiting = list(range(table.n_candidates))
        wave = waiting[::size]
        while wave:
            before = table.prompts
            for candidate in wave:
                self._visit(candidate)
            waiting = [candidate for candidate in waiting if candidate not in set(wave)]
            table.rungs.append(Rung("race", len(wave), table.prompts - before, len(waiting) + 1))
            if waiting:
                ranking = grid.estimate(table.correct, table.scored).ranking()
                wave = [candidate for candidate in map(int, ranking) if candidate in waiting][:size]
            else:
                wave = []
        expected = grid.estimate(table.correct, table.scored).mean
        bound = 0.0 if table.certain(self.leader) else self.error_rate
        return table.select("racing", self.leader, expected, error_bound=bound)

    def _visit(self, candidate: int) -> None:
        if self.leader < 0:
            self.table.score(candidate, self.order)
            self.leader = candidate
        elif self.table.n_questions <= SMALL:
            self._visit_exactly(candidate)
        else:
            self._visit_by_looks(candidate)

    def _visit_exactly(self, candidate: int) -> None:
        """Questions that are hard for what they cost first; as many at a time as must be wrong before it is out."""
        table = self.table
        while (errors_left := table.errors_left(candidate, self.leader)) >= 0:
            open_ = np.flatnonzero(~table.scored[candidate])
            if not open_.size:
                self.leader = candidate
                return
            telling = (1 - self._ease()[open_]) / self.costs.question[open_]
            table.score(candidate, open_[np.argsort(-telling, kind="stable")][: errors_left + 1])

    def _visit_by_looks(self, candidate: int) -> None:
        table = self.table
        for look in (*self.looks, table.n_questions):
            table.score(candidate, self.order[:look])
            if table.errors_left(candidate, self.leader) < 0:
                return
            if look < table.n_questions and self._significant(candidate, look):
                return
        self.leader = candidate

    def _significant(self, candidate: int, look: int) -> bool:
        seen = self.order[:look]
        mine, theirs = self.table.correct[candidate, seen], self.table.correct[self.leader, seen]
        ahead, behind = int((theirs & ~mine).sum()), int((mine & ~theirs).sum())
        if behind >= ahead:
            return False
        needs = int(candidate > self.leader)
        unseen = self.table.n_questions - look
        return overtaking_p_value(ahead, behind, unseen, needs=needs) <= self.level

    def _ease(self) -> NDArray[np.float64]:
        """(questions,) share of candidates that answered each question correctly, smoothed."""
        return np.asarray((self.table.correct.sum(axis=0) + 1.0) / (self.table.scored.sum(axis=0) + 2.0))


def looks(n_questions: int) -> list[int]:
    """Numbers of questions after which the evidence is tested, below ``n_questions``."""
    found = []
    size = float(_FIRST_LOOK)
    while size < n_questions:
        found.append(int(size))
        size *= _LOOK_GROWTH
    return found
