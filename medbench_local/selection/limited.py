"""The search under a limit: step by step what is worth asking, by the grid model.

It begins with a few questions to every candidate, or to every other one of the grid where beginnings are long and the
rows and columns say enough of the rest. Those of different demonstration sets see different questions, so that a
format as a whole is seen on many. Then as many of the best estimates go on, on the same new questions, as are expected
to gain most for what they cost (`next_step`); questions that are cheap to ask come rather sooner (`costs`).

It ends at the limit, or where the best estimate is surely the best, or where asking on is expected to gain too little
for what it costs. So searches among few candidates and among many, of short questions and of long ones, end where the
next token is worth the same.

Nothing is guaranteed; the model states the probability that an exhaustive search has another winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from medbench_local.selection.costs import Costs
from medbench_local.selection.grid import Grid
from medbench_local.selection.margins import margin_values
from medbench_local.selection.next_step import next_step
from medbench_local.selection.result import Questions, Rung, Selection
from medbench_local.selection.score_table import ScoreTable

_FIRST_QUESTIONS = 8
"""Most questions that everybody is asked who is visited at first."""
_FIRST_SHARE = 0.2
"""Most of the limit that goes to them."""
_FIRST_PARTS = 10
"""Most parts into which these questions are divided among the demonstration sets."""
_STEP, _STEP_SHARE = 28, 1 / 8
"""Prompts of a step, in square roots of all candidates, and most of the limit that goes to one."""
_LEAST_LEVELS = 6
"""Formats and demonstration sets that a grid has at least whose candidates are not all visited."""
_DEAR = 4 / 3
"""Prefixes are dear that cost more than this many questions."""
_PER = 1e6
"""Units of `Costs` that ``min_gain`` is stated for."""


def limited(
    table: ScoreTable,
    limit: int,
    *,
    costs: Costs,
    seed: int,
    error_rate: float,
    min_gain: float | None = None,
) -> Selection:
    """Ask step by step until the limit is reached or asking on is not worth it.

    Args:
        table: to be filled.
        limit: most prompts.
        costs: of asking.
        seed: of the order of the questions.
        error_rate: it ends where the winner is another one than the best with at most this probability.
        min_gain: it ends where a million units of `costs` more are expected to gain less accuracy than this, a
            fraction; None: never.
    """
    grid = Grid(table.candidates)
    order = _first_rung(table, grid, costs.order(seed), limit, costs)
    while True:
        values = margin_values(table.margins, table.correct, table.scored, grid.formats)
        levels = grid.on_others(values, table.scored)
        winner = levels.best(np.asarray(table.scored.any(axis=1)))
        whole = grid.on_these(levels, table.correct, table.scored)
        chances = whole.chances()
        left = limit - table.prompts
        if left <= 0 or 1 - chances[winner] <= error_rate:
            break
        open_ = [int(index) for index in levels.ranking() if not table.scored[index].all()]
        prompts = min(left, step_size(table.n_candidates, limit))
        step = next_step(levels, open_, prompts, left, costs)
        if min_gain is not None and _PER * step.worth < min_gain:
            break
        _climb(table, order, list(step.candidates), prompts, limit)
    return table.select(
        "racing",
        winner,
        whole.mean,
        error_bound=0.0 if table.certain(winner) else 1.0,
        error_estimate=None if table.certain(winner) else 1.0 - float(chances[winner]),
    )


def first_visited(grid: Grid, costs: Costs) -> NDArray[np.intp]:
    """The candidates that are asked at first: all, or every other one."""
    return np.flatnonzero(grid.offset % _stride(grid, costs) == 0)


def _stride(grid: Grid, costs: Costs) -> int:
    return 2 if grid.levels >= _LEAST_LEVELS and costs.of_a_prefix > _DEAR else 1


def first_size(n_visited: int, limit: int) -> int:
    """Questions that each candidate is asked at first who is then visited."""
    return max(1, min(_FIRST_QUESTIONS, int(limit * _FIRST_SHARE) // n_visited))


def step_size(n_candidates: int, limit: int) -> int:
    """Prompts of one step."""
    return max(1, round(min(_STEP * sqrt(n_candidates), _STEP_SHARE * limit)))


def _first_rung(table: ScoreTable, grid: Grid, order: Questions, limit: int, costs: Costs) -> Questions:
    """Visit everybody, or every other one; the order in which questions are asked from then on."""
    stride = _stride(grid, costs)
    visited = first_visited(grid, costs)
    size = first_size(len(visited), limit)
    parts = max(1, min(_FIRST_PARTS, table.n_questions // size))
    for candidate in visited:
        part = int(grid.offset[candidate]) // stride % parts
        table.score(int(candidate), order[part * size : (part + 1) * size])
    purpose = "all candidates" if stride == 1 else "every other candidate"
    table.rungs.append(Rung(purpose, len(visited), table.prompts, table.n_candidates))
    return np.concatenate([order[parts * size :], order[: parts * size]])


def _climb(table: ScoreTable, order: Questions, active: Sequence[int], prompts: int, limit: int) -> None:
    """Score the active candidates on the next questions, the same for all, for about ``prompts`` prompts."""
    before = table.prompts
    needed = np.cumsum((~table.scored[active][:, order]).sum(axis=0))
    reach = max(1, int(np.searchsorted(needed, max(prompts, len(active)), side="right")))
    asked = 0  # of the active ones, for whom something is left to ask
    for candidate in active:
        wanted = order[:reach]
        wanted = wanted[~table.scored[candidate, wanted]][: max(0, limit - table.prompts)]
        asked += table.score(candidate, wanted) > 0
    table.rungs.append(Rung("best estimates", asked, table.prompts - before, len(active)))
