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

from medbench_local.selection.grid import Grid
from medbench_local.selection.result import Questions, Rung, Selection
from medbench_local.selection.score_table import ScoreTable

_FIRST_SHARE = 0.25
"""Share of the limit that goes to the first rung."""
_FIRST_PARTS = 10
"""Most parts into which the first rung's questions are divided among the demonstration sets."""
_RUNGS = 6
_KEEP = 0.5


def limited(table: ScoreTable, order: Questions, limit: int, error_rate: float) -> Selection:
    """Climb rungs until the limit is reached or the estimate is sure enough."""
    grid = Grid(table.candidates)
    first = max(1, int(limit * _FIRST_SHARE) // table.n_candidates)
    parts = max(1, min(_FIRST_PARTS, table.n_questions // first))
    for candidate in range(table.n_candidates):
        part = int(grid.offset[candidate]) % parts
        table.score(candidate, order[part * first : (part + 1) * first])
    table.rungs.append(Rung("all candidates", table.n_candidates, table.prompts, table.n_candidates))
    order = np.concatenate([order[parts * first :], order[: parts * first]])
    for rung in range(1, table.n_questions + _RUNGS):
        estimate = grid.estimate(table.correct, table.scored)
        chances = estimate.chances()
        winner = estimate.best()
        if limit <= table.prompts or 1 - chances[winner] <= error_rate:
            break
        keep = max(2, round(table.n_candidates * _KEEP**rung))
        active = [int(index) for index in estimate.ranking() if not table.scored[index].all()][:keep]
        _climb(table, order, active, (limit - table.prompts) // max(1, _RUNGS - rung), limit)
    return table.select(
        "racing",
        winner,
        estimate.mean,
        error_bound=0.0 if table.certain(winner) else 1.0,
        error_estimate=None if table.certain(winner) else 1.0 - float(chances[winner]),
    )


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
