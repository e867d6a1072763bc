"""What it costs to ask, as far as a search cares, and the order of the questions that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAN = 2.0
"""How much sooner cheap questions come: one of half the mean cost has four times the chance to be the next one.

Larger values save more, but the questions asked are then too unlike the others: models of published results differ
by 1 to 3 points for each standard deviation of (the logarithm of) the questions' length."""


@dataclass(frozen=True)
class Costs:
    """Tokens, characters, or whatever measures the work; only ratios matter.

    Attributes:
        prefix: shape (candidates,), at least 0: of the beginning that a candidate's prompts share, once a visit.
        question: shape (questions,), above 0: of each question behind it.
    """

    prefix: NDArray[np.float64]
    question: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not (np.isfinite(self.prefix).all() and np.isfinite(self.question).all()):
            raise ValueError("`costs` must be finite.")
        if (self.prefix < 0).any() or (self.question <= 0).any():
            raise ValueError("`costs` must be positive, those of `prefix` at least 0.")

    def check(self, candidates: int, questions: int) -> None:
        """Raise ValueError unless they are of so many candidates and questions."""
        if self.prefix.shape != (candidates,) or self.question.shape != (questions,):
            raise ValueError(
                f"`costs` are of {self.prefix.shape} candidates and {self.question.shape} questions, "
                f"not {candidates} and {questions}."
            )

    @property
    def of_a_prefix(self) -> float:
        """Of the mean prefix, in mean questions."""
        return float(self.prefix.mean() / self.question.mean())

    @property
    def of_a_question(self) -> float:
        """Of a question that `order` puts first, on average: cheap ones rather."""
        return float(np.average(self.question, weights=self.question**-_LEAN))

    def order(self, seed: int) -> NDArray[np.intp]:
        """(questions,) all questions in random order, cheap ones rather sooner: weighted, without replacement."""
        waits = -np.log(1 - np.random.default_rng(seed).random(len(self.question)))
        return np.argsort(waits * (self.question / self.question.mean()) ** _LEAN, kind="stable")


def equal_costs(candidates: int, questions: int) -> Costs:
    """Every question costs as much as another one, and prefixes nothing."""
    return Costs(np.zeros(candidates), np.ones(questions))
