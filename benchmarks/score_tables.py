"""Synthetic score tables, to see what a search costs and how often it misses.

A candidate answers a question correctly if a latent score is above 0:

    z = level + F_f + D_d + FD_c + Q_q + FQ_fq + DQ_dq + error,      error ~ N(0, 1)

with independent normal effects of the standard deviations that a `Scenario` names. The grid model of `grid` is
fitted to results, and to margins brought to their scale, and knows none of these numbers.

The latent score is also the margin. That is the best that a margin can be; `distorted` has worse ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from medbench_local.prompts.prompt import Candidate
from medbench_local.selection.result import Evaluate, Outcomes, Questions


@dataclass(frozen=True)
class Scenario:
    """How candidates and questions of a synthetic table differ; standard deviations of the latent score.

    A latent unit is worth about 20 points of accuracy near 50 %.

    Attributes:
        accuracy: mean accuracy over candidates, 0 to 1.
        formats: between formats.
        demonstrations: between demonstration sets.
        interaction: between candidates beyond the sum of both.
        questions: between questions, the same for all candidates (what makes their results alike).
        format_questions: idiosyncrasies shared by candidates with the same format.
        demonstration_questions: idiosyncrasies shared by candidates with the same demonstrations.
        error: of the single result; 0 makes equal candidates answer identically.
        length: not a deviation: how much better questions are answered that are longer by a standard deviation (of
            the lengths' logarithms), by everybody.
        format_length: how much formats differ in that.
        demonstration_length: how much demonstration sets differ in that.
    """

    accuracy: float = 0.45
    formats: float = 0.15
    demonstrations: float = 0.08
    interaction: float = 0.06
    questions: float = 1.2
    format_questions: float = 0.5
    demonstration_questions: float = 0.4
    error: float = 1.0
    length: float = 0.0
    format_length: float = 0.0
    demonstration_length: float = 0.0


SCENARIOS = {
    "typical": Scenario(),
    "easy": Scenario(accuracy=0.6, formats=0.4, demonstrations=0.1, interaction=0.1),
    "hard": Scenario(formats=0.03, demonstrations=0.03, interaction=0.03),
    "tied": Scenario(
        formats=0, demonstrations=0, interaction=0, format_questions=0, demonstration_questions=0, error=0
    ),
    "unstructured": Scenario(formats=0, demonstrations=0, interaction=0.15),
    "near chance": Scenario(
        accuracy=0.3, demonstrations=0.08, interaction=0.04, questions=0.7, format_questions=0.8
    ),
}
"""From tables with a clear winner to tables where all candidates are one.

Over 110 candidates the true accuracies range over about 28 points (easy), 13 (typical), 8 (near chance), 4 (hard);
Sclar et al. (ICLR 2024) report a median spread of 7.5 points over ten plausible formats for comparable models. The
correlation of two candidates' correctness is about 0.35, 0.15 near chance.
"""


@dataclass(frozen=True)
class Table:
    """A synthetic score table.

    Attributes:
        candidates: the grid, in evaluation order.
        correct: (candidates, questions), all results.
        truth: (candidates,) accuracy on questions without number.
        margins: (candidates, questions), above 0 where correct.
    """

    candidates: tuple[Candidate, ...]
    correct: NDArray[np.bool_]
    truth: NDArray[np.float64]
    margins: NDArray[np.float64]

    @property
    def evaluate(self) -> Evaluate:
        """The callback that a search takes."""

        def look_up(candidate: int, questions: Questions) -> Outcomes:
            return Outcomes(self.correct[candidate, questions], self.margins[candidate, questions])

        return look_up

    @property
    def winner(self) -> int:
        """What an exhaustive search chooses."""
        return int(np.argmax(self.correct.sum(axis=1)))

    def validation_regret(self, chosen: int) -> float:
        """Validation accuracy given up against the exhaustive search, a fraction."""
        return float(self.correct[self.winner].mean() - self.correct[chosen].mean())

    def true_regret(self, chosen: int) -> float:
        """Accuracy on fresh questions given up against the exhaustive search; negative if gained."""
        return float(self.truth[self.winner] - self.truth[chosen])


def score_table(
    scenario: Scenario,
    rng: np.random.Generator,
    *,
    formats: int = 11,
    demonstrations: int = 10,
    questions: int = 500,
    lengths: NDArray[np.float64] | None = None,
) -> Table:
    """Draw a table of ``formats`` x ``demonstrations`` candidates and ``questions`` questions.

    ``lengths`` are those of the questions, above 0; without, no question is longer than another.
    """
    s = scenario
    scale = sqrt(s.questions**2 + s.format_questions**2 + s.demonstration_questions**2 + s.error**2)
    f, d, q = formats, demonstrations, questions
    level = (
        norm.ppf(s.accuracy) * scale
        + rng.normal(0, s.formats, (f, 1))
        + rng.normal(0, s.demonstrations, (1, d))
        + rng.normal(0, s.interaction, (f, d))
    )
    if lengths is not None:
        logs = np.log(lengths)
        slope = (
            s.length + rng.normal(0, s.format_length, (f, 1)) + rng.normal(0, s.demonstration_length, (1, d))
        )
        levels = level[:, :, None] + slope[:, :, None] * (logs - logs.mean()) / logs.std()
    else:
        levels = level[:, :, None]
    latent = (
        levels
        + rng.normal(0, s.questions, q)
        + rng.normal(0, s.format_questions, (f, 1, q))
        + rng.normal(0, s.demonstration_questions, (1, d, q))
        + rng.normal(0, s.error, (f, d, q))
    )
    return Table(
        candidates=tuple(
            Candidate(None if i == 0 else i - 1, j if demonstrations > 1 else None)
            for i in range(formats)
            for j in range(demonstrations)
        ),
        correct=(latent > 0).reshape(f * d, q),
        margins=latent.reshape(f * d, q),
        truth=norm.cdf(levels / scale).mean(axis=2).ravel(),
    )


def distorted(table: Table, rng: np.random.Generator) -> Table:
    """The same results with margins that say less of how good candidates are, and something wrong.

    Formats differ in how sharp they make answers, and by how much right answers are further from the border than
    wrong ones: standard deviations of 50 % and 10 %. Each margin besides is too large or too small by 70 %. So
    margins favour formats by about 1.5 points; those of the embedded pair, without demonstrations, do by 1.4.
    """
    formats = {format: i for i, format in enumerate(dict.fromkeys(one.format for one in table.candidates))}
    of = [formats[one.format] for one in table.candidates]
    sharp = rng.normal(0, 0.5, (len(formats), 1))[of]
    lopsided = rng.normal(0, 0.1, (len(formats), 1))[of]
    factors = sharp + np.where(table.correct, lopsided, -lopsided) + rng.normal(0, 0.7, table.correct.shape)
    return replace(table, margins=table.margins * np.exp(factors))


def without_margins(table: Table) -> Table:
    """Right and wrong alone."""
    return replace(table, margins=np.full(table.correct.shape, np.nan))
