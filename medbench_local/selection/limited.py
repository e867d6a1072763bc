"""The search under a limit: fewer and fewer candidates climb rungs, ranked by the grid model.

All candidates start with a few questions; those of different demonstration sets see different ones, so that a
format as a whole is seen on many. Then the better half goes on with new questions, the same for all of them, and so
on (successive halving [1], with the model's estimate in place of the plain accuracy). Nothing is guaranteed; the
model states the probability that an exhaustive search has another winner.

[1] Z. Karnin, T. Koren, O. Somekh, Almost optimal exploration in multi-armed bandits, ICML (2013).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medbench_local.selection.board import Board
from medbench_local.selection.grid import Grid
from medbench_local.selection.result import Questions, Rung, Selection

_FIRST_SHARE = 0.25
"""Share of the limit that goes to the first rung."""
_FIRST_PARTS = 10
"""Most parts into which the first rung's questions are divided among the demonstration sets."""
_RUNGS = 6
_KEEP = 0.5


def limited(board: Board, order: Questions, limit: int, error_rate: float) -> Selection:
    """Climb rungs until the limit is reached or the estimate is sure enough."""
    grid = Grid(board.candidates)
    first = max(1, int(limit * _FIRST_SHARE) // board.n_candidates)
    parts = max(1, min(_FIRST_PARTS, board.n_questions // first))
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
        "racing",
        winner,
        estimate.mean,
        error_bound=0.0 if board.certain(winner) else 1.0,
        error_estimate=None if board.certain(winner) else 1.0 - float(chances[winner]),
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
