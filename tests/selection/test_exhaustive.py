"""The exhaustive search, against the rule written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from medbench_local.prompts.prompt import Candidate
from medbench_local.selection import exhaustive
from medbench_local.selection.result import Outcomes
from tests.selection.grids import candidates_of

Correct = NDArray[np.bool_]


def strict_maximum(correct: Correct) -> int:
    """The rule of the study: a later candidate must be strictly better."""
    winner, best = 0, -1
    for index, row in enumerate(correct):
        right = sum(bool(value) for value in row)
        if right > best:
            winner, best = index, right
    return winner


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 8))))
def test_the_first_of_the_best_wins(correct: Correct) -> None:
    found = exhaustive(
        lambda c, q: Outcomes.without_margins(correct[c, q]), candidates_of(len(correct)), correct.shape[1]
    )
    assert found.winner == strict_maximum(correct)
    assert found.prompts_scored == found.prompts_exhaustive == correct.size
    assert [score.correct for score in found.scores] == correct.sum(axis=1).tolist()
    assert found.error_bound == 0
    assert found.validation_accuracy == correct[found.winner].mean()
    assert found.spread == pytest.approx(correct[found.winner].mean() - correct[0].mean())
    assert [score.expected for score in found.scores] == pytest.approx(correct.mean(axis=1).tolist())


def test_candidates_are_scored_in_evaluation_order() -> None:
    calls: list[tuple[int, list[int]]] = []

    def evaluate(candidate: int, questions: NDArray[np.intp]) -> Outcomes:
        calls.append((candidate, questions.tolist()))
        return Outcomes.without_margins(np.zeros(len(questions), dtype=np.bool_))

    found = exhaustive(evaluate, candidates_of(3), 4)
    assert calls == [(index, [0, 1, 2, 3]) for index in range(3)]
    assert found.winner == 0
    assert found.candidate == Candidate(None, 0)


def test_impossible_arguments() -> None:
    with pytest.raises(ValueError, match="candidates"):
        exhaustive(lambda c, q: Outcomes.without_margins(np.ones(len(q), dtype=np.bool_)), (), 3)
    with pytest.raises(ValueError, match="n_questions"):
        exhaustive(
            lambda c, q: Outcomes.without_margins(np.ones(len(q), dtype=np.bool_)), candidates_of(2), 0
        )
    with pytest.raises(ValueError, match="results"):
        exhaustive(lambda c, q: Outcomes.without_margins(np.ones(1, dtype=np.bool_)), candidates_of(2), 3)
