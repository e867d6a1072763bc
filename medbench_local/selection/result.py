"""What a prompt search is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medbench_local.prompts.prompt import Candidate

Questions = NDArray[np.intp]


@dataclass(frozen=True)
class Outcomes:
    """What a candidate answered.

    Attributes:
        correct: (questions,) which ones it has right.
        margins: (questions,) log-probability of the right option minus that of the best other one, in nats; nan where
            options have none, as where a text was generated or a prompt did not fit.
    """

    correct: NDArray[np.bool_]
    margins: NDArray[np.float64]

    @classmethod
    def without_margins(cls, correct: NDArray[np.bool_]) -> Outcomes:
        """Right and wrong alone."""
        return cls(correct, np.full(correct.shape, np.nan))


Evaluate = Callable[[int, Questions], Outcomes]
"""Scores a candidate (by index) on validation questions (indices, in this order)."""

Method = Literal["exhaustive", "racing"]


@dataclass(frozen=True)
class CandidateScore:
    """How a candidate did on the validation questions it was scored on.

    Attributes:
        candidate: the prompt.
        correct: number of questions answered correctly.
        questions: number of questions scored.
        expected: accuracy on the whole validation set, 0 to 1: known if all of it was scored, else estimated
            from this candidate's results and those of its relatives. The plain accuracies of candidates that
            were scored on different questions are not comparable; these are.
    """

    candidate: Candidate
    correct: int
    questions: int
    expected: float

    @property
    def accuracy(self) -> float | None:
        """Share answered correctly, 0 to 1, or None if nothing was scored."""
        return self.correct / self.questions if self.questions else None


@dataclass(frozen=True)
class Rung:
    """One step of a search.

    Attributes:
        purpose: what the step was for.
        candidates: number of candidates scored in it; each visit decodes the candidate's prefix once.
        prompts: number of prompts scored in it.
        left: number of candidates that can still win after it.
    """

    purpose: str
    candidates: int
    prompts: int
    left: int


@dataclass(frozen=True)
class Selection:
    """The outcome of a prompt search.

    Attributes:
        method: "exhaustive" or "racing".
        winner: index of the chosen candidate.
        scores: one for each candidate, in evaluation order.
        n_questions: size of the validation set.
        prompts_scored: number of (candidate, question) pairs scored.
        prompts_exhaustive: number that an exhaustive search scores.
        rungs: the steps, in order.
        error_bound: guaranteed upper bound of the probability that an exhaustive search has another winner;
            1.0 where nothing is guaranteed because a limit ended the search.
        error_estimate: the same probability as estimated by the grid model (not guaranteed), or None where
            the bound says it all.
        spread: expected accuracy of the winner minus that of the first candidate (the default format), a
            fraction. Where right and wrong on these very questions decide, it is the largest of many and says little
            of other ones: see `medbench_local.selection.shrink.estimated_gain`. Under a limit margins decide, and
            another candidate may have a higher one.
        correct: (candidates, questions), which were answered correctly.
        scored: same shape, which were scored.
    """

    method: Method
    winner: int
    scores: tuple[CandidateScore, ...]
    n_questions: int
    prompts_scored: int
    prompts_exhaustive: int
    rungs: tuple[Rung, ...]
    error_bound: float
    error_estimate: float | None
    spread: float
    correct: NDArray[np.bool_] = field(repr=False, compare=False)
    scored: NDArray[np.bool_] = field(repr=False, compare=False)

    @property
    def candidate(self) -> Candidate:
        """The chosen prompt."""
        return self.scores[self.winner].candidate

    @property
    def validation_accuracy(self) -> float:
        """Accuracy of the winner on the questions it was scored on."""
        accuracy = self.scores[self.winner].accuracy
        return float("nan") if accuracy is None else accuracy
