"""From the answers of two models to comparisons: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from medbench_local.catalog.protocol import BootstrapSettings, Scoring
from medbench_local.catalog.quantisation import FULL
from medbench_local.results.checks import AtPrecision, Check, ComparisonEquivalence
from medbench_local.results.choices import PromptChoice, PromptChoices
from medbench_local.results.clusters import ClusterKindRecord, Clusters
from medbench_local.results.record import THINKERS, Accuracies, Discordant, Thinkers
from medbench_local.results.schema import (
    Ablation,
    Comparison,
    Counts,
    CountsOfBoth,
    Thinking,
    ThinkingOfBoth,
)
from medbench_local.scoring.answers import Answer, LogprobsOf
from medbench_local.statistics.clusters import cluster_bootstrap, joined
from medbench_local.statistics.doubt import doubt_said
from medbench_local.statistics.options import near_ties
from medbench_local.statistics.paired import PairedDifference, paired_bootstrap, raw_verdict
from medbench_local.statistics.significance import holm, mcnemar_exact, minimum_detectable_difference
from medbench_local.tasks.question import Question


@dataclass(frozen=True)
class Side:
    """One model's part of a comparison.

    Attributes:
        choice: the prompt it was asked with.
        answers: its answers to the test questions.
    """

    choice: PromptChoice
    answers: Sequence[Answer]


def correctness(questions: Sequence[Question], answers: Sequence[Answer]) -> NDArray[np.bool_]:
    """Which questions are answered correctly; no prediction is wrong."""
    return np.array([a.prediction == q.answer for q, a in zip(questions, answers, strict=True)], dtype=bool)


def paired(
    questions: Sequence[Question],
    medical: Sequence[Answer],
    base: Sequence[Answer],
    settings: BootstrapSettings,
) -> PairedDifference:
    """The paired difference of two models on the same questions."""
    return paired_bootstrap(
        correctness(questions, medical),
        correctness(questions, base),
        confidence=settings.confidence,
    )


@dataclass(frozen=True)
class AtFullPrecision:
    """What the check of a comparison found.

    Attributes:
        check: its state.
        medical, base: the models' answers to all questions at full precision, which are reported then; None unless
            every question was checked against full precision itself.
        equivalence: of each model, where every question was checked.
        scored_in_full: whether full precision itself was scored.
    """

    check: Check
    medical: Sequence[Answer] | None = None
    base: Sequence[Answer] | None = None
    equivalence: ComparisonEquivalence | None = None
    scored_in_full: bool = False


def comparison(
    *,
    task: str,
    shots: int,
    scoring: Scoring,
    thinkers: Thinkers | None = None,
    precision: str,
    questions: Sequence[Question],
    medical: Side,
    base: Side,
    shared_prompt: Sequence[Answer] | None,
    settings: BootstrapSettings,
    near_tie: float,
    reference_near_tie: float,
    found: AtFullPrecision,
) -> Comparison:
    """One comparison; its ``holm_p`` is that of a run with this comparison only.

    Args:
        task: the task's id.
        shots: demonstrations in a prompt.
        scoring: how prompts became answers.
        thinkers: who thought before, where some can.
        precision: that the answers were scored at.
        questions: the test questions.
        medical: the medical model's choice and answers.
        base: the base model's.
        shared_prompt: the base model's answers with the medical model's prompt, if they were scored.
        settings: of the bootstrap.
        near_tie: noise of the engine's mode at the scored precision, in nats.
        reference_near_tie: the same at full precision.
        found: by the check of the scored precision.
    """
    scored = paired(questions, medical.answers, base.answers, settings)
    result, answers, noise = scored, (medical.answers, base.answers), near_tie
    if found.medical is not None and found.base is not None:
        answers, noise = (found.medical, found.base), reference_near_tie
        result = paired(questions, *answers, settings)
    p = mcnemar_exact(result.medical_only, result.base_only)
    detectable = None
    if result.discordance > 0:
        detectable = minimum_detectable_difference(
            result.n, result.discordance, alpha=1 - settings.confidence
        )
    return Comparison(
        task=task,
        shots=shots,
        scoring=scoring,
        n=result.n,
        accuracy=Accuracies(medical=result.accuracy_medical, base=result.accuracy_base),
        difference=result.difference,
        ci=(result.low, result.high),
        verdict=result.verdict,
        discordant=Discordant(medical_only=result.medical_only, base_only=result.base_only),
        mcnemar_p=p,
        holm_p=p,
        minimum_detectable_difference=detectable,
        prompt=PromptChoices(medical=medical.choice, base=base.choice),
        counts=CountsOfBoth(medical=_counts(answers[0], noise), base=_counts(answers[1], noise)),
        check=_known(found.check, result),
        quantised=None if found.scored_in_full else _at_precision(precision, scored),
        equivalence=found.equivalence,
        ablation=_ablation(questions, scored, medical.answers, shared_prompt, settings),
        thinkers=thinkers,
        thinking=thinking_of_both(*answers),
        clusters=over_pictures(questions, *answers, settings),
    )


def over_pictures(
    questions: Sequence[Question],
    medical: Sequence[Answer],
    base: Sequence[Answer],
    settings: BootstrapSettings,
) -> Clusters | None:
    """The difference by a bootstrap over pictures; None where no two questions share one."""
    clusters = joined([[picture.sha256 for picture in question.pictures] for question in questions])
    if len(set(clusters)) == len(clusters):
        return None
    found = cluster_bootstrap(
        correctness(questions, medical),
        correctness(questions, base),
        clusters,
        confidence=settings.confidence,
    )
    return Clusters(
        by="picture",
        n=found.n,
        ci=(found.low, found.high),
        verdict=found.verdict,
        kinds=tuple(ClusterKindRecord(**kind._asdict()) for kind in found.kinds),
    )


def thinking_of_both(medical: Sequence[Answer], base: Sequence[Answer]) -> ThinkingOfBoth | None:
    """What both sides thought; None if neither did."""
    found = ThinkingOfBoth(medical=_thinking(medical), base=_thinking(base))
    return None if found.medical is None and found.base is None else found


def _thinking(answers: Sequence[Answer]) -> Thinking | None:
    thoughts = [answer.thought for answer in answers if answer.thought is not None]
    if not thoughts:
        return None
    return Thinking(
        questions=len(thoughts),
        truncated=sum(thought.end == "budget" for thought in thoughts),
        ended=sum(thought.end == "ended" for thought in thoughts),
        loops=sum(thought.loops for thought in thoughts),
        median_tokens=float(median(thought.tokens for thought in thoughts)),
    )


def _known(check: Check, result: PairedDifference) -> Check:
    """``check``, which of a comparison that was scored at full precision does not know the verdict yet."""
    if check.state != "full" or check.against != FULL:
        return check
    return check.model_copy(update={"possible_verdicts": (result.verdict,)})


def _at_precision(precision: str, scored: PairedDifference) -> AtPrecision:
    return AtPrecision(
        precision=precision,
        accuracy=Accuracies(medical=scored.accuracy_medical, base=scored.accuracy_base),
        difference=scored.difference,
        ci=(scored.low, scored.high),
        verdict=scored.verdict,
        discordant=Discordant(medical_only=scored.medical_only, base_only=scored.base_only),
    )


def adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same comparisons with p-values adjusted over all of them."""
    adjusted_p = holm([c.mcnemar_p for c in comparisons])
    return tuple(c.model_copy(update={"holm_p": p}) for c, p in zip(comparisons, adjusted_p, strict=True))


def doubts(comparisons: Sequence[Comparison], *, confidence: float = 0.95) -> tuple[str, ...]:
    """One sentence for each verdict that an exact test does not support; see `medbench_local.statistics.doubt`.

    Args:
        comparisons: of a run.
        confidence: of their intervals.
    """
    said = (
        doubt_said(
            f"{c.task}, {c.shots}-shot" + ("" if c.thinkers is None else f", {THINKERS[c.thinkers]}"),
            c.verdict,
            c.n,
            c.discordant.medical_only,
            c.discordant.base_only,
            confidence=confidence,
        )
        for c in comparisons
    )
    return tuple(sentence for sentence in said if sentence is not None)


def _ablation(
    questions: Sequence[Question],
    own: PairedDifference,
    medical: Sequence[Answer],
    shared_prompt: Sequence[Answer] | None,
    settings: BootstrapSettings,
) -> Ablation:
    raw = raw_verdict(own.difference)
    if shared_prompt is None:
        return Ablation(shared_prompt_accuracy=None, raw=raw, shared_prompt=None, shared_prompt_raw=None)
    shared = paired(questions, medical, shared_prompt, settings)
    return Ablation(
        shared_prompt_accuracy=shared.accuracy_base,
        raw=raw,
        shared_prompt=shared.verdict,
        shared_prompt_raw=raw_verdict(shared.difference),
    )


def _counts(answers: Sequence[Answer], near_tie: float) -> Counts:
    masses = [a.mass for a in answers if a.mass is not None]
    scored = LogprobsOf([a for a in answers if a.logprobs])
    return Counts(
        dropped_demonstrations=sum(a.dropped > 0 for a in answers),
        overlong=sum(a.overlong for a in answers),
        exact_ties=sum(a.tied for a in answers),
        near_ties=int(near_ties(scored, near_tie).sum()),
        smallest_mass=min(masses, default=None),
        median_mass=median(masses) if masses else None,
    )
