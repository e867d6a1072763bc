"""Every candidate on every validation question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medbench_local.prompts.prompt import Candidate
from medbench_local.selection.board import Board
from medbench_local.selection.result import Evaluate, Rung, Selection


def exhaustive(evaluate: Evaluate, candidates: Sequence[Candidate], n_questions: int) -> Selection:
    """Score all candidates on all questions; the earliest of the best in evaluation order wins.

    Args:
        evaluate: scores one candidate on some questions.
        candidates: in evaluation order.
        n_questions: size of the validation set, at least 1.
    """
    board = Board(evaluate, candidates, n_questions)
    for index in range(board.n_candidates):
        board.score(index, np.arange(n_questions))
    board.rungs.append(Rung("all questions", board.n_candidates, board.prompts, 1))
    accuracy = board.correct.mean(axis=1)
    return board.select("exhaustive", int(np.argmax(accuracy)), accuracy, error_bound=0.0)
