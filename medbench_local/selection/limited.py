"""The search under a limit: fewer and fewer candidates climb rungs, ranked by the grid model.

It begins with a few questions to every candidate, or to every other one of the grid where beginnings are long and the
rows and columns say enough of the rest. Those of different demonstration sets see different questions, so that a
format as a whole is seen on many. Then the best estimates go on, on the same new questions: at first about as many as
the grid has rows and columns, then ever fewer (successive halving [1], with the model's estimate in place of the plain
accuracy). Each is visited once a rung, and questions that are cheap to ask come rather sooner (`costs`).

It ends at the limit, or where the best estimate is good enough: surely the best, or expected to be behind the best one
by little. Searches among few candidates and among many end at the same expectation, not at the same share of the work.

Nothing is guaranteed; the model states the probability that an exhaustive search has another winner.

[1] Z. Karnin, T. Koren, O. Somekh, Almost optimal exploration in multi-armed bandits, ICML (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from medbench_local.selection.costs import Costs
from medbench_local.selection.grid import Grid
from medbench_local.selection.margins import margin_values
from medbench_local.selection.result import Questions, Rung, Selection
from medbench_local.selection.score_table import ScoreTable

_FIRST_SHARE = 0.2
"""Share of the limit that goes to the first rung."""
_FIRST_PARTS = 10
"""Most parts into which the first rung's questions are divided among the demonstration sets."""
_RUNGS = 6
"""After the first one; what is then left goes to the last few."""
_KEEP, _KEEP_AGAIN = 2.5, 0.65
"""How many climb the first of these, in square roots of all candidates, and the share of them that climbs another."""
LEAST_LEVELS = 6
"""Formats and demonstration sets that a grid has at least whose candidates are not all visited."""
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
    order = _first_rung(table, grid, costs.order(seed), limit, costs)
    for rung in range(table.n_questions + _RUNGS):
        values = margin_values(table.margins, table.correct, table.scored, grid.formats)
        estimate = grid.on_others(values, table.scored)
        winner = estimate.best(np.asarray(table.scored.any(axis=1)))
        _, behind = estimate.outlook(winner)
        whole = grid.on_these(estimate, table.correct, table.scored)
        chances = whole.chances()
        sure = 1 - chances[winner] <= error_rate or (enough is not None and behind <= enough)
        if limit <= table.prompts or sure:
            break
        keep = kept(table.n_candidates, rung)
        active = [int(index) for index in estimate.ranking() if not table.scored[index].all()][:keep]
        _climb(table, order, active, (limit - table.prompts) // max(1, _RUNGS - rung), limit)
    return table.select(
        "racing",
        winner,
        whole.mean,
        error_bound=0.0 if table.certain(winner) else 1.0,
        error_estimate=None if table.certain(winner) else 1.0 - float(chances[winner]),
    )


def kept(n_candidates: int, rung: int) -> int:
    """How many candidates climb a rung after the first one, counted from 0."""
    return max(2, min(n_candidates, round(_KEEP * sqrt(n_candidates) * _KEEP_AGAIN**rung)))


def rung_sizes(n_candidates: int) -> list[int]:
    """`kept` of the rungs among which the limit is divided."""
    return [kept(n_candidates, rung) for rung in range(_RUNGS)]


def _first_rung(table: ScoreTable, grid: Grid, order: Questions, limit: int, costs: Costs) -> Questions:
    """Visit everybody, or every other one; the order in which questions are asked from then on."""
    thinned = grid.levels >= LEAST_LEVELS and costs.of_a_prefix * table.n_candidates > (
        _DEAR * _FIRST_SHARE * limit
    )
    step = 2 if thinned else 1
    visited: NDArray[np.intp] = np.flatnonzero(grid.offset % step == 0)
    size = max(1, int(limit * _FIRST_SHARE) // len(visited))
    parts = max(1, min(_FIRST_PARTS, table.n_questions // size))
    for candidate in visited:
        part = int(grid.offset[candidate]) // step % parts
        table.score(int(candidate), order[part * size : (part + 1) * size])
    purpose = "every other candidate" if thinned else "all candidates"
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
