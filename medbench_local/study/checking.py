"""Does quantisation change the answers, and does it change the verdict?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medbench_local.catalog.protocol import Protocol
from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.statistics.equivalence import Equivalence, equivalence
from medbench_local.statistics.paired import Verdict
from medbench_local.study.plan import CheckScope
from medbench_local.study.results import ComparisonEquivalence, EquivalenceRecord
from medbench_local.study.scoring import Answer
from medbench_local.study.verdicts import paired
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
        near_tie: gap in nats up to which two options count as tied.
    """

    questions: int | None
    margin: float
    confidence: float
    seed: int
    reference_precision: str
    near_tie: float


def check_settings(
    protocol: Protocol, quant: QuantConfig, *, scope: CheckScope, reference_precision: str
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
        near_tie=protocol.reference.near_tie,
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
        full_logprobs=[a.logprobs for a in before] if scored else None,
        quantised_logprobs=[a.logprobs for a in after] if scored else None,
        noise=settings.near_tie,
    )


def compare_verdicts(
    questions: Sequence[Question],
    *,
    medical_full: Sequence[Answer],
    medical_quantised: Sequence[Answer],
    base_full: Sequence[Answer],
    base_quantised: Sequence[Answer],
    asked: int,
    protocol: Protocol,
    settings: CheckSettings,
) -> ComparisonEquivalence:
    """Whether the verdict of a quantised comparison may be reported.

    It may if the verdict on the checked questions is the same at both precisions and both models are
    equivalent. Where every test question was checked, the full-precision verdict and accuracies are known, not
    inferred: then a model whose equivalence is merely inconclusive (a small task cannot settle a small margin)
    does not stand against it as long as its accuracy moved by no more than the margin.

    Args:
        questions: the checked questions.
        medical_full: the medical model's answers to them at full precision; the others likewise.
        medical_quantised: at the precision that is reported.
        base_full: of the base model.
        base_quantised: of the base model.
        asked: how many test questions the comparison has.
        protocol: for the bootstrap.
        settings: of the check.
    """
    medical = compare_precisions(questions, medical_full, medical_quantised, settings)
    base = compare_precisions(questions, base_full, base_quantised, settings)
    at_full = paired(questions, medical_full, base_full, protocol.bootstrap).verdict
    at_quantised = paired(questions, medical_quantised, base_quantised, protocol.bootstrap).verdict
    everything = len(questions) == asked
    reasons = [
        *_objections("medical", medical, everything),
        *_objections("base", base, everything),
        *_changed(at_full, at_quantised, len(questions), settings.reference_precision),
    ]
    return ComparisonEquivalence(
        medical=record(medical, settings),
        base=record(base, settings),
        verdict_quantised=at_quantised,
        verdict_full_precision=at_full,
        verified=not reasons,
        reason=" ".join(reasons),
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


def _objections(role: str, found: Equivalence, everything: bool) -> list[str]:
    interval = f"{found.difference:+.1%} [{found.low:+.1%}, {found.high:+.1%}]"
    if found.outcome == "different":
        return [f"Quantisation changed the {role} model: accuracy {interval}, beyond ±{found.margin:.1%}."]
    if found.outcome == "equivalent":
        return []
    if everything and abs(found.difference) <= found.margin:
        return []
    if everything:
        return [
            f"Quantisation moved the accuracy of the {role} model by {found.difference:+.1%} on all {found.n} "
            f"questions, beyond ±{found.margin:.1%}."
        ]
    settle = (
        f"about {found.questions_needed} questions would settle it"
        if found.questions_needed
        else "no feasible number of questions would settle it"
    )
    return [
        f"Open whether quantisation changed the {role} model: accuracy {interval} on {found.n} questions, "
        f"margin ±{found.margin:.1%}; {settle} (--check full uses every question)."
    ]


def _changed(full: Verdict, quantised: Verdict, n: int, reference: str) -> list[str]:
    if full == quantised:
        return []
    return [f"On the {n} checked questions the verdict is {full} at {reference} and {quantised} quantised."]


def _index(answer: Answer) -> int:
    return -1 if answer.prediction is None else answer.prediction


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
