"""The score table of a search while it is being filled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medbench_local.prompts.prompt import Candidate
from medbench_local.selection.result import CandidateScore, Evaluate, Method, Questions, Rung, Selection


class ScoreTable:
    """Candidates by questions: what has been scored, and what came out.

    Attributes:
        scored: (candidates, questions), which pairs have been scored.
        correct: same shape, which of them were answered correctly.
        margins: same shape, by how much; nan where that is not known.
    """

    def __init__(self, evaluate: Evaluate, candidates: Sequence[Candidate], n_questions: int) -> None:
        if not candidates:
            raise ValueError("`candidates` must not be empty.")
        if n_questions < 1:
            raise ValueError("`n_questions` must be at least 1.")
        self._evaluate = evaluate
        self.candidates = tuple(candidates)
        shape = (len(self.candidates), n_questions)
        self.scored: NDArray[np.bool_] = np.zeros(shape, dtype=np.bool_)
        self.correct: NDArray[np.bool_] = np.zeros(shape, dtype=np.bool_)
        self.margins: NDArray[np.float64] = np.full(shape, np.nan)
        self.rungs: list[Rung] = []

    @property
    def n_candidates(self) -> int:
        """Number of candidates."""
        return len(self.candidates)

    @property
    def n_questions(self) -> int:
        """Number of validation questions."""
        return int(self.scored.shape[1])

    @property
    def prompts(self) -> int:
        """Number of pairs scored so far."""
        return int(self.scored.sum())

    def score(self, candidate: int, questions: Questions) -> int:
        """Score ``candidate`` on those of ``questions`` that are still open; how many these were."""
        wanted = questions[~self.scored[candidate, questions]]
        if wanted.size:
            outcomes = self._evaluate(candidate, wanted)
            for found in (outcomes.correct, outcomes.margins):
                if found.shape != wanted.shape:
                    raise ValueError(f"`evaluate` gave {found.shape} results for {wanted.shape} questions.")
            self.correct[candidate, wanted] = outcomes.correct
            self.margins[candidate, wanted] = outcomes.margins
            self.scored[candidate, wanted] = True
        return int(wanted.size)

    def errors_left(self, candidate: int, leader: int) -> int:
        """How many of its open questions a candidate may get wrong and still win; below 0: it cannot win.

        Args:
            candidate: any other candidate.
            leader: one that was scored on every question.
        """
        open_ = int((~self.scored[candidate]).sum())
        target = int(self.correct[leader].sum()) + (candidate > leader)
        return int(self.correct[candidate].sum()) + open_ - target

    def certain(self, leader: int) -> bool:
        """Whether no outcome of the open questions lets another candidate win."""
        others = (candidate for candidate in range(self.n_candidates) if candidate != leader)
        return bool(self.scored[leader].all()) and all(
            self.errors_left(other, leader) < 0 for other in others
        )

    def select(
        self,
        method: Method,
        winner: int,
        expected: NDArray[np.float64],
        *,
        error_bound: float,
        error_estimate: float | None = None,
    ) -> Selection:
        """The result of the search that filled this table, ``expected`` accuracies included."""
        return Selection(
            method=method,
            winner=winner,
            scores=tuple(
                CandidateScore(candidate, int(right.sum()), int(seen.sum()), float(mean))
                for candidate, right, seen, mean in zip(
                    self.candidates, self.correct, self.scored, expected, strict=True
                )
            ),
            n_questions=self.n_questions,
            prompts_scored=self.prompts,
            prompts_exhaustive=self.scored.size,
            rungs=tuple(self.rungs),
            error_bound=error_bound,
            error_estimate=error_estimate,
            spread=float(expected[winner] - expected[0]),
            correct=self.correct,
            scored=self.scored,
        )
