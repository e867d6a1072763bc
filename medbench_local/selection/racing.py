"""The same candidates as an exhaustive search, at a fraction of the prompts.

Without a limit, the race is guaranteed. Candidates are visited one after the other, the promising ones first,
and compared with the best so far on the same questions; a candidate is left as soon as it cannot win any more
(exactly), or when the paired evidence against it is significant. With a limit on the prompts, the candidates
climb rungs instead, fewer on each, ranked by the estimate of the grid model, and the best estimate wins: no
guarantee, but an estimate of the probability that an exhaustive search has another winner.

Racing on paired comparisons is due to Maron and Moore [1] and Moore and Lee [2]; in place of their bounds
stands an exact test for finite sets (see `evidence`), at the error rate divided by the number of opponents and
looks (Boole's inequality). The rungs follow successive halving [3].

[1] O. Maron, A. W. Moore, Hoeffding races: accelerating model selection search for classification and
    function approximation, NIPS 6 (1993).
[2] A. W. Moore, M. S. Lee, Efficient algorithms for minimizing cross validation error, ICML (1994).
[3] Z. Karnin, T. Koren, O. Somekh, Almost optimal exploration in multi-armed bandits, ICML (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from medbench_local.prompts.prompt import Candidate
from medbench_local.selection.board import Board
from medbench_local.selection.evidence import overtaking_p_value
from medbench_local.selection.grid import Grid
from medbench_local.selection.result import Evaluate, Questions, Rung, Selection

SMALL = 64
"""Up to this many questions no test tells more than certainty does: the race is decided by certainty alone."""

_FIRST_LOOK = 16
_LOOK_GROWTH = 1.5
_FIRST_SHARE = 0.25
_RUNGS = 6
_KEEP = 0.5


def racing(
    evaluate: Evaluate,
    candidates: Sequence[Candidate],
    n_questions: int,
    *,
    error_rate: float = 0.05,
    max_fraction: float | None = None,
    max_prompts: int | None = None,
    seed: int = 42,
) -> Selection:
    """Find the candidate that an exhaustive search would choose without scoring everything.

    Args:
        evaluate: scores one candidate on some questions; never asked twice for the same pair.
        candidates: in evaluation order; the earliest of equals wins.
        n_questions: size of the validation set, at least 1.
        error_rate: of the guarantee, over the random order of the questions, above 0 and below 1.
        max_fraction: most prompts scored, as a share of the exhaustive search's; None for no limit. Sets of up
            to `SMALL` questions are not limited by it.
        max_prompts: most prompts scored; None for no limit.
        seed: of the order of the questions.
    """
    if not 0 < error_rate < 1:
        raise ValueError("`error_rate` must be above 0 and below 1.")
    board = Board(evaluate, candidates, n_questions)
    order = np.random.default_rng(seed).permutation(n_questions)
    limit = board.scored.size
    if max_fraction is not None and n_questions > SMALL:
        limit = min(limit, int(max_fraction * limit))
    if max_prompts is not None:
        limit = min(limit, max_prompts)
    if limit < board.scored.size:
        return _limited(board, order, max(limit, board.n_candidates), error_rate)
    return _Race(board, order, error_rate).run()


class _Race:
    """The guaranteed race: each candidate is visited once, against the best so far."""

    def __init__(self, board: Board, order: Questions, error_rate: float) -> None:
        self.board = board
        self.order = order
        self.looks = _looks(board.n_questions)
        self.level = error_rate / max(1, (board.n_candidates - 1) * len(self.looks))
        self.champion = -1
        self.error_rate = error_rate
        self.tested_out = 0

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
        bound = self.error_rate if self.tested_out else 0.0
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
        spare = self._spare(candidate)
        while spare >= 0:
            open_ = np.flatnonzero(~board.scored[candidate])
            if not open_.size:
                self.champion = candidate
                return
            hardest = open_[np.argsort(self._ease()[open_], kind="stable")]
            board.score(candidate, hardest[: spare + 1])
            spare = self._spare(candidate)

    def _visit_by_looks(self, candidate: int) -> None:
        board = self.board
        for look in (*self.looks, board.n_questions):
            board.score(candidate, self.order[:look])
            if self._spare(candidate) < 0:
                return
            if look < board.n_questions and self._significant(candidate, look):
                self.tested_out += 1
                return
        self.champion = candidate

    def _spare(self, candidate: int) -> int:
        """How many more wrong answers the candidate can afford and still beat the champion."""
        board = self.board
        open_ = int((~board.scored[candidate]).sum())
        target = int(board.correct[self.champion].sum()) + (candidate > self.champion)
        return int(board.correct[candidate].sum()) + open_ - target

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


def _limited(board: Board, order: Questions, limit: int, error_rate: float) -> Selection:
    """Climb rungs until the limit is reached or the estimate is sure enough."""
    grid = Grid(board.candidates)
    first = max(1, int(limit * _FIRST_SHARE) // board.n_candidates)
    parts = max(1, min(10, board.n_questions // first))
    for candidate in range(board.n_candidates):
        part = int(grid.offset[candidate]) % parts
        board.score(candidate, order[part * first : (part + 1) * first])
    board.rungs.append(Rung("all candidates", board.n_candidates, board.prompts, board.n_candidates))
    order = np.concatenate([order[parts * first :], order[: parts * first]])
    for rung in range(1, board.n_questions + _RUNGS):
        estimate = grid.estimate(board.correct, board.scored)
        chances = estimate.chances()
        winner = estimate.best()
        if limit <= board.prompts or 1 - chances[winner] <= error_rate:
            break
        keep = max(2, round(board.n_candidates * _KEEP**rung))
        active = [int(index) for index in estimate.ranking() if not board.scored[index].all()][:keep]
        _climb(board, order, active, (limit - board.prompts) // max(1, _RUNGS - rung), limit)
    return board.select(
        "racing", winner, estimate.mean, error_bound=1.0, error_estimate=1.0 - float(chances[winner])
    )


def _climb(board: Board, order: Questions, active: Sequence[int], prompts: int, limit: int) -> None:
    """Score the active candidates on the next questions, the same for all, for about ``prompts`` prompts."""
    before = board.prompts
    needed = np.cumsum((~board.scored[active][:, order]).sum(axis=0))
    reach = max(1, int(np.searchsorted(needed, max(prompts, len(active)), side="right")))
    for candidate in active:
        wanted = order[:reach]
        wanted = wanted[~board.scored[candidate, wanted]][: max(0, limit - board.prompts)]
        board.score(candidate, wanted)
    board.rungs.append(Rung("best estimates", len(active), board.prompts - before, len(active)))
