"""The same candidates as an exhaustive search, at a fraction of the prompts.

Without a limit, the race is guaranteed to end with the exhaustive winner at a stated error rate (`guaranteed`).
With a limit on the prompts, the best estimate wins (`limited`), and the result states its chances.

Racing on paired comparisons is due to Maron and Moore [1] and Moore and Lee [2]; in place of their bounds stands
an exact test for finite sets (`evidence`).

[1] O. Maron, A. W. Moore, Hoeffding races: accelerating model selection search for classification and
    function approximation, NIPS 6 (1993).
[2] A. W. Moore, M. S. Lee, Efficient algorithms for minimizing cross validation error, ICML (1994).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medbench_local.prompts.prompt import Candidate
from medbench_local.selection.costs import Costs, equal_costs
from medbench_local.selection.guaranteed import SMALL, Race
from medbench_local.selection.limited import limited
from medbench_local.selection.result import Evaluate, Selection
from medbench_local.selection.score_table import ScoreTable


def racing(
    evaluate: Evaluate,
    candidates: Sequence[Candidate],
    n_questions: int,
    *,
    error_rate: float = 0.05,
    max_fraction: float | None = None,
    max_prompts: int | None = None,
    min_gain: float | None = None,
    costs: Costs | None = None,
    seed: int = 42,
) -> Selection:
    """Find the candidate that an exhaustive search would choose without scoring everything.

    Args:
        evaluate: scores one candidate on some questions; never asked twice for the same pair.
        candidates: in evaluation order; the earliest of equals wins.
        n_questions: size of the validation set, at least 1.
        error_rate: of the guarantee, over the random order of the questions, above 0 and below 1; under a limit,
            the search ends early once the estimated probability of another winner is at most this.
        max_fraction: most prompts scored, as a share of the exhaustive search's; None for no limit. Sets of up
            to `SMALL` questions are not limited by it.
        max_prompts: most prompts scored, one for each candidate at least; None for no limit. Nor by this.
        min_gain: under a limit, the search ends early once a million units of ``costs`` more are expected to gain
            less accuracy than this, a fraction; None: it goes on.
        costs: what asking costs, which decides what is asked, never who is ahead; None: all costs the same.
        seed: of the order of the questions.
    """
    if not 0 < error_rate < 1:
        raise ValueError("`error_rate` must be above 0 and below 1.")
    table = ScoreTable(evaluate, candidates, n_questions)
    if costs is None:
        costs = equal_costs(len(candidates), n_questions)
    costs.check(len(candidates), n_questions)
    limit = most_prompts(len(candidates), n_questions, max_fraction=max_fraction, max_prompts=max_prompts)
    if limit < table.scored.size:
        return limited(table, limit, costs=costs, seed=seed, error_rate=error_rate, min_gain=min_gain)
    order = np.random.default_rng(seed).permutation(n_questions)
    return Race(table, order, error_rate, costs).run()


def most_prompts(
    n_candidates: int, n_questions: int, *, max_fraction: float | None, max_prompts: int | None
) -> int:
    """Most prompts that `racing` scores under these limits; one for each candidate at least."""
    full = n_candidates * n_questions
    limit = full
    if max_fraction is not None and n_questions > SMALL:
        limit = min(limit, int(max_fraction * full))
    if max_prompts is not None and n_questions > SMALL:
        limit = min(limit, max_prompts)
    return min(full, max(limit, n_candidates))
