"""The check of one comparison against full precision, as far as it has got: pure bookkeeping, no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medbench_local.catalog.protocol import BootstrapSettings
from medbench_local.results.record import ROLES, VERDICTS, Role
from medbench_local.scoring.answers import Answer
from medbench_local.statistics.options import margins
from medbench_local.statistics.verification import (
    CONFIDENCE,
    Assessment,
    Booleans,
    CheckOrder,
    Correctness,
    assess,
    check_order,
    looks,
)
from medbench_local.study.verdicts import correctness, paired
from medbench_local.tasks.question import Question

LEAST_AHEAD = 100
"""Questions that the model which goes first answers at least before the other one: loading a model is not free."""


class CellVerification:
    """Which questions were asked again, what they say, and which come next.

    Args:
        questions: the test questions.
        scored: each model's answers at the precision that is checked.
        key: identifies the comparison; decides the order of checking.
        settings: of the verdict's bootstrap.
        share: most questions that may be checked before the check is left open, as a share of all; or, where those
            that are always checked first are half of that or more, of the others.
        error: allowed probability of a wrong "confident".
        everything: check all questions, whatever the first ones say.

    Attributes:
        full: each model's answers at full precision, by row of ``questions``.
        found: what they say of the verdict.
        goal: the look up to which the model that went first has answered; -1 before that.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        scored: Mapping[Role, Sequence[Answer]],
        *,
        key: str,
        settings: BootstrapSettings,
        share: float = 1.0,
        error: float = 1 - CONFIDENCE,
        everything: bool = False,
    ) -> None:
        self.questions = questions
        self.scored = scored
        self.full: dict[Role, dict[int, Answer]] = {role: {} for role in ROLES}
        self.found = Assessment("open", VERDICTS)
        self.goal = -1
        self._look = -1
        self._confidence = settings.confidence
        self._error = error
        self._order = order_of(questions, scored, key)
        every = looks(len(questions), self._order.rest.size)
        first, rest = self._order.first.size, self._order.rest.size
        most = share * len(questions) - first if first <= share * len(questions) / 2 else share * rest
        within = tuple(stop for stop in every if share == 1 or stop <= most) or every[:1]
        self._stops = every[-1:] if everything else within
        self._reported = Correctness(*(correctness(questions, scored[role]) for role in ROLES))
        self._verdict = paired(questions, scored["medical"], scored["base"], settings).verdict

    @property
    def settled(self) -> bool:
        """Whether the verdict at full precision is known, or known well enough."""
        return self._look >= 0 and self.found.settles(self._verdict)

    @property
    def unfinished(self) -> bool:
        """Whether there is more to check and reason to do so."""
        return not self.settled and self._look + 1 < len(self._stops)

    @property
    def checked(self) -> tuple[int, ...]:
        """The rows that count as checked, in the order of checking."""
        return self._rows(self._look) if self._look >= 0 else ()

    @property
    def next_goal(self) -> int:
        """The look up to which the next round goes: twice as far, by `LEAST_AHEAD` questions at least."""
        done = 0 if self.goal < 0 else self._order.first.size + self._stops[self.goal]
        ahead = max(2 * done, done + LEAST_AHEAD) - self._order.first.size
        last = max((i for i, stop in enumerate(self._stops) if stop <= ahead), default=0)
        return min(max(self.goal + 1, last), len(self._stops) - 1)

    @property
    def looks_to_follow(self) -> range:
        """The looks up to the goal at which nothing was assessed yet."""
        return range(self._look + 1, self.goal + 1)

    def missing(self, role: Role, look: int) -> list[int]:
        """The rows up to a look that ``role`` has not answered at full precision."""
        return [row for row in self._rows(look) if row not in self.full[role]] if look >= 0 else []

    def assess(self, look: int) -> None:
        """Take note of what the rows up to ``look`` say; both models have answered them."""
        self._look = look
        full = Correctness(self._correct("medical"), self._correct("base"))
        self.found = assess(
            self._reported,
            full,
            self._order,
            self._stops[look],
            confidence=self._confidence,
            error=self._error,
        )

    def answers(self, role: Role) -> list[Answer]:
        """The model's answers to all questions at full precision, once all that can be asked were asked.

        A prompt that fits at neither precision has the answer that it has at the scored one: none.
        """
        return [self.full[role].get(row, answer) for row, answer in enumerate(self.scored[role])]

    def _rows(self, look: int) -> tuple[int, ...]:
        return tuple(int(row) for row in self._order.rows(self._stops[look]))

    def _correct(self, role: Role) -> Booleans:
        known = np.zeros(len(self.questions), dtype=bool)
        for row, answer in self.full[role].items():
            known[row] = answer.prediction == self.questions[row].answer
        return known


def order_of(questions: Sequence[Question], scored: Mapping[Role, Sequence[Answer]], key: str) -> CheckOrder:
    """The order of checking, from the answers at the scored precision alone."""
    askable = np.array(
        [not (m.overlong and b.overlong) for m, b in zip(*scored.values(), strict=True)], dtype=bool
    )
    gaps = np.full(len(questions), np.inf)
    for answers in scored.values():
        for row, answer in enumerate(answers):
            if answer.logprobs:
                gaps[row] = min(gaps[row], margins([answer.logprobs])[0])
    return check_order(gaps if np.isfinite(gaps).any() else None, askable, key)
