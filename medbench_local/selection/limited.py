"""The search under a limit: fewer and fewer candidates climb rungs, ranked by the grid model.

It begins with a few questions to every candidate, or to every other one of the grid where beginnings are long and the
rows and columns say enough of the rest. Those of different demonstration sets see different questions, so that a
format as a whole is seen on many. Then the best estimates go on, on the same new questions: at first about as many as
the grid has rows and columns, then ever fewer (successive halving [1], with the model's estimate in place of the plain
accuracy). Each is visited once a rung, and questions that are cheap to ask come rather sooner (`costs`).

It ends at the limit, or where the best estimate is good enough: surely the best, or expected to be behind the best one
by little. Searches among few candidates and among many end at the same expectation, not at the same share of the work.

Of few questions (`SMALL`) most are asked in the first rung, and the winner is not the candidate that is expected to be
best on these very questions, which is luck for the most part, but the one that is expected to be best on others.

Nothing is guaranteed; the model states the probability that an exhaustive search has another winner.

[1] Z. Karnin, T. Koren, O. Somekh, Almost optimal exploration in multi-armed bandits, ICML (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from medbench_local.selection.costs import Costs
from medbench_local.selection.grid import Grid
from medbench_local.selection.guaranteed import SMALL
from medbench_local.selection.result import Questions, Rung, Selection
from medbench_local.selection.score_table import ScoreTable

_FIRST_PARTS = 10
"""Most parts into which the first rung's questions are divided among the demonstration sets."""


@dataclass(frozen=True)
class _Pace:
    """How the prompts of a search are divided among its rungs.

    Attributes:
        first: share of the limit that goes to the first rung.
        step: of a grid the first rung visits a half, or another part: every so many-th candidate of each row.
        rungs: after the first one; what is then left goes to the last few.
        keep: how many climb the first of these, in square roots of all candidates.
        keep_again: the share of them that climbs another.
    """

    first: float
    step: int
    rungs: int
    keep: float
    keep_again: float = 0.65


_OF_MANY, _OF_FEW = _Pace(0.13, 2, 6, 2.5), _Pace(0.6, 4, 3, 1.0)
"""Of many questions, and of up to `SMALL`: with a handful to ask, many rungs would be of one question each."""
_SHARE_OF_FEW = 0.15
"""Of the prompts about so many questions: the share that is asked where little is to be gained by more."""
_LEAST_LEVELS = 6
"""Formats and demonstration sets that a grid has at least whose candidates are not all visited, or not all asked few
questions: less than that say too little of each other."""
_DEAR = 1 / 3
"""Prefixes are dear if visiting everybody costs more than this, as a multiple of the first rung's questions."""


def limited(
    table: ScoreTable,
    limit: int,
    *,
    costs: Costs,
    seed: int,
    error_rate: float,
    enough: float | None = None,
) -> Selection:
    """Climb rungs until the limit is reached or the estimate is good enough.

    Args:
        table: to be filled.
        limit: most prompts.
        costs: of asking.
        seed: of the order of the questions.
        error_rate: it ends where the winner is another one than the best with at most this probability.
        enough: it ends where the winner is expected to be behind the best by at most this, a fraction; None: never.
    """
    grid = Grid(table.candidates)
    pace = _pace(table.n_questions)
    order = _first_rung(table, grid, costs.order(seed), int(limit * pace.first), costs)
    for rung in range(table.n_questions + pace.rungs):
        estimate = grid.estimate(table.correct, table.scored)
        asked = np.asarray(table.scored.any(axis=1))
        few = table.n_questions <= SMALL
        winner = estimate.best_elsewhere(asked) if few else estimate.best(asked)
        chances, behind = estimate.outlook(winner)
        sure = 1 - chances[winner] <= error_rate or (enough is not None and behind <= enough)
        if limit <= table.prompts or sure:
            break
        ranking = estimate.ranking_elsewhere() if few else estimate.ranking()
        keep = _kept(pace, table.n_candidates, rung)
        active = [int(index) for index in ranking if not table.scored[index].all()][:keep]
        _climb(table, order, active, (limit - table.prompts) // max(1, pace.rungs - rung), limit)
    return table.select(
        "racing",
        winner,
        estimate.mean,
        error_bound=0.0 if table.certain(winner) else 1.0,
        error_estimate=None if table.certain(winner) else 1.0 - float(chances[winner]),
    )


def few_prompts(grid: Grid, n_questions: int) -> int | None:
    """How many prompts tell as much about the best one as all about so few questions; None: all are wanted."""
    if n_questions > SMALL or grid.levels < _LEAST_LEVELS:
        return None
    return max(grid.n, int(_SHARE_OF_FEW * grid.n * n_questions))


def rung_sizes(n_candidates: int, n_questions: int) -> list[int]:
    """How many candidates climb each of the rungs among which the limit is divided, after the first one."""
    pace = _pace(n_questions)
    return [_kept(pace, n_candidates, rung) for rung in range(pace.rungs)]


def _pace(n_questions: int) -> _Pace:
    return _OF_MANY if n_questions > SMALL else _OF_FEW


def _kept(pace: _Pace, n_candidates: int, rung: int) -> int:
    """How many candidates climb a rung after the first one, counted from 0."""
    return max(2, min(n_candidates, round(pace.keep * sqrt(n_candidates) * pace.keep_again**rung)))


def _first_rung(table: ScoreTable, grid: Grid, order: Questions, prompts: int, costs: Costs) -> Questions:
    """Visit everybody, or a part of the grid; the order in which questions are asked from then on."""
    few = table.n_questions <= SMALL
    dear = few or costs.of_a_prefix * table.n_candidates > _DEAR * prompts
    step = _pace(table.n_questions).step if grid.levels >= _LEAST_LEVELS and dear else 1
    visited: NDArray[np.intp] = np.flatnonzero(grid.offset % step == 0)
    size = min(table.n_questions, max(1, prompts // len(visited)))
    parts = max(1, min(_FIRST_PARTS, table.n_questions // size))
    for candidate in visited:
        part = int(grid.offset[candidate]) // step % parts
        table.score(int(candidate), order[part * size : (part + 1) * size])
    purpose = "all candidates" if step == 1 else "some of each format and of each demonstration set"
    table.rungs.append(Rung(purpose, len(visited), table.prompts, table.n_candidates))
    return np.concatenate([order[parts * size :], order[: parts * size]])


def _climb(table: ScoreTable, order: Questions, active: Sequence[int], prompts: int, limit: int) -> None:
    """Score the active candidates on the next questions, the same for all, for about ``prompts`` prompts."""
    before = table.prompts
    needed = np.cumsum((~table.scored[active][:, order]).sum(axis=0))
    reach = max(1, int(np.searchsorted(needed, max(prompts, len(active)), side="right")))
    for candidate in active:
        wanted = order[:reach]
        wanted = wanted[~table.scored[candidate, wanted]][: max(0, limit - table.prompts)]
        table.score(candidate, wanted)
    table.rungs.append(Rung("best estimates", len(active), table.prompts - before, len(active)))
