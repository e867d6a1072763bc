"""Results built by hand: the plain case and the ones that break reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from medbench_local.prompts.prompt import Candidate
from medbench_local.results.checks import (
    AtPrecision,
    ChangesOfBoth,
    Check,
    CheckState,
    ComparisonEquivalence,
    EquivalenceRecord,
    PrecisionChanges,
)
from medbench_local.results.choices import CandidateScore, PromptChoice, PromptChoices
from medbench_local.results.clusters import ClusterKindRecord, Clusters
from medbench_local.results.record import VERDICTS, Accuracies, Discordant, Verdict
from medbench_local.results.schema import (
    Ablation,
    Comparison,
    Counts,
    CountsOfBoth,
    LadderStep,
    ModelRecord,
    PairOf,
    Results,
    Timing,
)
from medbench_local.results.summary import summary
from medbench_local.statistics.bootstrap import bootstrap_bounds
from medbench_local.statistics.clusters import ClusterKind, cluster_bounds
from medbench_local.statistics.paired import verdict as verdict_of
from medbench_local.statistics.significance import mcnemar_exact, minimum_detectable_difference, wilson
from medbench_local.study.prompt_search import unsearched
from medbench_local.study.verdicts import adjusted

SCRIPT = "<script>document.title='injected'</script><img src=x onerror=\"document.title='injected'\">"
HOSTILE = f"a|b`c*d_e_[f](g) {SCRIPT} $x^2$ {{{{ 7*7 }}}} </svg></title></pre>&amp;\n# h"
RIGHT_TO_LEFT = "نموذج طبي مقابل الأساس"
EMOJI = "👩🏽‍⚕️ médecin 医学"
LONG = "mmlu-" + "very-long-name-of-a-task-" * 6

QUESTIONS, RIGHT = 1273, 580
DISCORDANT: dict[Verdict, tuple[int, int]] = {"win": (239, 160), "tie": (200, 205), "loss": (105, 232)}
"""Questions that only the medical, and only the base model answers correctly, by the verdict that they give."""


# Clusters of QUESTIONS questions whose differences add up to those of DISCORDANT.
TOGETHER = (ClusterKind(1, 0, 874), ClusterKind(19, -16, 5), ClusterKind(19, 9, 1), ClusterKind(19, 10, 15))
"""A win over questions, a tie over pictures."""
APART = (ClusterKind(1, -1, 55), ClusterKind(1, 0, 1168), ClusterKind(1, 1, 48), ClusterKind(2, 2, 1))
"""A tie over questions and over pictures."""
FEW = (ClusterKind(424, 26, 2), ClusterKind(425, 27, 1))
"""A win of questions about three pictures."""


def choice(format: Literal["default"] | int = 3, shots: int = 3, *, candidates: int = 12) -> PromptChoice:
    demonstrations = 7 if shots else None
    if candidates == 0:
        return unsearched(Candidate(None, demonstrations))
    return PromptChoice(
        format=format,
        demonstrations=demonstrations,
        validation_accuracy=0.475,
        spread=0.125,
        estimated_gain=0.031,
        method="racing",
        prompts_scored=2345,
        prompts_exhaustive=12_345,
        error_bound=0.05,
        error_estimate=None,
        candidates=tuple(
            CandidateScore(
                format="default" if number == 0 else number,
                demonstrations=demonstrations,
                accuracy=None if number == 5 else 0.25 + 0.02 * number,
                questions=0 if number == 5 else 40 + 10 * number,
            )
            for number in range(candidates)
        ),
    )


def precision(outcome: Literal["equivalent", "different", "inconclusive"]) -> EquivalenceRecord:
    return EquivalenceRecord(
        outcome=outcome,
        reference_precision="full",
        n=400,
        flips=13,
        flip_ci=wilson(13, 400, confidence=0.9),
        correct_to_wrong=6,
        wrong_to_correct=4,
        accuracy_full=0.465,
        accuracy_quantised=0.46,
        difference=-0.005,
        ci=(-0.018, 0.008),
        confidence=0.9,
        margin=0.02,
        questions_needed=733 if outcome == "inconclusive" else None,
        kl_mean=0.0012,
        kl_max=0.2,
        flip_margins=(0.001, 0.02),
        near_ties=3,
    )


def checked(state: CheckState, *possible: Verdict, against: str = "full", n: int = QUESTIONS) -> Check:
    """A check that ended in ``state`` after some of ``n`` questions."""
    asked = {"full": n, "certain": 1000, "confident": 240, "unsettled": 318}.get(state, 0)
    changes = PrecisionChanges(
        n=asked, flips=13, correct_to_wrong=6, wrong_to_correct=4, kl_mean=0.0012, kl_max=0.2
    )
    return Check(
        state=state,
        against=against,
        confidence={"full": 1.0, "certain": 1.0, "confident": 0.95}.get(state),
        checked=asked,
        of=n,
        possible_verdicts=possible or VERDICTS,
        obstacle="does-not-fit" if state == "unavailable" else None,
        changes=ChangesOfBoth(medical=changes, base=changes) if asked else None,
    )


def comparison(
    task: str = "medqa",
    verdict: Verdict = "tie",
    *,
    shots: int = 3,
    check: Check | None = None,
    candidates: int = 12,
    counts: Counts | None = None,
    ablation: bool = False,
    pictures: Sequence[ClusterKind] = (),
) -> Comparison:
    n, (medical_only, base_only) = QUESTIONS, DISCORDANT[verdict]
    difference = (medical_only - base_only) / n
    low, high = bootstrap_bounds(n, medical_only, base_only, 0.95)
    ci = low / n, high / n
    check = check or checked("full", verdict)
    accuracy = Accuracies(medical=RIGHT / n, base=(RIGHT - medical_only + base_only) / n)
    discordant = Discordant(medical_only=medical_only, base_only=base_only)
    p = mcnemar_exact(medical_only, base_only)
    everything = check.state == "full"
    return Comparison(
        task=task,
        shots=shots,
        scoring="constrained",
        n=n,
        accuracy=accuracy,
        difference=difference,
        ci=ci,
        verdict=verdict,
        discordant=discordant,
        mcnemar_p=p,
        holm_p=p,
        minimum_detectable_difference=minimum_detectable_difference(n, (medical_only + base_only) / n),
        prompt=PromptChoices(
            medical=choice(shots=shots, candidates=candidates),
            base=choice("default", shots=shots, candidates=candidates),
        ),
        counts=CountsOfBoth(medical=counts or Counts(), base=Counts()),
        check=check,
        quantised=AtPrecision(
            precision="q8_0",
            accuracy=accuracy,
            difference=difference,
            ci=ci,
            verdict=verdict,
            discordant=discordant,
        ),
        equivalence=ComparisonEquivalence(
            medical=precision("equivalent"),
            base=precision("inconclusive"),
            verdict_quantised=verdict,
            verdict_full_precision=verdict,
            verified=check.verified,
        )
        if everything
        else None,
        ablation=Ablation(
            shared_prompt_accuracy=550 / n if ablation else None,
            raw="win" if difference > 0 else "loss",
            shared_prompt="win" if ablation else None,
            shared_prompt_raw="win" if ablation else None,
        ),
        clusters=over(pictures) if pictures else None,
    )


def over(kinds: Sequence[ClusterKind]) -> Clusters:
    """What stands beside a comparison whose pictures are of these kinds."""
    ci = cluster_bounds(tuple(kinds), 0.95)
    return Clusters(
        by="picture",
        n=sum(kind.clusters for kind in kinds),
        ci=ci,
        verdict=verdict_of(*ci),
        kinds=tuple(ClusterKindRecord(**kind._asdict()) for kind in kinds),
    )


def results(
    comparisons: Sequence[Comparison],
    *,
    medical: str = "meditron-7b",
    base: str = "llama-2-7b",
    warnings: Sequence[str] = (),
    ladder: Sequence[LadderStep] = (),
    seconds: float = 12.3,
) -> Results:
    return Results(
        models=PairOf(medical=_model(medical), base=_model(base)),
        precision="q8_0",
        mode="exact",
        protocol="laptop",
        confidence=0.95,
        comparisons=adjusted(comparisons),
        summary=summary(comparisons),
        warnings=tuple(warnings),
        ladder=tuple(ladder),
        timing=Timing(
            started="2026-01-02T03:04:05+00:00",
            seconds=seconds,
            tokens_decoded=12_345_678,
            prompts_scored=4321,
            prompts_reused=17,
            tokens_per_second=1234.5,
        ),
    )


def _model(name: str) -> ModelRecord:
    return ModelRecord(
        name=name, source="local", sha256="0123456789abcdef" * 4, file_type="q8_0", size=7_000_000_000
    )


def forty() -> Results:
    verdicts: tuple[Verdict, ...] = ("win", "tie", "loss")
    return results(
        [
            comparison(
                f"mmlu-subject-number-{i:02d}",
                verdicts[i % 3],
                shots=(0, 3)[i % 2],
                check=checked("confident", verdicts[i % 3]) if i % 7 else checked("unsettled", "tie", "win"),
            )
            for i in range(40)
        ]
    )


CASES = {
    "every kind": results(
        [
            comparison("medqa", "win", check=checked("confident", "win"), ablation=True),
            comparison("medmcqa", "loss", shots=0, check=checked("certain", "loss"), ablation=True),
            comparison("mmlu-professional-medicine", "tie", ablation=True),
            comparison("pubmedqa", "win", shots=0, check=checked("unsettled", "tie", "win"), ablation=True),
        ],
        warnings=["12 of 1,273 questions are missing."],
        ladder=[
            LadderStep(precision="q4_0", verified=1, comparisons=4, checked=1272, questions=5092),
            LadderStep(precision="q8_0", verified=3, comparisons=4, checked=2831, questions=5092),
        ],
    ),
    "all not verified": results(
        [comparison(check=checked("none")), comparison("pubmedqa", "win", check=checked("unavailable"))]
    ),
    "a stand-in": results(
        [
            comparison(check=checked("full", "tie", against="q6_k")),
            comparison("pubmedqa", "win", check=checked("full", "tie", against="q6_k")),
            comparison("medmcqa", "win", check=checked("unsettled", "tie", "win", against="q6_k")),
        ]
    ),
    "no candidates": results([comparison(candidates=0)]),
    "one comparison": results([comparison()]),
    "no comparison": results([]),
    "long names": results([comparison(LONG, check=checked("unsettled"))], medical=LONG, base=LONG),
    "other scripts": results(
        [comparison(RIGHT_TO_LEFT), comparison(EMOJI)], medical=RIGHT_TO_LEFT, base=EMOJI
    ),
    "hostile": results(
        [
            comparison(HOSTILE, check=checked("unsettled", against=HOSTILE)),
            comparison("\x1b[31m\x00\u202eevil"),
        ],
        medical=HOSTILE,
        base='"><svg onload=alert(1)>',
        warnings=[HOSTILE],
        ladder=[LadderStep(precision=HOSTILE, verified=0, comparisons=2)],
    ),
    "pictures": results(
        [
            comparison("vqa-rad", "win", pictures=TOGETHER),
            comparison("slake", "tie", pictures=APART, check=checked("confident", "tie")),
            comparison("pathvqa", "win", pictures=FEW, check=checked("unsettled", "tie", "win")),
            comparison("medqa", "win"),
        ]
    ),
    "forty": forty(),
}
