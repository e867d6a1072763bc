"""What comparing a run with reference results shows, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medbench_local.reference.match import Cell, Matches
from medbench_local.results.presented import Brief
from medbench_local.results.record import thinkers_said
from medbench_local.statistics.paired import Verdict

Outcome = Literal["agrees", "contradicted", "too little to judge"]
About = Literal["evidence", "agreement"]

LEAST_COMPARED = 0.9
"""Least share of a cell's questions that must be compared before anything is said of the cell."""

MOST_EXCUSED = 0.05
"""Largest share of a cell's compared questions whose predictions may differ because both sides are near a tie."""


@dataclass(frozen=True)
class Agreement:
    """How often both sides choose the same option, on the compared questions of the judged cells.

    Attributes:
        n: questions compared.
        same: those with the same prediction.
        low: lower Wilson bound of the share that is the same, 95 %.
        high: upper bound.
        near_ties: questions within the tolerance on both sides; see `near_tie`.
        excused: different predictions among them.
        differing: different predictions among the others.
    """

    n: int
    same: int
    low: float
    high: float
    near_ties: int
    excused: int
    differing: int

    @property
    def share_elsewhere(self) -> float | None:
        """Share of the same predictions among questions that are no near-ties; None if all are."""
        others = self.n - self.near_ties
        return 1 - self.differing / others if others else None


@dataclass(frozen=True)
class LogprobDifferences:
    """Absolute differences of the options' log-probabilities, in nats, on the compared questions of the judged cells.

    Of cloze, in nats a byte. Quantiles are order statistics, the next larger one where the rank is broken.

    Attributes:
        n: number of options compared.
        questions: number of questions compared, those with log-probabilities on both sides.
        median: the median.
        largest_median: the largest of the cells' own medians.
        p99: the 99th percentile.
        largest: the largest; infinite if only one side deems an option impossible.
    """

    n: int
    questions: int
    median: float
    largest_median: float
    p99: float
    largest: float


@dataclass(frozen=True)
class CellAgreement:
    """One cell that the reference speaks of.

    A question is compared if it has a reference row whose prompt is not known to be another one, and an answer on
    at least one side.

    Attributes:
        cell: which one.
        questions: of the run.
        matched: those with a reference row.
        other_prompts: of these, those that the reference asked with another prompt.
        unknown_prompts: of these, those of which one side does not name its prompt.
        unanswered: of these, those with no answer on either side.
        compared: of these, those compared.
        differing: different predictions, excused ones aside.
        near_ties: questions within the tolerance on both sides.
        excused: different predictions among them.
        run: accuracy of the run on the compared and the unanswered questions, by the run's own notion of the
            correct option; None if there are none.
        reference: accuracy of the reference on the same questions, by the same notion.
        low: lower bound of the paired bootstrap interval of ``run - reference``.
        high: upper bound.
    """

    cell: Cell
    questions: int
    matched: int
    other_prompts: int
    unknown_prompts: int
    unanswered: int
    compared: int
    differing: int
    near_ties: int
    excused: int
    run: float | None
    reference: float | None
    low: float | None
    high: float | None

    @property
    def answerable(self) -> int:
        """Questions of the run but those without an answer on either side."""
        return self.questions - self.unanswered

    @property
    def share_compared(self) -> float:
        """Share of the answerable questions that were compared; 0 if there are none."""
        return self.compared / self.answerable if self.answerable else 0.0

    @property
    def share_excused(self) -> float:
        """Share of the compared questions whose different predictions are excused."""
        return self.excused / self.compared if self.compared else 0.0

    @property
    def judged(self) -> bool:
        """Whether enough of it was compared."""
        return self.share_compared >= LEAST_COMPARED


@dataclass(frozen=True)
class VerdictMatch:
    """The verdict of one of the run's comparisons, and what the reference says of it.

    Both are verdicts on all questions of the run's comparison. The reference may lack some of them for one model or
    both, or have asked them with another prompt; its verdict then is any that it can have whatever it would answer.

    Attributes:
        task: task id.
        shots: demonstrations in the prompt.
        scoring: how answers were found; None where the two models are asked by different rules, or nobody says.
        thinkers: who thinks before it answers, where some models do: "both", "medical", "none".
        n: questions that the reference has for both models, with the run's prompts as far as is known.
        of: questions of the run's comparison: those that both of its models were asked.
        run: verdict by the run's answers to the ``of`` questions.
        reference: verdicts that the reference's answers to the ``n`` questions allow, from loss to win; one if the
            others cannot change it.
    """

    task: str | None
    shots: int | None
    scoring: str | None
    thinkers: str | None
    n: int
    of: int
    run: Verdict
    reference: tuple[Verdict, ...]

    def __str__(self) -> str:
        name = self.task or "all questions"
        shots = "" if self.shots is None else f", {self.shots}-shot"
        who = "" if self.thinkers is None else f", {thinkers_said(self.thinkers)}"
        said = f"{name}{shots}{who}: {self.run} here, {' or '.join(self.reference)} by the reference"
        missing = self.of - self.n
        if not missing:
            return f"{said} ({self.of:,} question{'' if self.of == 1 else 's'})"
        how = "whatever the answers" if len(self.reference) == 1 else "depending on the answers"
        questions = f"{missing:,} of {self.of:,} question{'' if self.of == 1 else 's'}"
        return f"{said}, {how} to {questions} without comparable rows of both models"

    @property
    def same(self) -> bool | None:
        """Whether both verdicts are the same; None if that depends on what the reference lacks."""
        if self.run not in self.reference:
            return False
        return True if len(self.reference) == 1 else None


@dataclass(frozen=True)
class Check:
    """One threshold.

    Attributes:
        name: what is demanded, for people.
        value: what was found; None if there was nothing to judge.
        limit: what is allowed; None if it is reported only.
        passed: whether the value keeps the limit.
        about: "evidence" if the limit says how much must be known before anything is said; "agreement" if a run
            that does not keep it is contradicted.
    """

    name: str
    value: float | None
    limit: float | None
    passed: bool
    about: About


@dataclass(frozen=True, repr=False)
class Validation(Brief):
    """All that comparing a run with a reference shows.

    Attributes:
        outcome: "contradicted" if a check of agreement is not passed; else "too little to judge" if one of
            evidence is not; else "agrees", which speaks of the judged cells only.
        statements: what the outcome rests on and what was not compared, a sentence each.
        matches: what belongs together, and what was left over.
        agreement: of predictions; None if no cell is judged.
        logprobs: differences; None if no question of a judged cell has log-probabilities on both sides.
        answer_conflicts: matched questions of which both sides hold different options to be correct.
        cells: those that the reference speaks of, in the samples' order.
        verdicts: one for each comparison of two judged cells; see `VerdictMatch.same`.
        checks: every threshold, passed or not.
    """

    outcome: Outcome
    statements: tuple[str, ...]
    matches: Matches
    agreement: Agreement | None
    logprobs: LogprobDifferences | None
    answer_conflicts: int
    cells: tuple[CellAgreement, ...]
    verdicts: tuple[VerdictMatch, ...]
    checks: tuple[Check, ...]

    def _in_short(self) -> str:
        return self.conclusion

    def __str__(self) -> str:
        lines = list(self.statements)
        for check in self.checks:
            value = "nothing to judge" if check.value is None else f"{check.value:.4g}"
            allowed = "reported only" if check.limit is None else f"limit {check.limit:g}"
            kept = "" if check.passed else ", not kept"
            lines.append(f"{check.name}: {value} ({allowed}{kept})")
        return "\n".join([*lines, *map(str, self.verdicts), self.conclusion])

    @property
    def judged(self) -> int:
        """Number of judged cells."""
        return sum(cell.judged for cell in self.cells)

    @property
    def verdicts_compared(self) -> int:
        """Number of comparisons of which it is certain whether both verdicts are the same."""
        return sum(one.same is not None for one in self.verdicts)

    @property
    def conclusion(self) -> str:
        """The outcome as a sentence that claims no more than was compared."""
        if self.outcome == "contradicted":
            return "The reference contradicts the run."
        if self.outcome == "too little to judge":
            return "This is too little to judge: the run is neither confirmed nor contradicted."
        of = len(self.matches.cells)
        where = "" if self.judged == of else f" in {self.judged:,} of {of:,} cells"
        agrees = f"The run agrees with the reference{where}"
        if not self.verdicts_compared:
            return f"{agrees}; no verdict was compared."
        if differing := sum(one.same is False for one in self.verdicts):  # the protocol may allow it
            return f"{agrees}, but for {differing:,} of {self.verdicts_compared:,} verdicts."
        return f"{agrees}."
