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

from medbench_local.selection.board import Board
from medbench_local.selection.evidence import overtaking_p_value
from medbench_local.selection.grid import Grid
from medbench_local.selection.result import Questions, Rung, Selection

SMALL = 48
"""Up to this many questions no test tells more than certainty does: the race is decided by certainty alone."""

_FIRST_LOOK = 16
_LOOK_GROWTH = 1.5


class Race:
    """The guaranteed race: each candidate is visited once, against the best so far."""

    def __init__(self, board: Board, order: Questions, error_rate: float) -> None:
        self.board = board
        self.order = order
        self.looks = _looks(board.n_questions)
        self.level = error_rate / max(1, (board.n_candidates - 1) * len(self.looks))
        self.champion = -1
        self.error_rate = error_rate

    def run(self) -> Selection:
        """Visit everybody, in waves ordered by what the earlier waves taught."""
        board, grid = self.board, Grid(self.board.candidates)
        size = isqrt(board.n_candidates) + 1
        waiting = list(range(board.n_candidates))
        wave = waiting[::size]
        while wave:
            before = board.prompts
            for candidate in wave:
                self._visit(candidate)
            waiting = [candidate for candidate in waiting if candidate not in set(wave)]
            board.rungs.append(Rung("race", len(wave), board.prompts - before, len(waiting) + 1))
            if waiting:
                ranking = grid.estimate(board.correct, board.scored).ranking()
                wave = [candidate for candidate in map(int, ranking) if candidate in waiting][:size]
            else:
                wave = []
        expected = grid.estimate(board.correct, board.scored).mean
        bound = 0.0 if board.certain(self.champion) else self.error_rate
        return board.select("racing", self.champion, expected, error_bound=bound)

    def _visit(self, candidate: int) -> None:
        if self.champion < 0:
            self.board.score(candidate, self.order)
            self.champion = candidate
        elif self.board.n_questions <= SMALL:
            self._visit_exactly(candidate)
        else:
            self._visit_by_looks(candidate)

    def _visit_exactly(self, candidate: int) -> None:
        """Hardest questions first; as many at a time as must be wrong before the candidate is out."""
        board = self.board
        while (spare := board.spare(candidate, self.champion)) >= 0:
            open_ = np.flatnonzero(~board.scored[candidate])
            if not open_.size:
                self.champion = candidate
                return
            hardest = open_[np.argsort(self._ease()[open_], kind="stable")]
            board.score(candidate, hardest[: spare + 1])

    def _visit_by_looks(self, candidate: int) -> None:
        board = self.board
        for look in (*self.looks, board.n_questions):
            board.score(candidate, self.order[:look])
            if board.spare(candidate, self.champion) < 0:
                return
            if look < board.n_questions and self._significant(candidate, look):
                return
        self.champion = candidate

    def _significant(self, candidate: int, look: int) -> bool:
        seen = self.order[:look]
        mine, theirs = self.board.correct[candidate, seen], self.board.correct[self.champion, seen]
        ahead, behind = int((theirs & ~mine).sum()), int((mine & ~theirs).sum())
        if behind >= ahead:
            return False
        needs = int(candidate > self.champion)
        unseen = self.board.n_questions - look
        return overtaking_p_value(ahead, behind, unseen, needs=needs) <= self.level

    def _ease(self) -> NDArray[np.float64]:
        """(questions,) share of candidates that answered each question correctly, smoothed."""
        return np.asarray((self.board.correct.sum(axis=0) + 1.0) / (self.board.scored.sum(axis=0) + 2.0))


def _looks(n_questions: int) -> list[int]:
    """Numbers of questions after which the evidence is tested, below ``n_questions``."""
    looks = []
    size = float(_FIRST_LOOK)
    while size < n_questions:
        looks.append(int(size))
        size *= _LOOK_GROWTH
    return looks
