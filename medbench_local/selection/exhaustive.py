"""Every candidate on every validation question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medbench_local.prompts.prompt import Candidate
from medbench_local.selection.result import Evaluate, Rung, Selection
from medbench_local.selection.score_table import ScoreTable


def exhaustive(evaluate: Evaluate, candidates: Sequence[Candidate], n_questions: int) -> Selection:
    """Score all candidates on all questions; the earliest of the best in evaluation order wins.

    Args:
        evaluate: scores one candidate on some questions.
        candidates: in evaluation order.
        n_questions: size of the validation set, at least 1.
    """
    table = ScoreTable(evaluate, candidates, n_questions)
    for index in range(table.n_candidates):
        table.score(index, np.arange(n_questions))
    table.rungs.append(Rung("all questions", table.n_candidates, table.prompts, 1))
    accuracy = table.correct.mean(axis=1)
    return table.select("exhaustive", int(np.argmax(accuracy)), accuracy, error_bound=0.0)
