"""Does quantisation change a model's answers?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from medbench_local.catalog.protocol import Protocol
from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.results.checks import EquivalenceRecord, PrecisionChanges
from medbench_local.scoring.answers import Answer, LogprobsOf
from medbench_local.statistics.equivalence import Equivalence, equivalence
from medbench_local.statistics.options import kl_divergences
from medbench_local.study.options import CheckScope
from medbench_local.tasks.question import Question


@dataclass(frozen=True)
class CheckSettings:
    """How precisions are compared.

    Attributes:
        questions: most questions of a task; None for all.
        margin: largest accuracy difference that counts as none, a fraction.
        confidence: of the interval of that difference.
        seed: of the drawn subset.
        reference_precision: what the quantised models are compared with.
        near_tie: gap in nats up to which two options count as tied: the noise of the engine's mode.
    """

    questions: int | None
    margin: float
    confidence: float
    seed: int
    reference_precision: str
    near_tie: float


def check_settings(
    protocol: Protocol, quant: QuantConfig, *, scope: CheckScope, reference_precision: str, near_tie: float
) -> CheckSettings:
    """What the protocol says, and where it is silent the quantisation config."""
    own = protocol.check
    questions = own.questions if own.questions is not None else quant.equivalence.questions
    return CheckSettings(
        questions=None if scope == "full" or questions == "all" else questions,
        margin=own.margin if own.margin is not None else quant.equivalence.margin,
        confidence=own.confidence if own.confidence is not None else quant.equivalence.confidence,
        seed=own.seed,
        reference_precision=reference_precision,
        near_tie=near_tie,
    )


def checked_rows(n: int, settings: CheckSettings) -> tuple[int, ...]:
    """Rows of the test questions that are checked: all, or a random subset in ascending order."""
    if settings.questions is None or settings.questions >= n:
        return tuple(range(n))
    drawn = np.random.default_rng(settings.seed).choice(n, settings.questions, replace=False)
    return tuple(sorted(int(row) for row in drawn))


def compare_precisions(
    questions: Sequence[Question],
    full: Sequence[Answer],
    quantised: Sequence[Answer],
    settings: CheckSettings,
) -> Equivalence:
    """One model's answers at two precisions, question by question.

    Questions whose prompt did not fit the context were answered at neither precision and are left out.
    """
    kept = [i for i, answer in enumerate(quantised) if not (answer.overlong or full[i].overlong)]
    if not kept:  # nothing was scored, so nothing can have changed; one concordant question says so
        kept = list(range(len(questions)))
    before, after = [full[i] for i in kept], [quantised[i] for i in kept]
    scored = all(a.logprobs for a in (*before, *after))
    return equivalence(
        [_index(a) for a in before],
        [_index(a) for a in after],
        [questions[i].answer for i in kept],
        margin=settings.margin,
        confidence=settings.confidence,
        full_logprobs=LogprobsOf(before) if scored else None,
        quantised_logprobs=LogprobsOf(after) if scored else None,
        noise=settings.near_tie,
    )


def precision_changes(
    questions: Sequence[Question], full: Sequence[Answer], quantised: Sequence[Answer]
) -> PrecisionChanges:
    """How one model's answers differ between two precisions, without a judgement.

    Questions whose prompt did not fit the context were answered at neither precision and are left out.
    """
    rows = [
        (question, before, after)
        for question, before, after in zip(questions, full, quantised, strict=True)
        if not (before.overlong or after.overlong)
    ]
    right = [(before.prediction == q.answer, after.prediction == q.answer) for q, before, after in rows]
    divergences: Sequence[float] = ()
    if all(before.logprobs and after.logprobs for _, before, after in rows):
        divergences = kl_divergences(
            LogprobsOf([b for _, b, _ in rows]), LogprobsOf([a for _, _, a in rows])
        ).tolist()
    return PrecisionChanges(
        n=len(rows),
        flips=sum(before.prediction != after.prediction for _, before, after in rows),
        correct_to_wrong=right.count((True, False)),
        wrong_to_correct=right.count((False, True)),
        kl_mean=_finite(fmean(divergences)) if divergences else None,
        kl_max=_finite(max(divergences)) if divergences else None,
    )


def record(found: Equivalence, settings: CheckSettings) -> EquivalenceRecord:
    """``found`` as results.json keeps it; an infinite divergence is kept as none."""
    return EquivalenceRecord(
        outcome=found.outcome,
        reference_precision=settings.reference_precision,
        n=found.n,
        flips=found.flips,
        flip_ci=(found.flips_low, found.flips_high),
        correct_to_wrong=found.correct_to_wrong,
        wrong_to_correct=found.wrong_to_correct,
        accuracy_full=found.accuracy_full,
        accuracy_quantised=found.accuracy_quantised,
        difference=found.difference,
        ci=(found.low, found.high),
        confidence=found.confidence,
        margin=found.margin,
        questions_needed=found.questions_needed,
        kl_mean=_finite(found.kl_mean),
        kl_max=_finite(found.kl_max),
        flip_margins=tuple(sorted(gap for gap in found.flip_margins if math.isfinite(gap))),
        near_ties=found.near_ties or 0,
    )


def _index(answer: Answer) -> int:
    return -1 if answer.prediction is None else answer.prediction


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
