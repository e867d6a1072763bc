"""A run against reference results: do predictions, log-probabilities, accuracies and verdicts agree?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medbench_local.catalog.protocol import BootstrapSettings, ReferenceSettings
from medbench_local.reference.match import Match, Matches, cell_of, match_rows
from medbench_local.reference.rows import ResultRow
from medbench_local.statistics.options import margins
from medbench_local.statistics.paired import Verdict, paired_bootstrap
from medbench_local.statistics.significance import wilson


@dataclass(frozen=True)
class Agreement:
    """How often both sides choose the same option.

    Attributes:
        n: questions on both sides.
        same: those with the same prediction.
        low: lower Wilson bound of the share that is the same, 95 %.
        high: upper bound.
        near_ties: questions whose two best options the reference (or, where it has no log-probabilities, the
            run) sees at most the threshold apart.
        disagreements_near_ties: different predictions among them.
        disagreements_elsewhere: different predictions among the others.
    """

    n: int
    same: int
    low: float
    high: float
    near_ties: int
    disagreements_near_ties: int
    disagreements_elsewhere: int

    @property
    def share_elsewhere(self) -> float:
        """Share of the same predictions among questions that are no near-ties; 1 if all are."""
        others = self.n - self.near_ties
        return 1 - self.disagreements_elsewhere / others if others else 1.0


@dataclass(frozen=True)
class LogprobDifferences:
    """Absolute differences of the options' log-probabilities, in nats, where the prompt is the same.

    Quantiles are order statistics, the next larger one where the rank is broken.

    Attributes:
        n: number of options compared.
        median: the median.
        p99: the 99th percentile.
        largest: the largest; infinite if only one side deems an option impossible.
    """

    n: int
    median: float
    p99: float
    largest: float


@dataclass(frozen=True)
class CellAccuracy:
    """Accuracies of one cell on the matched questions.

    Attributes:
        model: its name.
        task: task id.
        shots: demonstrations in the prompt.
        scoring: how answers were found.
        n: matched questions.
        run: accuracy of the run.
        reference: accuracy of the reference.
        low: lower bound of the paired bootstrap interval of ``run - reference``.
        high: upper bound.
    """

    model: str | None
    task: str | None
    shots: int | None
    scoring: str | None
    n: int
    run: float
    reference: float
    low: float
    high: float


@dataclass(frozen=True)
class VerdictMatch:
    """One comparison, judged twice on the questions that both sides have for both models.

    Attributes:
        task: task id.
        shots: demonstrations in the prompt.
        scoring: how answers were found.
        n: questions.
        run: verdict by the run's answers.
        reference: verdict by the reference's.
    """

    task: str | None
    shots: int | None
    scoring: str | None
    n: int
    run: Verdict
    reference: Verdict


@dataclass(frozen=True)
class Check:
    """One threshold.

    Attributes:
        name: what is demanded, for people.
        value: what was found; None if there was nothing to judge.
        limit: what is allowed; None if it is reported only.
        passed: whether the value keeps the limit.
    """

    name: str
    value: float | None
    limit: float | None
    passed: bool


@dataclass(frozen=True)
class Validation:
    """All that comparing a run with a reference shows.

    Attributes:
        matches: what belongs together, and what was left over.
        agreement: of predictions; None if nothing matched.
        logprobs: differences; None if no matched row has the same prompt and log-probabilities on both sides.
        answer_conflicts: matched questions of which both sides hold different options to be correct.
        cells: accuracies, in the samples' order.
        verdicts: one for each comparison that both sides have.
        checks: every threshold, passed or not.
    """

    matches: Matches
    agreement: Agreement | None
    logprobs: LogprobDifferences | None
    answer_conflicts: int
    cells: tuple[CellAccuracy, ...]
    verdicts: tuple[VerdictMatch, ...]
    checks: tuple[Check, ...]

    def __str__(self) -> str:
        end = (
            "the run agrees with the reference"
            if self.passed
            else "the run does not agree with the reference"
        )
        lines = [f"{len(self.matches.matches):,} questions matched"]
        for check in self.checks:
            value = "nothing to judge" if check.value is None else f"{check.value:.4g}"
            allowed = "reported only" if check.limit is None else f"allowed {check.limit:g}"
            kept = "" if check.passed else ", not kept"
            lines.append(f"{check.name}: {value} ({allowed}{kept})")
        return "\n".join([*lines, end])

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def validate(
    samples: Sequence[ResultRow],
    reference: Sequence[ResultRow],
    *,
    thresholds: ReferenceSettings,
    bootstrap: BootstrapSettings,
) -> Validation:
    """Compare a run with reference results.

    The run's own notion of the correct option is used for both sides.

    Args:
        samples: the run's rows, with model, role, task, shots, scoring and answer.
        reference: the other rows; they may leave out what makes no difference.
        thresholds: what is demanded.
        bootstrap: for intervals and verdicts.
    """
    found = match_rows(samples, reference)
    agreement = _agreement(found.matches, thresholds.near_tie) if found.matches else None
    logprobs = _logprobs(found.matches)
    conflicts = sum(
        None not in (m.sample.answer, m.reference.answer) and m.sample.answer != m.reference.answer
        for m in found.matches
    )
    verdicts = _verdicts(found.matches, bootstrap)
    return Validation(
        matches=found,
        agreement=agreement,
        logprobs=logprobs,
        answer_conflicts=conflicts,
        cells=_cells(found.matches, bootstrap),
        verdicts=verdicts,
        checks=_checks(found, agreement, logprobs, conflicts, verdicts, thresholds),
    )


def _agreement(matches: Sequence[Match], near_tie: float) -> Agreement:
    different = np.array([m.sample.prediction != m.reference.prediction for m in matches])
    tied = np.array([_gap(m) <= near_tie for m in matches])
    n, same = len(matches), int(np.count_nonzero(~different))
    low, high = wilson(same, n)
    return Agreement(
        n=n,
        same=same,
        low=low,
        high=high,
        near_ties=int(np.count_nonzero(tied)),
        disagreements_near_ties=int(np.count_nonzero(different & tied)),
        disagreements_elsewhere=int(np.count_nonzero(different & ~tied)),
    )


def _gap(match: Match) -> float:
    logprobs = match.reference.logprobs or match.sample.logprobs
    return float(margins([logprobs])[0]) if logprobs else np.inf


def _logprobs(matches: Sequence[Match]) -> LogprobDifferences | None:
    differences: list[float] = []
    for match in matches:
        ours, theirs = match.sample.logprobs, match.reference.logprobs
        if match.by != "prompt" or ours is None or theirs is None:
            continue
        if len(ours) != len(theirs):
            differences.append(np.inf)
            continue
        # equal infinities differ by nothing, though their difference is not a number
        differences += [0.0 if a == b else abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    if not differences:
        return None
    median, p99 = np.quantile(differences, (0.5, 0.99), method="higher")
    return LogprobDifferences(len(differences), float(median), float(p99), max(differences))


def _correct(matches: Sequence[Match]) -> tuple[list[bool], list[bool]]:
    return (
        [m.sample.prediction == m.sample.answer for m in matches],
        [m.reference.prediction == m.sample.answer for m in matches],
    )


def _cells(matches: Sequence[Match], bootstrap: BootstrapSettings) -> tuple[CellAccuracy, ...]:
    grouped: dict[tuple[str | None, str | None, int | None, str | None], list[Match]] = {}
    for match in matches:
        grouped.setdefault(cell_of(match.sample), []).append(match)
    cells = []
    for (model, task, shots, scoring), group in grouped.items():
        paired = paired_bootstrap(
            *_correct(group),
            confidence=bootstrap.confidence,
        )
        cells.append(
            CellAccuracy(
                model,
                task,
                shots,
                scoring,
                n=paired.n,
                run=paired.accuracy_medical,
                reference=paired.accuracy_base,
                low=paired.low,
                high=paired.high,
            )
        )
    return tuple(cells)


def _verdicts(matches: Sequence[Match], bootstrap: BootstrapSettings) -> tuple[VerdictMatch, ...]:
    comparisons: dict[tuple[str | None, int | None, str | None], dict[str, dict[str, Match]]] = {}
    for match in matches:
        row = match.sample
        if row.role in ("medical", "base") and row.id is not None:
            sides = comparisons.setdefault((row.task, row.shots, row.scoring), {"medical": {}, "base": {}})
            sides[row.role][row.id] = match
    found = []
    for (task, shots, scoring), sides in comparisons.items():
        common = [id for id in sides["medical"] if id in sides["base"]]
        if not common:
            continue
        medical = _correct([sides["medical"][id] for id in common])
        base = _correct([sides["base"][id] for id in common])
        run, reference = (
            paired_bootstrap(m, b, confidence=bootstrap.confidence).verdict
            for m, b in zip(medical, base, strict=True)
        )
        found.append(VerdictMatch(task, shots, scoring, len(common), run, reference))
    return tuple(found)


def _checks(
    found: Matches,
    agreement: Agreement | None,
    logprobs: LogprobDifferences | None,
    conflicts: int,
    verdicts: Sequence[VerdictMatch],
    thresholds: ReferenceSettings,
) -> tuple[Check, ...]:
    differing = sum(v.run != v.reference for v in verdicts)
    unclear = found.conflicting + found.ambiguous
    checks = [
        Check("questions on both sides", len(found.matches), 1, bool(found.matches)),
        Check("contradictory or ambiguous reference rows", unclear, 0, unclear == 0),
        Check("questions with different correct options", conflicts, 0, conflicts == 0),
        _at_least(
            "share of equal predictions outside near-ties",
            agreement.share_elsewhere if agreement else None,
            thresholds.prediction_agreement,
        ),
        _at_most(
            "median log-probability difference",
            logprobs.median if logprobs else None,
            thresholds.logprob_median,
        ),
        _at_most(
            "99th percentile of these differences", logprobs.p99 if logprobs else None, thresholds.logprob_p99
        ),
        _at_most(
            "largest of these differences", logprobs.largest if logprobs else None, thresholds.logprob_largest
        ),
        _at_most(
            "comparisons with different verdicts",
            differing if verdicts else None,
            0 if thresholds.same_verdicts else None,
        ),
    ]
    return tuple(checks)


def _at_least(name: str, value: float | None, limit: float) -> Check:
    return Check(name, value, limit, value is None or value >= limit)


def _at_most(name: str, value: float | None, limit: float | None) -> Check:
    return Check(name, value, limit, value is None or limit is None or value <= limit)
