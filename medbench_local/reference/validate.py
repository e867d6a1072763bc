"""A run against reference results: do predictions, log-probabilities, accuracies and verdicts agree?"""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.catalog.protocol import BootstrapSettings, ReferenceSettings
from medbench_local.errors import InputError
from medbench_local.reference.agreement import (
    agreement,
    by_cell,
    cell_agreements,
    logprob_differences,
    verdict_matches,
)
from medbench_local.reference.match import Match, Matches, match_rows
from medbench_local.reference.rows import ResultRow
from medbench_local.reference.statements import statements
from medbench_local.reference.validation import (
    LEAST_COMPARED,
    MOST_EXCUSED,
    About,
    Agreement,
    CellAgreement,
    Check,
    LogprobDifferences,
    Outcome,
    Validation,
    VerdictMatch,
)

BY_CHANCE = 0.001
"""A cell whose differing predictions are less probable than this, at the rate allowed, has too many of them."""


def validate(
    samples: Sequence[ResultRow],
    reference: Sequence[ResultRow],
    *,
    thresholds: ReferenceSettings,
    bootstrap: BootstrapSettings,
) -> Validation:
    """Compare a run with reference results.

    Only questions that were asked with the same prompt are compared (or with a prompt that one side does not
    name); a cell is judged if at least 90 % of its questions were. The run's verdicts are those on all of its
    questions; of the reference, all verdicts are considered that it can have whatever it would answer to the
    questions that it lacks or asked with another prompt. The run's own notion of the correct
    option is used for both sides.

    Args:
        samples: the run's rows, with model, role, task, shots, scoring and answer.
        reference: the other rows; they may leave out what makes no difference.
        thresholds: what is demanded.
        bootstrap: for intervals and verdicts.

    Raises:
        InputError: the reference holds other questions than the run under the same ids.
    """
    found = match_rows(samples, reference)
    _refuse_other_questions(found)
    cells = by_cell(found)
    shown = cell_agreements(cells, samples, thresholds.prediction_tolerance, bootstrap)
    judged = {one.cell: cells[one.cell] for one in shown if one.judged}
    predictions = agreement([one for one in shown if one.judged])
    logprobs = logprob_differences(judged)
    verdicts = verdict_matches(judged, samples, bootstrap)
    conflicts = sum(map(_other_answer, found.matches))
    checks = (
        *_evidence(found, shown, verdicts, thresholds),
        *_demands(shown, predictions, logprobs, verdicts, conflicts, thresholds),
    )
    return Validation(
        outcome=_outcome(checks),
        statements=statements(found, shown, logprobs, verdicts, samples),
        matches=found,
        agreement=predictions,
        logprobs=logprobs,
        answer_conflicts=conflicts,
        cells=shown,
        verdicts=verdicts,
        checks=checks,
    )


def _refuse_other_questions(found: Matches) -> None:
    """The same id must mean the same question, or what is compared is not what it seems.

    Raises:
        InputError: it does not: another text, other pictures, or where there is no text to compare another correct
            option, or another number of options.
    """
    pictured = any(row.pictures for row in found.other_questions)
    other = "another text, other options or other pictures" if pictured else "another text or other options"
    for rows, how in (
        (found.other_questions, other),
        (
            tuple(m.reference for m in found.matches if m.by == "id" and _other_answer(m)),
            "another correct option, and no text by which to tell whether the question is the same",
        ),
        (tuple(m.reference for m in found.matches if _other_options(m)), "another number of options"),
    ):
        if not rows:
            continue
        first = ", ".join(f"{row.id or row.where!r}" for row in rows[:3]) + (", …" if len(rows) > 3 else "")
        count = "1 question has" if len(rows) == 1 else f"{len(rows):,} questions have"
        raise InputError(
            rows[0].file,
            rows[0].where,
            f"{count} {how} in the run under the same id: {first}",
            advice="Reference and run must hold the same questions under the same ids.",
        )


def _other_answer(match: Match) -> bool:
    ours, theirs = match.sample.answer, match.reference.answer
    return None not in (ours, theirs) and ours != theirs


def _other_options(match: Match) -> bool:
    ours, theirs = match.sample.logprobs, match.reference.logprobs
    return ours is not None and theirs is not None and len(ours) != len(theirs)


def _evidence(
    found: Matches,
    cells: Sequence[CellAgreement],
    verdicts: Sequence[VerdictMatch],
    thresholds: ReferenceSettings,
) -> tuple[Check, ...]:
    """What must be known before anything is said."""
    compared = sum(cell.compared for cell in cells)
    least = min((cell.share_compared for cell in cells), default=None)
    excused = max((cell.share_excused for cell in cells if cell.judged), default=None)
    unclear = found.conflicting + found.ambiguous
    undecided = sum(v.same is None for v in verdicts) if verdicts else None
    return (
        Check("questions compared", compared, 1, compared >= 1, "evidence"),
        _at_least("smallest share of a cell that was compared", least, LEAST_COMPARED, "evidence"),
        _at_most("contradictory or ambiguous reference rows", unclear, 0, "evidence"),
        _at_most("largest share of a cell excused as near-ties", excused, MOST_EXCUSED, "evidence"),
        _at_most(
            "comparisons whose verdicts may be the same or not",
            undecided,
            0 if thresholds.same_verdicts else None,
            "evidence",
        ),
    )


def _demands(
    cells: Sequence[CellAgreement],
    predictions: Agreement | None,
    logprobs: LogprobDifferences | None,
    verdicts: Sequence[VerdictMatch],
    conflicts: int,
    thresholds: ReferenceSettings,
) -> tuple[Check, ...]:
    """What a run must keep so as not to be contradicted."""
    limit = thresholds.prediction_agreement
    too_few = sum(_too_few(cell, limit) for cell in cells)
    differing = sum(v.same is False for v in verdicts) if verdicts else None
    return (
        _at_most("questions with different correct options", conflicts, 0),
        _at_least(
            "share of equal predictions outside near-ties",
            predictions.share_elsewhere if predictions else None,
            limit,
        ),
        _at_most("cells with fewer equal predictions than chance explains", too_few if cells else None, 0),
        _at_most(
            "largest median log-probability difference of a cell",
            logprobs.largest_median if logprobs else None,
            thresholds.logprob_median,
        ),
        _at_most(
            "99th percentile of these differences", logprobs.p99 if logprobs else None, thresholds.logprob_p99
        ),
        _at_most(
            "largest of these differences", logprobs.largest if logprobs else None, thresholds.logprob_largest
        ),
        _at_most("comparisons with different verdicts", differing, 0 if thresholds.same_verdicts else None),
    )


def _too_few(cell: CellAgreement, limit: float) -> bool:
    """Whether too few predictions of a cell are equal, even if those on all questions not compared were.

    A small cell could hide among large ones. Of its questions outside near-ties a share of ``1 - limit`` may
    differ; more than that by chance is allowed for by an exact binomial test.
    """
    from scipy.stats import binom  # slow to import

    others = cell.answerable - cell.near_ties
    return bool(binom.sf(cell.differing - 1, others, 1 - limit) < BY_CHANCE)


def _outcome(checks: Sequence[Check]) -> Outcome:
    failed = {check.about for check in checks if not check.passed}
    if "agreement" in failed:
        return "contradicted"
    return "too little to judge" if failed else "agrees"


def _at_least(name: str, value: float | None, limit: float, about: About = "agreement") -> Check:
    return Check(name, value, limit, value is None or value >= limit, about)


def _at_most(name: str, value: float | None, limit: float | None, about: About = "agreement") -> Check:
    return Check(name, value, limit, value is None or limit is None or value <= limit, about)
