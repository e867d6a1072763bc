"""What to ask next: the candidates whose answers are expected to gain most for what asking them costs.

A step asks some of the best candidates the same new questions. What it gains is expected beforehand: by how much the
best estimate after it will be above the best one before it, over the answers that may come. That is the knowledge
gradient for correlated beliefs [1]. A single step may be too short to change anything although several would, so that
longer ones are looked at too [2]; one step of the best of them is made. Where a million further characters are
expected to gain too little, asking ends: the value of information against its price, as in [3].

[1] P. Frazier, W. Powell, S. Dayanik, The knowledge-gradient policy for correlated normal beliefs, INFORMS Journal on
    Computing 21 (2009).
[2] P. Frazier, W. Powell, Paradoxes in learning and the marginal value of information, Decision Analysis 7 (2010).
[3] S. Chick, N. Gans, Economic analysis of simulation selection problems, Management Science 55 (2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench_local.selection.costs import Costs
from medbench_local.selection.grid import Levels

NUMBERS = (1, 2, 3, 5, 8, 13, 21)
"""Of candidates that may be asked in one step."""
_REACHES = (1, 3)
"""How many steps of the same kind are looked ahead."""
_DRAWS = 600
"""Simulated outcomes, the same for every step that is looked at."""


@dataclass(frozen=True)
class Step:
    """A step, and what it is worth.

    Attributes:
        candidates: to be asked the same questions.
        worth: accuracy that is expected to be gained, a fraction, for each unit of `Costs`.
    """

    candidates: tuple[int, ...]
    worth: float


def next_step(levels: Levels, open_: Sequence[int], prompts: int, left: int, costs: Costs) -> Step:
    """The step of about so many prompts that is worth most.

    Args:
        levels: what is known.
        open_: candidates that may be asked, from the best down; at least one.
        prompts: of one step.
        left: most prompts of all steps to come.
        costs: of asking.
    """
    normal = np.random.default_rng(0).standard_normal((_DRAWS, NUMBERS[-1]))
    steps = []
    for number in sorted({min(number, len(open_)) for number in NUMBERS}):
        asked = list(open_[:number])
        for reach in _REACHES:
            most = min(left, reach * prompts)
            gain = expected_gain(levels, asked, most / number, normal[:, :number])
            price = float(costs.prefix[asked].sum()) + most * costs.of_a_question
            steps.append(Step(tuple(asked), gain / price))
    return max(steps, key=lambda step: step.worth)


def expected_gain(
    levels: Levels, asked: Sequence[int], questions: float, normal: NDArray[np.float64]
) -> float:
    """By how much the highest expected accuracy rises where some candidates answer so many new questions.

    Args:
        levels: what is known.
        asked: the candidates that answer.
        questions: above 0; the same for all of them.
        normal: (draws, len(asked)) independent standard normal numbers.

    Returns:
        A fraction, at least 0.
    """
    towards = levels.covariance[:, asked]
    answers = towards[asked] + levels.noise[np.ix_(asked, asked)] / questions
    # The expected accuracies will move by a normal vector whose covariance is root @ root.T.
    root = np.linalg.solve(np.linalg.cholesky(answers), towards.T).T
    after = levels.mean + normal @ root.T
    ahead = int(levels.ranking()[0])  # of equals the earliest, not the one that rounding puts ahead
    return float((after.max(axis=1) - after[:, ahead]).mean())
